"""The truth in PostgreSQL, synchronous: what workers, the sweeper and rebuilds use."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

import psycopg
from psycopg.rows import class_row
from psycopg_pool import ConnectionPool

from scoreboard.boards import Board, Operator, SortOrder, Writers
from scoreboard.connections_postgres import STATEMENT_TIMEOUT_MS, WAIT_S, postgres_errors, time_limit
from scoreboard.events import ScoreEvent
from scoreboard.ports import ApplyResult, EventRecord, EventStatus
from scoreboard.queries import sql
from scoreboard.standings import Standing

CHUNK: Final = 500
CALL_TIMEOUT_S: Final = 12.0
"""A little more than the server's own limit of a statement."""
_DATA_ERRORS: Final = (psycopg.DataError, psycopg.IntegrityError)


class PostgresScoreStore:
    """`ScoreStore` on a pool of connections in autocommit mode.

    Every call ends in time, also when the server hangs: within `timeout_s`, or within what `apply` is given.
    """

    def __init__(self, pool: ConnectionPool[psycopg.Connection[Any]], *, timeout_s: float = CALL_TIMEOUT_S) -> None:
        self._pool = pool
        self._timeout_s = timeout_s

    def boards(self) -> Sequence[Board]:
        """All boards."""
        with self._connection(self._timeout_s) as connection:
            return [board_from_row(row) for row in connection.execute(sql("boards"))]

    def create_board(self, board: Board) -> None:
        """Create a board, or leave the one of that name as it is."""
        with self._connection(self._timeout_s) as connection:
            connection.execute(sql("create_board"), {name: getattr(board, name) for name in Board.__slots__})

    def apply(self, events: Sequence[ScoreEvent], *, timeout_ms: int = STATEMENT_TIMEOUT_MS) -> ApplyResult:
        """Apply each event exactly once, in one transaction.

        An event that breaks a bound spoils the statement for all; then each half is tried, and so on until the bad
        events are alone. Not with savepoints in one transaction: that would lock an event, a standing, then the next
        event, and deadlock with a batch of the same events, which locks all events before the first standing.

        Raises:
            Unavailable: Not all of the batch is known to be committed; deliver it again.
        """
        with self._connection(timeout_ms / 1000) as connection:
            fresh, bad = _apply(connection, events, timeout_ms)
            conflicting = _conflicting(connection, events) if len(fresh) < len(events) else frozenset()
        # Of two contents with one id the other may have been good: that one counts.
        rejected = {event_id: reason for event_id, reason in bad.items() if event_id not in fresh}
        applied = frozenset(event.event_id for event in events) - rejected.keys()
        return ApplyResult(applied, len(fresh), rejected, conflicting)

    def reject(self, reasons: Mapping[ScoreEvent, str]) -> None:
        """Note why events cannot be applied, for those who ask what became of them."""
        parameters = _columns(list(reasons)) | {"reasons": list(reasons.values())}
        with self._connection(self._timeout_s) as connection:
            connection.execute(sql("reject_events"), parameters)

    def standings_of(self, board_id: str, user_ids: Sequence[str]) -> Sequence[Standing]:
        """The committed standings of some users; those without a score are left out."""
        parameters = {"board_id": board_id, "user_ids": list(user_ids)}
        with self._connection(self._timeout_s) as connection:
            cursor = connection.cursor(row_factory=class_row(Standing))
            return cursor.execute(sql("standings_of"), parameters).fetchall()

    def count(self, board_id: str) -> int:
        """How many users have a standing on a board."""
        with self._connection(self._timeout_s) as connection:
            row = connection.execute(sql("count_standings"), {"board_id": board_id}).fetchone()
        assert row is not None  # noqa: S101 - an aggregate has one row
        return int(row[0])

    def watermark(self) -> int:
        """The oldest transaction still open. Take it before reading: what commits later is at or after it."""
        with self._connection(self._timeout_s) as connection:
            row = connection.execute(sql("watermark")).fetchone()
        assert row is not None  # noqa: S101 - the query has no FROM
        return int(row[0])

    def standings_since(self, board_id: str, watermark: int) -> Iterator[Sequence[Standing]]:
        """Chunks of the standings written at or after a transaction; 0 gives all.

        One server-side cursor, so that a board of any size needs the memory of one chunk.
        """
        parameters = {"board_id": board_id, "watermark": watermark}
        with (
            postgres_errors(),
            self._pool.connection(timeout=self._timeout_s) as connection,
            connection.transaction(),
            connection.cursor("standings_since", row_factory=class_row(Standing)) as cursor,
        ):
            with time_limit(connection, self._timeout_s):
                cursor.execute(sql("standings_since"), parameters)
            while True:
                with time_limit(connection, self._timeout_s):
                    chunk = cursor.fetchmany(CHUNK)
                if not chunk:
                    return
                yield chunk

    def ping(self) -> bool:
        """Whether PostgreSQL answers."""
        with self._connection(self._timeout_s) as connection:
            return connection.execute("SELECT 1").fetchone() is not None

    def _connection(self, timeout_s: float) -> AbstractContextManager[psycopg.Connection[Any]]:
        return borrowed(self._pool, timeout_s)


