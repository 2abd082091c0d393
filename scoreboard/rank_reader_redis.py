"""The ranking index in Redis, read, and its changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

import redis.asyncio

from scoreboard.boards import Board, SortOrder
from scoreboard.connections_redis import redis_errors
from scoreboard.errors import Unavailable, UnknownUser
from scoreboard.queries import lua
from scoreboard.ranking import BoardKeys, Cursor, changes_channel, decode_member, encode_member, next_cursor
from scoreboard.standings import BoardVersion, Entry, Snapshot, UserStanding

READ_TIMEOUT_S: Final = 1.0
TICK_S: Final = 1.0
SILENCE_S: Final = 3.0
"""A subscription from which nothing came for this long, not even the answer to a ping, is dead."""


class RedisRankReader:
    """`RankReader` by one Lua script, so that every answer is of one version."""

    def __init__(self, client: redis.asyncio.Redis, prefix: str) -> None:
        self._client = client
        self._prefix = prefix
        self._read_script = client.register_script(lua("read"))
        self._state_script = client.register_script(lua("state"))

    async def top(self, board: Board, limit: int, after: Cursor | None = None) -> Snapshot | None:
        """The entries after a cursor, or the first; None while the board is not complete."""
        # One more than asked tells whether there is a next page.
        arguments: list[str | int] = ["top", limit + 1]
        if after is not None:
            member = encode_member(board.sort_order, after.reached_at, after.user_id)
            arguments = ["after", limit + 1, after.score, member]
        found = await self._read(board, arguments)
        if found is None:
            return None
        version, total, entries = found
        shown = entries[:limit]
        return Snapshot(board.board_id, version, total, shown, next_cursor(shown, more=len(entries) > limit))

    async def around(self, board: Board, user_id: str, radius: int) -> Snapshot | None:
        """The entries around a user. Raises `UnknownUser`."""
        found = await self._read(board, ["around", radius, user_id])
        return None if found is None else Snapshot(board.board_id, *found)

    async def users(self, board: Board, user_ids: Sequence[str]) -> Snapshot | None:
        """The entries of some users, in rank order."""
        found = await self._read(board, ["users", *dict.fromkeys(user_ids)])
        if found is None:
            return None
        version, total, entries = found
        return Snapshot(board.board_id, version, total, tuple(sorted(entries, key=lambda entry: entry.rank)))

    async def user(self, board: Board, user_id: str) -> UserStanding | None:
        """Where a user is. Raises `UnknownUser`."""
        snapshot = await self.users(board, [user_id])
        if snapshot is None:
            return None
        if not snapshot.entries:
            raise UnknownUser
        return UserStanding(snapshot.entries[0], snapshot.total, snapshot.version)

    async def versions(self, board_ids: Sequence[str]) -> Mapping[str, BoardVersion | None]:
        """The version of each board; None where it is not complete."""
        states = await asyncio.gather(*(self._state(board_id) for board_id in board_ids))
        return dict(zip(board_ids, states, strict=True))

    async def changes(self) -> AsyncIterator[str | None]:
        """Ids of boards as they change; None once a second without one, and after subscribing.

        A socket that died silently cannot be seen by waiting, whatever the driver's own health check promises. So a
        ping goes out with each quiet second, and its answer is awaited like a message.

        Raises:
            Unavailable: The subscription is dead; subscribe again.
        """
        with redis_errors():
            async with self._client.pubsub() as subscription:
                await subscription.subscribe(changes_channel(self._prefix))
                yield None
                loop = asyncio.get_running_loop()
                heard = loop.time()
                while True:
                    message = await subscription.get_message(timeout=TICK_S)
                    if message is not None:
                        heard = loop.time()
                    elif loop.time() - heard > SILENCE_S:
                        raise Unavailable("The subscription is silent.")
                    else:
                        await subscription.ping()
                    if message is None or message["type"] == "message":
                        yield message and str(message["data"])

    async def ping(self) -> bool:
        """Whether Redis answers."""
        with redis_errors():
            async with asyncio.timeout(READ_TIMEOUT_S):
                return bool(await self._client.ping())

    async def _state(self, board_id: str) -> BoardVersion | None:
        with redis_errors():
            async with asyncio.timeout(READ_TIMEOUT_S):
                complete, epoch, version, _ = await self._state_script(keys=[BoardKeys.of(self._prefix, board_id).meta])
        return BoardVersion(epoch, int(version)) if complete else None

    async def _read(
        self, board: Board, arguments: Sequence[str | int]
    ) -> tuple[BoardVersion, int, tuple[Entry, ...]] | None:
        keys = BoardKeys.of(self._prefix, board.board_id)
        descending = int(board.sort_order is SortOrder.DESC)
        with redis_errors():
            async with asyncio.timeout(READ_TIMEOUT_S):
                answer: list[Any] = await self._read_script(
                    keys=[keys.ranks, keys.members, keys.meta], args=[descending, *arguments]
                )
        if not answer[0]:
            return None
        _, epoch, version, total, rows = answer
        if rows is None:
            raise UnknownUser
        return BoardVersion(epoch, int(version)), int(total), tuple(_entry(board, row) for row in rows)


def _entry(board: Board, row: Sequence[Any]) -> Entry:
    rank, member, score = row
    reached_at, user_id = decode_member(board.sort_order, member)
    return Entry(int(rank), user_id, int(score), reached_at)
