"""The use cases: submit a score, apply events, read a board, sweep and rebuild the index."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
import uuid
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from scoreboard.auth import WRITE, Principal
from scoreboard.boards import USER_ID, Board, Writers
from scoreboard.errors import (
    BoardUnavailable,
    Forbidden,
    IdempotencyConflict,
    InvalidField,
    RateLimited,
    ScoreboardError,
    Unavailable,
    UnknownBoard,
    UnknownEvent,
)
from scoreboard.events import ScoreEvent, event_id_for_key
from scoreboard.ports import (
    Admission,
    AdmissionOutcome,
    EventQueue,
    EventReader,
    RankReader,
    RankWriter,
    ScoreReader,
    ScoreStore,
    SubmissionGate,
)
from scoreboard.ranking import Cursor
from scoreboard.standings import Snapshot, UserStanding

T = TypeVar("T")

FALLBACK_CACHE_S: Final = 1.0


# Submitting


@dataclass(frozen=True, slots=True)
class Submission:
    """What a client asks for: a value on a board, for itself or, from a server, for a user."""

    board_id: str
    value: int
    user_id: str | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """The answer to a submission that was accepted."""

    event_id: uuid.UUID
    replayed: bool
    admission: Admission


class OverLimit(RateLimited):
    """Too many scores in too short a time. Wait, then send the same request again."""

    def __init__(self, admission: Admission) -> None:
        super().__init__(retry_after_s=admission.reset_ms / 1000)
        self.admission = admission


async def submit_score(
    submission: Submission,
    *,
    principal: Principal,
    idempotency_key: str | None,
    board: Board,
    gate: SubmissionGate,
    queue: EventQueue,
) -> Receipt:
    """Accept one score: it returns only after the queue has acknowledged the event.

    Raises:
        Forbidden, InvalidField, DeltaOutOfRange: The rules do not allow it.
        IdempotencyConflict: The key was used for something else.
        OverLimit: The user has had as many as the limit allows.
        LimiterUnavailable, QueueUnavailable: Not accepted; the same key may be sent again.
    """
    user_id = _scored_user(submission, principal, board)
    board.check_value(submission.value)
    event_id = event_id_for_key(principal.user_id, idempotency_key) if idempotency_key else uuid.uuid4()
    admission = await gate.admit(
        submitter=principal.user_id,
        user_id=user_id,
        event_id=event_id,
        body_hash=_body_hash(board.board_id, user_id, submission.value),
    )
    if admission.outcome is AdmissionOutcome.CONFLICT:
        raise IdempotencyConflict
    if admission.outcome is AdmissionOutcome.LIMITED:
        raise OverLimit(admission)
    if admission.outcome is AdmissionOutcome.REPLAY:
        return Receipt(event_id, True, admission)
    await queue.submit(
        ScoreEvent(
            event_id=event_id,
            board_id=board.board_id,
            user_id=user_id,
            value=submission.value,
            accepted_at=admission.accepted_at,
            submitted_by=principal.user_id,
        )
    )
    await gate.acknowledge(submitter=principal.user_id, event_id=event_id)
    return Receipt(event_id, False, admission)


def _scored_user(submission: Submission, principal: Principal, board: Board) -> str:
    principal.require(WRITE)
    if principal.is_server:
        if submission.user_id is None:
            raise InvalidField("user_id is missing: a server says whose score it is.")
        if not USER_ID.fullmatch(submission.user_id):
            raise InvalidField("user_id is not a valid name.")
        return submission.user_id
    if board.writers is Writers.SERVER:
        raise Forbidden(f"Only servers score on board {board.board_id}.")
    if submission.user_id not in (None, principal.user_id):
        raise Forbidden("A player scores only for itself: leave user_id out.")
    return principal.user_id


def _body_hash(board_id: str, user_id: str, value: int) -> str:
    return hashlib.sha256(json.dumps([board_id, user_id, value]).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class EventState:
    """What a submitter learns of an event: `queued`, `applied` or `rejected`, the last with a reason."""

    event_id: uuid.UUID
    status: str
    reason: str | None = None


async def event_state(
    event_id: uuid.UUID, *, principal: Principal, reader: EventReader, gate: SubmissionGate
) -> EventState:
    """Return what became of an event of this submitter or about this user.

    Raises:
        UnknownEvent: There is none that this token may see.
        Unavailable: It cannot be said now.
    """
    record = await reader.event(event_id)
    if record is not None:
        if not principal.is_server and principal.user_id not in (record.submitted_by, record.user_id):
            raise UnknownEvent
        return EventState(event_id, record.status.value, record.reason)
    if await gate.is_known(submitter=principal.user_id, event_id=event_id):
        return EventState(event_id, "queued")
    raise UnknownEvent


# Applying


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What became of a batch of messages.

    Attributes:
        failed: Index of a message -> why it must be delivered again or end in the dead-letter queue.
        fresh: Events that had their effect now.
        duplicates: Events that had it before.
        conflicting: Events whose id is known with another content.
        index_changed: Standings that changed in the index.
        index_error: Why the index could not be written, which the sweeper will repair.
    """

    failed: dict[int, str]
    fresh: int = 0
    duplicates: int = 0
    conflicting: int = 0
    index_changed: int = 0
    index_error: str | None = None