@contextmanager
def borrowed(pool: ConnectionPool[psycopg.Connection[Any]], timeout_s: float) -> Iterator[psycopg.Connection[Any]]:
    """Lend a connection for calls that end in time. Raises `Unavailable`."""
    with (
        postgres_errors(),
        pool.connection(timeout=min(WAIT_S, timeout_s)) as connection,
        time_limit(connection, timeout_s),
    ):
        yield connection


def event_from_row(event_id: uuid.UUID, row: Sequence[Any]) -> EventRecord:
    """Read a row of `event.sql`."""
    status, board_id, user_id, submitted_by, value, reason = row
    return EventRecord(event_id, EventStatus(status), board_id, user_id, submitted_by, value, reason)


def board_from_row(row: Sequence[Any]) -> Board:
    """Read a row of `boards.sql`."""
    board_id, operator, sort_order, min_change, max_change, min_score, max_score, writers, display_limit = row
    return Board(
        board_id=board_id,
        operator=Operator(operator),
        sort_order=SortOrder(sort_order),
        min_change=min_change,
        max_change=max_change,
        min_score=min_score,
        max_score=max_score,
        writers=Writers(writers),
        display_limit=display_limit,
    )


def _columns(events: Sequence[ScoreEvent]) -> dict[str, list[Any]]:
    return {
        "event_ids": [event.event_id for event in events],
        "board_ids": [event.board_id for event in events],
        "user_ids": [event.user_id for event in events],
        "event_values": [event.value for event in events],
        "accepted_ats": [event.accepted_at for event in events],
        "submitters": [event.submitted_by for event in events],
    }


def _apply(
    connection: psycopg.Connection[Any], events: Sequence[ScoreEvent], timeout_ms: int
) -> tuple[frozenset[uuid.UUID], dict[uuid.UUID, str]]:
    """Return the events that are new, and why those that are bad are."""
    try:
        with connection.transaction():
            connection.execute("SELECT set_config('statement_timeout', %s, true)", [str(timeout_ms)])
            return frozenset(row[0] for row in connection.execute(sql("apply_events"), _columns(events))), {}
    except _DATA_ERRORS as error:
        if len(events) == 1:
            return frozenset(), {events[0].event_id: error.diag.message_primary or str(error)}
    ordered = sorted(events, key=lambda event: (event.board_id, event.user_id, event.accepted_at))
    middle = len(ordered) // 2
    fresh, rejected = _apply(connection, ordered[:middle], timeout_ms)
    more_fresh, more_rejected = _apply(connection, ordered[middle:], timeout_ms)
    return fresh | more_fresh, rejected | more_rejected


def _conflicting(connection: psycopg.Connection[Any], events: Sequence[ScoreEvent]) -> frozenset[uuid.UUID]:
    return frozenset(row[0] for row in connection.execute(sql("conflicting_events"), _columns(events)))
