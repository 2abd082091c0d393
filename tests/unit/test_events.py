"""The message on the queue: what is written is read back, and nothing else is read."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoreboard.boards import BOARD_ID, MAX_SAFE_INTEGER, USER_ID
from scoreboard.errors import InvalidEvent
from scoreboard.events import MAX_TIME_US, VERSION, ScoreEvent, event_id_for_key
from tests.support.model import event

names = st.from_regex(USER_ID, fullmatch=True)
events = st.builds(
    ScoreEvent,
    event_id=st.uuids(),
    board_id=st.from_regex(BOARD_ID, fullmatch=True),
    user_id=names,
    value=st.integers(-MAX_SAFE_INTEGER, MAX_SAFE_INTEGER),
    accepted_at=st.integers(0, MAX_TIME_US),
    submitted_by=names,
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
GOOD: dict[str, Any] = json.loads(event().to_json())

WRONG: dict[str, list[Any]] = {
    "v": [None, 0, 2, -1, "1", 1.0, True, [1], {}],
    "event_id": [None, "", "1", 1, "x" * 32, "g" * 36, [], {}, "\ud800", "1_" * 16, "٣" * 32, "{" + "0" * 32 + "}"],
    "board_id": [None, "", "Global", "a b", "a\n", 1, [], "x" * 33, "\ud800", "a\x00"],
    "user_id": [None, "", "a b", "a\n", 1, True, [], "x" * 65, "é", "a{b}", "\ud800", "a\x00"],
    "submitted_by": [None, "", "a b", "a\n", 1, [], "x" * 65, "é"],
    "value": [None, "5", 5.0, True, False, [], {}, 2**53, -(2**53), 10**400, float("nan"), float("inf")],
    "accepted_at": [None, "5", 5.0, True, -1, 10**16, 10**400, float("-inf")],
}


@given(events)
def test_an_event_is_read_as_it_was_written(one: ScoreEvent) -> None:
    body = one.to_json()
    assert ScoreEvent.from_json(body) == one
    assert ScoreEvent.from_json(body.encode()) == one
    assert body.isascii()
    assert "\n" not in body


def test_the_message_is_what_other_programs_may_rely_on() -> None:
    one = event("ada", 7, at=1, event_id=uuid.UUID(int=1))
    assert json.loads(one.to_json()) == {
        "v": VERSION,
        "event_id": "00000000-0000-0000-0000-000000000001",
        "board_id": "global",
        "user_id": "ada",
        "value": 7,
        "accepted_at": 1,
        "submitted_by": "ada",
    }


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, values in WRONG.items() for value in values], ids=repr
)
def test_a_field_with_a_wrong_value_is_refused(field: str, value: object) -> None:
    with pytest.raises(InvalidEvent):
        ScoreEvent.from_json(json.dumps({**GOOD, field: value}))


@pytest.mark.parametrize("field", GOOD)
def test_a_field_that_is_missing_is_refused(field: str) -> None:
    with pytest.raises(InvalidEvent):
        ScoreEvent.from_json(json.dumps({name: value for name, value in GOOD.items() if name != field}))


def test_of_a_field_that_is_there_twice_the_last_counts_and_is_checked() -> None:
    body = json.dumps(GOOD)
    assert ScoreEvent.from_json(body[:-1] + ', "value": 6}').value == 6
    with pytest.raises(InvalidEvent):
        ScoreEvent.from_json(body[:-1] + ', "value": "6"}')


def test_a_field_that_is_not_known_is_ignored() -> None:
    assert ScoreEvent.from_json(json.dumps({**GOOD, "more": 1})).user_id == "ada"


@pytest.mark.parametrize(
    "body", ["", "null", "[]", "1", '"x"', "{", "[" * 100_000, "9" * 10_000, b"\xff\xfe", b"\x00", "\ud800", "nul"]
)
def test_what_is_no_object_is_refused(body: str | bytes) -> None:
    with pytest.raises(InvalidEvent):
        ScoreEvent.from_json(body)


@given(st.one_of(st.binary(), st.text(), anything.map(json.dumps)))
def test_whatever_arrives_is_an_event_or_refused(body: str | bytes) -> None:
    with pytest.raises(InvalidEvent):
        ScoreEvent.from_json(body)


@given(st.dictionaries(st.sampled_from(sorted(GOOD)), anything, min_size=1))
def test_whatever_stands_in_a_field_is_right_or_refused(changed: dict[str, Any]) -> None:
    try:
        read = ScoreEvent.from_json(json.dumps({**GOOD, **changed}))
    except InvalidEvent:
        return
    assert json.loads(read.to_json()) == {**GOOD, **changed}


@given(st.text(), st.text())
def test_a_key_of_a_submitter_is_one_event_and_of_another_is_another(a: str, b: str) -> None:
    assert event_id_for_key("ada", a) == event_id_for_key("ada", a)
    assert event_id_for_key("ada", a) != event_id_for_key("bob", a)
    if a != b:
        assert event_id_for_key("ada", a) != event_id_for_key("ada", b)


def test_the_id_of_a_key_never_changes() -> None:
    """A retry may reach a newer version of the program."""
    assert event_id_for_key("ada", "key-1") == uuid.UUID("2473d1b4-2eee-5516-9294-ee8a98facf88")
