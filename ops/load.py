"""`scoreboard load`: many scores, some sent twice; then proof that exactly what was accepted is on the board."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import json
import secrets
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvloop

from ops.client import Api
from ops.home import Home
from ops.load_check import SCREEN_LINES, settle
from ops.load_plan import Ledger, LoadPlan, Screen, Verdict, make_plan
from ops.load_send import Pace, Sender
from ops.state import current
from ops.terminal import Exit, OpsError, coloured, complain, say
from scoreboard.boards import GLOBAL


def run(given: argparse.Namespace) -> Exit:
    """Send the load, wait until the backlog is worked off, compare all places."""
    return uvloop.run(_run(given))


async def _run(given: argparse.Namespace) -> Exit:
    api = Api.find(given.url)
    inside = given.url is None and bool(current(Home.from_env())["running"])
    if given.url is None and not inside:
        raise OpsError("No stack runs here: start one with `make run`, or name an API with --url.")
    seed = given.seed if given.seed is not None else secrets.randbelow(2**32)
    plan = make_plan(
        players=given.players,
        events=given.events,
        duplicates=given.duplicates,
        seed=seed,
        run_id=secrets.token_hex(4),
    )
    pace = Pace(given.submitters, given.concurrency, given.rate, given.duration)
    async with _screen(api) as screen:
        began = time.monotonic()
        with _progress(len(plan.sends)) as advanced:
            sender = Sender(api, plan, pace, advanced)
            await sender.run()
        sent = time.monotonic()
        verdict = await settle(api, plan, sender.ledger, screen, stores=inside)
        agreed = time.monotonic()
    result = summarise(plan, sender.ledger, verdict, seed=seed, send_s=sent - began, agree_s=agreed - sent)
    _show(result, as_json=given.json)
    return Exit.OK if result["ok"] else Exit.FAILED


def summarise(
    plan: LoadPlan, ledger: Ledger, verdict: Verdict, *, seed: int, send_s: float, agree_s: float
) -> dict[str, Any]:
    """The result as JSON shows it; times are seconds, answers milliseconds."""
    return {
        "ok": verdict.is_exact and bool(ledger.accepted) and not ledger.refused and not ledger.contradictions,
        "run": plan.run_id,
        "seed": seed,
        "players": len(plan.users),
        "requests": len(ledger.answer_s),
        "accepted": len(ledger.accepted),
        "replayed": ledger.replayed,
        "refused": len(ledger.refused),
        "retries": dict(ledger.retries),
        "send_s": round(send_s, 2),
        "accepted_per_s": round(len(ledger.accepted) / send_s, 1),
        "requests_per_s": round(len(ledger.answer_s) / send_s, 1),
        "answer_ms": _percentiles(ledger.answer_s),
        "agree_s": round(agree_s, 2),
        **{name: value for name, value in dataclasses.asdict(verdict).items() if name != "places"},
        "places": list(verdict.places),
        "first_refusal": next(iter(ledger.refused.values()), None),
    }


def _percentiles(seconds: Sequence[float]) -> dict[str, float]:
    ordered = sorted(seconds) or [0.0]
    at = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
    return {
        name: round(ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000, 1) for name, share in at.items()
    }


def _show(result: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        say(json.dumps(result))
    else:
        for line in _report(result):
            say(line)
    if result["retries"].get("429", 0) > result["requests"] / 10:
        complain("The rate limit slowed this load down: start the stack with RATE_LIMIT_MAX_REQUESTS=1000000.")


def _report(result: dict[str, Any]) -> Iterator[str]:
    answer = result["answer_ms"]
    yield f"run {result['run']}, seed {result['seed']}, {result['players']} players"
    yield (
        f"sent      {result['requests']} requests in {result['send_s']} s: {result['accepted']} scores accepted "
        f"({result['accepted_per_s']}/s), {result['replayed']} repetitions recognised, {result['refused']} refused"
    )
    yield f"answers   p50 {answer['p50']} ms, p95 {answer['p95']} ms, p99 {answer['p99']} ms"
    if result["retries"]:
        yield "retries   " + ", ".join(f"{reason}: {count}" for reason, count in sorted(result["retries"].items()))
    if result["first_refusal"]:
        yield f"refusal   {result['first_refusal']}"
    yield f"compared  {', '.join(result['places'])} and a live stream, {result['agree_s']} s after the last answer"
    counts = ", ".join(f"{name} {result[name]}" for name in ("lost", "doubled", "ghosts", "mismatched", "backwards"))
    yield f"verdict   {counts}, screen {'agrees' if result['screen_agrees'] else 'differs'}"
    yield coloured("exactly once", "green") if result["ok"] else coloured("NOT exactly once", "red")


@asynccontextmanager
async def _screen(api: Api) -> AsyncIterator[Screen]:
    """A client that watches the head of the board all along."""
    screen = Screen()

    async def watch() -> None:
        async for event, data in api.frames(GLOBAL.board_id, SCREEN_LINES):
            if event == "snapshot":
                screen.show(data)

    watching = asyncio.create_task(watch())
    try:
        yield screen
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching


@contextmanager
def _progress(total: int) -> Iterator[Callable[[], None]]:
    """A bar on a terminal, on its error channel so that results can be piped; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("load", total=total)
        yield lambda: progress.advance(task)
