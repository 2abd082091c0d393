"""The index is made anew: whatever is lost on the way, a part of a board is never read."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest

from scoreboard.boards import GLOBAL, Board
from scoreboard.rank_reader_redis import RedisRankReader
from scoreboard.rank_writer_redis import RedisRankWriter
from scoreboard.ranking import BoardKeys
from scoreboard.score_store_postgres import PostgresScoreStore
from scoreboard.service import rebuild_board, sweep_board
from tests.support import parts
from tests.support.index import complete, opened_index, opened_writer, scores, standing, top
from tests.support.model import board, event


async def test_a_flush_during_a_rebuild_leaves_the_board_incomplete(own_valkey: parts.RedisServer) -> None:
    async with opened_index(own_valkey.settings()) as index:
        with opened_writer(own_valkey.settings()) as (writer, client):
            token = writer.begin_rebuild("global")
            writer.apply(GLOBAL, [standing("ada")], announce=False)
            client.flushall()
            writer.apply(GLOBAL, [standing("bob")], announce=False)
            assert not writer.complete_rebuild("global", token, 1)
            assert await index.top(GLOBAL, 10) is None


async def test_another_rebuild_takes_over_and_the_first_does_notcomplete(
    index: RedisRankReader, writer: RedisRankWriter
) -> None:
    first = writer.begin_rebuild("global")
    second = writer.begin_rebuild("global")
    assert not writer.complete_rebuild("global", first, 1)
    assert await index.top(GLOBAL, 10) is None
    assert writer.complete_rebuild("global", second, 1)
    assert await index.top(GLOBAL, 10) is not None


async def test_a_rebuild_removes_what_the_truth_does_not_have(
    store: PostgresScoreStore, index: RedisRankReader, writer: RedisRankWriter
) -> None:
    complete(writer, GLOBAL, [standing("ghost", 999)])
    store.apply([event("ada", 5)], timeout_ms=10_000)
    assert rebuild_board(GLOBAL, store=store, writer=writer)
    assert scores(await top(index, GLOBAL)) == {"ada": 5}


async def test_a_rebuild_begins_a_new_epoch_and_tells_how_far_it_is(
    store: PostgresScoreStore, index: RedisRankReader, writer: RedisRankWriter
) -> None:
    complete(writer, GLOBAL)
    before = (await top(index, GLOBAL)).version
    store.apply([event(f"user{n}", 5) for n in range(1001)], timeout_ms=10_000)
    told: list[int] = []
    assert rebuild_board(GLOBAL, store=store, writer=writer, progress=told.append)
    after = (await top(index, GLOBAL)).version
    assert after.epoch != before.epoch
    assert told == [500, 1000, 1001]
    assert writer.state("global").watermark > 0


async def test_what_is_committed_during_a_rebuild_is_in_it_though_its_worker_died(
    store: PostgresScoreStore, index: RedisRankReader, writer: RedisRankWriter
) -> None:
    store.apply([event(f"user{n}", 5) for n in range(600)], timeout_ms=10_000)
    rebuilt = rebuild_board(
        GLOBAL,
        store=store,
        writer=writer,
        progress=lambda written: store.apply([event("user0", 5), event("late", written)], timeout_ms=10_000),
    )
    assert rebuilt
    shown = scores(await top(index, GLOBAL))
    assert (shown["user0"], shown["late"]) == (15, 1100)


async def test_a_rebuild_that_was_interrupted_says_so_and_the_next_one_completes(
    store: PostgresScoreStore, own_valkey: parts.RedisServer
) -> None:
    store.apply([event("ada", 5)], timeout_ms=10_000)
    settings = own_valkey.settings()
    with opened_writer(settings) as (writer, client):
        assert not rebuild_board(GLOBAL, store=store, writer=writer, progress=lambda _: client.flushall())
        assert not writer.state("global").complete
        assert rebuild_board(GLOBAL, store=store, writer=writer)
        assert writer.state("global").complete


async def test_after_a_kill_and_a_restart_the_board_is_incomplete_until_it_is_rebuilt(
    own_valkey: parts.RedisServer, store: PostgresScoreStore
) -> None:
    store.apply([event("ada", 5)], timeout_ms=10_000)
    settings = own_valkey.settings()
    async with opened_index(settings) as index:
        with opened_writer(settings) as (writer, client):
            assert rebuild_board(GLOBAL, store=store, writer=writer)
            before = await top(index, GLOBAL)
            client.waitaof(1, 0, 5000)
            own_valkey.part.kill()
            own_valkey.part.start()
            assert client.exists(BoardKeys.of(settings.redis_key_leaderboard, "global").ranks)
            assert await index.top(GLOBAL, 10) is None
            assert await index.versions(["global"]) == {"global": None}
            assert not writer.state("global").complete
            writer.apply(GLOBAL, [standing("bob", 1)])
            assert await index.top(GLOBAL, 10) is None
            assert rebuild_board(GLOBAL, store=store, writer=writer)
            after = await top(index, GLOBAL)
            assert after.version.epoch != before.version.epoch
            assert after.entries == before.entries


async def test_a_restart_in_the_middle_of_a_rebuild_leaves_the_board_incomplete(own_valkey: parts.RedisServer) -> None:
    """What was written just before the kill may be missing, though the token of the rebuild is still there."""
    settings = own_valkey.settings()
    async with opened_index(settings) as index:
        with opened_writer(settings) as (writer, client):
            token = writer.begin_rebuild("global")
            client.waitaof(1, 0, 5000)
            own_valkey.part.kill()
            own_valkey.part.start()
            assert client.hget(BoardKeys.of(settings.redis_key_leaderboard, "global").meta, "generation")
            assert not writer.complete_rebuild("global", token, 1)
            assert await index.top(GLOBAL, 10) is None


async def test_workers_may_write_during_a_rebuild_and_the_newer_wins(
    index: RedisRankReader, writer: RedisRankWriter
) -> None:
    token = writer.begin_rebuild("global")
    writer.apply(GLOBAL, [standing("ada", 20, version=2)])
    writer.apply(GLOBAL, [standing("ada", 10, version=1)], announce=False)
    assert writer.complete_rebuild("global", token, 1)
    assert scores(await top(index, GLOBAL)) == {"ada": 20}


async def test_the_watermark_moves_forward_only_and_with_a_complete_board_only(writer: RedisRankWriter) -> None:
    writer.set_watermark("global", 50)
    assert writer.state("global").watermark == 0
    complete(writer, GLOBAL)
    writer.set_watermark("global", 50)
    writer.set_watermark("global", 40)
    assert writer.state("global").watermark == 50


async def test_a_sweep_writes_what_the_workers_could_not(
    store: PostgresScoreStore, index: RedisRankReader, writer: RedisRankWriter
) -> None:
    assert rebuild_board(GLOBAL, store=store, writer=writer)
    store.apply([event("ada", 5)], timeout_ms=10_000)
    watermark = writer.state("global").watermark
    assert sweep_board(GLOBAL, store=store, writer=writer, watermark=watermark) == 1
    assert scores(await top(index, GLOBAL)) == {"ada": 5}
    assert writer.state("global").watermark > watermark
    assert sweep_board(GLOBAL, store=store, writer=writer, watermark=watermark) == 0


def test_one_sweeper_holds_the_lock_and_another_gets_it_when_it_lapses(writer: RedisRankWriter) -> None:
    assert writer.acquire_sweep("one", 60_000)
    assert writer.acquire_sweep("one", 60_000)
    assert not writer.acquire_sweep("two", 60_000)
    assert writer.acquire_sweep("one", 1)
    for _ in range(1000):
        if writer.acquire_sweep("two", 60_000):
            return
    pytest.fail("the lock never lapsed")


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_happens_a_part_is_never_read_and_versions_never_fall(
    own_valkey: parts.RedisServer, store: PostgresScoreStore, seed: int
) -> None:
    """A random history of applies, sweeps, flushes, kills and interleaved rebuilds, checked after every step."""
    rng = random.Random(seed)
    rules = board()
    store.create_board(rules)
    settings = own_valkey.settings()
    async with opened_index(settings) as index:
        with opened_writer(settings) as (writer, client):
            history = _History(rng, rules, store, writer, index)

            def kill() -> None:
                own_valkey.part.kill()
                own_valkey.part.start()

            steps: list[Callable[[], object]] = [
                history.commit,
                history.deliver,
                history.sweep,
                history.step_rebuild,
                client.flushall,
                kill,
            ]
            for _ in range(60):
                rng.choices(steps, weights=[30, 25, 10, 30, 4, 1])[0]()
                await history.check()
            while history.rebuild is not None:
                history.step_rebuild()
            assert rebuild_board(rules, store=store, writer=writer)
            await history.check()
            assert scores(await top(index, rules)) == history.committed()


class _History:
    """What happened to one board, and what may be read of it.

    A delivery may be late: a reader then sees older scores of users. It must never miss a user whom the index had
    been given, or who was there when it was rebuilt.
    """

    def __init__(
        self,
        rng: random.Random,
        rules: Board,
        store: PostgresScoreStore,
        writer: RedisRankWriter,
        index: RedisRankReader,
    ) -> None:
        self._rng = rng
        self._rules = rules
        self._store = store
        self._writer = writer
        self._index = index
        self._undelivered: set[str] = set()
        self._last: dict[str, int] = {}
        self._seen: dict[str, int] = {}
        self.rebuild: Iterator[None] | None = None

    def committed(self) -> dict[str, int]:
        return {
            each.user_id: each.score for chunk in self._store.standings_since(self._rules.board_id, 0) for each in chunk
        }

    def commit(self) -> None:
        users = self._rng.choices([f"user{n}" for n in range(12)], k=3)
        events = [event(user, self._rng.randint(1, 9), board_id=self._rules.board_id) for user in users]
        self._store.apply(events, timeout_ms=10_000)
        self._undelivered.update(users)

    def deliver(self) -> None:
        users = self._rng.sample(sorted(self._undelivered), k=self._rng.randint(0, len(self._undelivered)))
        self._writer.apply(self._rules, self._store.standings_of(self._rules.board_id, users))
        self._undelivered.difference_update(users)

    def sweep(self) -> None:
        state = self._writer.state(self._rules.board_id)
        if state.complete:
            sweep_board(self._rules, store=self._store, writer=self._writer, watermark=state.watermark)
            self._undelivered.clear()

    def step_rebuild(self) -> None:
        if self.rebuild is None:
            self.rebuild = self._rebuilding()
        if next(self.rebuild, "done") == "done":
            self.rebuild = None

    def _rebuilding(self) -> Iterator[None]:
        """`rebuild_board`, halted between its steps."""
        token = self._writer.begin_rebuild(self._rules.board_id)
        yield
        watermark = self._store.watermark()
        standings = [each for chunk in self._store.standings_since(self._rules.board_id, 0) for each in chunk]
        yield
        for start in range(0, len(standings), 4):
            self._writer.apply(self._rules, standings[start : start + 4], announce=False)
            yield
        upcoming = self._store.watermark()
        late = [each for chunk in self._store.standings_since(self._rules.board_id, watermark) for each in chunk]
        yield
        self._writer.apply(self._rules, late, announce=False)
        yield
        self._writer.complete_rebuild(self._rules.board_id, token, upcoming)

    async def check(self) -> None:
        snapshot = await self._index.top(self._rules, 100)
        if snapshot is None:
            return
        committed = self.committed()
        shown = scores(snapshot)
        for user_id, score in committed.items():
            if user_id not in self._undelivered:
                assert shown.get(user_id) == score
        assert shown.keys() <= committed.keys()
        assert all(score <= committed[user_id] for user_id, score in shown.items())
        version = snapshot.version
        assert version.version >= self._seen.get(version.epoch, 0)
        self._seen[version.epoch] = version.version
