"""All open streams of this process: who may open one, who is spoken to when, who is cut, and how they all end.

One timer serves everybody: heartbeats, ages, tokens and stalled clients are looked at a few times a second, which is
cheaper than a timer per client by the number of clients.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

from api import frames
from api.frames import Farewell
from api.hub import SLICE, Subscriber
from api.metrics import Metrics

PRESENCE_S: Final = 2.0
PRESENCE_PER_S: Final = 500
"""Presence is news for everyone whenever one comes: with many streams it is told less often, to so many a second."""
_log = logging.getLogger(__name__)


class Stream(Subscriber, Protocol):
    """One open stream, whatever carries it."""

    @property
    def who(self) -> Visitor:
        """Whose it is."""

    def tell(self, event: bytes) -> None:
        """Send a presence event; a newer one replaces it."""

    def beat(self) -> None:
        """Send a heartbeat."""

    def end(self, farewell: bytes) -> None:
        """Send these last words and close."""

    def stalled_since(self) -> float | None:
        """Since when, on the loop's clock, a write has not been taken; None while nothing waits."""

    def abort(self) -> None:
        """Drop the connection now."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Whose a stream is.

    Attributes:
        client_id: Name of the connection in logs.
        address: Address of the client.
        user_id: The token's subject, None without a token.
        expires_at: When the token ends, seconds since 1970.
    """

    client_id: str
    address: str
    user_id: str | None = None
    expires_at: int | None = None


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """The settings of streams, times in seconds."""

    per_instance: int
    per_address: int
    per_user: int
    heartbeat_s: float
    message_timeout_s: float
    max_age_s: float


@dataclass(slots=True)
class _Schedule:
    next_beat: float
    ends_at: float
    farewell: Farewell
    ended: bool = False


class Streams:
    """The registry. Whoever opens a stream asks `refusal` first, then `add`s it, and always `remove`s it."""

    def __init__(self, limits: StreamLimits, metrics: Metrics) -> None:
        self.limits = limits
        self.draining = False
        self._metrics = metrics
        self._schedules: dict[Stream, _Schedule] = {}
        self._addresses: Counter[str] = Counter()
        self._users: Counter[str] = Counter()
        self._told = 0
        self._nobody = asyncio.Event()
        self._nobody.set()

    def __len__(self) -> int:
        return len(self._schedules)

    def refusal(self, who: Visitor) -> Farewell | None:
        """Return why a stream cannot be opened now, or None if it can."""
        if self.draining:
            return Farewell.DRAIN
        cap = self._cap_reached(who)
        if cap is None:
            return None
        self._metrics.streams_refused.labels(cap).inc()
        return Farewell.OVERLOAD

    def _cap_reached(self, who: Visitor) -> str | None:
        if len(self) >= self.limits.per_instance:
            return "instance"
        if self._addresses[who.address] >= self.limits.per_address:
            return "address"
        if who.user_id is not None and self._users[who.user_id] >= self.limits.per_user:
            return "user"
        return None

    def add(self, stream: Stream) -> None:
        """Count and look after a stream."""
        now = asyncio.get_running_loop().time()
        who, limits = stream.who, self.limits
        # Spread, so that those who came together do not beat and leave together.
        ends_at, farewell = now + limits.max_age_s * random.uniform(0.8, 1.0), Farewell.MAX_AGE  # noqa: S311
        if who.expires_at is not None and now + who.expires_at - time.time() < ends_at:
            ends_at, farewell = now + who.expires_at - time.time(), Farewell.TOKEN_EXPIRED
        self._nobody.clear()
        self._told = -1  # it was told the number of this moment, which may not be the one that all others know
        self._schedules[stream] = _Schedule(now + limits.heartbeat_s, ends_at, farewell)
        self._addresses[who.address] += 1
        if who.user_id is not None:
            self._users[who.user_id] += 1
        self._metrics.sse_connections.set(len(self))
        _log.info(
            "stream opened", extra={"event_type": "sse_connected", "client_id": who.client_id, "user_id": who.user_id}
        )

    def remove(self, stream: Stream) -> None:
        """Forget a stream that is closed; one that is not known is ignored."""
        if self._schedules.pop(stream, None) is None:
            return
        if not self._schedules:
            self._nobody.set()
        who = stream.who
        _decrement(self._addresses, who.address)
        if who.user_id is not None:
            _decrement(self._users, who.user_id)
        self._metrics.sse_connections.set(len(self))
        _log.info(
            "stream closed",
            extra={"event_type": "sse_disconnected", "client_id": who.client_id, "user_id": who.user_id},
        )

    async def run(self) -> None:
        """Look after all streams until cancelled."""
        limits = self.limits
        tick = min(0.5, max(0.02, min(limits.heartbeat_s, limits.message_timeout_s, limits.max_age_s) / 4))
        async with asyncio.TaskGroup() as group:
            group.create_task(_for_ever(self._look_after_all, tick))
            group.create_task(_for_ever(self._tell_presence, PRESENCE_S))

    async def drain(self, *, patience_s: float) -> None:
        """Say goodbye to everyone, and drop those who have not taken it in time."""
        self.draining = True
        deadline = asyncio.get_running_loop().time() + patience_s
        for number, (stream, schedule) in enumerate(list(self._schedules.items())):
            _end(stream, schedule, Farewell.DRAIN)
            if number % SLICE == SLICE - 1:
                await asyncio.sleep(0)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                await self._nobody.wait()
        for stream in list(self._schedules):
            self._cut(stream)

    async def _look_after_all(self) -> None:
        for number, (stream, schedule) in enumerate(list(self._schedules.items())):
            self._look_after(stream, schedule)
            if number % SLICE == SLICE - 1:
                await asyncio.sleep(0)

    def _look_after(self, stream: Stream, schedule: _Schedule) -> None:
        now = asyncio.get_running_loop().time()
        stalled_since = stream.stalled_since()
        if stalled_since is not None and now - stalled_since >= self.limits.message_timeout_s:
            self._cut(stream)
        elif now >= schedule.ends_at:
            _end(stream, schedule, schedule.farewell)
        elif now >= schedule.next_beat and not schedule.ended:
            schedule.next_beat = now + self.limits.heartbeat_s
            stream.beat()

    def _cut(self, stream: Stream) -> None:
        if stream in self._schedules:
            self._metrics.clients_cut.inc()
            stream.abort()
            self.remove(stream)

    async def _tell_presence(self) -> None:
        count = len(self)
        if count == self._told:
            return
        self._told = count
        event = frames.presence(count)
        for number, stream in enumerate(list(self._schedules)):
            stream.tell(event)
            if number % SLICE == SLICE - 1:
                await asyncio.sleep(0)
        await asyncio.sleep(count / PRESENCE_PER_S)


def _end(stream: Stream, schedule: _Schedule, farewell: Farewell) -> None:
    if not schedule.ended:
        schedule.ended = True
        stream.end(frames.bye(farewell))


def _decrement(counter: Counter[str], key: str) -> None:
    counter[key] -= 1
    if counter[key] <= 0:
        del counter[key]


async def _for_ever(work: Callable[[], Awaitable[None]], pause_s: float) -> None:
    while True:
        try:
            await work()
        except Exception:
            _log.exception("looking after the streams failed")
        await asyncio.sleep(pause_s)
