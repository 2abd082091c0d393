"""Connections to PostgreSQL: their limits in one place."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Final

import psycopg
from psycopg_pool import AsyncConnectionPool, ConnectionPool, PoolTimeout

from scoreboard.errors import Unavailable

STATEMENT_TIMEOUT_MS: Final = 10_000
LOCK_TIMEOUT_MS: Final = 5_000
WAIT_S: Final = 3.0
"""How long a caller waits for a connection."""
CHECK_S: Final = 0.5
"""How long a connection may take to show that it is alive before it is lent."""
RECONNECT_S: Final = 2.0
"""How long a pool goes on by itself to replace a connection, with pauses that double; after that the next caller makes
it try at once. So a server that was away for long is not found again only after as long a pause."""

# The last two are no operational errors to the driver: a fail-over left us on a replica; we idled in a transaction.
_AWAY: Final = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    PoolTimeout,
    psycopg.errors.ReadOnlySqlTransaction,
    psycopg.errors.IdleInTransactionSessionTimeout,
)

_PARAMETERS: Final[dict[str, Any]] = {
    "autocommit": True,
    "connect_timeout": 3,
    # A server whose host is gone sends nothing: the kernel finds out after these.
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "options": (
        f"-c statement_timeout={STATEMENT_TIMEOUT_MS} -c lock_timeout={LOCK_TIMEOUT_MS} "
        f"-c idle_in_transaction_session_timeout={STATEMENT_TIMEOUT_MS}"
    ),
}


DatabaseUrl = str | Callable[[], str]
"""Where to connect and as whom; where that can change, what tells it for each new connection."""


def open_pool(
    database_url: DatabaseUrl, *, size: int = 1, on_refused: Callable[[], None] | None = None
) -> ConnectionPool[psycopg.Connection[Any]]:
    """Return a pool for synchronous work, open but perhaps not connected yet.

    `on_refused` is called after a connection could not be made, perhaps because a password has changed: the driver does
    not tell a refused login from other reasons. The pool then asks for the URL again.

    Every connection is checked before it is lent. With more than a few that pays badly after a restart of the server,
    as the pool waits ever longer for each dead one; so the size is small.
    """
    return ConnectionPool(
        database_url,
        connection_class=psycopg.Connection if on_refused is None else _connection_class(on_refused),
        kwargs=_PARAMETERS,
        min_size=size,
        max_size=size,
        timeout=WAIT_S,
        reconnect_timeout=RECONNECT_S,
        check=_check,
        open=True,
        name="scoreboard",
    )


def _connection_class(on_refused: Callable[[], None]) -> type[psycopg.Connection[Any]]:
    class Connection(psycopg.Connection[Any]):
        @classmethod
        def connect(cls, *arguments: Any, **parameters: Any) -> Any:
            try:
                return super().connect(*arguments, **parameters)
            except psycopg.OperationalError:
                on_refused()
                raise

    return Connection


def _async_connection_class(on_refused: Callable[[], None]) -> type[psycopg.AsyncConnection[Any]]:
    class Connection(psycopg.AsyncConnection[Any]):
        @classmethod
        async def connect(cls, *arguments: Any, **parameters: Any) -> Any:
            try:
                return await super().connect(*arguments, **parameters)
            except psycopg.OperationalError:
                on_refused()
                raise

    return Connection


def _check(connection: psycopg.Connection[Any]) -> None:
    with time_limit(connection, CHECK_S):
        ConnectionPool.check_connection(connection)


@contextmanager
def time_limit(connection: psycopg.Connection[Any], seconds: float) -> Iterator[None]:
    """Hang up if the block takes longer, whereupon what it waits for fails as if the server had gone.

    The server's own limits do not hold when it is the server that hangs, and the driver waits without one.
    """
    timer = threading.Timer(seconds, _hang_up, [connection])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _hang_up(connection: psycopg.Connection[Any]) -> None:
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as copy:
        copy.shutdown(socket.SHUT_RDWR)


def async_pool(
    database_url: DatabaseUrl,
    *,
    min_size: int,
    max_size: int,
    idle_ms: int,
    on_refused: Callable[[], None] | None = None,
) -> AsyncConnectionPool[psycopg.AsyncConnection[Any]]:
    """Return a pool for the API, not open yet. Connections are checked when one has failed, not at every loan.

    A callable that tells the URL is called in a thread, as it may have to wait. `on_refused` is that of `open_pool`.
    """
    return AsyncConnectionPool(
        database_url if isinstance(database_url, str) else partial(asyncio.to_thread, database_url),
        connection_class=psycopg.AsyncConnection if on_refused is None else _async_connection_class(on_refused),
        kwargs=_PARAMETERS,
        min_size=min_size,
        max_size=max_size,
        max_idle=idle_ms / 1000,
        max_waiting=max_size * 10,
        timeout=WAIT_S,
        reconnect_timeout=RECONNECT_S,
        open=False,
        name="scoreboard-api",
    )


@contextmanager
def postgres_errors() -> Iterator[None]:
    """Turn what PostgreSQL raises when it cannot serve into `Unavailable`; a mistake of ours stays what it is."""
    try:
        yield
    except _AWAY as error:
        raise Unavailable(f"PostgreSQL cannot be used for the moment: {type(error).__name__}.") from error
