"""Connections to Redis: their limits in one place.

Every wait has a short limit and at most one retry: the driver's own default of ten retries with growing pauses makes a
hung server look like a slow one for half a minute.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ConstantBackoff
from redis.credentials import CredentialProvider
from redis.exceptions import AuthenticationError, NoScriptError, RedisError
from redis.retry import Retry

from scoreboard.config import Settings
from scoreboard.errors import Unavailable
from scoreboard.queries import lua

SOCKET_TIMEOUT_S: Final = 0.8
_BROKEN: Final = "the handler is closed"
BULK_TIMEOUT_S: Final = 5.0
"""For the larger calls of the sweeper and of rebuilds."""


@dataclass(frozen=True, slots=True)
class Login:
    """A login that can change while clients live.

    Attributes:
        credentials: Tells user and password, each perhaps empty, for a new connection; it may have to wait.
        on_refused: Told that the server refused them; they are then asked for once more.
    """

    credentials: Callable[[], tuple[str, str]]
    on_refused: Callable[[], None]


class _Credentials(CredentialProvider):
    """A login as the driver asks for it, at each new connection."""

    def __init__(self, login: Login) -> None:
        self._login = login

    def get_credentials(self) -> Any:
        """Return what goes after AUTH; nothing where no login is needed."""
        return tuple(text for text in self._login.credentials() if text)

    async def get_credentials_async(self) -> Any:
        """Return the same, without holding up the event loop."""
        return await asyncio.to_thread(self.get_credentials)

    def connect(self, connection: Any) -> None:
        """Log in; where that is refused, once more with what is known then."""
        try:
            connection.on_connect()
        except AuthenticationError:
            self._login.on_refused()
            connection.on_connect()

    async def connect_async(self, connection: Any) -> None:
        """Do the same on a connection of the event loop."""
        try:
            await connection.on_connect()
        except AuthenticationError:
            self._login.on_refused()
            await connection.on_connect()


def _login_parameters(settings: Settings, login: Login | None, *, is_async: bool) -> dict[str, Any]:
    if login is None:
        return {"username": settings.redis_username or None, "password": settings.redis_password or None}
    provider = _Credentials(login)
    connect = provider.connect_async if is_async else provider.connect
    return {"credential_provider": provider, "redis_connect_func": connect}


def _parameters(settings: Settings, login: Login | None, *, is_async: bool) -> dict[str, Any]:
    return {
        "host": settings.redis_host,
        "port": settings.redis_port,
        "db": settings.redis_db,
        **_login_parameters(settings, login, is_async=is_async),
        "ssl": settings.redis_tls_enabled,
        "decode_responses": True,
        "socket_keepalive": True,
        "health_check_interval": 0,
    }


def redis_client(settings: Settings, login: Login | None = None, *, timeout_s: float = BULK_TIMEOUT_S) -> redis.Redis:
    """Return a client for synchronous work; a call takes up to twice the time limit.

    Args:
        settings: Where the server is, and the login where that is always the same.
        login: The login where it can change.
        timeout_s: The time limit.
    """
    return redis.Redis(
        **_parameters(settings, login, is_async=False),
        socket_timeout=timeout_s,
        socket_connect_timeout=min(timeout_s, SOCKET_TIMEOUT_S),
        retry=Retry(ConstantBackoff(0.05), 1),
    )


def async_redis_client(settings: Settings, login: Login | None = None) -> redis.asyncio.Redis:
    """Return a client for the API; when all connections are in use, a caller waits for one.

    A login that can change is asked for in a thread.
    """
    parameters = _parameters(settings, login, is_async=True)
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
    except RuntimeError as error:
        # What uvloop says of a connection that broke between two steps of the driver, which knows OSError only.
        if _BROKEN not in str(error):
            raise
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
