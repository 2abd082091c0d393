"""The member of the sorted set and the cursor: the order of bytes is the order of the board."""

from __future__ import annotations

import base64
import functools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoreboard.boards import MAX_SAFE_INTEGER, USER_ID, SortOrder
from scoreboard.errors import InvalidCursor
from scoreboard.events import MAX_TIME_US
from scoreboard.ranking import (
    BoardKeys,
    Cursor,
    changes_channel,
    decode_member,
    encode_member,
    next_cursor,
    sort_key,
)
from scoreboard.standings import Entry
from tests.support.model import USERS

names = st.from_regex(USER_ID, fullmatch=True) | st.sampled_from(USERS)
times = st.integers(0, MAX_TIME_US) | st.integers(0, 3)
scores = st.integers(-MAX_SAFE_INTEGER, MAX_SAFE_INTEGER) | st.integers(-2, 2)
orders = st.sampled_from(SortOrder)
rows = st.lists(st.tuples(scores, times, names), unique_by=lambda row: row[2], max_size=30)

Row = tuple[int, int, str]


def _as_redis(order: SortOrder, board: list[Row]) -> list[Row]:
    """By score, then by the bytes of the member, read backwards on a descending board."""
    ascending = sorted((score, encode_member(order, at, user).encode()) for score, at, user in board)
    if order is SortOrder.DESC:
        ascending.reverse()
    return [(score, *decode_member(order, member.decode())) for score, member in ascending]


def _plainly(order: SortOrder, board: list[Row]) -> list[Row]:
    """By the words of the rule, one comparison at a time."""

    def compare(left: Row, right: Row) -> int:
        descending = order is SortOrder.DESC
        if left[0] != right[0]:
            return -1 if (left[0] > right[0]) is descending else 1
        if left[1] != right[1]:
            return -1 if left[1] < right[1] else 1
        larger = left[2].encode() > right[2].encode()
        return -1 if larger is descending else 1

    return sorted(board, key=functools.cmp_to_key(compare))


@given(orders, rows)
def test_redis_python_and_the_rule_order_a_board_alike(order: SortOrder, board: list[Row]) -> None:
    plain = _plainly(order, board)
    assert _as_redis(order, board) == plain
    assert sorted(board, key=lambda row: sort_key(order, *row)) == plain


@given(orders, times, names)
def test_a_member_is_read_as_it_was_written_and_has_one_width(order: SortOrder, reached_at: int, user_id: str) -> None:
    member = encode_member(order, reached_at, user_id)
    assert decode_member(order, member) == (reached_at, user_id)
    assert len(member) == 17 + len(user_id)
    assert member[16] == ":"
    assert " " not in member  # a blank parts version and member in the hash of members


@given(scores, times, names)
def test_a_cursor_is_read_as_it_was_written_and_fits_into_a_url(score: int, reached_at: int, user_id: str) -> None:
    cursor = Cursor(score, reached_at, user_id)
    text = cursor.encode()
    assert Cursor.decode(text) == cursor
    assert set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def _encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).decode().rstrip("=")


GOOD = Cursor(5, 7, "ada").encode()
GARBAGE = [
    "",
    " ",
    "x",
    "=",
    "====",
    GOOD + "=",
    GOOD + "==",
    GOOD + "\n",
    " " + GOOD,
    GOOD[:-1],
    "é",
    "\ud800",
    "\x00",
    _encoded(None),
    _encoded([]),
    _encoded([5, 7]),
    _encoded([5, 7, "ada", 1]),
    _encoded({"a": 1, "b": 2, "c": 3}),
    _encoded("abc"),
    _encoded([True, 7, "ada"]),
    _encoded([5, False, "ada"]),
    _encoded([5.0, 7, "ada"]),
    _encoded(["5", 7, "ada"]),
    _encoded([5, -1, "ada"]),
    _encoded([5, 10**16, "ada"]),
    _encoded([2**53, 7, "ada"]),
    _encoded([-(2**53), 7, "ada"]),
    _encoded([10**400, 7, "ada"]),
    _encoded([float("nan"), 7, "ada"]),
    _encoded([5, 7, ""]),
    _encoded([5, 7, "a b"]),
    _encoded([5, 7, "ada\n"]),
    _encoded([5, 7, None]),
    _encoded([5, 7, ["ada"]]),
    base64.urlsafe_b64encode(b'[5, 7, "ada"]').decode().rstrip("="),
    base64.urlsafe_b64encode(b'[-0,7,"ada"]').decode().rstrip("="),
    base64.urlsafe_b64encode(b"[" * 50_000).decode().rstrip("="),
    base64.urlsafe_b64encode(b"9" * 10_000).decode().rstrip("="),
    base64.urlsafe_b64encode(b"\xff\xfe\xff").decode(),
    base64.b64encode(b"[5,7,\xff\xff\xff]").decode(),
]


@pytest.mark.parametrize("text", GARBAGE, ids=lambda text: repr(text[:24]))
def test_garbage_is_no_cursor(text: str) -> None:
    with pytest.raises(InvalidCursor):
        Cursor.decode(text)


@given(st.text() | st.text("ABCabc019-_=+/"))
def test_only_what_was_written_by_a_cursor_is_one(text: str) -> None:
    try:
        cursor = Cursor.decode(text)
    except InvalidCursor:
        return
    assert cursor.encode() == text


def test_there_is_a_next_page_only_where_there_is_more() -> None:
    entries = [Entry(1, "ada", 9, 1), Entry(2, "bob", 5, 7)]
    cursor = next_cursor(entries, more=True)
    assert cursor is not None
    assert Cursor.decode(cursor) == Cursor(5, 7, "bob")
    assert next_cursor(entries, more=False) is None
    assert next_cursor([], more=True) is None


def test_the_keys_of_a_board_share_a_slot_and_no_other_board_has_them() -> None:
    keys = BoardKeys.of("leaderboard:top10", "global")
    assert (keys.ranks, keys.members, keys.meta) == (
        "leaderboard:top10:{global}:ranks",
        "leaderboard:top10:{global}:members",
        "leaderboard:top10:{global}:meta",
    )
    assert changes_channel("leaderboard:top10") == "leaderboard:top10:changes"
