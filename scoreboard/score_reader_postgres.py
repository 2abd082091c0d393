"""The truth in PostgreSQL, asynchronous: what the API reads when the index cannot serve."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, LiteralString

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolTimeout, TooManyRequests

from scoreboard.boards import Board, SortOrder
from scoreboard.connections_postgres import postgres_errors
from scoreboard.errors import Unavailable, UnknownUser
from scoreboard.ports import EventRecord
from scoreboard.queries import sql
from scoreboard.ranking import Cursor, next_cursor, sort_key
from scoreboard.score_store_postgres import board_from_row, event_from_row
from scoreboard.standings import BoardVersion, Entry, Snapshot, UserStanding, entries_from

READ_TIMEOUT_S: Final = 4.0


class PostgresScoreReader:
    """`ScoreReader` on a pool of asynchronous connections."""

    def __init__(self, pool: AsyncConnectionPool[psycopg.AsyncConnection[Any]]) -> None:
        self._pool = pool
        self._running: set[asyncio.Task[list[tuple[Any, ...]]]] = set()

    async def boards(self) -> Sequence[Board]:
        """All boards."""
        return [board_from_row(row) for row in await self._rows(sql("boards"), {})]

    async def top(self, board: Board, limit: int, after: Cursor | None = None) -> Snapshot:
        """The entries after a cursor, or the first."""
        return await self._page(board, limit, after=after)

    async def around(self, board: Board, user_id: str, radius: int) -> Snapshot:
        """The entries around a user. Raises `UnknownUser`."""
        rank = (await self.user(board, user_id)).entry.rank
        first = max(0, rank - 1 - radius)
        return replace(await self._page(board, rank + radius - first, offset=first), next=None)

    async def users(self, board: Board, user_ids: Sequence[str]) -> Snapshot:
        """The entries of some users, in rank order."""
        rows = await self._rows(
            sql("users"),
            {"board_id": board.board_id, "descending": _descending(board), "user_ids": list(user_ids)},
        )
        epoch, version, total = rows[0][:3]
        entries = tuple(Entry(*row[3:]) for row in rows if row[3] is not None)
        return Snapshot(board.board_id, BoardVersion(epoch, version), total, entries)

    async def user(self, board: Board, user_id: str) -> UserStanding:
        """Where a user is. Raises `UnknownUser`."""
        snapshot = await self.users(board, [user_id])
        if not snapshot.entries:
            raise UnknownUser
        return UserStanding(snapshot.entries[0], snapshot.total, snapshot.version)

    async def event(self, event_id: uuid.UUID) -> EventRecord | None:
        """What became of an event, None if nothing yet."""
        rows = await self._rows(sql("event"), {"event_id": event_id})
        return event_from_row(event_id, rows[0]) if rows else None

    async def ping(self) -> bool:
        """Whether PostgreSQL answers."""
        return bool(await self._rows("SELECT 1", {}))

    async def _page(self, board: Board, limit: int, *, after: Cursor | None = None, offset: int = 0) -> Snapshot:
        # One more than asked tells whether there is a next page.
        parameters = {
            "board_id": board.board_id,
            "descending": _descending(board),
            "limit": limit + 1,
            "offset": offset,
            "after": after is not None,
            "score": after.score if after else 0,
            "reached_at": after.reached_at if after else 0,
            "user_id": after.user_id if after else "",
        }
        rows = await self._rows(sql("page"), parameters)
        epoch, version, total, before = rows[0][:4]
        found = [(user_id, score, reached_at) for *_, user_id, score, reached_at in rows if user_id is not None]
        found.sort(key=lambda row: sort_key(board.sort_order, row[1], row[2], row[0]))
        entries = entries_from(before + 1, found[:limit])
        return Snapshot(
            board.board_id, BoardVersion(epoch, version), total, entries, next_cursor(entries, more=len(found) > limit)
        )

    async def _rows(self, query: LiteralString, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        """Run one query within the time limit.

        A query that is given up is cancelled, but not waited for: the driver first asks the server to cancel it, which
        takes two times five seconds more when the server hangs.
        """
        running = asyncio.create_task(self._persistently(query, parameters))
        self._running.add(running)
        running.add_done_callback(self._end)
        try:
            await asyncio.wait({running}, timeout=READ_TIMEOUT_S)
            if running.done():
                return running.result()
        finally:
            running.cancel()
        raise Unavailable("PostgreSQL does not answer.")

    def _end(self, query: asyncio.Task[list[tuple[Any, ...]]]) -> None:
        self._running.discard(query)
        if not query.cancelled():
            query.exception()  # nobody may be there to hear of it

    async def _persistently(self, query: LiteralString, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        """Run one query; once more if the connection turns out to be dead, as all are after a restart of the server."""
        with postgres_errors():
            try:
                return await self._execute(query, parameters)
            except (PoolTimeout, TooManyRequests):
                raise  # no connection was to be had in time: that is overload, and asking once more adds to it
            except (psycopg.OperationalError, psycopg.InterfaceError):
                await self._pool.check()
                return await self._execute(query, parameters)

    async def _execute(self, query: LiteralString, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        async with self._pool.connection() as connection:
            cursor = await connection.execute(query, parameters)
            return await cursor.fetchall()


def _descending(board: Board) -> bool:
    return board.sort_order is SortOrder.DESC
