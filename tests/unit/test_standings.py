"""Snapshots: the JSON that clients read, and times in it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoreboard.events import MAX_TIME_US
from scoreboard.standings import BoardVersion, Entry, Snapshot, UserStanding, entries_from, iso_time

VERSION = BoardVersion("9f3c", 1042)


def test_a_snapshot_is_written_as_the_contract_says() -> None:
    snapshot = Snapshot("global", VERSION, 2814, (Entry(1, "ada", 4711, 1_795_551_414_123_456),), "next")
    assert json.loads(snapshot.to_json()) == {
        "board": "global",
        "season": "current",
        "epoch": "9f3c",
        "version": 1042,
        "total": 2814,
        "entries": [
            {
                "rank": 1,
                "user_id": "ada",
                "name": "ada",
                "score": 4711,
                "reached_at": "2026-11-24T20:16:54.123456Z",
            }
        ],
        "next": "next",
    }


def test_a_snapshot_is_one_line() -> None:
    body = Snapshot("global", VERSION, 0, ()).to_json()
    assert b"\n" not in body
    assert json.loads(body)["next"] is None


def test_a_version_is_written_with_its_epoch() -> None:
    assert str(VERSION) == "9f3c:1042"


@given(st.integers(0, MAX_TIME_US))
def test_a_time_is_iso_8601_in_utc_to_the_microsecond(microseconds: int) -> None:
    text = iso_time(microseconds)
    assert len(text) == 27
    assert text.endswith("Z")
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert datetime.fromisoformat(text) == epoch + timedelta(microseconds=microseconds)


@pytest.mark.parametrize(
    ("rank", "total", "percentile"), [(1, 1, 100.0), (1, 200, 100.0), (200, 200, 0.5), (2, 3, 66.67)]
)
def test_a_percentile_counts_those_who_do_not_rank_above(rank: int, total: int, percentile: float) -> None:
    assert UserStanding(Entry(rank, "ada", 1, 1), total, VERSION).percentile == percentile


def test_entries_are_numbered_from_a_rank_on() -> None:
    assert entries_from(4, [("ada", 9, 1), ("bob", 8, 2)]) == (Entry(4, "ada", 9, 1), Entry(5, "bob", 8, 2))
