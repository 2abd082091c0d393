"""The worker's handler on real parts: what it reports to the queue, and what it leaves in truth and index."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import psycopg
import pytest

from ops.handler_process import Context
from scoreboard.boards import GLOBAL
from scoreboard.config import Settings
from scoreboard.errors import ConfigError
from scoreboard.events import ScoreEvent
from scoreboard.ports import EventStatus
from scoreboard.rank_reader_redis import RedisRankReader
from scoreboard.rank_writer_redis import RedisRankWriter
from scoreboard.redelivery_sqs import SqsRedelivery
from scoreboard.score_reader_postgres import PostgresScoreReader
from scoreboard.score_store_postgres import PostgresScoreStore
from scoreboard.service import rebuild_board
from tests.support import parts
from tests.support.model import board, event
from workers import runtime, score_events

TIME_MS = 30_000

Invoke = Callable[..., list[str]]


def _point_to(monkeypatch: pytest.MonkeyPatch, database_url: str, redis: Settings) -> None:
    """Lead the worker to some parts, as a cold start would find them."""
    variables = {
        "APP_ENV": "test",
        "DATABASE_URL": database_url,
        "REDIS_HOST": redis.redis_host,
        "REDIS_PORT": str(redis.redis_port),
        "REDIS_KEY_LEADERBOARD": redis.redis_key_leaderboard,
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("JWT_SECRET", raising=False)
    _cold()


def _cold() -> None:
    for kept in (runtime.settings, runtime.secrets, runtime.logger, runtime.metrics, runtime.store, runtime.writer):
        kept.cache_clear()


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch, postgres_url: str, redis_settings: Settings) -> Iterator[None]:
    """The worker on the session's parts."""
    _point_to(monkeypatch, postgres_url, redis_settings)
    yield
    _close()


def _close() -> None:
    if runtime.store.cache_info().currsize:
        runtime.store()._pool.close()
    if runtime.writer.cache_info().currsize:
        runtime.writer()._client.close()
    _cold()


def _record(body: str) -> dict[str, Any]:
    return {
        "messageId": str(uuid.uuid4()),
        "receiptHandle": "handle",
        "body": body,
        "attributes": {"ApproximateReceiveCount": "1"},
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:scoreboard-scores",
        "awsRegion": "us-east-1",
    }


def _invoke(bodies: Sequence[str], *, time_ms: int = TIME_MS) -> list[int]:
    """Give a batch to the handler; gives the places of the messages that it reports as failed."""
    records = [_record(body) for body in bodies]
    context: Any = Context(str(uuid.uuid4()), time.monotonic() + time_ms / 1000, "stream")
    answer = score_events.handler({"Records": records}, context)
    failed = [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]
    assert len(failed) == len(set(failed))
    places = [record["messageId"] for record in records]
    return sorted(places.index(message_id) for message_id in failed)


def _bodies(*events: ScoreEvent) -> list[str]:
    return [each.to_json() for each in events]


def _scores(store: PostgresScoreStore, board_id: str = "global") -> dict[str, int]:
    return {each.user_id: each.score for chunk in store.standings_since(board_id, 0) for each in chunk}


async def _shown(index: RedisRankReader) -> dict[str, int]:
    snapshot = await index.top(GLOBAL, 100)
    assert snapshot is not None
    return {entry.user_id: entry.score for entry in snapshot.entries}


async def test_a_batch_is_applied_and_shown(
    worker: None, store: PostgresScoreStore, writer: RedisRankWriter, index: RedisRankReader
) -> None:
    assert rebuild_board(GLOBAL, store=store, writer=writer)
    assert _invoke(_bodies(event("ada", 5), event("bob", 7), event("ada", 1))) == []
    assert _scores(store) == await _shown(index) == {"ada": 6, "bob": 7}


async def test_only_what_can_never_be_applied_is_reported(
    worker: None, store: PostgresScoreStore, reader: PostgresScoreReader
) -> None:
    rules = board(max_score=100)
    store.create_board(rules)
    good, above = event("ada", 5), event("eve", 101, board_id=rules.board_id)
    too_large, nowhere = event("ada", 1001), event("ada", 1, board_id="nowhere")
    bodies = [
        good.to_json(),
        "not JSON",
        good.to_json(),
        json.dumps({"v": 1}),
        too_large.to_json(),
        nowhere.to_json(),
        above.to_json(),
        event("bob", 2).to_json(),
    ]
    assert _invoke(bodies) == [1, 3, 4, 5, 6]
    assert _scores(store) == {"ada": 5, "bob": 2}
    assert _scores(store, rules.board_id) == {}
    for rejected, reason in (
        (too_large, "delta must be from 1 to 1000 on board global."),
        (nowhere, "There is no board nowhere."),
        (above, "the score of eve would leave the bounds -9007199254740991 to 100"),
    ):
        record = await reader.event(rejected.event_id)
        assert record is not None
        assert (record.status, record.reason) == (EventStatus.REJECTED, reason)


def test_a_batch_of_nothing_but_poison_is_reported_whole(worker: None) -> None:
    assert _invoke(["", "[]", "\ud800"]) == [0, 1, 2]


