"""What the use cases need from the outside, as protocols; each backend is one module named role first."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from scoreboard.boards import Board
from scoreboard.events import ScoreEvent
from scoreboard.ranking import Cursor
from scoreboard.standings import BoardVersion, Snapshot, Standing, UserStanding


class EventQueue(Protocol):
    """Takes accepted events for the worker."""

    async def submit(self, event: ScoreEvent) -> None:
        """Return once the queue has acknowledged this very event.

        Raises:
            QueueUnavailable: It did not within the time limit, or the waiting room is full. The event may still have
                arrived; sending it again is harmless.
        """

    async def ping(self) -> bool:
        """Whether the queue answers."""

    async def close(self) -> None:
        """Send what waits, then refuse."""


class AdmissionOutcome(StrEnum):
    """What the gate says of one submission."""

    ADMITTED = "admitted"
    REPLAY = "replay"
    RETRY = "retry"
    CONFLICT = "conflict"
    LIMITED = "limited"


@dataclass(frozen=True, slots=True)
class Admission:
    """The gate's answer.

    Attributes:
        outcome: ADMITTED: new, counted against the limit. RETRY: known, but the queue never acknowledged it: send it
            again, for free. REPLAY: known and acknowledged: nothing to do. CONFLICT: the key was used for another
            body. LIMITED: over the limit.
        accepted_at: When the event was first admitted, microseconds since 1970 on Redis' clock.
        remaining: How many more may be admitted now.
        reset_ms: Milliseconds until one more may be.
    """

    outcome: AdmissionOutcome
    accepted_at: int
    remaining: int
    reset_ms: int


class SubmissionGate(Protocol):
    """Rate limit and idempotency of submissions in one atomic step, on one clock for all processes."""

    async def admit(self, *, submitter: str, user_id: str, event_id: uuid.UUID, body_hash: str) -> Admission:
        """Decide on one submission.

        Raises:
            LimiterUnavailable: It cannot be decided; writes fail closed.
        """

    async def acknowledge(self, *, submitter: str, event_id: uuid.UUID) -> None:
        """Note that the queue has the event; best effort, as a retry is harmless."""

    async def is_known(self, *, submitter: str, event_id: uuid.UUID) -> bool:
        """Whether this submitter's event was admitted lately."""


@dataclass(frozen=True, slots=True)
class ApplyResult:
    """What became of a batch.

    Attributes:
        applied: Event ids whose effect is committed, now or by an earlier delivery.
        fresh: How many of them had their effect now.
        rejected: Event id -> reason, for those that can never be applied as they are.
        conflicting: Ids known already with another content; the first one counts.
    """

    applied: frozenset[uuid.UUID]
    fresh: int
    rejected: Mapping[uuid.UUID, str] = field(default_factory=dict)
    conflicting: frozenset[uuid.UUID] = frozenset()


class ScoreStore(Protocol):
    """The truth, synchronous: workers, sweeper, rebuild."""

    def boards(self) -> Sequence[Board]:
        """All boards."""

    def create_board(self, board: Board) -> None:
        """Create a board, or leave the one of that name as it is."""

    def apply(self, events: Sequence[ScoreEvent], *, timeout_ms: int) -> ApplyResult:
        """Apply each event exactly once, all in one transaction where no event is bad.

        Raises:
            Unavailable: Not all of the batch is known to be committed; deliver it again.
        """

    def reject(self, reasons: Mapping[ScoreEvent, str]) -> None:
        """Note why events cannot be applied, for those who ask what became of them."""

    def standings_of(self, board_id: str, user_ids: Sequence[str]) -> Sequence[Standing]:
        """The committed standings of some users; those without a score are left out."""

    def count(self, board_id: str) -> int:
        """How many users have a standing on a board."""

    def watermark(self) -> int:
        """A mark such that every change committed before now and unseen by `standings_since` of it is older."""

    def standings_since(self, board_id: str, watermark: int) -> Iterator[Sequence[Standing]]:
        """Chunks of the standings changed at or after a watermark; 0 gives all."""


@dataclass(frozen=True, slots=True)
class RankState:
    """Whether a board's index can be read, and from where to sweep."""

    complete: bool
    watermark: int


@dataclass(frozen=True, slots=True)
class RankSize:
    """How many users a board's index has: by rank, and by name. They differ only if the index is broken."""

    ranks: int
    members: int


