"""Boards: what a leaderboard counts, how it orders, and what one event may change. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from scoreboard.errors import DeltaOutOfRange

MAX_SAFE_INTEGER: Final = 2**53 - 1
"""Largest magnitude of a score: beyond it Redis' doubles and JavaScript's numbers are no longer exact."""

USER_ID: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@|-]{0,63}", re.ASCII)
BOARD_ID: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}", re.ASCII)


class Operator(StrEnum):
    """How an event's value changes a user's score."""

    INCR = "incr"
    DECR = "decr"
    BEST = "best"
    SET = "set"


class SortOrder(StrEnum):
    """Which end of the scores ranks first."""

    DESC = "desc"
    ASC = "asc"


class Writers(StrEnum):
    """Who may submit to a board; a server always may."""

    PLAYER = "player"
    SERVER = "server"


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """The rules of one leaderboard.

    Attributes:
        board_id: Name in URLs and keys, `BOARD_ID`.
        operator: What an event's value does to the score.
        sort_order: Which end of the scores ranks first.
        min_change: Smallest value of one event, inclusive.
        max_change: Largest value of one event, inclusive.
        min_score: Lower bound of a score, inclusive.
        max_score: Upper bound of a score, inclusive.
        writers: Who may submit.
        display_limit: How many entries a reader gets who does not say.
    """

    board_id: str
    operator: Operator = Operator.INCR
    sort_order: SortOrder = SortOrder.DESC
    min_change: int = 1
    max_change: int = 1000
    min_score: int = -MAX_SAFE_INTEGER
    max_score: int = MAX_SAFE_INTEGER
    writers: Writers = Writers.PLAYER
    display_limit: int = 10

    @property
    def value_field(self) -> str:
        """The name of an event's value in a submission: `delta` where it is a change, `score` where it is one."""
        return "delta" if self.operator in (Operator.INCR, Operator.DECR) else "score"

    def check_value(self, value: int) -> None:
        """Raise `DeltaOutOfRange` when one event may not carry `value`."""
        if not self.min_change <= value <= self.max_change:
            raise DeltaOutOfRange(
                f"{self.value_field} must be from {self.min_change} to {self.max_change} on board {self.board_id}."
            )


GLOBAL: Final = Board(board_id="global")
"""The default board, as the migrations create it; known here so that scores are taken while PostgreSQL is away."""


@dataclass(frozen=True, slots=True, order=False)
class Mark:
    """A score and the time, in microseconds since 1970, at which it was reached."""

    score: int
    reached_at: int


def combine(board: Board, old: Mark | None, value: int, accepted_at: int) -> Mark:
    """Return what a user's mark becomes by one event.

    Every operator is independent of the order in which events are applied, so that a queue that reorders cannot
    change a board: `incr` and `decr` reach their sum with the latest event, `best` keeps the earliest time of the best
    score, `set` keeps the latest event (of two at one microsecond, the larger). The SQL of `apply_events.sql` is the
    same rule; a test holds the two together.
    """
    if board.operator in (Operator.INCR, Operator.DECR):
        change = value if board.operator is Operator.INCR else -value
        if old is None:
            return Mark(change, accepted_at)
        return Mark(old.score + change, max(old.reached_at, accepted_at))
    new = Mark(value, accepted_at)
    if old is None:
        return new
    if board.operator is Operator.SET:
        return max(old, new, key=lambda mark: (mark.reached_at, mark.score))
    sign = 1 if board.sort_order is SortOrder.DESC else -1
    return max(old, new, key=lambda mark: (sign * mark.score, -mark.reached_at))
