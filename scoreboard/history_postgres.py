"""What PostgreSQL keeps of events: looked up one by one, and forgotten when it is old."""

from __future__ import annotations

import uuid
from typing import Any

import psycopg
from psycopg_pool import ConnectionPool

from scoreboard.ports import EventRecord
from scoreboard.queries import sql
from scoreboard.score_store_postgres import CALL_TIMEOUT_S, borrowed, event_from_row


class PostgresHistory:
    """`History`, and an `EventReader` for a caller without an event loop, on a pool of synchronous connections."""

    def __init__(self, pool: ConnectionPool[psycopg.Connection[Any]], *, timeout_s: float = CALL_TIMEOUT_S) -> None:
        self._pool = pool
        self._timeout_s = timeout_s

    async def event(self, event_id: uuid.UUID) -> EventRecord | None:
        """What became of an event, None if nothing yet. It blocks, and never suspends."""
        with borrowed(self._pool, self._timeout_s) as connection:
            row = connection.execute(sql("event"), {"event_id": event_id}).fetchone()
        return event_from_row(event_id, row) if row else None

    def forget_events(self, *, older_than_days: int, most: int) -> int:
        """Delete some of the events that were applied so long ago. Return how many."""
        with borrowed(self._pool, self._timeout_s) as connection:
            return connection.execute(sql("forget_events"), {"days": older_than_days, "most": most}).rowcount

    def forget_rejections(self, *, older_than_days: int, most: int) -> int:
        """Delete some of the notes on events that were rejected so long ago. Return how many."""
        with borrowed(self._pool, self._timeout_s) as connection:
            return connection.execute(sql("forget_rejections"), {"days": older_than_days, "most": most}).rowcount