class RankWriter(Protocol):
    """The ranking index, synchronous, written by absolute values and versions only."""

    def apply(self, board: Board, standings: Sequence[Standing], *, announce: bool = True) -> int:
        """Write what is newer; announce if anything changed. Return how many changed."""

    def state(self, board_id: str) -> RankState:
        """Whether the board is complete, and its watermark."""

    def size(self, board_id: str) -> RankSize:
        """How many users the index of a board has."""

    def set_watermark(self, board_id: str, watermark: int) -> None:
        """Note up to where the truth has been applied."""

    def begin_rebuild(self, board_id: str) -> str:
        """Empty the board, mark it incomplete, and return the generation token of this rebuild."""

    def complete_rebuild(self, board_id: str, token: str, watermark: int) -> bool:
        """Mark the board complete under a new epoch, if no one began or emptied anything since the token."""

    def acquire_sweep(self, holder: str, ttl_ms: int) -> bool:
        """Take or keep the one sweeper's lock."""

    def acquire_reconciliation(self, holder: str, ttl_ms: int) -> bool:
        """Take or keep the lock of the one who compares whole boards."""


class RankReader(Protocol):
    """The ranking index, asynchronous. Every read gives None while the board is not complete."""

    async def top(self, board: Board, limit: int, after: Cursor | None = None) -> Snapshot | None:
        """The entries after a cursor, or the first."""

    async def around(self, board: Board, user_id: str, radius: int) -> Snapshot | None:
        """The entries around a user. Raises `UnknownUser`."""

    async def users(self, board: Board, user_ids: Sequence[str]) -> Snapshot | None:
        """The entries of some users, in rank order, with their ranks on the whole board."""

    async def user(self, board: Board, user_id: str) -> UserStanding | None:
        """Where a user is. Raises `UnknownUser`."""

    async def versions(self, board_ids: Sequence[str]) -> Mapping[str, BoardVersion | None]:
        """The version of each board; None where it is not complete."""

    def changes(self) -> AsyncIterator[str | None]:
        """Ids of boards as they change; None at least once a second, and after each reconnect.

        Raises:
            Unavailable: The subscription is dead; subscribe again.
        """

    async def ping(self) -> bool:
        """Whether Redis answers."""


class EventStatus(StrEnum):
    """What became of one event."""

    APPLIED = "applied"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class EventRecord:
    """An event as PostgreSQL knows it."""

    event_id: uuid.UUID
    status: EventStatus
    board_id: str
    user_id: str
    submitted_by: str
    value: int
    reason: str | None = None


class EventReader(Protocol):
    """What became of events."""

    async def event(self, event_id: uuid.UUID) -> EventRecord | None:
        """What became of an event, None if nothing yet."""


class ScoreReader(EventReader, Protocol):
    """The truth, asynchronous: what the API reads when the index cannot serve, and what only the truth knows."""

    async def boards(self) -> Sequence[Board]:
        """All boards."""

    async def top(self, board: Board, limit: int, after: Cursor | None = None) -> Snapshot:
        """As `RankReader.top`; the epoch is this process' own."""

    async def around(self, board: Board, user_id: str, radius: int) -> Snapshot:
        """As `RankReader.around`."""

    async def users(self, board: Board, user_ids: Sequence[str]) -> Snapshot:
        """As `RankReader.users`."""

    async def user(self, board: Board, user_id: str) -> UserStanding:
        """As `RankReader.user`."""

    async def ping(self) -> bool:
        """Whether PostgreSQL answers."""


class History(Protocol):
    """What is kept of events, as far as it may be forgotten again."""

    def forget_events(self, *, older_than_days: int, most: int) -> int:
        """Delete some of the oldest events that were applied so long ago. Return how many."""

    def forget_rejections(self, *, older_than_days: int, most: int) -> int:
        """Delete some of the notes on events that were rejected so long ago. Return how many."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that could not be applied, held for a while.

    Attributes:
        message_id: The queue's name for it.
        receipt: By which it can be put back or removed.
        body: What was sent.
        sent_at: When, in milliseconds since 1970.
    """

    message_id: str
    receipt: str
    body: str
    sent_at: int


class DeadLetters(Protocol):
    """The queue of messages that could not be applied."""

    def take(self, most: int) -> Sequence[DeadLetter]:
        """Hold up to `most` messages, at most ten; none when there are no more that nobody holds.

        Raises:
            QueueUnavailable: The queue does not answer.
        """

    def put_back(self, letters: Sequence[DeadLetter]) -> None:
        """Let go of messages; best effort, as they come back by themselves after a while."""

    def redrive(self, letters: Sequence[DeadLetter]) -> Sequence[DeadLetter]:
        """Send messages to the score queue, then remove those here that it has acknowledged, which are returned.

        A crash in between leaves a message in both: applied once all the same.

        Raises:
            QueueUnavailable: It is not known to have sent any.
        """


class AlertMemory(Protocol):
    """Which dead letters somebody has been told of."""

    def unknown(self, message_ids: Sequence[str]) -> Sequence[str]:
        """Those that nobody was told of yet."""

    def remember(self, message_ids: Sequence[str]) -> None:
        """Note that somebody was told of them."""
