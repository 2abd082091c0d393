"""Reading boards: from the index, and from the truth while there is none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from scoreboard import service
from scoreboard.boards import GLOBAL, Board
from scoreboard.connections_postgres import async_pool
from scoreboard.connections_redis import async_redis_client
from scoreboard.errors import (
    BoardUnavailable,
    Unavailable,
    UnknownUser,
)
from scoreboard.rank_reader_redis import RedisRankReader
from scoreboard.rank_writer_redis import RedisRankWriter
from scoreboard.ranking import Cursor
from scoreboard.score_reader_postgres import PostgresScoreReader
from scoreboard.score_store_postgres import PostgresScoreStore
from scoreboard.service import (
    LeaderboardReader,
    rebuild_board,
)
from scoreboard.standings import Snapshot
from tests.support import parts
from tests.support.model import event


@pytest.fixture
async def gone() -> AsyncIterator[RedisRankReader]:
    """An index that nobody serves."""
    client = async_redis_client(parts.settings(REDIS_HOST="127.0.0.1", REDIS_PORT="9"))
    yield RedisRankReader(client, "board")
    await client.aclose()
    await client.connection_pool.disconnect()


@pytest.fixture
async def lost() -> AsyncIterator[PostgresScoreReader]:
    """A truth that nobody serves."""
    pool = async_pool("postgresql://scoreboard@127.0.0.1:9/nowhere", min_size=1, max_size=1, idle_ms=1000)
    await pool.open()
    yield PostgresScoreReader(pool)
    await pool.close()


def _scores(snapshot: Snapshot) -> dict[str, int]:
    return {entry.user_id: entry.score for entry in snapshot.entries}


class _Counted:
    """The truth, counting how often its first page is asked for, and as slow as a test wants."""

    def __init__(self, truth: PostgresScoreReader) -> None:
        self._truth = truth
        self.asked = 0
        self.hold = asyncio.Event()
        self.hold.set()

    async def top(self, board: Board, limit: int, after: Cursor | None = None) -> Snapshot:
        self.asked += 1
        await self.hold.wait()
        return await self._truth.top(board, limit, after)


async def test_while_the_index_is_not_complete_the_truth_answers_everything(
    store: PostgresScoreStore, writer: RedisRankWriter, index: RedisRankReader, reader: PostgresScoreReader
) -> None:
    board_reader = LeaderboardReader(index, reader)
    store.apply([event("ada", 5), event("bob", 3), event("eve", 1)], timeout_ms=10_000)
    writer.apply(GLOBAL, store.standings_of("global", ["eve"]))  # a part of the board is in the index
    for _ in range(2):
        first = await board_reader.top(GLOBAL, 2)
        assert _scores(first) == {"ada": 5, "bob": 3}
        assert first.next is not None
        assert _scores(await board_reader.top(GLOBAL, 2, Cursor.decode(first.next))) == {"eve": 1}
        assert _scores(await board_reader.around(GLOBAL, "bob", 1)) == {"ada": 5, "bob": 3, "eve": 1}
        assert _scores(await board_reader.users(GLOBAL, ["eve", "nobody"])) == {"eve": 1}
        assert (await board_reader.user(GLOBAL, "eve")).entry.rank == 3
        with pytest.raises(UnknownUser):
            await board_reader.user(GLOBAL, "nobody")
        assert rebuild_board(GLOBAL, store=store, writer=writer)


async def test_an_index_that_is_away_leaves_the_truth_to_answer(
    store: PostgresScoreStore, gone: RedisRankReader, reader: PostgresScoreReader
) -> None:
    store.apply([event("ada", 5)], timeout_ms=10_000)
    board_reader = LeaderboardReader(gone, reader)
    assert _scores(await board_reader.top(GLOBAL, 10)) == {"ada": 5}
    assert (await board_reader.user(GLOBAL, "ada")).entry.score == 5


async def test_a_truth_that_is_away_is_not_noticed_while_the_index_is_complete(
    writer: RedisRankWriter, index: RedisRankReader, lost: PostgresScoreReader
) -> None:
    token = writer.begin_rebuild("global")
    assert writer.complete_rebuild("global", token, 1)
    assert (await LeaderboardReader(index, lost).top(GLOBAL, 10)).entries == ()


async def test_without_index_and_truth_the_board_is_unavailable(
    gone: RedisRankReader, lost: PostgresScoreReader
) -> None:
    board_reader = LeaderboardReader(gone, lost)
    answers = await asyncio.gather(
        board_reader.top(GLOBAL, 10),
        board_reader.top(GLOBAL, 10, Cursor(1, 1, "ada")),
        board_reader.around(GLOBAL, "ada", 1),
        board_reader.users(GLOBAL, ["ada"]),
        board_reader.user(GLOBAL, "ada"),
        return_exceptions=True,
    )
    assert {type(each) for each in answers} == {BoardUnavailable}


class _Away:
    """An index that says so at once."""

    async def top(self, *_: object) -> None:
        raise Unavailable


async def test_however_many_ask_the_truth_is_asked_once_until_it_has_answered(
    store: PostgresScoreStore, reader: PostgresScoreReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "FALLBACK_CACHE_S", 0.0)
    store.apply([event("ada", 5)], timeout_ms=10_000)
    counted = _Counted(reader)
    counted.hold.clear()
    board_reader = LeaderboardReader(_Away(), counted)  # type: ignore[arg-type]
    asking = [asyncio.create_task(board_reader.top(GLOBAL, 10)) for _ in range(50)]
    await asyncio.sleep(0.01)
    asking += [asyncio.create_task(board_reader.top(GLOBAL, 10)) for _ in range(50)]
    await asyncio.sleep(0)
    asking.pop().cancel()
    counted.hold.set()
    assert {entry.score for page in await asyncio.gather(*asking) for entry in page.entries} == {5}
    assert counted.asked == 1


async def test_what_is_kept_is_asked_for_again_after_a_second(
    store: PostgresScoreStore, gone: RedisRankReader, reader: PostgresScoreReader
) -> None:
    board_reader = LeaderboardReader(gone, reader)
    await board_reader.top(GLOBAL, 10)
    store.apply([event("ada", 5)], timeout_ms=10_000)
    await asyncio.sleep(1.1)
    assert _scores(await board_reader.top(GLOBAL, 10)) == {"ada": 5}


async def test_what_is_kept_is_forgotten_once_the_index_has_answered(
    store: PostgresScoreStore, writer: RedisRankWriter, index: RedisRankReader, reader: PostgresScoreReader
) -> None:
    """Or a board could go back to what it was before the index came and went."""
    board_reader = LeaderboardReader(index, reader)
    assert _scores(await board_reader.top(GLOBAL, 10)) == {}
    store.apply([event("ada", 5)], timeout_ms=10_000)
    assert rebuild_board(GLOBAL, store=store, writer=writer)
    assert _scores(await board_reader.top(GLOBAL, 10)) == {"ada": 5}
    writer.begin_rebuild("global")
    assert _scores(await board_reader.top(GLOBAL, 10)) == {"ada": 5}


async def test_the_version_of_the_truth_grows_with_every_change_and_stays_without(
    store: PostgresScoreStore, reader: PostgresScoreReader
) -> None:
    versions = []
    for n in range(5):
        store.apply([event("ada", 1)], timeout_ms=10_000)
        snapshot = await reader.top(GLOBAL, 1)
        assert snapshot.entries[0].score == n + 1
        versions.append(snapshot.version.version)
        assert (await reader.user(GLOBAL, "ada")).version.epoch == snapshot.version.epoch
    assert versions == sorted(set(versions))
