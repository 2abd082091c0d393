"""The ports of the API in memory, for tests that need no real part; each can be sent away and brought back."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from quart import Quart

from api.app import build_app
from api.connections import Connections
from api.services import Backends
from scoreboard.auth import Keyring, issue_token
from scoreboard.boards import GLOBAL, Board, Operator, Writers
from scoreboard.config import Settings
from scoreboard.errors import LimiterUnavailable, QueueUnavailable, Unavailable, UnknownUser
from scoreboard.events import ScoreEvent
from scoreboard.ports import Admission, AdmissionOutcome, EventRecord, RankState
from scoreboard.ranking import Cursor
from scoreboard.standings import BoardVersion, Entry, Snapshot, Standing, UserStanding, entries_from

T = TypeVar("T")

SECRET = "a secret of tests, long enough to sign tokens"
RACE = Board(board_id="race", operator=Operator.BEST, max_change=10_000)
OFFICIAL = Board(board_id="official", writers=Writers.SERVER)
NOW_US = 1_790_000_000_000_000


def api_settings(**variables: str) -> Settings:
    return Settings.from_env({"JWT_SECRET": SECRET, "APP_ENV": "test", **variables})


def token(user_id: str = "ada", *, role: str = "player", ttl_s: int = 600, **keyring: str) -> str:
    ring = Keyring.of(
        keyring.get("secret", SECRET),
        "",
        issuer=keyring.get("issuer", "scoreboard"),
        audience=keyring.get("audience", "scoreboard-api"),
    )
    return issue_token(ring, user_id=user_id, role=role, ttl_s=ttl_s)


@dataclass
class FakeRanks:
    """`RankReader`; `put` changes a board, `away` makes every call fail, `incomplete` makes every read give None."""

    boards: dict[str, list[tuple[str, int, int]]] = field(default_factory=dict)
    seq: dict[str, int] = field(default_factory=dict)
    epoch: str = "e1"
    away: bool = False
    incomplete: bool = False
    reads: int = 0
    listeners: list[asyncio.Queue[str | None]] = field(default_factory=list)

    def put(self, board_id: str, rows: Sequence[tuple[str, int]], *, announce: bool = True) -> None:
        ranked = sorted(rows, key=lambda row: -row[1])
        self.boards[board_id] = [(user_id, score, NOW_US) for user_id, score in ranked]
        self.seq[board_id] = self.seq.get(board_id, 0) + 1
        if announce:
            for listener in self.listeners:
                listener.put_nowait(board_id)

    def version(self, board_id: str) -> BoardVersion:
        return BoardVersion(self.epoch, self.seq.get(board_id, 0))

    async def top(self, board: Board, limit: int, after: Cursor | None = None) -> Snapshot | None:
        self.reads += 1
        if self._none():
            return None
        rows = self.boards.get(board.board_id, [])
        first = next((at + 1 for at, row in enumerate(rows) if after and row[0] == after.user_id), 0)
        entries = entries_from(first + 1, rows[first : first + limit])
        more = len(rows) > first + limit
        last = entries[-1] if entries else None
        cursor = Cursor(last.score, last.reached_at, last.user_id).encode() if more and last else None
        return Snapshot(board.board_id, self.version(board.board_id), len(rows), entries, cursor)

    async def around(self, board: Board, user_id: str, radius: int) -> Snapshot | None:
        found = await self.user(board, user_id)
        if found is None:
            return None
        entries = self._entries(board)
        at = found.entry.rank - 1
        return Snapshot(board.board_id, found.version, len(entries), entries[max(0, at - radius) : at + radius + 1])

    async def users(self, board: Board, user_ids: Sequence[str]) -> Snapshot | None:
        if self._none():
            return None
        entries = self._entries(board)
        chosen = tuple(entry for entry in entries if entry.user_id in user_ids)
        return Snapshot(board.board_id, self.version(board.board_id), len(entries), chosen)

    async def user(self, board: Board, user_id: str) -> UserStanding | None:
        snapshot = await self.users(board, [user_id])
        if snapshot is None:
            return None
        if not snapshot.entries:
            raise UnknownUser
        return UserStanding(snapshot.entries[0], snapshot.total, snapshot.version)

    async def versions(self, board_ids: Sequence[str]) -> Mapping[str, BoardVersion | None]:
        none = self._none()
        return {board_id: None if none else self.version(board_id) for board_id in board_ids}

    async def changes(self) -> AsyncIterator[str | None]:
        queue: asyncio.Queue[str | None] = asyncio.Queue()
        self.listeners.append(queue)
        try:
            yield None
            while True:
                self._none()
                try:
                    yield await asyncio.wait_for(queue.get(), 1)
                except TimeoutError:
                    yield None
        finally:
            self.listeners.remove(queue)

    async def ping(self) -> bool:
        return not self._none()

    def _entries(self, board: Board) -> tuple[Entry, ...]:
        return entries_from(1, self.boards.get(board.board_id, []))

    def _none(self) -> bool:
        if self.away:
            raise Unavailable
        return self.incomplete


@dataclass
class FakeScores:
    """`ScoreReader` over what is in a `FakeRanks`, under an epoch of its own."""

    ranks: FakeRanks
    known: list[Board] = field(default_factory=lambda: [GLOBAL, RACE, OFFICIAL])
    events: dict[uuid.UUID, EventRecord] = field(default_factory=dict)
    away: bool = False

    def _truth(self) -> FakeRanks:
        if self.away:
            raise Unavailable
        return replace(self.ranks, away=False, incomplete=False, epoch="pg")

    async def boards(self) -> Sequence[Board]:
        self._truth()
        return self.known

    async def top(self, board: Board, limit: int, after: Cursor | None = None) -> Snapshot:
        return _found(await self._truth().top(board, limit, after))

    async def around(self, board: Board, user_id: str, radius: int) -> Snapshot:
        return _found(await self._truth().around(board, user_id, radius))

    async def users(self, board: Board, user_ids: Sequence[str]) -> Snapshot:
        return _found(await self._truth().users(board, user_ids))

    async def user(self, board: Board, user_id: str) -> UserStanding:
        return _found(await self._truth().user(board, user_id))

    async def event(self, event_id: uuid.UUID) -> EventRecord | None:
        self._truth()
        return self.events.get(event_id)

    async def ping(self) -> bool:
        self._truth()
        return True


@dataclass
class FakeGate:
    """`SubmissionGate` that counts, and never forgets."""

    limit: int = 10
    away: bool = False
    counts: dict[str, int] = field(default_factory=dict)
    bodies: dict[tuple[str, uuid.UUID], str] = field(default_factory=dict)
    acknowledged: set[tuple[str, uuid.UUID]] = field(default_factory=set)

    async def admit(self, *, submitter: str, user_id: str, event_id: uuid.UUID, body_hash: str) -> Admission:
        if self.away:
            raise LimiterUnavailable(retry_after_s=1)
        known, used = self.bodies.get((submitter, event_id)), self.counts.get(user_id, 0)
        if known is not None and known != body_hash:
            outcome = AdmissionOutcome.CONFLICT
        elif (submitter, event_id) in self.acknowledged:
            outcome = AdmissionOutcome.REPLAY
        elif known is not None:
            outcome = AdmissionOutcome.RETRY
        elif used >= self.limit:
            outcome = AdmissionOutcome.LIMITED
        else:
            outcome, used = AdmissionOutcome.ADMITTED, used + 1
            self.counts[user_id] = used
            self.bodies[submitter, event_id] = body_hash
        return Admission(outcome, NOW_US, self.limit - used, 4200)

    async def acknowledge(self, *, submitter: str, event_id: uuid.UUID) -> None:
        self.acknowledged.add((submitter, event_id))

    async def is_known(self, *, submitter: str, event_id: uuid.UUID) -> bool:
        if self.away:
            raise Unavailable
        return (submitter, event_id) in self.bodies


@dataclass
class FakeQueue:
    """`EventQueue` that keeps what it gets."""

    events: list[ScoreEvent] = field(default_factory=list)
    away: bool = False
    delay_s: float = 0

    async def submit(self, event: ScoreEvent) -> None:
        await asyncio.sleep(self.delay_s)
        if self.away:
            raise QueueUnavailable(retry_after_s=1)
        self.events.append(event)

    async def ping(self) -> bool:
        return not self.away

    async def close(self) -> None:
        pass


class IdleStore:
    """`ScoreStore` of which nothing is asked."""

    def boards(self) -> Sequence[Board]:
        return []

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} is not expected to be called")


class IdleWriter:
    """`RankWriter` whose sweeper's post is always taken."""

    def acquire_sweep(self, holder: str, ttl_ms: int) -> bool:
        return False

    def state(self, board_id: str) -> RankState:
        return RankState(True, 0)

    def apply(self, board: Board, standings: Sequence[Standing], *, announce: bool = True) -> int:
        return 0

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} is not expected to be called")


@dataclass
class FakeApi:
    """An application on fakes, with the fakes at hand."""

    settings: Settings
    ranks: FakeRanks = field(default_factory=FakeRanks)
    gate: FakeGate = field(default_factory=FakeGate)
    queue: FakeQueue = field(default_factory=FakeQueue)

    def __post_init__(self) -> None:
        self.scores = FakeScores(self.ranks)
        self.ranks.put("global", [("ada", 30), ("bob", 20), ("cy", 10)])

    def build(
        self, connections: Connections | None = None, *, read_keyring: Callable[[], Keyring] | None = None
    ) -> Quart:
        async def nothing() -> None:
            pass

        backends = Backends(
            ranks=self.ranks,
            scores=self.scores,
            gate=self.gate,
            queue=self.queue,
            store=IdleStore(),
            writer=IdleWriter(),
            open=nothing,
            close=nothing,
        )
        return build_app(self.settings, backends, connections, read_keyring=read_keyring)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what happens by itself."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - what is waited for belongs to the code under test
            await asyncio.sleep(0.001)


def _found(value: T | None) -> T:
    assert value is not None
    return value
