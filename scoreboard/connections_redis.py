"""Connections to Redis: their limits in one place.

Every wait has a short limit and at most one retry: the driver's own default of ten retries with growing pauses makes a
hung server look like a slow one for half a minute.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ConstantBackoff
from redis.exceptions import NoScriptError, RedisError
from redis.retry import Retry

from scoreboard.config import Settings
from scoreboard.errors import Unavailable
from scoreboard.queries import lua

SOCKET_TIMEOUT_S: Final = 0.8
BULK_TIMEOUT_S: Final = 5.0
"""For the larger calls of the sweeper and of rebuilds."""


def _parameters(settings: Settings) -> dict[str, Any]:
    return {
        "host": settings.redis_host,
        "port": settings.redis_port,
        "db": settings.redis_db,
        "password": settings.redis_password or None,
        "ssl": settings.redis_tls_enabled,
        "decode_responses": True,
        "socket_keepalive": True,
        "health_check_interval": 0,
    }


def redis_client(settings: Settings, *, timeout_s: float = BULK_TIMEOUT_S) -> redis.Redis:
    """Return a client for synchronous work; a call takes up to twice the time limit."""
    return redis.Redis(
        **_parameters(settings),
        socket_timeout=timeout_s,
        socket_connect_timeout=min(timeout_s, SOCKET_TIMEOUT_S),
        retry=Retry(ConstantBackoff(0.05), 1),
    )


def async_redis_client(settings: Settings) -> redis.asyncio.Redis:
    """Return a client for the API; when all connections are in use, a caller waits for one."""
    parameters = _parameters(settings)
    connection_class: type[redis.asyncio.Connection] = redis.asyncio.Connection
    if parameters.pop("ssl"):
        connection_class = redis.asyncio.SSLConnection
    pool = redis.asyncio.BlockingConnectionPool(
        max_connections=settings.redis_pool_max,
        timeout=SOCKET_TIMEOUT_S,
        connection_class=connection_class,
        **parameters,
        socket_timeout=SOCKET_TIMEOUT_S,
        socket_connect_timeout=SOCKET_TIMEOUT_S,
        retry=AsyncRetry(ConstantBackoff(0.02), 1),
    )
    return redis.asyncio.Redis.from_pool(pool)


@contextmanager
def redis_errors(unavailable: type[Unavailable] = Unavailable) -> Iterator[None]:
    """Turn what Redis raises into `Unavailable` or the kind of it that the caller names."""
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        raise unavailable(retry_after_s=1) from error


@dataclass(slots=True)
class _Call:
    name: str
    keys: Sequence[str]
    arguments: Sequence[str | int]
    answer: asyncio.Future[Any]


class ScriptCaller:
    """Runs Lua scripts; those asked for while a request is under way share the next.

    One request is under way at a time. Alone, a call is not held up; under load, the cost of a request, which is mostly
    the driver's, is divided among many.
    """

    MOST_WAITING: Final = 2_000

    def __init__(self, client: redis.asyncio.Redis, names: Sequence[str], *, timeout_s: float) -> None:
        self._client = client
        self._timeout_s = timeout_s
        self._texts = {name: lua(name) for name in names}
        self._digests = {
            name: hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest() for name, text in self._texts.items()
        }
        self._waiting: list[_Call] = []
        self._sending: asyncio.Task[None] | None = None

    async def call(self, name: str, keys: Sequence[str], arguments: Sequence[str | int] = ()) -> Any:
        """Return what a script returns.

        Raises:
            RedisError, OSError, TimeoutError: It is not known to have run.
        """
        if len(self._waiting) >= self.MOST_WAITING:
            raise TimeoutError("too many calls wait for Redis")
        call = _Call(name, keys, arguments, asyncio.get_running_loop().create_future())
        self._waiting.append(call)
        if self._sending is None:
            self._sending = asyncio.create_task(self._send())
        async with asyncio.timeout(self._timeout_s):
            return await call.answer

    async def _send(self) -> None:
        try:
            while self._waiting:
                # Whoever has given up meanwhile was told that nothing happened: nothing shall.
                calls, self._waiting = [call for call in self._waiting if not call.answer.done()], []
                if not calls:
                    break
                try:
                    async with asyncio.timeout(self._timeout_s):
                        answers = await self._run(calls)
                except Exception as error:  # whatever it is, those who wait must learn of it
                    answers = [error] * len(calls)
                for call, answer in zip(calls, answers, strict=True):
                    _settle(call.answer, answer)
        finally:
            self._sending = None

    async def _run(self, calls: Sequence[_Call]) -> list[Any]:
        answers = await self._evaluate(calls)
        unknown = [at for at, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if unknown:
            # A restarted server has forgotten the scripts; these calls did not run.
            for name in {calls[at].name for at in unknown}:
                await self._client.script_load(self._texts[name])
            for at, answer in zip(unknown, await self._evaluate([calls[at] for at in unknown]), strict=True):
                answers[at] = answer
        return answers

    async def _evaluate(self, calls: Sequence[_Call]) -> list[Any]:
        async with self._client.pipeline(transaction=False) as pipeline:
            for call in calls:
                pipeline.evalsha(self._digests[call.name], len(call.keys), *call.keys, *call.arguments)
            answers: list[Any] = await pipeline.execute(raise_on_error=False)
            return answers


def _settle(answer: asyncio.Future[Any], value: Any) -> None:
    if answer.done():  # its caller has given up
        return
    if isinstance(value, Exception):
        answer.set_exception(value)
    else:
        answer.set_result(value)
