"""Standings and snapshots: what a board looks like at one version, and its JSON. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

SEASON: Final = "current"
"""Every board has one season that is open."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A user's row in PostgreSQL: absolute, and newer than another exactly when its version is larger."""

    user_id: str
    score: int
    version: int
    reached_at: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a board; `rank` starts at 1 and is ordinal, `reached_at` is microseconds since 1970."""

    rank: int
    user_id: str
    score: int
    reached_at: int

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON shape. The name is the user id until users have names of their own."""
        return {
            "rank": self.rank,
            "user_id": self.user_id,
            "name": self.user_id,
            "score": self.score,
            "reached_at": iso_time(self.reached_at),
        }


@dataclass(frozen=True, slots=True, order=True)
class BoardVersion:
    """Which state of a board: versions grow within an epoch, and epochs have no order among each other."""

    epoch: str
    version: int

    def __str__(self) -> str:
        """Return the form that is the `id` of a frame and the entity tag of a page."""
        return f"{self.epoch}:{self.version}"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Some entries of a board, all of one version.

    Attributes:
        board_id: The board.
        version: Epoch and version they were read at.
        total: How many users have a score.
        entries: In rank order.
        next: Cursor of the page after these, or None on the last page.
    """

    board_id: str
    version: BoardVersion
    total: int
    entries: tuple[Entry, ...]
    next: str | None = None

    def to_json(self) -> bytes:
        """Return the body of `GET /api/leaderboard`, which is the data of a snapshot frame too."""
        return json.dumps(
            {
                "board": self.board_id,
                "season": SEASON,
                "epoch": self.version.epoch,
                "version": self.version.version,
                "total": self.total,
                "entries": [entry.as_dict() for entry in self.entries],
                "next": self.next,
            },
            separators=(",", ":"),
        ).encode()


@dataclass(frozen=True, slots=True)
class UserStanding:
    """Where one user is on a board."""

    entry: Entry
    total: int
    version: BoardVersion

    @property
    def percentile(self) -> float:
        """The share of users, in percent from 0 to 100, who do not rank above this one."""
        return round(100.0 * (self.total - self.entry.rank + 1) / self.total, 2)


def entries_from(first_rank: int, rows: Sequence[tuple[str, int, int]]) -> tuple[Entry, ...]:
    """Number `rows` of (user_id, score, reached_at) from `first_rank` on."""
    return tuple(Entry(first_rank + index, *row) for index, row in enumerate(rows))


def iso_time(microseconds: int) -> str:
    """Return a time in microseconds since 1970 as ISO 8601 in UTC."""
    seconds, fraction = divmod(microseconds, 1_000_000)
    return (
        datetime.fromtimestamp(seconds, UTC).replace(microsecond=fraction).isoformat(timespec="microseconds")[:-6] + "Z"
    )
