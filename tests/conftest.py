"""Fixtures of all tests: the real parts, started once a session and only when a test asks for them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import psycopg
import pytest
import redis
import redis.asyncio
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from scoreboard.config import Settings
from scoreboard.connections_postgres import async_pool, open_pool
from scoreboard.connections_redis import async_redis_client, redis_client
from scoreboard.rank_reader_redis import RedisRankReader
from scoreboard.rank_writer_redis import RedisRankWriter
from scoreboard.score_reader_postgres import PostgresScoreReader
from scoreboard.score_store_postgres import PostgresScoreStore
from tests.support import parts

# Real parts answer when they answer; a failure is printed as a blob that reproduces it.
hypothesis_settings.register_profile(
    "scoreboard",
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
hypothesis_settings.load_profile("scoreboard")


@pytest.fixture(scope="session")
def postgres() -> Iterator[parts.PostgresServer]:
    """The session's PostgreSQL."""
    with parts.postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def valkey() -> Iterator[parts.RedisServer]:
    """The session's Valkey; a test that stops, flushes or kills takes `own_valkey`."""
    with parts.redis_server() as server:
        yield server


@pytest.fixture
def own_valkey() -> Iterator[parts.RedisServer]:
    """A Valkey of this test alone."""
    with parts.redis_server() as server:
        yield server


@pytest.fixture(scope="session")
def sqs() -> Iterator[parts.QueueServer]:
    """The session's SQS emulator."""
    with parts.queue_server() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: parts.PostgresServer) -> Iterator[str]:
    """A migrated database of this test alone."""
    url = postgres.database()
    yield url
    postgres.drop(url)


@pytest.fixture
def redis_settings(valkey: parts.RedisServer) -> Settings:
    """Settings that lead to the session's Valkey, with keys of this test alone."""
    return valkey.fresh_settings()


@pytest.fixture
def queue_url(sqs: parts.QueueServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """A queue of this test alone, to which boto3 is led too."""
    for name, value in {
        "AWS_ENDPOINT_URL_SQS": sqs.endpoint,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }.items():
        monkeypatch.setenv(name, value)
    return sqs.create()


@pytest.fixture
def pool(postgres_url: str) -> Iterator[ConnectionPool[psycopg.Connection[Any]]]:
    """A pool with room for the threads of a test."""
    with open_pool(postgres_url, size=4) as opened:
        yield opened


@pytest.fixture
def store(pool: ConnectionPool[psycopg.Connection[Any]]) -> PostgresScoreStore:
    """The truth of this test."""
    return PostgresScoreStore(pool)


@pytest.fixture
async def async_postgres(postgres_url: str) -> AsyncIterator[AsyncConnectionPool[psycopg.AsyncConnection[Any]]]:
    """The API's pool."""
    async with async_pool(postgres_url, min_size=1, max_size=4, idle_ms=30_000) as opened:
        yield opened


@pytest.fixture
def reader(async_postgres: AsyncConnectionPool[psycopg.AsyncConnection[Any]]) -> PostgresScoreReader:
    """The truth as the API reads it."""
    return PostgresScoreReader(async_postgres)


@pytest.fixture
def redis_sync(redis_settings: Settings) -> Iterator[redis.Redis]:
    """A synchronous client."""
    with redis_client(redis_settings) as client:
        yield client


@pytest.fixture
async def redis_async(redis_settings: Settings) -> AsyncIterator[redis.asyncio.Redis]:
    """The API's client."""
    client = async_redis_client(redis_settings)
    yield client
    await client.aclose()
    await client.connection_pool.disconnect()


@pytest.fixture
def writer(redis_sync: redis.Redis, redis_settings: Settings) -> RedisRankWriter:
    """The index of this test, written."""
    return RedisRankWriter(redis_sync, redis_settings.redis_key_leaderboard)


@pytest.fixture
def index(redis_async: redis.asyncio.Redis, redis_settings: Settings) -> RedisRankReader:
    """The index of this test, read."""
    return RedisRankReader(redis_async, redis_settings.redis_key_leaderboard)
