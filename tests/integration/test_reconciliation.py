"""Reconciling on real parts: the whole index against the truth, whatever was done to it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest
import redis

from scoreboard.boards import GLOBAL
from scoreboard.config import Settings
from scoreboard.rank_reader_redis import RedisRankReader
from scoreboard.rank_writer_redis import RedisRankWriter
from scoreboard.ranking import BoardKeys
from scoreboard.reconciliation import Outcome, ReconcileReport, reconcile
from scoreboard.score_store_postgres import PostgresScoreStore
from scoreboard.service import rebuild_board
from tests.support.index import scores, top
from tests.support.model import board, event
from tests.support.operations import invoked, operations_on, scheduled

Run = Callable[..., ReconcileReport]


@pytest.fixture
def run(store: PostgresScoreStore, writer: RedisRankWriter) -> Run:
    """Reconcile under a name of one's own."""
    names = itertools.count()

    def reconciled(time_left: Callable[[], bool] = lambda: True, holder: str | None = None) -> ReconcileReport:
        report = reconcile(store=store, writer=writer, holder=holder or f"run-{next(names)}", time_left=time_left)
        writer._client.delete(f"{writer._prefix}:reconciler")
        return report

    return reconciled


@pytest.fixture
def keys(redis_settings: Settings) -> BoardKeys:
    return BoardKeys.of(redis_settings.redis_key_leaderboard, "global")


@pytest.fixture
def filled(store: PostgresScoreStore, writer: RedisRankWriter) -> dict[str, int]:
    """A complete board of three users; gives their scores."""
    store.apply([event("ada", 5), event("bob", 7), event("cy", 1)])
    assert rebuild_board(GLOBAL, store=store, writer=writer)
    return {"ada": 5, "bob": 7, "cy": 1}


async def test_an_emptied_redis_is_filled_again(
    run: Run, filled: dict[str, int], redis_sync: redis.Redis, keys: BoardKeys, index: RedisRankReader
) -> None:
    redis_sync.delete(keys.ranks, keys.members, keys.meta)
    assert run().boards == {"global": Outcome.REBUILT}
    assert scores(await top(index, GLOBAL)) == filled


async def test_what_is_as_it_should_be_is_left_alone(
    run: Run, filled: dict[str, int], redis_sync: redis.Redis, keys: BoardKeys
) -> None:
    before = redis_sync.hgetall(keys.meta)
    report = run()
    assert (report.boards, report.repaired) == ({"global": Outcome.CLEAN}, 0)
    after = redis_sync.hgetall(keys.meta)
    assert {**before, "watermark": None} == {**after, "watermark": None}


async def test_writes_that_were_lost_long_before_the_watermark_are_found(
    run: Run, filled: dict[str, int], store: PostgresScoreStore, writer: RedisRankWriter, index: RedisRankReader
) -> None:
    store.apply([event("ada", 10), event("dee", 2)])  # and nobody wrote them to the index
    writer.set_watermark("global", store.watermark())
    report = run()
    assert (report.boards, report.repaired) == ({"global": Outcome.REPAIRED}, 2)
    assert scores(await top(index, GLOBAL)) == {**filled, "ada": 15, "dee": 2}


@pytest.mark.parametrize("harm", ["with a name", "without a name"])
async def test_a_member_that_nobody_has_has_the_board_rebuilt(
    run: Run, filled: dict[str, int], redis_sync: redis.Redis, keys: BoardKeys, index: RedisRankReader, harm: str
) -> None:
    redis_sync.zadd(keys.ranks, {"9999999999999999:ghost": 99})
    if harm == "with a name":
        redis_sync.hset(keys.members, "ghost", "1 9999999999999999:ghost")
    assert run().boards == {"global": Outcome.REBUILT}
    assert scores(await top(index, GLOBAL)) == filled


@pytest.mark.parametrize("harm", ["a rank", "all ranks", "all names", "both"])
async def test_a_board_that_lost_its_members_is_hidden_while_it_is_written(
    run: Run, filled: dict[str, int], redis_sync: redis.Redis, keys: BoardKeys, index: RedisRankReader, harm: str
) -> None:
    lost = {"all ranks": [keys.ranks], "all names": [keys.members], "both": [keys.ranks, keys.members]}
    if harm == "a rank":
        redis_sync.zpopmin(keys.ranks)
    else:
        redis_sync.delete(*lost[harm])
    assert run().boards == {"global": Outcome.REBUILT}
    assert scores(await top(index, GLOBAL)) == filled


