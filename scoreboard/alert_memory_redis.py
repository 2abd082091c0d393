"""Which dead letters somebody has been told of, in Redis. When it is emptied, they are told once more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import redis

from scoreboard.connections_redis import redis_errors

KEEP_MS: Final = 15 * 86_400_000
"""A little longer than the queue of dead letters keeps a message."""


class RedisAlertMemory:
    """`AlertMemory` in one hash. It goes when nothing new was noted for as long as a dead letter can live."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._client = client
        self._key = f"{prefix}:dead-letters"

    def unknown(self, message_ids: Sequence[str]) -> Sequence[str]:
        """Those that nobody was told of yet."""
        if not message_ids:
            return []
        with redis_errors():
            known = self._client.hmget(self._key, list(message_ids))
        return [message_id for message_id, told in zip(message_ids, known, strict=True) if told is None]

    def remember(self, message_ids: Sequence[str]) -> None:
        """Note that somebody was told of them."""
        if not message_ids:
            return
        with redis_errors():
            self._client.hset(self._key, mapping=dict.fromkeys(message_ids, 1))
            self._client.pexpire(self._key, KEEP_MS)
