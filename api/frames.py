"""What is written on a stream: Server-Sent Events as bytes, whoever carries them. Pure."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from scoreboard.ranking import Cursor
from scoreboard.standings import SEASON, BoardVersion, Snapshot

HEARTBEAT: Final = b": hb\n\n"
_RECONNECT_MS: Final = (2000, 5000)
_OVERLOAD_RECONNECT_MS: Final = (15_000, 30_000)


class Farewell(StrEnum):
    """Why the server closes a stream."""

    DRAIN = "drain"
    OVERLOAD = "overload"
    MAX_AGE = "max_age"
    TOKEN_EXPIRED = "token_expired"  # noqa: S105 - a reason, not a secret


@dataclass(frozen=True, slots=True)
class Frame:
    """One board at one version, as the event that is sent to all who watch it at one limit."""

    board_id: str
    version: BoardVersion
    data: bytes


class Picture:
    """A snapshot of which every shorter one is made by joining what was encoded once."""

    def __init__(self, snapshot: Snapshot, limit: int) -> None:
        """Take a snapshot that was read with `limit`."""
        self.snapshot = snapshot
        self.limit = limit
        self._entries = [_compact(entry.as_dict()) for entry in snapshot.entries]
        version = snapshot.version
        head = {
            "board": snapshot.board_id,
            "season": SEASON,
            "epoch": version.epoch,
            "version": version.version,
            "total": snapshot.total,
        }
        self._head = f"id: {version}\nevent: snapshot\ndata: {_compact(head)[:-1]}"

    @property
    def version(self) -> BoardVersion:
        """Which state of the board it shows."""
        return self.snapshot.version

    def reaches(self, limit: int) -> bool:
        """Whether it has all entries of a board cut off at `limit`."""
        return limit <= self.limit or self.snapshot.next is None

    def frame(self, limit: int) -> Frame:
        """Return the event for those who watch the first `limit` entries."""
        following = shorten(self.snapshot, limit).next
        entries = ",".join(self._entries[:limit])
        text = f'{self._head},"entries":[{entries}],"next":{json.dumps(following)}}}\n\n'
        return Frame(self.snapshot.board_id, self.version, text.encode())


def shorten(snapshot: Snapshot, limit: int) -> Snapshot:
    """Return the first page of a board as if it had been read with a smaller limit."""
    if len(snapshot.entries) <= limit:
        return snapshot
    entries = snapshot.entries[:limit]
    last = entries[-1]
    return replace(snapshot, entries=entries, next=Cursor(last.score, last.reached_at, last.user_id).encode())


def retry(milliseconds: int) -> bytes:
    """Return the line that tells a browser how long to wait before it reconnects."""
    return f"retry: {milliseconds}\n\n".encode()


def reconnect_ms(reason: Farewell | None = None) -> int:
    """Return a wait that differs from client to client, so that they do not all come back at once."""
    bounds = _OVERLOAD_RECONNECT_MS if reason is Farewell.OVERLOAD else _RECONNECT_MS
    return random.randint(*bounds)  # noqa: S311 - spreads load, keeps no secret


def bye(reason: Farewell) -> bytes:
    """Return the last event of a stream. Browsers honour only its `retry:` line, programs read the data."""
    wait = reconnect_ms(reason)
    return f"retry: {wait}\nevent: bye\ndata: {_compact({'reason': reason.value, 'retry_ms': wait})}\n\n".encode()


def presence(streams: int) -> bytes:
    """Return the event that says how many streams this process holds."""
    return f"event: presence\ndata: {_compact({'streams': streams})}\n\n".encode()


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
