"""The truth in PostgreSQL: every event has its effect once, whatever is delivered how often, in which order."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from scoreboard.boards import MAX_SAFE_INTEGER, Board, Mark, Operator, SortOrder
from scoreboard.connections_postgres import open_pool, postgres_errors
from scoreboard.errors import Unavailable
from scoreboard.events import ScoreEvent
from scoreboard.ports import EventStatus
from scoreboard.score_reader_postgres import PostgresScoreReader
from scoreboard.score_store_postgres import PostgresScoreStore
from tests.support import parts
from tests.support.model import START_US, board, cut, event, marks, random_events

TIMEOUT_MS = 10_000


def _made(store: PostgresScoreStore, rules: Board) -> Board:
    store.create_board(rules)
    return rules


def _apply(store: PostgresScoreStore, *events: ScoreEvent) -> Any:
    return store.apply(events, timeout_ms=TIMEOUT_MS)


def _marks(store: PostgresScoreStore, board_id: str) -> dict[str, Mark]:
    return {
        standing.user_id: Mark(standing.score, standing.reached_at)
        for chunk in store.standings_since(board_id, 0)
        for standing in chunk
    }


def _versions(store: PostgresScoreStore, board_id: str) -> dict[str, int]:
    return {each.user_id: each.version for chunk in store.standings_since(board_id, 0) for each in chunk}


def test_the_migrations_create_the_default_board_as_the_code_knows_it(store: PostgresScoreStore) -> None:
    from scoreboard.boards import GLOBAL

    assert list(store.boards()) == [GLOBAL]


def test_a_board_is_created_once_and_then_left_as_it_is(store: PostgresScoreStore) -> None:
    rules = _made(store, board(Operator.BEST, SortOrder.ASC, min_score=-7, max_score=9))
    store.create_board(Board(board_id=rules.board_id, max_change=1))
    assert rules in store.boards()
    assert len(store.boards()) == 2


def test_duplicates_within_one_batch_count_once(store: PostgresScoreStore) -> None:
    first, second = event("ada", 5), event("ada", 7)
    result = _apply(store, first, first, second, first)
    assert result.fresh == 2
    assert result.applied == {first.event_id, second.event_id}
    assert not result.rejected
    assert not result.conflicting
    assert _marks(store, "global") == {"ada": Mark(12, START_US)}


def test_duplicates_across_batches_count_once_and_change_no_version(store: PostgresScoreStore) -> None:
    first = event("ada", 5)
    _apply(store, first)
    before = _versions(store, "global")
    result = _apply(store, first, first)
    assert result.fresh == 0
    assert result.applied == {first.event_id}
    assert _versions(store, "global") == before == {"ada": 1}


def test_an_empty_batch_changes_nothing(store: PostgresScoreStore) -> None:
    assert _apply(store).fresh == 0


def test_the_same_id_with_another_content_is_reported_and_the_first_content_counts(store: PostgresScoreStore) -> None:
    first = event("ada", 5)
    _apply(store, first)
    other_value = event("ada", 6, event_id=first.event_id)
    other_user = event("bob", 5, event_id=first.event_id)
    for conflicting in (other_value, other_user):
        result = _apply(store, conflicting, event("eve", 1))
        assert result.conflicting == {first.event_id}
        assert result.fresh == 1
    assert _marks(store, "global") == {"ada": Mark(5, START_US), "eve": Mark(2, START_US)}


def test_the_same_id_with_two_contents_in_one_batch_counts_one_of_them(store: PostgresScoreStore) -> None:
    first = event("ada", 5)
    result = _apply(store, first, event("bob", 6, event_id=first.event_id))
    assert result.fresh == 1
    assert result.conflicting == {first.event_id}
    assert sum(mark.score for mark in _marks(store, "global").values()) in (5, 6)


def test_of_one_id_with_a_good_and_a_bad_content_the_good_one_counts(store: PostgresScoreStore) -> None:
    rules = _made(store, board(max_score=10))
    bad = event("ada", 11, board_id=rules.board_id)
    good = event("bob", 5, board_id=rules.board_id, event_id=bad.event_id)
    result = _apply(store, bad, good)
    assert not result.rejected
    assert result.applied == result.conflicting == {bad.event_id}
    assert _marks(store, rules.board_id) == {"bob": Mark(5, START_US)}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("order", SortOrder)
@pytest.mark.parametrize("operator", Operator)
def test_the_standings_are_those_of_the_plain_model_however_events_are_cut_and_shuffled(
    store: PostgresScoreStore, operator: Operator, order: SortOrder, seed: int
) -> None:
    rng = random.Random(f"{operator}{order}{seed}")
    rules = _made(store, board(operator, order))
    events = random_events(rng, rules.board_id, 120)
    delivered: list[ScoreEvent] = []
    for batch in cut(rng, events):
        marks_before, versions_before = _marks(store, rules.board_id), _versions(store, rules.board_id)
        fresh_users = {each.user_id for each in batch if each not in delivered}
        _apply(store, *batch)
        delivered += batch
        marks_after, versions_after = _marks(store, rules.board_id), _versions(store, rules.board_id)
        for user_id, version in versions_after.items():
            grown = version - versions_before.get(user_id, 0)
            assert grown in (0, 1)
            if marks_after[user_id] != marks_before.get(user_id):
                assert grown == 1
            if user_id not in fresh_users:
                assert grown == 0
    assert _marks(store, rules.board_id) == marks(rules, events)


def test_concurrent_batches_that_overlap_sum_up_exactly_and_nobody_sees_a_deadlock(postgres_url: str) -> None:
    rng = random.Random(5)
    with open_pool(postgres_url, size=8) as pool:
        store = PostgresScoreStore(pool)
        boards = [_made(store, board(operator)) for operator in Operator]
        events = [each for rules in boards for each in random_events(rng, rules.board_id, 150)]

        def deliver(seed: int) -> int:
            batches = cut(random.Random(seed), events, duplicates=0.5)
            return sum(_apply(store, *batch).fresh for batch in batches)

        with ThreadPoolExecutor(8) as threads:
            fresh = list(threads.map(deliver, range(8)))
        assert sum(fresh) == len(events)
        for rules in boards:
            own = [each for each in events if each.board_id == rules.board_id]
            assert _marks(store, rules.board_id) == marks(rules, own)


def test_an_event_that_breaks_a_bound_is_rejected_alone(store: PostgresScoreStore) -> None:
    rules = _made(store, board(min_score=0, max_score=100))
    good = [event(user, 60, board_id=rules.board_id) for user in ("ada", "bob", "eve")]
    high = event("ada", 41, board_id=rules.board_id, at=START_US + 1)
    low = event("gil", -1, board_id=rules.board_id)
    result = _apply(store, high, good[0], low, *good[1:], good[0])
    assert set(result.rejected) == {high.event_id, low.event_id}
    assert result.rejected[high.event_id] == "the score of ada would leave the bounds 0 to 100"
    assert result.rejected[low.event_id] == "the score of gil would leave the bounds 0 to 100"
    assert result.applied == {each.event_id for each in good}
    assert result.fresh == 3
    assert {user: mark.score for user, mark in _marks(store, rules.board_id).items()} == dict.fromkeys(
        ("ada", "bob", "eve"), 60
    )


@pytest.mark.parametrize(
    ("operator", "first", "second", "expected"),
    [(Operator.INCR, 50, -10, 40), (Operator.DECR, -50, 10, 40), (Operator.INCR, 50, 50, 100)],
)
def test_a_change_is_judged_by_the_score_it_leads_to(
    store: PostgresScoreStore, operator: Operator, first: int, second: int, expected: int
) -> None:
    """A loss of 10 is below the lowest score of 0, and fine for someone who has 50."""
    rules = _made(store, board(operator, min_score=0, max_score=100))
    for value in (first, second):
        result = _apply(store, event("ada", value, board_id=rules.board_id))
        assert not result.rejected
        assert result.fresh == 1
    assert _marks(store, rules.board_id)["ada"].score == expected


def test_a_board_whose_lowest_score_is_above_zero_takes_the_first_change(store: PostgresScoreStore) -> None:
    rules = _made(store, board(min_score=10, max_score=100))
    assert not _apply(store, event("ada", 10, board_id=rules.board_id)).rejected
    assert not _apply(store, event("ada", 1, board_id=rules.board_id)).rejected
    assert set(_apply(store, event("bob", 9, board_id=rules.board_id)).rejected.values()) == {
        "the score of bob would leave the bounds 10 to 100"
    }


def test_the_largest_scores_are_exact_and_one_more_is_rejected(store: PostgresScoreStore) -> None:
    rules = _made(store, board(min_change=-MAX_SAFE_INTEGER, max_change=MAX_SAFE_INTEGER))
    for user_id, sign in (("ada", 1), ("bob", -1)):
        edge = event(user_id, sign * MAX_SAFE_INTEGER, board_id=rules.board_id)
        assert _apply(store, edge).fresh == 1
        result = _apply(store, event(user_id, sign, board_id=rules.board_id))
        assert len(result.rejected) == 1
        assert "would leave the bounds" in next(iter(result.rejected.values()))
    # A batch whose sum no score may have, and one of whose events has its effect.
    many = [event("eve", MAX_SAFE_INTEGER, board_id=rules.board_id) for _ in range(10)]
    assert len(_apply(store, *many).rejected) == len(many) - 1
    scores = {user: mark.score for user, mark in _marks(store, rules.board_id).items()}
    assert scores == {"ada": MAX_SAFE_INTEGER, "bob": -MAX_SAFE_INTEGER, "eve": MAX_SAFE_INTEGER}


def test_an_event_of_an_unknown_board_is_rejected_alone(store: PostgresScoreStore) -> None:
    lost, good = event("ada", board_id="nowhere"), event("bob")
    result = _apply(store, lost, good)
    assert set(result.rejected) == {lost.event_id}
    assert result.applied == {good.event_id}


def test_concurrent_batches_with_bad_events_end_without_a_deadlock(postgres_url: str) -> None:
    rng = random.Random(11)
    with open_pool(postgres_url, size=8) as pool:
        store = PostgresScoreStore(pool)
        rules = _made(store, board(min_score=-1000, max_score=1000))
        events = random_events(rng, rules.board_id, 60)
        bad = [event("poison", 2000 + n, board_id=rules.board_id, at=START_US) for n in range(8)]

        def deliver(seed: int) -> None:
            for batch in cut(random.Random(seed), [*events, *bad], duplicates=0.5):
                _apply(store, *batch)

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(deliver, range(8)))
        assert _marks(store, rules.board_id) == marks(rules, events)


async def test_rejections_are_noted_with_their_latest_reason_until_the_event_is_applied(
    store: PostgresScoreStore, reader: PostgresScoreReader
) -> None:
    bad = event("ada", 5)
    assert await reader.event(bad.event_id) is None
    store.reject({bad: "first"})
    store.reject({bad: "second"})
    record = await reader.event(bad.event_id)
    assert record is not None
    assert (record.status, record.reason, record.user_id) == (EventStatus.REJECTED, "second", "ada")
    _apply(store, bad)
    record = await reader.event(bad.event_id)
    assert record is not None
    assert (record.status, record.reason) == (EventStatus.APPLIED, None)


def test_standings_are_read_for_those_who_have_one(store: PostgresScoreStore) -> None:
    _apply(store, event("ada", 5), event("bob", 6))
    found = store.standings_of("global", ["bob", "nobody", "ada"])
    assert {standing.user_id: standing.score for standing in found} == {"ada": 5, "bob": 6}
    assert store.standings_of("global", []) == []


def _changed(store: PostgresScoreStore, watermark: int) -> set[str]:
    return {standing.user_id for chunk in store.standings_since("global", watermark) for standing in chunk}


def test_a_transaction_open_at_the_watermark_is_seen_from_it_once_it_has_committed(
    store: PostgresScoreStore, postgres_url: str
) -> None:
    _apply(store, event("early"))
    with psycopg.connect(postgres_url) as late:
        late.execute("SELECT pg_current_xact_id()")
        late.execute(
            "INSERT INTO standings (board_id, user_id, score, version, reached_at, changed_xact) "
            "VALUES ('global', 'late', 1, 1, 1, pg_current_xact_id()::text::bigint)"
        )
        _apply(store, event("during"))
        watermark = store.watermark()
        assert "late" not in _changed(store, 0)
        late.commit()
    _apply(store, event("after"))
    assert _changed(store, watermark) == {"late", "during", "after"}
    assert _changed(store, store.watermark()) == set()


def test_every_change_is_seen_by_a_sweep_that_follows_the_watermarks(postgres_url: str) -> None:
    """However transactions overlap with the sweeps, following the watermarks never loses a change."""
    with open_pool(postgres_url, size=6) as pool:
        store = PostgresScoreStore(pool)
        seen: dict[str, int] = {}

        def sweep(watermark: int) -> int:
            upcoming = store.watermark()
            for chunk in store.standings_since("global", watermark):
                for standing in chunk:
                    seen[standing.user_id] = max(seen.get(standing.user_id, 0), standing.version)
            return upcoming

        def write(seed: int) -> None:
            rng = random.Random(seed)
            for _ in range(40):
                _apply(store, *(event(f"user{rng.randint(0, 30)}", 1) for _ in range(rng.randint(1, 20))))

        watermark = 0
        with ThreadPoolExecutor(4) as threads:
            writing = [threads.submit(write, seed) for seed in range(4)]
            while not all(each.done() for each in writing):
                watermark = sweep(watermark)
        for each in writing:
            each.result()
        sweep(watermark)
        assert seen == _versions(store, "global")


def test_a_reader_of_standings_who_stops_halfway_gives_the_connection_back(postgres_url: str) -> None:
    with open_pool(postgres_url, size=1) as pool:
        store = PostgresScoreStore(pool)
        _apply(store, *(event(f"user{n}") for n in range(600)))
        chunks = store.standings_since("global", 0)
        assert len(next(iter(chunks))) == 500
        del chunks
        assert store.ping()


def test_a_statement_that_takes_too_long_is_unavailable_and_leaves_nothing(
    store: PostgresScoreStore, postgres_url: str
) -> None:
    blocked = event("ada", 5)
    _apply(store, event("ada", 1))
    with psycopg.connect(postgres_url) as blocking:
        blocking.execute("SELECT * FROM standings FOR UPDATE")
        with pytest.raises(Unavailable):
            store.apply([blocked], timeout_ms=100)
    assert _apply(store, blocked).fresh == 1


def test_a_replica_that_takes_no_writes_is_unavailable(postgres_url: str) -> None:
    """As after a fail-over, until the connection leads to the new primary."""
    with open_pool(postgres_url) as pool, pool.connection() as one:
        one.execute("SET default_transaction_read_only = on")
        with pytest.raises(Unavailable), postgres_errors():
            one.execute("CREATE TABLE refused ()")


def test_who_reads_standings_too_slowly_is_told_that_they_are_unavailable(
    store: PostgresScoreStore, postgres_url: str
) -> None:
    store.apply([event(f"user{n}") for n in range(600)], timeout_ms=TIMEOUT_MS)
    with open_pool(postgres_url) as pool:
        with pool.connection() as connection:
            connection.execute("SET idle_in_transaction_session_timeout = 50")
        chunks = iter(PostgresScoreStore(pool).standings_since("global", 0))
        next(chunks)
        time.sleep(0.5)
        with pytest.raises(Unavailable):
            list(chunks)


def test_the_time_limit_of_one_batch_does_not_outlive_it(
    store: PostgresScoreStore, pool: ConnectionPool[psycopg.Connection[Any]]
) -> None:
    store.apply([event()], timeout_ms=123)
    for _ in range(4):
        with pool.connection() as connection:
            assert connection.execute("SHOW statement_timeout").fetchone() == ("10s",)


def test_a_server_that_is_away_is_unavailable_and_back_it_serves(postgres_url: str) -> None:
    with parts.postgres_server() as server:
        url = server.database()
        with open_pool(url) as pool:
            store = PostgresScoreStore(pool)
            _apply(store, event("ada", 5))
            server.part.kill()
            with pytest.raises(Unavailable):
                store.boards()
            server.part.start()
            _eventually_serves(store)
            assert _marks(store, "global") == {"ada": Mark(5, START_US)}


def _eventually_serves(store: PostgresScoreStore) -> None:
    for _ in range(20):
        try:
            store.boards()
        except Unavailable:
            continue
        return
    pytest.fail("the pool never came back")


def test_the_ids_of_a_batch_need_not_be_in_any_order(store: PostgresScoreStore) -> None:
    ids: Sequence[uuid.UUID] = [uuid.UUID(int=n) for n in (5, 1, 9, 3)]
    result = _apply(store, *(event("ada", 1, event_id=each) for each in ids))
    assert result.fresh == 4
