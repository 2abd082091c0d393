"""The index in tests: made complete, opened on any server, and read plainly."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

import redis.asyncio

from scoreboard.boards import Board
from scoreboard.config import Settings
from scoreboard.connections_redis import async_redis_client, redis_client
from scoreboard.rank_reader_redis import RedisRankReader
from scoreboard.rank_writer_redis import RedisRankWriter
from scoreboard.standings import Snapshot, Standing
from tests.support.model import START_US


def standing(user_id: str = "ada", score: int = 5, version: int = 1, at: int = START_US) -> Standing:
    """One standing."""
    return Standing(user_id, score, version, at)


def complete(writer: RedisRankWriter, rules: Board, standings: Sequence[Standing] = ()) -> None:
    """Make the board complete with these standings."""
    token = writer.begin_rebuild(rules.board_id)
    writer.apply(rules, standings, announce=False)
    assert writer.complete_rebuild(rules.board_id, token, 1)


async def top(index: RedisRankReader, rules: Board, limit: int = 100) -> Snapshot:
    """The first page of a board that is complete."""
    found = await index.top(rules, limit)
    assert found is not None
    return found


def scores(snapshot: Snapshot) -> dict[str, int]:
    """User id -> score."""
    return {entry.user_id: entry.score for entry in snapshot.entries}


@asynccontextmanager
async def opened_index(settings: Settings) -> AsyncIterator[RedisRankReader]:
    """The index of some settings, read."""
    client: redis.asyncio.Redis = async_redis_client(settings)
    try:
        yield RedisRankReader(client, settings.redis_key_leaderboard)
    finally:
        await client.aclose()
        await client.connection_pool.disconnect()


@contextmanager
def opened_writer(settings: Settings) -> Iterator[tuple[RedisRankWriter, redis.Redis]]:
    """The index of some settings, written, and the client below it."""
    with redis_client(settings) as client:
        yield RedisRankWriter(client, settings.redis_key_leaderboard), client