def apply_events(messages: Sequence[str], *, store: ScoreStore, writer: RankWriter, timeout_ms: int) -> BatchReport:
    """Apply a batch of queue messages, each exactly once, and bring the index up to date.

    A message that cannot be a score event, or breaks its board's rules, fails alone. After the commit the standings of
    everyone in the batch are written to the index, of duplicates too: a delivery repeated because of a crash in between
    heals what the crash left behind. An index that cannot be written is not a failure: the score is committed, and a
    redelivery would only fill the dead-letter queue.

    Raises:
        Unavailable: Nothing is known to be committed; all must be delivered again.
    """
    deadline = time.monotonic() + timeout_ms / 1000
    boards = {board.board_id: board for board in store.boards()}
    events, failed, broken = _read_messages(messages, boards)
    if broken:
        store.reject(broken)
    if not events:
        return BatchReport(failed)
    remaining_ms = round((deadline - time.monotonic()) * 1000)
    if remaining_ms <= 0:
        raise Unavailable("PostgreSQL is too slow for the moment.")
    result = store.apply(list(events.values()), timeout_ms=remaining_ms)
    reasons = {event: result.rejected[event.event_id] for event in events.values() if event.event_id in result.rejected}
    if reasons:
        store.reject(reasons)
    rejected = {at: reasons[event] for at, event in events.items() if event in reasons}
    changed, index_error = _refresh_index(events.values(), boards, store, writer)
    return BatchReport(
        failed=failed | rejected,
        fresh=result.fresh,
        duplicates=len(events) - len(rejected) - result.fresh,
        conflicting=len(result.conflicting),
        index_changed=changed,
        index_error=index_error,
    )


def _read_messages(
    messages: Sequence[str], boards: dict[str, Board]
) -> tuple[dict[int, ScoreEvent], dict[int, str], dict[ScoreEvent, str]]:
    """Sort messages into events, failures, and those of the failures that are events all the same."""
    events: dict[int, ScoreEvent] = {}
    failed: dict[int, str] = {}
    broken: dict[ScoreEvent, str] = {}
    for at, message in enumerate(messages):
        event: ScoreEvent | None = None
        try:
            event = ScoreEvent.from_json(message)
            board = boards.get(event.board_id)
            if board is None:
                raise UnknownBoard(f"There is no board {event.board_id}.")
            board.check_value(event.value)
            events[at] = event
        except ScoreboardError as error:
            failed[at] = error.message
            if event is not None:
                broken[event] = error.message
    return events, failed, broken


def _refresh_index(
    events: Iterable[ScoreEvent], boards: dict[str, Board], store: ScoreStore, writer: RankWriter
) -> tuple[int, str | None]:
    users: defaultdict[str, set[str]] = defaultdict(set)
    for event in events:
        users[event.board_id].add(event.user_id)
    changed = 0
    try:
        for board_id, user_ids in users.items():
            changed += writer.apply(boards[board_id], store.standings_of(board_id, sorted(user_ids)))
    except Unavailable as error:
        return changed, error.message
    return changed, None


# Keeping the index


def _unwatched(written: int) -> None:
    """Nobody wants to know how far it has come."""


