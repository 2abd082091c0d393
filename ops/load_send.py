"""Sending a load: submitters side by side, each with several requests in flight, until each answer is known."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from ops.client import Api, describe
from ops.http_client import Connection, Response
from ops.load_plan import Ledger, LoadEvent, LoadPlan
from ops.terminal import OpsError

_NOTHING_ACCEPTED_S = 60.0
"""Give up when nothing was answered for good for this long."""
_LONGEST_PAUSE_S = 2.0
_RETRYABLE = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True)
class Pace:
    """How hard to push.

    Attributes:
        submitters: How many send side by side.
        concurrency: Requests in flight of each.
        rate: Scores a second of all together, 0 for as fast as possible.
        duration_s: After which nothing new is begun, 0 for until all is sent.
    """

    submitters: int
    concurrency: int
    rate: float
    duration_s: float


class Sender:
    """Sends a plan and keeps the ledger of it."""

    def __init__(self, api: Api, plan: LoadPlan, pace: Pace, advanced: Callable[[], None]) -> None:
        self.ledger = Ledger()
        self._api = api
        self._pace = pace
        self._advanced = advanced
        self._shares = [deque(plan.sends[start :: pace.submitters]) for start in range(pace.submitters)]
        self._tokens = {user: api.token(user) for user in plan.users}
        self._began = self._next_slot = self._progressed = 0.0

    async def run(self) -> None:
        """Send everything.

        Raises:
            OpsError: The API has answered nothing for good for a minute.
        """
        self._began = self._next_slot = self._progressed = time.monotonic()
        try:
            async with asyncio.TaskGroup() as group:
                for share in self._shares:
                    for _ in range(self._pace.concurrency):
                        group.create_task(self._one_in_flight(share))
        except* OpsError as problems:
            raise problems.exceptions[0] from None

    async def _one_in_flight(self, share: deque[LoadEvent]) -> None:
        connection = self._api.connect()
        try:
            while share:
                event = share.popleft()
                await self._await_slot()
                if self._pace.duration_s and time.monotonic() - self._began > self._pace.duration_s:
                    return
                await self._deliver(connection, event)
                self._advanced()
        finally:
            connection.close()

    async def _await_slot(self) -> None:
        if self._pace.rate:
            now = time.monotonic()
            slot = max(self._next_slot, now)
            self._next_slot = slot + 1 / self._pace.rate
            await asyncio.sleep(slot - now)

    async def _deliver(self, connection: Connection, event: LoadEvent) -> None:
        """Send until the API accepts or refuses for good: what became of the event is then known."""
        pause = 0.05
        while True:
            asked = time.monotonic()
            try:
                answer = await self._api.submit(
                    connection, token=self._tokens[event.user_id], value=event.delta, key=event.key
                )
            except OSError as problem:
                self.ledger.retries[type(problem).__name__] += 1
                wait = pause
            else:
                if answer.status not in _RETRYABLE:
                    self._note(event, answer, time.monotonic() - asked)
                    return
                self.ledger.retries[str(answer.status)] += 1
                wait = _asked_pause(answer, pause)
            if time.monotonic() - self._progressed > _NOTHING_ACCEPTED_S:
                raise OpsError(f"Nothing was accepted for {_NOTHING_ACCEPTED_S:.0f} s: {dict(self.ledger.retries)}")
            await asyncio.sleep(wait * random.uniform(0.5, 1.0))
            pause = min(pause * 2, 1.0)

    def _note(self, event: LoadEvent, answer: Response, took_s: float) -> None:
        now = self._progressed = time.monotonic()
        self.ledger.answer_s.append(took_s)
        if answer.status == 202:
            replayed = answer.headers.get("idempotent-replayed") == "true"
            self.ledger.accept(event, answer.json()["event_id"], replayed=replayed, now=now)
        else:
            self.ledger.refused[event.key] = describe(answer)


def _asked_pause(answer: Response, default_s: float) -> float:
    """What Retry-After asks for, but never so long that the load would sleep through a recovery."""
    asked = answer.headers.get("retry-after", "")
    return min(float(asked), _LONGEST_PAUSE_S) if asked.isdecimal() else default_s
