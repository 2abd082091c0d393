"""The truth as the API reads it: one state an answer, and an answer in time whatever the server does."""

from __future__ import annotations

import asyncio
import uuid

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from scoreboard import score_reader_postgres
from scoreboard.boards import GLOBAL, Operator, SortOrder
from scoreboard.connections_postgres import async_pool
from scoreboard.errors import Unavailable
from scoreboard.ports import EventRecord, EventStatus
from scoreboard.score_reader_postgres import PostgresScoreReader
from scoreboard.score_store_postgres import PostgresScoreStore
from tests.support import parts
from tests.support.model import board, event

GENEROUS_S = 60.0


async def test_the_boards_are_those_that_the_worker_knows(
    store: PostgresScoreStore, reader: PostgresScoreReader
) -> None:
    store.create_board(board(Operator.SET, SortOrder.ASC, min_score=-5, max_score=5))
    assert list(await reader.boards()) == list(store.boards())


async def test_an_event_is_known_with_what_it_was(store: PostgresScoreStore, reader: PostgresScoreReader) -> None:
    applied = event("ada", 5)
    store.apply([applied], timeout_ms=10_000)
    assert await reader.event(applied.event_id) == EventRecord(
        applied.event_id, EventStatus.APPLIED, "global", "ada", "ada", 5
    )
    assert await reader.event(uuid.uuid4()) is None


async def test_an_answer_is_of_one_state_while_scores_change(
    store: PostgresScoreStore, reader: PostgresScoreReader
) -> None:
    """Every batch gives all three the same: an answer that shows a difference mixes two states."""
    users = ("ada", "bob", "eve")
    stop = asyncio.Event()

    def write() -> None:
        while not stop.is_set():
            store.apply([event(user, 1) for user in users], timeout_ms=10_000)

    store.apply([event(user, 1) for user in users], timeout_ms=10_000)
    writing = asyncio.get_running_loop().run_in_executor(None, write)
    versions: list[int] = []
    try:
        for _ in range(100):
            page = await reader.top(GLOBAL, 10)
            some = await reader.users(GLOBAL, users)
            for snapshot in (page, some):
                assert len({entry.score for entry in snapshot.entries}) == 1
                versions.append(snapshot.version.version)
    finally:
        stop.set()
        await writing
    assert versions == sorted(versions)


async def test_the_truth_is_read_again_after_its_connections_were_cut(
    postgres_url: str,
    async_postgres: AsyncConnectionPool[psycopg.AsyncConnection[object]],
    reader: PostgresScoreReader,
) -> None:
    await asyncio.gather(*(reader.ping() for _ in range(8)))
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert await asyncio.gather(*(reader.ping() for _ in range(8))) == [True] * 8


async def test_a_server_that_hangs_is_unavailable_without_waiting_for_the_driver_to_cancel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(score_reader_postgres, "READ_TIMEOUT_S", 0.5)
    with parts.postgres_server() as server:
        async with async_pool(server.database(), min_size=2, max_size=2, idle_ms=30_000) as pool:
            reader = PostgresScoreReader(pool)
            await asyncio.gather(reader.ping(), reader.ping())
            with server.part.paused():
                answers = await asyncio.gather(*(reader.ping() for _ in range(6)), return_exceptions=True)
                assert {type(each) for each in answers} == {Unavailable}
                assert len(reader._running) > 0  # given up, not waited for
            await _until_served(reader)


async def test_a_caller_who_gives_up_leaves_nothing_running(
    store: PostgresScoreStore, reader: PostgresScoreReader, postgres_url: str
) -> None:
    with psycopg.connect(postgres_url) as blocking:
        blocking.execute("LOCK TABLE boards")
        asking = asyncio.create_task(reader.boards())
        await asyncio.sleep(0.1)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        async with asyncio.timeout(GENEROUS_S):
            while reader._running:  # noqa: ASYNC110 - what is waited for is inside
                await asyncio.sleep(0.01)
    assert await reader.ping()


async def _until_served(reader: PostgresScoreReader) -> None:
    async with asyncio.timeout(GENEROUS_S):
        while True:
            try:
                await reader.ping()
            except Unavailable:
                continue
            return
