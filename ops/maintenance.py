"""`scoreboard migrate` and `scoreboard rebuild`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ops.state import stack_settings
from ops.terminal import Exit, OpsError, say
from scoreboard.connections_postgres import open_pool
from scoreboard.connections_redis import redis_client
from scoreboard.migrations import Phase, migrate
from scoreboard.rank_writer_redis import RedisRankWriter
from scoreboard.score_store_postgres import PostgresScoreStore
from scoreboard.service import rebuild_board

_ATTEMPTS = 3


def run_migrate(*, phase: Phase) -> Exit:
    """Apply what is missing of the schema."""
    applied = migrate(stack_settings().database_url, phase)
    for name in applied:
        say(f"applied {name}")
    say(f"The schema is up to date (phase {phase}).")
    return Exit.OK


def run_rebuild(*, board_id: str) -> Exit:
    """Write a board's index anew; begins again when Redis was emptied meanwhile."""
    settings = stack_settings()
    pool = open_pool(settings.database_url)
    try:
        store = PostgresScoreStore(pool)
        writer = RedisRankWriter(redis_client(settings), settings.redis_key_leaderboard)
        board = next((board for board in store.boards() if board.board_id == board_id), None)
        if board is None:
            raise OpsError(f"There is no board {board_id}.")
        for _ in range(_ATTEMPTS):
            began = time.monotonic()
            with _progress(f"rebuilding {board_id}") as progress:
                count = _Count(progress)
                done = rebuild_board(board, store=store, writer=writer, progress=count)
            if done:
                say(f"{board_id} is complete: {count.value} standings in {time.monotonic() - began:.1f} s.")
                return Exit.OK
        raise OpsError(f"{board_id} was emptied again while it was rebuilt, {_ATTEMPTS} times.")
    finally:
        pool.close()


class _Count:
    def __init__(self, shown: Callable[[int], None]) -> None:
        self.value = 0
        self._shown = shown

    def __call__(self, written: int) -> None:
        self.value = written
        self._shown(written)


@contextmanager
def _progress(title: str) -> Iterator[Callable[[int], None]]:
    """A line that counts, on a terminal only."""
    if not sys.stdout.isatty():
        yield lambda written: None
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn

    with Progress(SpinnerColumn(), TextColumn("{task.description}"), TextColumn("{task.completed}")) as progress:
        task: Any = progress.add_task(title, total=None)
        yield lambda written: progress.update(task, completed=written)
