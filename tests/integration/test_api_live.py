"""The real server on the real parts: the way of a score, and what is left of it while a part is away."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

from scoreboard.connections_redis import redis_client
from scoreboard.events import ScoreEvent
from scoreboard.rank_writer_redis import RedisRankWriter
from scoreboard.score_store_postgres import PostgresScoreStore
from scoreboard.service import apply_events
from tests.support.api_fakes import NOW_US, token
from tests.support.api_process import REAL, Answer, ApiProcess, EventStream, api_process
from tests.support.parts import RedisServer

ADA = {"Authorization": f"Bearer {token()}", "Content-Type": "application/json"}


def variables(redis: RedisServer, postgres_url: str, queue_url: str, **more: str) -> dict[str, str]:
    return {
        "DATABASE_URL": postgres_url,
        "DATABASE_POOL_MIN": "1",
        "REDIS_HOST": "127.0.0.1",
        "REDIS_PORT": str(redis.port),
        "SQS_QUEUE_URL": queue_url,
        **more,
    }


@pytest.fixture
async def api(tmp_path: Path, own_valkey: RedisServer, postgres_url: str, queue_url: str) -> AsyncIterator[ApiProcess]:
    async with api_process(tmp_path / "api.log", REAL, **variables(own_valkey, postgres_url, queue_url)) as running:
        yield running


@pytest.fixture
def apply(own_valkey: RedisServer, store: PostgresScoreStore) -> Callable[..., int]:
    """Apply messages as the worker does."""
    settings = own_valkey.settings("leaderboard:top10")

    def work(*messages: str) -> int:
        with redis_client(settings) as client:
            writer = RedisRankWriter(client, settings.redis_key_leaderboard)
            return apply_events(messages, store=store, writer=writer, timeout_ms=5000).fresh

    return work


def message(user_id: str, value: int) -> str:
    event = ScoreEvent(
        event_id=uuid.uuid4(),
        board_id="global",
        user_id=user_id,
        value=value,
        accepted_at=NOW_US,
        submitted_by=user_id,
    )
    return event.to_json()


def scores(snapshot: dict[str, Any]) -> dict[str, int]:
    return {entry["user_id"]: entry["score"] for entry in snapshot["entries"]}


async def eventually(stream: EventStream, expected: dict[str, int], *, epoch: Callable[[str], bool]) -> None:
    """Read the stream until it shows a board in an epoch; every board on the way has to be whole or an older one."""
    last: tuple[str, int] = ("", 0)
    async with asyncio.timeout(60):
        while True:
            snapshot = (await stream.snapshot()).data
            version = (snapshot["epoch"], snapshot["version"])
            assert version[0] != last[0] or version[1] > last[1], "a screen went backwards"
            last = version
            assert all(scores(snapshot).get(user, 0) <= score for user, score in expected.items())
            if scores(snapshot) == expected and epoch(snapshot["epoch"]):
                return


def indexed(epoch: str) -> bool:
    return not epoch.startswith("pg")


async def post(api: ApiProcess, body: bytes = b'{"delta":5}', **headers: str) -> Answer:
    return await api.request("POST", "/api/scores", body=body, **(ADA | headers))


async def test_a_score_goes_from_http_to_the_queue_and_from_there_to_the_screen(
    api: ApiProcess, apply: Callable[..., int], queue_url: str
) -> None:
    stream = await api.stream()
    accepted = await post(api, Idempotency_Key="first")
    assert accepted.status == 202
    event_id = accepted.json["event_id"]
    queued = await api.request("GET", f"/api/scores/{event_id}", **ADA)
    assert queued.json == {"event_id": event_id, "status": "queued"}
    found = boto3.client("sqs").receive_message(QueueUrl=queue_url, WaitTimeSeconds=20)["Messages"]
    assert ScoreEvent.from_json(found[0]["Body"]).event_id == uuid.UUID(event_id)
    assert await asyncio.to_thread(apply, found[0]["Body"]) == 1
    await eventually(stream, {"ada": 5}, epoch=lambda epoch: True)
    applied = await api.request("GET", f"/api/scores/{event_id}", **ADA)
    assert applied.json == {"event_id": event_id, "status": "applied"}
    replay = await post(api, Idempotency_Key="first")
    assert (replay.status, replay.json, replay.headers["idempotent-replayed"]) == (202, accepted.json, "true")


async def test_of_a_hundred_posts_at_once_exactly_the_limit_is_accepted(api: ApiProcess) -> None:
    answers = await asyncio.gather(*(post(api) for _ in range(100)))
    assert sorted({answer.status for answer in answers}) == [202, 429]
    assert sum(answer.status == 202 for answer in answers) == 10
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers if answer.status == 429)


async def test_an_emptied_index_is_built_anew_and_no_screen_sees_it_half(
    api: ApiProcess, apply: Callable[..., int], own_valkey: RedisServer
) -> None:
    expected = {f"user-{number}": 100 + number for number in range(8)}
    stream = await api.stream()
    await asyncio.to_thread(apply, *(message(user, score) for user, score in expected.items()))
    await eventually(stream, expected, epoch=indexed)
    with redis_client(own_valkey.settings()) as client:
        client.flushall()
    snapshot = (await stream.snapshot()).data
    while not indexed(snapshot["epoch"]):
        assert scores(snapshot) == expected
        snapshot = (await stream.snapshot()).data
    assert scores(snapshot) == expected
    assert (await api.request("GET", "/api/leaderboard/users/user-0")).json["rank"] == 8


async def test_without_redis_boards_are_read_and_no_score_is_taken_until_it_is_back(
    api: ApiProcess, apply: Callable[..., int], own_valkey: RedisServer
) -> None:
    stream = await api.stream()
    await asyncio.to_thread(apply, message("ada", 7))
    await eventually(stream, {"ada": 7}, epoch=indexed)
    own_valkey.part.kill()
    refused = await post(api)
    assert (refused.status, refused.json["error_code"]) == (503, "LIMITER_UNAVAILABLE")
    assert int(refused.headers["retry-after"]) >= 1
    await eventually(stream, {"ada": 7}, epoch=lambda epoch: not indexed(epoch))
    page = await api.request("GET", "/api/leaderboard")
    assert scores(page.json) == {"ada": 7}
    health = await api.request("GET", "/health")
    assert (health.status, health.json["status"], health.json["redis"]) == (200, "degraded", "down")
    own_valkey.part.start()
    await asyncio.to_thread(apply, message("bob", 3))
    await eventually(stream, {"ada": 7, "bob": 3}, epoch=indexed)
    assert (await post(api)).status == 202
    assert [line for line in api.printed().splitlines() if '"level": "ERROR"' in line] == []


async def test_a_redis_that_hangs_holds_up_no_reader(api: ApiProcess, own_valkey: RedisServer) -> None:
    await (await api.stream()).snapshot()
    with own_valkey.part.paused():
        answers = await asyncio.gather(*(api.request("GET", "/api/leaderboard") for _ in range(20)), post(api))
        assert [answer.status for answer in answers] == [200] * 20 + [503]
    assert (await post(api)).status == 202


async def test_scores_are_taken_while_postgres_is_away_from_the_start(
    tmp_path: Path, own_valkey: RedisServer, queue_url: str
) -> None:
    away = variables(own_valkey, "postgresql://nobody@127.0.0.1:1/nothing", queue_url)
    async with api_process(tmp_path / "api.log", REAL, **away) as api:
        assert (await post(api)).status == 202
        stream = await api.stream()
        assert stream.head.status == 200
        assert (await stream.next()) is not None
        board = await api.request("GET", "/api/leaderboard")
        assert (board.status, board.json["error_code"]) == (503, "BOARD_UNAVAILABLE")
        api.send()
        assert (await stream.next("bye")) is not None
        assert await asyncio.to_thread(api.wait) == 0


async def test_without_the_queue_a_score_is_refused_and_may_be_sent_again(
    tmp_path: Path, own_valkey: RedisServer, postgres_url: str, queue_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:1")
    async with api_process(tmp_path / "api.log", REAL, **variables(own_valkey, postgres_url, queue_url)) as api:
        refused = await post(api, Idempotency_Key="again")
        assert (refused.status, refused.json["error_code"]) == (503, "QUEUE_UNAVAILABLE")
        assert int(refused.headers["retry-after"]) >= 1
        assert (await api.request("GET", "/api/leaderboard")).status == 200