def sweep_board(
    board: Board,
    *,
    store: ScoreStore,
    writer: RankWriter,
    watermark: int,
    progress: Callable[[int], None] = _unwatched,
) -> int:
    """Write to the index whatever was committed since the watermark, and move it. Return how many standings changed."""
    upcoming = store.watermark()
    changed = 0
    for chunk in store.standings_since(board.board_id, watermark):
        changed += writer.apply(board, chunk)
        progress(len(chunk))
    writer.set_watermark(board.board_id, upcoming)
    return changed


def rebuild_board(
    board: Board,
    *,
    store: ScoreStore,
    writer: RankWriter,
    progress: Callable[[int], None] = _unwatched,
) -> bool:
    """Write a board's index anew from the truth, in place.

    The workers go on meanwhile, as versions decide what is newer. Readers use PostgreSQL until the board is marked
    complete, which it is only if nothing emptied it in between.

    `progress` is told how many standings have been written. Returns whether the board is complete now; if not, begin
    again.
    """
    token = writer.begin_rebuild(board.board_id)
    watermark = store.watermark()
    written = 0
    for chunk in store.standings_since(board.board_id, 0):
        writer.apply(board, chunk, announce=False)
        written += len(chunk)
        progress(written)
    # What was committed while the board was being read may still be on its way to the index.
    upcoming = store.watermark()
    for chunk in store.standings_since(board.board_id, watermark):
        writer.apply(board, chunk, announce=False)
    return writer.complete_rebuild(board.board_id, token, upcoming)


# Reading


class LeaderboardReader:
    """Reads boards: from the index, or from the truth while the index is away or not complete.

    The first page of the truth is kept for a second, and asked for once however many ask, so that an outage of the
    index does not become one of the database.
    """

    def __init__(self, index: RankReader, truth: ScoreReader) -> None:
        self._index = index
        self._truth = truth
        self._pages: dict[tuple[str, int], tuple[float, asyncio.Task[Snapshot]]] = {}

    async def top(self, board: Board, limit: int, after: Cursor | None = None) -> Snapshot:
        """The entries after a cursor, or the first.

        Raises:
            BoardUnavailable: Neither index nor truth can be read.
        """

        async def from_index() -> Snapshot | None:
            found = await self._index.top(board, limit, after)
            if found is not None:
                # What was kept may be older than what is shown now.
                self._pages.pop((board.board_id, limit), None)
            return found

        async def from_truth() -> Snapshot:
            return await (self._truth.top(board, limit, after) if after else self._first_page(board, limit))

        return await _first_of(from_index, from_truth)

    async def around(self, board: Board, user_id: str, radius: int) -> Snapshot:
        """The entries around a user. Raises `UnknownUser`, `BoardUnavailable`."""
        return await _first_of(
            lambda: self._index.around(board, user_id, radius), lambda: self._truth.around(board, user_id, radius)
        )

    async def users(self, board: Board, user_ids: Sequence[str]) -> Snapshot:
        """The entries of some users, in rank order. Raises `BoardUnavailable`."""
        return await _first_of(lambda: self._index.users(board, user_ids), lambda: self._truth.users(board, user_ids))

    async def user(self, board: Board, user_id: str) -> UserStanding:
        """Where a user is. Raises `UnknownUser`, `BoardUnavailable`."""
        return await _first_of(lambda: self._index.user(board, user_id), lambda: self._truth.user(board, user_id))

    async def _first_page(self, board: Board, limit: int) -> Snapshot:
        key = (board.board_id, limit)
        now = asyncio.get_running_loop().time()
        kept = self._pages.get(key)
        if kept is None or (kept[1].done() and now - kept[0] > FALLBACK_CACHE_S):
            # Boards are few and a limit is at most 100, so this is bounded.
            kept = self._pages[key] = now, asyncio.create_task(self._truth.top(board, limit))
        return await asyncio.shield(kept[1])


async def _first_of(index: Callable[[], Awaitable[T | None]], truth: Callable[[], Awaitable[T]]) -> T:
    try:
        found = await index()
    except Unavailable:
        found = None
    if found is not None:
        return found
    try:
        return await truth()
    except Unavailable as error:
        raise BoardUnavailable(retry_after_s=1) from error
