"""Frames: what a stream says, and that a short frame equals a short page."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import frames
from api.frames import Farewell, Picture, shorten
from scoreboard.standings import BoardVersion, Snapshot, entries_from

ROWS = [(f"user-{number:03}", 1000 - number, 1_790_000_000_000_000 + number) for number in range(100)]


def page(count: int, *, more: bool = False) -> Snapshot:
    snapshot = Snapshot("global", BoardVersion("e1", 7), 250 if more else count, entries_from(1, ROWS[:count]))
    return shorten(Snapshot("global", snapshot.version, 250, entries_from(1, ROWS)), count) if more else snapshot


@given(read=st.integers(0, 99), more=st.booleans(), limit=st.integers(1, 100))
def test_a_frame_carries_exactly_the_page_that_the_same_limit_would_give(read: int, more: bool, limit: int) -> None:
    snapshot = page(read, more=more and read > 0)
    frame = Picture(snapshot, 100).frame(limit)
    head, _, data = frame.data.partition(b"data: ")
    assert head == b"id: e1:7\nevent: snapshot\n"
    assert data.endswith(b"\n\n")
    assert data[:-2] == shorten(snapshot, limit).to_json()


def test_a_picture_serves_longer_limits_only_when_the_board_has_no_more() -> None:
    assert Picture(page(10, more=True), 10).reaches(10)
    assert not Picture(page(10, more=True), 10).reaches(11)
    assert Picture(page(10), 10).reaches(100)


@pytest.mark.parametrize("reason", list(Farewell))
def test_a_goodbye_says_when_to_come_back_twice(reason: Farewell) -> None:
    lines = frames.bye(reason).decode().split("\n")
    wait = int(lines[0].removeprefix("retry: "))
    assert lines[1] == "event: bye"
    assert json.loads(lines[2].removeprefix("data: ")) == {"reason": reason.value, "retry_ms": wait}


def test_waits_differ_between_clients_and_are_longer_after_an_overload() -> None:
    ordinary = {frames.reconnect_ms() for _ in range(200)}
    assert len(ordinary) > 100
    assert min(ordinary) >= 2000
    assert max(ordinary) <= 5000
    assert min(frames.reconnect_ms(Farewell.OVERLOAD) for _ in range(200)) > 5000
