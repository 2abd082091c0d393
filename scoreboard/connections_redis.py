"""Connections to Redis: their limits in one place.

Every wait has a short limit and at most one retry: the driver's own default of ten retries with growing pauses makes a
hung server look like a slow one for half a minute.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ConstantBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from scoreboard.config import Settings
from scoreboard.errors import Unavailable

SOCKET_TIMEOUT_S: Final = 0.8
BULK_TIMEOUT_S: Final = 5.0
"""For the worker's and the sweeper's larger calls."""


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


def redis_client(settings: Settings) -> redis.Redis:
    """Return a client for synchronous work."""
    return redis.Redis(
        **_parameters(settings),
        socket_timeout=BULK_TIMEOUT_S,
        socket_connect_timeout=SOCKET_TIMEOUT_S,
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
