"""Which dead letters somebody has been told of, in Redis. When it is emptied, they are told once more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import redis

from scoreboard.connections_redis import redis_errors

KEEP_MS: Final = 15 * 86_400_000
"""A little longer than the queue of dead letters keeps a message."""


class RedisAlertMemory:
    """`AlertMemory`, one key a dead letter, each of which goes when the letter can no longer be there."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._client = client
        self._prefix = f"{prefix}:dead-letter:"

    def unknown(self, message_ids: Sequence[str]) -> Sequence[str]:
        """Those that nobody was told of yet."""
        with redis_errors(), self._client.pipeline(transaction=False) as pipeline:
            for message_id in message_ids:
                pipeline.exists(self._prefix + message_id)
            known = pipeline.execute()
        return [message_id for message_id, told in zip(message_ids, known, strict=True) if not told]

    def remember(self, message_ids: Sequence[str]) -> None:
        """Note that somebody was told of them."""
        with redis_errors(), self._client.pipeline(transaction=False) as pipeline:
            for message_id in message_ids:
                pipeline.set(self._prefix + message_id, 1, px=KEEP_MS)
            pipeline.execute()
