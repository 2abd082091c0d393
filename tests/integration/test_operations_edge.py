"""The submission edge on real parts: the same rules and answers as the API's, without the API."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from chalice.test import Client

import app as operations
from chalicelib import runtime
from scoreboard.boards import Board, Operator
from scoreboard.config import Settings
from scoreboard.errors import ConfigError
from scoreboard.events import ScoreEvent
from scoreboard.score_store_postgres import PostgresScoreStore
from tests.support import parts
from tests.support.model import board, event
from tests.support.operations import ORIGIN, HttpAnswer, bearer, operations_on, request

NOWHERE = "postgresql://scoreboard@127.0.0.1:9/nowhere"


@pytest.fixture
def edge(monkeypatch: pytest.MonkeyPatch, postgres_url: str, redis_settings: Settings, queue_url: str) -> Iterator[str]:
    """The edge on the session's parts; gives the URL of its queue."""
    with operations_on(monkeypatch, redis_settings, DATABASE_URL=postgres_url, SQS_QUEUE_URL=queue_url):
        yield queue_url


def _messages(url: str) -> list[ScoreEvent]:
    client = boto3.client("sqs")
    found: list[ScoreEvent] = []
    while got := client.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        found += [ScoreEvent.from_json(message["Body"]) for message in got]
    return found


def _submit(body: Any, **headers: Any) -> HttpAnswer:
    text = body if isinstance(body, str) else json.dumps(body)
    return request(
        "POST", "/api/scores", headers={"Content-Type": "application/json", **bearer(), **headers}, body=text
    )


def _is_error(answer: HttpAnswer, status: int, code: str) -> None:
    assert (answer.status, answer.json["error_code"]) == (status, code)
    assert set(answer.json) == {"error_code", "message", "request_id"}
    assert answer.json["request_id"] == answer.headers["X-Request-Id"]
    assert answer.headers["Content-Type"] == "application/json"


def test_a_score_is_accepted_once_the_queue_has_it(edge: str) -> None:
    answer = _submit({"delta": 5})
    assert (answer.status, answer.json["status"]) == (202, "queued")
    assert answer.headers["Location"] == f"/api/scores/{answer.json['event_id']}"
    assert (answer.headers["RateLimit-Limit"], answer.headers["RateLimit-Remaining"]) == ("10", "9")
    (sent,) = _messages(edge)
    assert (str(sent.event_id), sent.board_id, sent.user_id, sent.value) == (
        answer.json["event_id"],
        "global",
        "ada",
        5,
    )


def test_chalices_own_client_reaches_it_too(edge: str) -> None:
    with Client(operations.app) as client:
        headers = {"Content-Type": "application/json; charset=utf-8", **bearer()}
        answer = client.http.post("/api/scores", headers=headers, body=b'{"delta": 3}')
        assert answer.status_code == 202
        state = client.http.get(f"/api/scores/{answer.json_body['event_id']}", headers=bearer())
        assert state.json_body == {"event_id": answer.json_body["event_id"], "status": "queued"}
        assert client.http.get("/elsewhere").status_code == 503


def test_a_key_sent_again_is_the_same_event_and_is_not_sent_again(edge: str) -> None:
    first, second = (_submit({"delta": 5}, **{"Idempotency-Key": "k1"}) for _ in range(2))
    assert first.json == second.json
    assert "Idempotent-Replayed" not in first.headers
    assert second.headers["Idempotent-Replayed"] == "true"
    _is_error(_submit({"delta": 6}, **{"Idempotency-Key": "k1"}), 409, "IDEMPOTENCY_KEY_REUSED")
    assert len(_messages(edge)) == 1


def test_the_limit_holds_and_says_when_there_is_more(edge: str) -> None:
    assert {_submit({"delta": 1}).status for _ in range(10)} == {202}
    answer = _submit({"delta": 1})
    _is_error(answer, 429, "RATE_LIMITED")
    assert answer.headers["RateLimit-Remaining"] == "0"
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert answer.headers["RateLimit-Reset"] == answer.headers["Retry-After"]
    assert len(_messages(edge)) == 10


def test_a_server_scores_for_anyone_and_a_player_only_for_itself(edge: str) -> None:
    assert _submit({"delta": 5, "user_id": "bob"}, **bearer("game", "server")).status == 202
    _is_error(_submit({"delta": 5, "user_id": "bob"}), 403, "FORBIDDEN")
    (sent,) = _messages(edge)
    assert (sent.user_id, sent.submitted_by) == ("bob", "game")


