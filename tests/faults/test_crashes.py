"""Nothing is lost, doubled or wrongly shown while parts are killed under load.

The seed of a run is printed; FAULTS_SEED repeats it. FAULTS_EVENTS and FAULTS_ROUNDS make it larger: the figures of
docs/operations.md are of 20,000 events and all faults (FAULTS_EVENTS=20000 FAULTS_ROUNDS=full).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import psycopg
import pytest
import redis

from ops.client import Api
from ops.load_check import settle
from ops.load_plan import Ledger, LoadEvent, LoadPlan, make_plan
from ops.load_plan import Screen as JudgedScreen
from ops.load_send import Pace, Sender
from tests.support.screens import Screen, screens
from tests.support.stack import LocalStack, local_stack, open_folder, until

PLAYERS = 60
SCREENS = 20
RATE = 500
AGREE_WITHIN_S = 60.0
FAULTS = {"worker": 3, "flush": 2, "redis": 1, "postgres": 1, "api": 1}
ALL_FAULTS = {"worker": 10, "flush": 3, "redis": 1, "postgres": 1, "api": 1}

APPLIED = "SELECT count(*) FROM score_events"
TOP = "SELECT user_id, score FROM standings ORDER BY score DESC, reached_at, user_id DESC LIMIT 100"


@dataclass
class Faults:
    """Strikes a stack in an order of its own.

    Attributes:
        struck: (time on the monotonic clock, what), in order.
    """

    stack: LocalStack
    chance: random.Random
    struck: list[tuple[float, str]] = field(default_factory=list)

    async def strike_all(self, counts: dict[str, int], over_s: float) -> None:
        """Strike at random moments of a time."""
        strikes = [name for name, count in counts.items() for _ in range(count)]
        self.chance.shuffle(strikes)
        moments = sorted(self.chance.uniform(1, over_s) for _ in strikes)
        began = time.monotonic()
        for moment, name in zip(moments, strikes, strict=True):
            await asyncio.sleep(max(0.0, began + moment - time.monotonic()))
            strike: Callable[[], None] = getattr(self, f"_{name}")
            await asyncio.to_thread(strike)
            self.struck.append((time.monotonic(), name))

    def _worker(self) -> None:
        # Between two lives of the worker there is nobody to kill.
        self._kill(self.chance.choice(until(lambda: self.stack.status()["worker"]["pids"])), signal.SIGKILL)

    def _flush(self) -> None:
        try:
            with redis.Redis.from_url(self.stack.status()["redis"]["address"]) as client:
                client.flushall()
        except redis.ConnectionError:
            pass  # it is down already

    def _redis(self) -> None:
        self._kill(self.stack.status()["redis"]["pid"], signal.SIGKILL)

    def _postgres(self) -> None:
        # SIGQUIT is the immediate shutdown: no flush, no farewell; the next start recovers from the log.
        self._kill(self.stack.status()["postgres"]["pid"], signal.SIGQUIT)

    def _api(self) -> None:
        self._kill(self.stack.status()["api"]["pid"], signal.SIGKILL)

    @staticmethod
    def _kill(pid: int | None, how: signal.Signals) -> None:
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, how)


@pytest.fixture
def stack() -> Iterator[LocalStack]:
    with open_folder() as folder, local_stack(folder / "home") as running:
        yield running


def one_each(plan: LoadPlan) -> LoadPlan:
    """A first score of every user, after which the number of users on the board does not change any more."""
    events = tuple(LoadEvent(user, 1, f"first-{user}") for user in plan.users)
    return LoadPlan(plan.run_id, plan.users, events, events)


async def send(api: Api, plan: LoadPlan, rate: float) -> Ledger:
    sender = Sender(api, plan, Pace(submitters=4, concurrency=16, rate=rate, duration_s=0), lambda: None)
    await sender.run()
    return sender.ledger


async def until_all_agree(stack: LocalStack, watching: list[Screen], events: int) -> None:
    """Wait until PostgreSQL has all events, and every screen shows exactly what PostgreSQL has."""
    deadline = time.monotonic() + AGREE_WITHIN_S
    address = stack.status()["postgres"]["address"]
    while True:
        try:
            async with await psycopg.AsyncConnection.connect(address, connect_timeout=3) as connection:
                applied = await (await connection.execute(APPLIED)).fetchone()
                truth = await (await connection.execute(TOP)).fetchall()
            shown = [
                [(entry["user_id"], entry["score"]) for entry in (screen.board or {"entries": []})["entries"]]
                for screen in watching
            ]
            if applied == (events,) and all(entries == truth for entries in shown):
                return
        except psycopg.OperationalError:
            pass
        assert time.monotonic() < deadline, "the screens do not agree with PostgreSQL"
        await asyncio.sleep(0.05)


async def test_nothing_is_lost_doubled_or_wrongly_shown_while_parts_are_killed(
    stack: LocalStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCOREBOARD_HOME", str(stack.home))
    seed = int(os.environ.get("FAULTS_SEED") or random.SystemRandom().randrange(2**32))
    events = int(os.environ.get("FAULTS_EVENTS") or 3000)
    counts = ALL_FAULTS if os.environ.get("FAULTS_ROUNDS") == "full" else FAULTS
    print(f"FAULTS_SEED={seed}")
    chance = random.Random(seed)
    plan = make_plan(players=PLAYERS, events=events, duplicates=0.25, seed=seed, run_id=f"{seed:08x}")
    api = Api.find(None)
    faults = Faults(stack, chance)

    async with screens(f"{stack.url}/api/leaderboard/stream?limit=100", SCREENS) as watching:
        prelude = one_each(plan)
        first = await send(api, prelude, 0)
        await until_all_agree(stack, watching, len(prelude.events))
        sending = asyncio.create_task(send(api, plan, RATE))
        await faults.strike_all(counts, over_s=len(plan.sends) / RATE)
        ledger = await sending
        sent = time.monotonic()
        await until_all_agree(stack, watching, len(prelude.events) + len(plan.events))
        agreed = time.monotonic()

    last_fault, last_name = faults.struck[-1]
    print(f"struck {[name for _, name in faults.struck]}")
    print(f"agreed {agreed - last_fault:.2f} s after the last fault ({last_name})")
    print(f"agreed {agreed - sent:.2f} s after the last answer")
    print(f"answers {len(ledger.answer_s)}, replayed {ledger.replayed}, retries {dict(ledger.retries)}")
    assert not ledger.refused
    assert [wrong for screen in watching for wrong in screen.wrongs] == []
    judged = JudgedScreen()
    judged.show(watching[0].board or {})
    ledger.accepted |= first.accepted
    whole = LoadPlan(plan.run_id, plan.users, (*prelude.events, *plan.events), plan.sends)
    verdict = await settle(api, whole, ledger, judged, stores=True)
    assert len(ledger.accepted) == len(whole.events)
    assert verdict.is_exact, verdict
