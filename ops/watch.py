"""`scoreboard watch`: a board, live in the terminal."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol

from ops.client import Api
from ops.terminal import Exit, complain, say

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table


def run(given: argparse.Namespace) -> int:
    """Show every frame until Ctrl-C, or as many as asked for."""
    try:
        return asyncio.run(_watch(given))
    except KeyboardInterrupt:
        return Exit.OK


class _Screen(Protocol):
    def frame(self, snapshot: dict[str, Any], before: dict[str, Any] | None) -> None:
        """Show a frame."""

    def lost(self, reason: str) -> None:
        """Say that there is no connection."""


class _Json:
    def frame(self, snapshot: dict[str, Any], before: dict[str, Any] | None) -> None:
        say(json.dumps(snapshot))

    def lost(self, reason: str) -> None:
        complain(f"reconnecting: {reason}")


class _Lines:
    def frame(self, snapshot: dict[str, Any], before: dict[str, Any] | None) -> None:
        top = "  ".join(f"{entry['rank']}. {entry['name']} {entry['score']}" for entry in snapshot["entries"])
        say(f"{snapshot['board']} v{snapshot['version']} ({snapshot['total']} players): {top}")

    def lost(self, reason: str) -> None:
        complain(f"reconnecting: {reason}")


class _Table:
    def __init__(self, live: Live) -> None:
        self._live = live

    def frame(self, snapshot: dict[str, Any], before: dict[str, Any] | None) -> None:
        self._live.update(_draw(snapshot, before), refresh=True)

    def lost(self, reason: str) -> None:
        self._live.console.print(f"[yellow]reconnecting: {reason}")


async def _watch(given: argparse.Namespace) -> Exit:
    api = Api.find(given.url)
    shown = 0
    before: dict[str, Any] | None = None
    with ExitStack() as stack:
        screen = _screen(stack, as_json=given.json)
        async for event, data in api.frames(given.board, given.limit):
            if event == "lost":
                screen.lost(data["reason"])
            elif event == "snapshot":
                screen.frame(data, before)
                before = data
                shown += 1
                if given.count and shown >= given.count:
                    break
    return Exit.OK


def _screen(stack: ExitStack, *, as_json: bool) -> _Screen:
    if as_json:
        return _Json()
    if not sys.stdout.isatty():
        return _Lines()
    from rich.live import Live

    return _Table(stack.enter_context(Live(auto_refresh=False)))


def _draw(snapshot: dict[str, Any], before: dict[str, Any] | None) -> Table:
    from rich.table import Table

    was = {entry["user_id"]: entry for entry in before["entries"]} if before else {}
    table = Table(title=f"{snapshot['board']}, {snapshot['total']} players", caption=f"version {snapshot['version']}")
    table.add_column("#", justify="right", style="dim")
    table.add_column("player")
    table.add_column("score", justify="right", style="bold")
    table.add_column("", justify="right")
    for entry in snapshot["entries"]:
        old = was.get(entry["user_id"])
        gained = entry["score"] - old["score"] if old else 0
        climbed = old["rank"] - entry["rank"] if old else 0
        mark = ("[green]▲" if climbed > 0 else "[red]▼" if climbed < 0 else " ") + (f" {gained:+d}" if gained else "")
        table.add_row(str(entry["rank"]), entry["name"], f"{entry['score']:,}", mark if before else "")
    return table