@pytest.mark.parametrize(
    ("headers", "body", "status", "code"),
    [
        ({"Authorization": []}, '{"delta": 5}', 401, "MISSING_TOKEN"),
        ({"Authorization": "Basic x"}, '{"delta": 5}', 401, "INVALID_TOKEN"),
        ({"Authorization": ["Bearer a", "Bearer b"]}, '{"delta": 5}', 401, "INVALID_TOKEN"),
        (bearer(secret="another secret, which is long enough"), '{"delta": 5}', 401, "INVALID_TOKEN"),
        ({"Content-Type": "text/plain"}, '{"delta": 5}', 415, "UNSUPPORTED_MEDIA_TYPE"),
        ({"Content-Type": []}, '{"delta": 5}', 415, "UNSUPPORTED_MEDIA_TYPE"),
        ({"Content-Type": "application/json; charset=latin-1"}, '{"delta": 5}', 415, "UNSUPPORTED_MEDIA_TYPE"),
        ({"Content-Encoding": "gzip"}, '{"delta": 5}', 415, "UNSUPPORTED_MEDIA_TYPE"),
        ({}, None, 400, "INVALID_JSON"),
        ({}, "[5]", 400, "INVALID_JSON"),
        ({}, '{"delta": NaN}', 400, "INVALID_JSON"),
        ({}, "[" * 3000, 400, "INVALID_JSON"),
        ({}, '{"delta": 5, "delta": 6}', 400, "DUPLICATE_KEY"),
        ({}, '{"delta": "5"}', 400, "INVALID_FIELD"),
        ({}, '{"delta": 5, "board": 5}', 400, "INVALID_FIELD"),
        ({}, '{"delta": 5, "more": 1}', 400, "UNKNOWN_FIELD"),
        ({}, '{"delta": 1001}', 422, "DELTA_OUT_OF_RANGE"),
        ({}, '{"delta": 5, "board": "nowhere"}', 404, "UNKNOWN_BOARD"),
        ({}, '{"delta": 5, "board": "No Name"}', 404, "UNKNOWN_BOARD"),
        ({}, json.dumps({"delta": 5, "user_id": "x" * 5000}), 413, "PAYLOAD_TOO_LARGE"),
        ({"Idempotency-Key": ["a", "b"]}, '{"delta": 5}', 400, "INVALID_IDEMPOTENCY_KEY"),
        ({"Idempotency-Key": "é"}, '{"delta": 5}', 400, "INVALID_IDEMPOTENCY_KEY"),
    ],
)
def test_what_is_wrong_is_refused_as_by_the_api(
    edge: str, headers: dict[str, Any], body: str | None, status: int, code: str
) -> None:
    sent = {"Content-Type": "application/json", **bearer(), **headers}
    answer = request("POST", "/api/scores", headers={name: value for name, value in sent.items() if value}, body=body)
    _is_error(answer, status, code)
    assert ("WWW-Authenticate" in answer.headers) == (status == 401)
    assert _messages(edge) == []


def test_a_board_of_scores_takes_scores(edge: str, store: PostgresScoreStore) -> None:
    rules = Board(board_id="race", operator=Operator.BEST, min_change=1, max_change=100)
    store.create_board(rules)
    assert _submit({"score": 50, "board": "race"}).status == 202
    _is_error(_submit({"delta": 50, "board": "race"}), 400, "UNKNOWN_FIELD")


def test_a_submitter_learns_what_became_of_a_score_and_nobody_else_does(edge: str, store: PostgresScoreStore) -> None:
    mine = event("ada", 5)
    store.apply([mine])
    rules = board(max_score=3)
    broken = event("ada", 4, board_id=rules.board_id)
    store.reject({broken: "too much"})

    def ask(event_id: object, **headers: str) -> HttpAnswer:
        return request("GET", f"/api/scores/{event_id}", headers=headers or bearer())

    assert ask(mine.event_id).json == {"event_id": str(mine.event_id), "status": "applied"}
    assert ask(broken.event_id).json["reason"] == "too much"
    for answer in (ask(uuid.uuid4()), ask("no-id"), ask(mine.event_id, **bearer("eve"))):
        _is_error(answer, 404, "UNKNOWN_EVENT")
    _is_error(request("GET", f"/api/scores/{mine.event_id}"), 401, "MISSING_TOKEN")


def test_pages_of_known_origins_may_send_and_read(edge: str) -> None:
    asked = request("OPTIONS", "/api/scores", headers={"Origin": ORIGIN, "Access-Control-Request-Method": "POST"})
    assert asked.status == 204
    assert asked.headers["Access-Control-Allow-Methods"] == "OPTIONS, POST"
    assert "Idempotency-Key" in asked.headers["Access-Control-Allow-Headers"]
    for answer in (asked, _submit({"delta": 1}, Origin=ORIGIN), _submit({"delta": 0}, Origin=ORIGIN)):
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert answer.headers["Access-Control-Allow-Credentials"] == "true"
        assert "Location" in answer.headers["Access-Control-Expose-Headers"]
    assert "Access-Control-Allow-Origin" not in _submit({"delta": 1}, Origin="https://elsewhere.example.com").headers