@pytest.mark.parametrize("harm", ["another score", "another time"])
async def test_a_standing_that_is_wrong_without_being_older_is_repaired(
    run: Run, filled: dict[str, int], redis_sync: redis.Redis, keys: BoardKeys, index: RedisRankReader, harm: str
) -> None:
    before = await top(index, GLOBAL)
    (member,) = redis_sync.zrange(keys.ranks, 0, 0)
    if harm == "another score":
        redis_sync.zadd(keys.ranks, {member: 999})
    else:
        redis_sync.zrem(keys.ranks, member)
        redis_sync.zadd(keys.ranks, {"0000000000000001:cy": 1})
        redis_sync.hset(keys.members, "cy", "1 0000000000000001:cy")
    report = run()
    assert (report.boards, report.repaired) == ({"global": Outcome.REPAIRED}, 1)
    after = await top(index, GLOBAL)
    assert (scores(after), after.entries) == (filled, before.entries)
    assert after.version.version == before.version.version + 1


async def test_an_index_of_another_truth_is_rebuilt(
    run: Run, filled: dict[str, int], store: PostgresScoreStore, writer: RedisRankWriter
) -> None:
    writer.set_watermark("global", store.watermark() + 1_000_000)
    assert run().boards == {"global": Outcome.REBUILT}


def test_one_runs_at_a_time(store: PostgresScoreStore, writer: RedisRankWriter, filled: dict[str, int]) -> None:
    assert writer.acquire_reconciliation("another", 60_000)
    report = reconcile(store=store, writer=writer, holder="late", time_left=lambda: True)
    assert (report.running, report.boards) == (False, {})


def test_a_run_ends_when_its_time_is_over_and_says_what_is_left(
    run: Run, store: PostgresScoreStore, filled: dict[str, int]
) -> None:
    others = [board() for _ in range(3)]
    for rules in others:
        store.create_board(rules)
    steps = iter([True, True, True])
    report = run(time_left=lambda: next(steps, False))
    assert report.count(Outcome.UNFINISHED) >= 1
    assert set(report.boards) == {"global", *(rules.board_id for rules in others)}
    assert Outcome.UNFINISHED not in run().boards.values()


def test_one_whose_post_was_taken_stops(
    store: PostgresScoreStore, writer: RedisRankWriter, redis_sync: redis.Redis, redis_settings: Settings
) -> None:
    lock = f"{redis_settings.redis_key_leaderboard}:reconciler"

    def usurped() -> bool:
        redis_sync.set(lock, "another")
        return True

    report = reconcile(store=store, writer=writer, holder="one", time_left=usurped)
    assert report.boards == {"global": Outcome.UNFINISHED}


async def test_scores_that_arrive_meanwhile_do_not_spoil_the_comparison(
    run: Run, filled: dict[str, int], store: PostgresScoreStore, writer: RedisRankWriter, index: RedisRankReader
) -> None:
    arriving = itertools.count()

    def meanwhile() -> bool:
        store.apply([event(f"new-{next(arriving)}", 1)])
        return True

    report = run(time_left=meanwhile)
    assert report.boards["global"] in (Outcome.CLEAN, Outcome.REPAIRED)
    run()
    assert set(scores(await top(index, GLOBAL))) == {*filled, *(f"new-{at}" for at in range(next(arriving)))}


# The function


@pytest.fixture
def operations(monkeypatch: pytest.MonkeyPatch, postgres_url: str, redis_settings: Settings) -> Iterator[None]:
    with operations_on(monkeypatch, redis_settings, DATABASE_URL=postgres_url):
        yield


async def test_the_function_repairs_and_measures(
    operations: None,
    filled: dict[str, int],
    redis_sync: redis.Redis,
    keys: BoardKeys,
    index: RedisRankReader,
    capsys: pytest.CaptureFixture[str],
) -> None:
    redis_sync.delete(keys.ranks)
    answer = scheduled("reconcile")
    assert (answer["boards"], answer["boards_rebuilt"]) == ({"global": "rebuilt"}, 1)
    measured = [line for line in capsys.readouterr().out.splitlines() if "_aws" in line]
    assert len(measured) == 1
    assert '"boards_rebuilt":[1.0]' in measured[0].replace(" ", "")
    assert '"service":"scoreboard-operations"' in measured[0].replace(" ", "")
    assert scores(await top(index, GLOBAL)) == filled
    assert scheduled("reconcile")["boards"] == {"global": "clean"}
    assert invoked("reconcile", {})["boards"] == {"global": "clean"}


def test_the_function_leaves_boards_for_the_next_run_when_it_has_no_time(
    operations: None, filled: dict[str, int]
) -> None:
    assert scheduled("reconcile", seconds=5)["boards"] == {"global": "unfinished"}
