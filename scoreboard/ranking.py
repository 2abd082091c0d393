"""The sorted set of a board: how a member is written so that Redis breaks ties as PostgreSQL does, and key names. Pure.

A member is 16 digits of time, a colon, and the user id. Redis orders equal scores by the bytes of the member, and a
descending board is read backwards, so there the digits count down from `MAX_TIME_US`: either way the first to
reach a score ranks first. Of two who reached it in the same microsecond the bytes of the user id decide: the smaller
first on an ascending board, the larger on a descending one. In SQL: `user_id COLLATE "C"` in the board's order.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from scoreboard.boards import MAX_SAFE_INTEGER, USER_ID, SortOrder
from scoreboard.errors import InvalidCursor
from scoreboard.events import MAX_TIME_US
from scoreboard.standings import Entry

_TIME_DIGITS: Final = 16


def encode_member(order: SortOrder, reached_at: int, user_id: str) -> str:
    """Return the sorted-set member of a user who reached the score at `reached_at` microseconds."""
    time = MAX_TIME_US - reached_at if order is SortOrder.DESC else reached_at
    return f"{time:0{_TIME_DIGITS}d}:{user_id}"


def decode_member(order: SortOrder, member: str) -> tuple[int, str]:
    """Return (reached_at, user_id) of a member."""
    time = int(member[:_TIME_DIGITS])
    return (MAX_TIME_US - time if order is SortOrder.DESC else time), member[_TIME_DIGITS + 1 :]


def sort_key(order: SortOrder, score: int, reached_at: int, user_id: str) -> tuple[int, int, tuple[int, ...]]:
    """Return a key by which Python sorts entries into rank order, best first."""
    sign = -1 if order is SortOrder.DESC else 1
    padded = (*user_id.encode(), -1)
    return sign * score, reached_at, tuple(sign * byte for byte in padded)


@dataclass(frozen=True, slots=True)
class BoardKeys:
    """The Redis keys of one board; the hash tag keeps them in one cluster slot.

    Attributes:
        ranks: Sorted set, member -> score.
        members: Hash, user id -> "version member": what is in `ranks` for this user.
        meta: Hash: seq, epoch, complete, generation, watermark.
    """

    ranks: str
    members: str
    meta: str

    @classmethod
    def of(cls, prefix: str, board_id: str) -> BoardKeys:
        """Return the keys of a board below a prefix (`REDIS_KEY_LEADERBOARD`)."""
        base = f"{prefix}:{{{board_id}}}"
        return cls(ranks=f"{base}:ranks", members=f"{base}:members", meta=f"{base}:meta")


def changes_channel(prefix: str) -> str:
    """Return the channel on which every change of every board is announced."""
    return f"{prefix}:changes"


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in a board, just after one entry: pages neither skip nor repeat a user who did not move."""

    score: int
    reached_at: int
    user_id: str

    def encode(self) -> str:
        """Return the opaque text that a client sends back."""
        raw = json.dumps([self.score, self.reached_at, self.user_id], separators=(",", ":"))
        return base64.urlsafe_b64encode(raw.encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> Cursor:
        """Read a cursor. Raises `InvalidCursor` for anything that `encode` did not write."""
        try:
            padded = text + "=" * (-len(text) % 4)
            score, reached_at, user_id = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        except (ValueError, TypeError, RecursionError) as error:
            raise InvalidCursor from error
        if not (
            type(score) is type(reached_at) is int
            and abs(score) <= MAX_SAFE_INTEGER
            and 0 <= reached_at <= MAX_TIME_US
            and isinstance(user_id, str)
            and USER_ID.fullmatch(user_id)
        ):
            raise InvalidCursor
        cursor = cls(score, reached_at, user_id)
        if cursor.encode() != text:
            raise InvalidCursor
        return cursor


def next_cursor(entries: Sequence[Entry], *, more: bool) -> str | None:
    """Return the cursor of the page after some entries, None where there is none."""
    if not more or not entries:
        return None
    last = entries[-1]
    return Cursor(last.score, last.reached_at, last.user_id).encode()