def test_health_says_which_part_is_away(
    edge: str, monkeypatch: pytest.MonkeyPatch, redis_settings: Settings, queue_url: str
) -> None:
    assert request("GET", "/health").json == {
        "status": "ok", "db": "up", "redis": "up", "queue": "up", "version": "0.1.0",
    }  # fmt: skip
    with operations_on(monkeypatch, redis_settings, DATABASE_URL=NOWHERE, SQS_QUEUE_URL=queue_url):
        answer = request("GET", "/health")
    assert (answer.status, answer.json["status"], answer.json["db"], answer.json["queue"]) == (
        200,
        "degraded",
        "down",
        "up",
    )


@pytest.mark.parametrize("path", ["/", "/api/leaderboard", "/health/ready", "/docs", "/static/app.js", "/api/stream"])
def test_everything_else_says_that_only_scores_are_accepted(edge: str, path: str) -> None:
    page = request("GET", path, headers={"Accept": "text/html,*/*;q=0.8"})
    assert (page.status, page.headers["Content-Type"]) == (503, "text/html; charset=utf-8")
    assert "Scores are still accepted" in page.body
    assert "style-src 'sha256-" in page.headers["Content-Security-Policy"]
    for method, headers in (("GET", {"Accept": "application/json"}), ("GET", {}), ("POST", {"Accept": "text/html"})):
        answer = request(method, path, headers=headers)
        _is_error(answer, 503, "UNAVAILABLE")
        assert answer.headers["Retry-After"] == page.headers["Retry-After"] == "30"
        assert answer.headers["Cache-Control"] == "no-store"


def test_while_postgresql_is_away_the_default_board_takes_scores_and_others_are_unavailable(
    monkeypatch: pytest.MonkeyPatch, redis_settings: Settings, queue_url: str
) -> None:
    with operations_on(monkeypatch, redis_settings, DATABASE_URL=NOWHERE, SQS_QUEUE_URL=queue_url):
        assert _submit({"delta": 1}).status == 202
        answer = _submit({"delta": 1, "board": "race"})
        _is_error(answer, 503, "BOARD_UNAVAILABLE")
        assert answer.headers["Retry-After"] == "5"
        _is_error(request("GET", f"/api/scores/{uuid.uuid4()}", headers=bearer()), 503, "UNAVAILABLE")


def test_while_redis_is_away_nothing_is_accepted(
    monkeypatch: pytest.MonkeyPatch, postgres_url: str, queue_url: str
) -> None:
    away = parts.settings(REDIS_HOST="127.0.0.1", REDIS_PORT="9")
    with operations_on(monkeypatch, away, DATABASE_URL=postgres_url, SQS_QUEUE_URL=queue_url):
        _is_error(_submit({"delta": 1}), 503, "LIMITER_UNAVAILABLE")
    assert _messages(queue_url) == []


def test_while_the_queue_is_away_nothing_is_accepted_and_the_same_key_is_taken_later(
    edge: str, monkeypatch: pytest.MonkeyPatch, postgres_url: str, redis_settings: Settings
) -> None:
    key = {"Idempotency-Key": "once"}
    gone = edge.rpartition("/")[0] + "/no-such-queue"
    with operations_on(monkeypatch, redis_settings, DATABASE_URL=postgres_url, SQS_QUEUE_URL=gone):
        _is_error(_submit({"delta": 1}, **key), 503, "QUEUE_UNAVAILABLE")
    with operations_on(monkeypatch, redis_settings, DATABASE_URL=postgres_url, SQS_QUEUE_URL=edge):
        assert _submit({"delta": 1}, **key).status == 202
    assert len(_messages(edge)) == 1


def test_settings_that_cannot_be_read_are_an_outage_and_not_a_crash(
    edge: str, monkeypatch: pytest.MonkeyPatch, redis_settings: Settings
) -> None:
    with operations_on(monkeypatch, redis_settings, DATABASE_URL="no url"):
        answer = _submit({"delta": 1}, Origin=ORIGIN)
        _is_error(answer, 503, "UNAVAILABLE")
        assert "no url" not in answer.body


def test_settings_that_cannot_be_read_are_asked_for_once_an_answer_and_again_after_a_while(
    edge: str, monkeypatch: pytest.MonkeyPatch, redis_settings: Settings, postgres_url: str
) -> None:
    """An attempt may take most of the time that API Gateway waits: an answer to a page must not take two."""
    attempts = []

    def load(**arguments: Any) -> Settings:
        attempts.append(arguments)
        raise ConfigError(["DATABASE_SECRET_ARN cannot be read"])

    with operations_on(monkeypatch, redis_settings, DATABASE_URL=postgres_url, SQS_QUEUE_URL=edge):
        with monkeypatch.context() as hung:
            hung.setattr(runtime, "load_settings", load)
            for _ in range(2):
                _is_error(_submit({"delta": 1}, Origin=ORIGIN), 503, "UNAVAILABLE")
            assert len(attempts) == 1
            hung.setattr(runtime, "SETTINGS_RETRY_S", 0.0)
            runtime._failed.cache_clear()
            _is_error(_submit({"delta": 1}), 503, "UNAVAILABLE")
            assert len(attempts) == 2
        assert _submit({"delta": 1}, Origin=ORIGIN).status == 202
