"""What the index tells by itself, and how it is told that nobody is there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from scoreboard.boards import GLOBAL
from scoreboard.config import Settings
from scoreboard.errors import Unavailable
from scoreboard.rank_reader_redis import RedisRankReader
from scoreboard.rank_writer_redis import RedisRankWriter
from tests.support import parts
from tests.support.index import complete, opened_index, opened_writer, scores, standing, top

GENEROUS_S = 30.0


async def test_a_change_is_announced_and_silence_is_told_too(index: RedisRankReader, writer: RedisRankWriter) -> None:
    changes = index.changes()
    assert await anext(changes) is None  # subscribed
    writer.apply(GLOBAL, [standing()])
    assert await asyncio.wait_for(_next_change(changes), GENEROUS_S) == "global"
    writer.apply(GLOBAL, [standing()])  # nothing new, so nothing is announced
    for _ in range(2):
        assert await asyncio.wait_for(anext(changes), GENEROUS_S) is None
    token = writer.begin_rebuild("global")
    assert writer.complete_rebuild("global", token, 1)
    assert await asyncio.wait_for(_next_change(changes), GENEROUS_S) == "global"
    await changes.aclose()  # type: ignore[attr-defined]


async def test_a_subscription_to_a_hung_server_is_declared_dead(own_valkey: parts.RedisServer) -> None:
    async with opened_index(own_valkey.settings()) as index:
        changes = index.changes()
        assert await anext(changes) is None
        with own_valkey.part.paused(), pytest.raises(Unavailable):
            await asyncio.wait_for(_next_change(changes), GENEROUS_S)


async def test_a_subscription_to_a_killed_server_is_declared_dead(own_valkey: parts.RedisServer) -> None:
    async with opened_index(own_valkey.settings()) as index:
        changes = index.changes()
        assert await anext(changes) is None
        own_valkey.part.kill()
        with pytest.raises(Unavailable):
            await asyncio.wait_for(_next_change(changes), GENEROUS_S)
        own_valkey.part.start()
        changes = index.changes()
        assert await anext(changes) is None
        await changes.aclose()  # type: ignore[attr-defined]


async def test_every_read_of_a_hung_server_is_unavailable_within_a_bounded_time(own_valkey: parts.RedisServer) -> None:
    async with opened_index(own_valkey.settings()) as index:
        with opened_writer(own_valkey.settings()) as (writer, _):
            complete(writer, GLOBAL, [standing()])
        assert await index.ping()
        with own_valkey.part.paused():
            for ask in (
                lambda: index.top(GLOBAL, 10),
                lambda: index.around(GLOBAL, "ada", 1),
                lambda: index.user(GLOBAL, "ada"),
                lambda: index.versions(["global"]),
                index.ping,
            ):
                with pytest.raises(Unavailable):
                    await asyncio.wait_for(ask(), GENEROUS_S)
        assert scores(await top(index, GLOBAL)) == {"ada": 5}


async def test_many_readers_share_few_connections(
    redis_settings: Settings, valkey: parts.RedisServer, writer: RedisRankWriter
) -> None:
    complete(writer, GLOBAL, [standing()])
    few = parts.settings(
        REDIS_HOST="127.0.0.1",
        REDIS_PORT=str(valkey.port),
        REDIS_KEY_LEADERBOARD=redis_settings.redis_key_leaderboard,
        REDIS_POOL_MAX="2",
    )
    async with opened_index(few) as index:
        pages = await asyncio.gather(*(index.top(GLOBAL, 10) for _ in range(50)))
    assert {page and page.total for page in pages} == {1}


async def _next_change(changes: AsyncIterator[str | None]) -> str:
    async for change in changes:
        if change is not None:
            return change
    raise AssertionError("the changes ended")
