"""Rate limit and idempotency of submissions, in one Lua call on Redis' clock.

A library was tried first: `limits` keeps an exact moving window, but takes the time from the caller's clock, so that a
host whose clock is ahead lets a second window through and then shuts out the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from typing import Any, Final

import redis.asyncio

from scoreboard.connections_redis import ScriptCaller, redis_errors
from scoreboard.errors import LimiterUnavailable, Unavailable
from scoreboard.ports import Admission, AdmissionOutcome

DECISION_TIMEOUT_S: Final = 0.9


class RedisSubmissionGate:
    """`SubmissionGate` on one Redis, shared by every process that takes submissions."""

    def __init__(
        self,
        client: redis.asyncio.Redis,
        *,
        score_prefix: str,
        rate_prefix: str,
        window_ms: int,
        limit: int,
        idempotency_ms: int,
    ) -> None:
        self._client = client
        self._score_prefix = score_prefix
        self._rate_prefix = rate_prefix
        self._arguments = (window_ms, limit, idempotency_ms)
        self._scripts = ScriptCaller(client, ("admit", "acknowledge"), timeout_s=DECISION_TIMEOUT_S)

    async def admit(self, *, submitter: str, user_id: str, event_id: uuid.UUID, body_hash: str) -> Admission:
        """Decide on one submission.

        The limit counts per submitter and user: a player's own, and for a server each user it scores for.

        Raises:
            LimiterUnavailable: It cannot be decided; writes fail closed.
        """
        keys = [self._record(submitter, event_id), f"{self._rate_prefix}{{{submitter}}}:{user_id}"]
        answer = await self._call("admit", keys, [body_hash, *self._arguments])
        outcome, accepted_at, remaining, reset_ms = answer
        return Admission(AdmissionOutcome(outcome), int(accepted_at), int(remaining), int(reset_ms))

    async def acknowledge(self, *, submitter: str, event_id: uuid.UUID) -> None:
        """Note that the queue has the event. Best effort: unnoted, a retry is sent again, which is harmless."""
        with contextlib.suppress(Unavailable):
            await self._call("acknowledge", [self._record(submitter, event_id)], [])

    async def is_known(self, *, submitter: str, event_id: uuid.UUID) -> bool:
        """Whether this submitter's event was admitted lately."""
        with redis_errors():
            async with asyncio.timeout(DECISION_TIMEOUT_S):
                return bool(await self._client.exists(self._record(submitter, event_id)))

    def _record(self, submitter: str, event_id: uuid.UUID) -> str:
        return f"{self._score_prefix}{{{submitter}}}:{event_id}"

    async def _call(self, name: str, keys: list[str], arguments: list[str | int]) -> Any:
        with redis_errors(LimiterUnavailable):
            return await self._scripts.call(name, keys, arguments)
