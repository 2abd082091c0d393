"""Rate limit and idempotency of submissions, in one Lua call on Redis' clock.

A library was tried first: `limits` keeps an exact moving window, but takes the time from the caller's clock, so that a
host whose clock is ahead lets a second window through and then shuts out the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from dataclasses import dataclass
from typing import Any, Final

import redis
import redis.asyncio

from scoreboard.config import Settings
from scoreboard.connections_redis import ScriptCaller, redis_errors
from scoreboard.errors import LimiterUnavailable, Unavailable
from scoreboard.ports import Admission, AdmissionOutcome
from scoreboard.queries import lua

DECISION_TIMEOUT_S: Final = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRules:
    """The limit, for how long a submission is known, and below which keys that is noted."""

    score_prefix: str
    rate_prefix: str
    window_ms: int
    limit: int
    idempotency_ms: int

    @classmethod
    def of(cls, settings: Settings) -> GateRules:
        """Return the rules of some settings."""
        return cls(
            score_prefix=settings.redis_key_score_prefix,
            rate_prefix=settings.redis_key_rate_limit_prefix,
            window_ms=settings.rate_limit_window_ms,
            limit=settings.rate_limit_max_requests,
            idempotency_ms=settings.idempotency_window_ms,
        )

    def record(self, submitter: str, event_id: uuid.UUID) -> str:
        """Return the key of an event."""
        return f"{self.score_prefix}{{{submitter}}}:{event_id}"

    def keys(self, submitter: str, user_id: str, event_id: uuid.UUID) -> list[str]:
        """Return the keys of one decision. The limit counts per submitter and user.

        So it is a player's own, and for a server that of each user it scores for.
        """
        return [self.record(submitter, event_id), f"{self.rate_prefix}{{{submitter}}}:{user_id}"]

    def arguments(self, body_hash: str) -> list[str | int]:
        """Return what the script is told."""
        return [body_hash, self.window_ms, self.limit, self.idempotency_ms]


class RedisSubmissionGate:
    """`SubmissionGate` on one Redis, shared by every process that takes submissions."""

    def __init__(self, client: redis.asyncio.Redis, rules: GateRules) -> None:
        self._client = client
        self._rules = rules
        self._scripts = ScriptCaller(client, ("admit", "acknowledge"), timeout_s=DECISION_TIMEOUT_S)

    async def admit(self, *, submitter: str, user_id: str, event_id: uuid.UUID, body_hash: str) -> Admission:
        """Decide on one submission. Raises `LimiterUnavailable` when it cannot: writes fail closed."""
        keys = self._rules.keys(submitter, user_id, event_id)
        return _admission(await self._call("admit", keys, self._rules.arguments(body_hash)))

    async def acknowledge(self, *, submitter: str, event_id: uuid.UUID) -> None:
        """Note that the queue has the event. Best effort: unnoted, a retry is sent again, which is harmless."""
        with contextlib.suppress(Unavailable):
            await self._call("acknowledge", [self._rules.record(submitter, event_id)], [])

    async def is_known(self, *, submitter: str, event_id: uuid.UUID) -> bool:
        """Whether this submitter's event was admitted lately."""
        with redis_errors():
            async with asyncio.timeout(DECISION_TIMEOUT_S):
                return bool(await self._client.exists(self._rules.record(submitter, event_id)))

    async def _call(self, name: str, keys: list[str], arguments: list[str | int]) -> Any:
        with redis_errors(LimiterUnavailable):
            return await self._scripts.call(name, keys, arguments)


class BlockingSubmissionGate:
    """`SubmissionGate` for a process that serves one request at a time: it blocks, and never suspends."""

    def __init__(self, client: redis.Redis, rules: GateRules) -> None:
        """Take a client whose calls end in time."""
        self._client = client
        self._rules = rules
        self._scripts = {name: client.register_script(lua(name)) for name in ("admit", "acknowledge")}

    async def admit(self, *, submitter: str, user_id: str, event_id: uuid.UUID, body_hash: str) -> Admission:
        """Decide on one submission. Raises `LimiterUnavailable` when it cannot: writes fail closed."""
        keys = self._rules.keys(submitter, user_id, event_id)
        with redis_errors(LimiterUnavailable):
            return _admission(self._scripts["admit"](keys=keys, args=self._rules.arguments(body_hash)))

    async def acknowledge(self, *, submitter: str, event_id: uuid.UUID) -> None:
        """Note that the queue has the event. Best effort: unnoted, a retry is sent again, which is harmless."""
        with contextlib.suppress(Unavailable), redis_errors():
            self._scripts["acknowledge"](keys=[self._rules.record(submitter, event_id)])

    async def is_known(self, *, submitter: str, event_id: uuid.UUID) -> bool:
        """Whether this submitter's event was admitted lately."""
        with redis_errors():
            return bool(self._client.exists(self._rules.record(submitter, event_id)))


def _admission(answer: Any) -> Admission:
    outcome, accepted_at, remaining, reset_ms = answer
    return Admission(AdmissionOutcome(outcome), int(accepted_at), int(remaining), int(reset_ms))
