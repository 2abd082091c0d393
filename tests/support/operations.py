"""The operations app in tests: led to real parts, cold at each start, and called as Lambda calls it."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

import app as operations
from chalicelib import runtime
from ops.handler_process import Context
from scoreboard.auth import Keyring, issue_token
from scoreboard.config import Settings
from tests.support.parts import SECRET

ORIGIN = "https://play.example.com"
KEPT = (
    *(runtime.settings, runtime._failed, runtime.secrets, runtime.logger, runtime.metrics, runtime.holder),
    runtime._client,
    *(runtime._pool, runtime._redis, runtime.store, runtime.history, runtime.writer, runtime.edge),
    *(runtime.dead_letters, runtime.alert_memory),
)


@contextmanager
def operations_on(monkeypatch: pytest.MonkeyPatch, redis: Settings, **variables: str) -> Iterator[None]:
    """Lead the app to some parts, as a cold start would find them."""
    given = {
        "APP_ENV": "test",
        "JWT_SECRET": SECRET,
        "REDIS_HOST": redis.redis_host,
        "REDIS_PORT": str(redis.redis_port),
        "REDIS_KEY_LEADERBOARD": redis.redis_key_leaderboard,
        "REDIS_KEY_SCORE_PREFIX": redis.redis_key_score_prefix,
        "REDIS_KEY_RATE_LIMIT_PREFIX": redis.redis_key_rate_limit_prefix,
        "CORS_ORIGIN": ORIGIN,
        **variables,
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    _cold()
    try:
        yield
    finally:
        _close()


def _cold() -> None:
    for kept in KEPT:
        kept.cache_clear()


def _close() -> None:
    if runtime._pool.cache_info().currsize:
        runtime._pool().close()
    for timeout_s in (runtime.EDGE_REDIS_S, 5.0):
        if runtime._redis.cache_info().currsize:
            runtime._redis(timeout_s).close()
    _cold()


def context(seconds: float = 60.0) -> Any:
    """What Lambda tells of an invocation that may take so long."""
    return Context(str(uuid.uuid4()), time.monotonic() + seconds, "stream")


def scheduled(name: str, seconds: float = 60.0) -> dict[str, Any]:
    """Let the schedule of a function come round; gives what it answers."""
    event = {
        "version": "0", "id": str(uuid.uuid4()), "detail-type": "Scheduled Event", "source": "aws.events",
        "account": "000000000000", "time": "2026-11-24T03:17:00Z", "region": "us-east-1", "resources": [], "detail": {},
    }  # fmt: skip
    answer: dict[str, Any] = operations.app.handler_map[name](event, context(seconds))
    return answer


def invoked(name: str, event: Mapping[str, Any], seconds: float = 60.0) -> Any:
    """Invoke a function by hand."""
    return operations.app.handler_map[name](dict(event), context(seconds))


@dataclass(frozen=True)
class HttpAnswer:
    """What API Gateway gets."""

    status: int
    headers: dict[str, str]
    body: str

    @property
    def json(self) -> Any:
        """The body, read."""
        return json.loads(self.body)


def request(
    method: str,
    path: str,
    *,
    resource: str | None = None,
    headers: Mapping[str, str | list[str]] | None = None,
    body: str | None = None,
) -> HttpAnswer:
    """Send a request as API Gateway hands it over; a header may be given several times."""
    parameters = None
    if resource is None:
        resource = path if path in operations.app.routes else "/{proxy+}"
        if path.startswith("/api/scores/"):
            resource, parameters = "/api/scores/{event_id}", {"event_id": path.rpartition("/")[2]}
    several = {name: [value] if isinstance(value, str) else value for name, value in (headers or {}).items()}
    event = {
        "resource": resource,
        "path": path,
        "httpMethod": method,
        "headers": {name: values[-1] for name, values in several.items()},
        "multiValueHeaders": several,
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": parameters,
        "stageVariables": None,
        "requestContext": {"httpMethod": method, "resourcePath": resource, "path": f"/live{path}"},
        "body": body,
        "isBase64Encoded": False,
    }
    answer = operations.app(event, context())
    return HttpAnswer(answer["statusCode"], {**answer["headers"]}, answer["body"])


def bearer(user_id: str = "ada", role: str = "player", secret: str = SECRET) -> dict[str, str]:
    """The header that signs somebody in."""
    keyring = Keyring.of(secret, "", issuer="scoreboard", audience="scoreboard-api")
    return {"Authorization": f"Bearer {issue_token(keyring, user_id=user_id, role=role, ttl_s=600)}"}