def test_every_copy_of_a_rejected_event_is_reported(worker: None, store: PostgresScoreStore) -> None:
    rules = board(max_score=10)
    store.create_board(rules)
    bad = event("ada", 11, board_id=rules.board_id)
    assert _invoke(_bodies(bad, event("bob", 1, board_id=rules.board_id), bad)) == [0, 2]
    assert _scores(store, rules.board_id) == {"bob": 1}


def test_the_figures_of_a_batch_are_logged_and_measured(
    worker: None,
    store: PostgresScoreStore,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rules = board(max_score=10)
    store.create_board(rules)
    good, bad = event("ada", 5), event("ada", 11, board_id=rules.board_id)
    other = event("ada", 6, event_id=good.event_id)
    _invoke([*_bodies(good, good, bad, bad, other), "not JSON"])
    expected = {
        "events_applied": 1,
        "events_duplicate": 2,
        "events_rejected": 3,
        "events_conflicting": 1,
    }
    (logged,) = (record for record in caplog.records if record.message == "batch applied")
    assert {name: getattr(logged, name) for name in expected} == expected
    (measured,) = (json.loads(line) for line in capsys.readouterr().out.splitlines() if "_aws" in line)
    assert {name: measured[name] for name in expected} == {name: [value] for name, value in expected.items()}


async def test_an_index_that_is_away_after_the_commit_is_a_success(
    monkeypatch: pytest.MonkeyPatch, postgres_url: str, store: PostgresScoreStore, own_valkey: parts.RedisServer
) -> None:
    _point_to(monkeypatch, postgres_url, own_valkey.settings())
    try:
        _invoke(_bodies(event("ada", 1)))
        own_valkey.part.kill()
        assert _invoke(_bodies(event("ada", 5))) == []
        assert _scores(store) == {"ada": 6}
    finally:
        _close()


async def test_an_index_that_hangs_does_not_use_up_the_time_of_the_function(
    monkeypatch: pytest.MonkeyPatch, postgres_url: str, store: PostgresScoreStore, own_valkey: parts.RedisServer
) -> None:
    """Otherwise a hung Redis would have every batch killed after its commit, and fill the dead-letter queue."""
    rules = board()
    store.create_board(rules)
    _point_to(monkeypatch, postgres_url, own_valkey.settings())
    try:
        _invoke(_bodies(event("ada", 1)))
        with own_valkey.part.paused():
            assert _invoke(_bodies(event("ada", 5), event("ada", 5, board_id=rules.board_id))) == []
            assert 2 * 1000 * runtime.INDEX_TIMEOUT_S < score_events.RESERVE_MS
        assert _scores(store) == {"ada": 6}
    finally:
        _close()


async def test_a_redelivery_after_a_crash_between_commit_and_index_heals_the_index(
    worker: None, store: PostgresScoreStore, writer: RedisRankWriter, index: RedisRankReader
) -> None:
    assert rebuild_board(GLOBAL, store=store, writer=writer)
    lost = event("ada", 5)
    store.apply([lost], timeout_ms=10_000)  # and then the worker died
    assert await _shown(index) == {}
    assert _invoke(_bodies(lost)) == []
    assert await _shown(index) == _scores(store) == {"ada": 5}


def test_a_database_that_is_away_fails_every_message_and_raises_nothing(
    monkeypatch: pytest.MonkeyPatch, redis_settings: Settings
) -> None:
    _point_to(monkeypatch, "postgresql://scoreboard@127.0.0.1:9/nowhere", redis_settings)
    try:
        assert _invoke([*_bodies(event(), event()), "poison"]) == [0, 1, 2]
    finally:
        _close()


def test_a_statement_that_is_blocked_fails_every_message_in_time(
    worker: None, store: PostgresScoreStore, postgres_url: str
) -> None:
    store.apply([event("ada", 1)], timeout_ms=10_000)
    with psycopg.connect(postgres_url) as blocking:
        blocking.execute("SELECT * FROM standings FOR UPDATE")
        assert _invoke(_bodies(event("ada", 5), event("bob", 5)), time_ms=score_events.RESERVE_MS + 300) == [0, 1]
    assert _scores(store) == {"ada": 1}


@pytest.mark.parametrize("time_ms", [0, 1, score_events.RESERVE_MS])
def test_a_batch_is_not_begun_when_little_time_is_left(worker: None, store: PostgresScoreStore, time_ms: int) -> None:
    assert _invoke(_bodies(event(), event()), time_ms=time_ms) == [0, 1]
    assert _scores(store) == {}


def test_the_worker_starts_without_the_signing_key(worker: None) -> None:
    assert runtime.settings().jwt_secret == ""


def test_a_cold_start_without_secrets_lets_the_messages_rest(
    worker: None, queue_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each try would count towards the dead letters at the queue's own pace."""
    rests: list[Any] = []
    monkeypatch.setattr(SqsRedelivery, "put_off", lambda self, messages, **_: rests.append((self._queue_url, messages)))
    arn = "arn:aws:secretsmanager:us-east-1:000000000000:secret:away"
    for name, value in {
        "SQS_QUEUE_URL": queue_url,
        "DATABASE_SECRET_ARN": arn,
        "AWS_ENDPOINT_URL_SECRETS_MANAGER": "http://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match="cannot be read"):
        score_events.handler({"Records": [_record("{}")]}, Context("request", time.monotonic() + 30, "stream"))  # type: ignore[arg-type]
    assert rests == [(queue_url, [("handle", 1)])]
