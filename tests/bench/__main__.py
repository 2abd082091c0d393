"""`make bench`: what one machine does, measured on a stack of its own and printed as a table.

The figures are of this machine in this minute: the load generator, the screens and all parts share its cores.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import uvloop

from ops.client import Api
from tests.support.stack import LocalStack, open_folder

Row = tuple[str, str]


def main() -> int:
    """Measure everything; 1 if a score was lost or doubled on the way."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--events", type=int, default=20_000, help="scores of the load (default: 20000)")
    parser.add_argument("--submits", type=int, default=500, help="scores of the live measurement (default: 500)")
    parser.add_argument("--streams", type=int, default=50, help="screens that watch them (default: 50)")
    given = parser.parse_args()
    rows: list[Row] = []
    with open_folder() as folder:
        stack = LocalStack(folder / "home")
        try:
            rows.append(("first start", f"{_seconds(stack.start):.1f} s"))
            stack.stop()
            rows.append(("second start", f"{_seconds(stack.start):.1f} s"))
            rows += _live(stack, given.submits, given.streams)
            result = json.loads(
                stack.run("load", "--events", str(given.events), "--json", check=False, timeout=900).stdout
            )
            rows += _load_rows(result)
            rows.append(("stop", f"{_seconds(stack.stop):.1f} s"))
        finally:
            stack.stop()
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:<{width}}  {value}")
    return 0 if result["ok"] else 1


def _seconds(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def _load_rows(result: dict[str, Any]) -> list[Row]:
    answer = result["answer_ms"]
    wrong = ("lost", "doubled", "ghosts", "mismatched", "backwards")
    return [
        (
            "load, accepted",
            f"{result['accepted']} scores, {result['accepted_per_s']}/s ({result['requests_per_s']} requests/s)",
        ),
        ("load, answers", f"p50 {answer['p50']} ms, p95 {answer['p95']} ms, p99 {answer['p99']} ms"),
        ("load, all places agree", f"{result['agree_s']} s after the last answer"),
        ("load, wrong", ", ".join(f"{name} {result[name]}" for name in wrong)),
    ]


def _live(stack: LocalStack, submits: int, streams: int) -> list[Row]:
    os.environ.update(stack.environ)
    taken = sorted(uvloop.run(_watch_submits(submits, streams)))
    return [
        (f"submit to last of {streams} screens", f"median {_at(taken, 0.5)} ms, p99 {_at(taken, 0.99)} ms"),
        ("missed", str(submits - len(taken))),
    ]


def _at(ordered: Sequence[float], share: float) -> int:
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000) if ordered else 0


async def _watch_submits(submits: int, streams: int) -> list[float]:
    """Seconds from each submission to the last screen that shows it."""
    api = Api.find(None)
    user = "bench"
    seen: dict[int, list[float]] = {score: [] for score in range(1000, (submits + 1) * 1000, 1000)}

    async def screen() -> None:
        shown = 0
        async for event, data in api.frames("global", 10):
            if event != "snapshot":
                continue
            score = next((entry["score"] for entry in data["entries"] if entry["user_id"] == user), 0)
            now = time.monotonic()
            for reached in range(shown + 1000, score + 1, 1000):
                seen[reached].append(now)
            shown = max(shown, score)

    screens = [asyncio.create_task(screen()) for _ in range(streams)]
    connection, token = api.connect(), api.token(user)
    await asyncio.sleep(2)
    sent: dict[int, float] = {}
    for score in seen:
        sent[score] = time.monotonic()
        answer = await api.submit(connection, token=token, value=1000)
        assert answer.status == 202, answer
        # At odds with every period in the system, so that no phase of one is met again and again.
        await asyncio.sleep(0.0371)
    await asyncio.sleep(3)
    for task in screens:
        task.cancel()
    await asyncio.gather(*screens, return_exceptions=True)
    return [max(times) - sent[score] for score, times in seen.items() if len(times) == streams]


if __name__ == "__main__":
    sys.exit(main())
