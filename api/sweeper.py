"""The sweeper: keeps the ranking index as the truth has it, in a thread, in one process at a time.

The workers write the index after each commit. What they could not write (Redis was away, a worker died in between) is
written here; a board whose index is not complete is built anew.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import time
from typing import Final

from api.metrics import Metrics
from scoreboard.boards import Board
from scoreboard.errors import Unavailable
from scoreboard.ports import RankWriter, ScoreStore
from scoreboard.service import rebuild_board, sweep_board

INTERVAL_S: Final = 2.0
LOCK_MS: Final = 3000
"""How long the sweeper's post stays taken after its holder died."""

_log = logging.getLogger(__name__)


class LockLost(Exception):
    """Another process sweeps now."""


class Sweeper:
    """Sweeps every `INTERVAL_S`, and at once when it is told that a board is incomplete."""

    def __init__(self, store: ScoreStore, writer: RankWriter, metrics: Metrics) -> None:
        self._store = store
        self._writer = writer
        self._metrics = metrics
        self._holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._stopped = False
        self._wake = threading.Event()
        self._failing = False
        # A daemon: a database that hangs must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def trigger(self) -> None:
        """Sweep now rather than at the next tick."""
        self._wake.set()

    def stop(self, timeout_s: float) -> None:
        """End after what is being done, and wait for that."""
        self._stopped = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def sweep(self) -> None:
        """Bring every board up to date, if no other process does."""
        if not self._writer.acquire_sweep(self._holder, LOCK_MS):
            return
        for board in self._store.boards():
            if self._stopped:
                return
            self._keep_lock()
            state = self._writer.state(board.board_id)
            # A watermark that the truth has not reached is of another truth: a backup has been restored.
            if state.complete and state.watermark <= self._store.watermark():
                self._sweep_board(board, state.watermark)
            else:
                self._rebuild_board(board)

    def _sweep_board(self, board: Board, watermark: int) -> None:
        changed = sweep_board(board, store=self._store, writer=self._writer, watermark=watermark)
        self._metrics.sweeps.labels("swept").inc()
        if changed:
            self._metrics.swept.inc(changed)
            _log.info("board %s: %d standings repaired", board.board_id, changed)

    def _rebuild_board(self, board: Board) -> None:
        started = last_kept = time.monotonic()

        def progress(_written: int) -> None:
            nonlocal last_kept
            if time.monotonic() - last_kept > LOCK_MS / 3000:
                last_kept = time.monotonic()
                self._keep_lock()

        complete = rebuild_board(board, store=self._store, writer=self._writer, progress=progress)
        self._metrics.sweeps.labels("rebuilt" if complete else "rebuild_disturbed").inc()
        _log.info(
            "board %s %s in %.2f s",
            board.board_id,
            "rebuilt" if complete else "was disturbed while being rebuilt",
            time.monotonic() - started,
        )

    def _keep_lock(self) -> None:
        if self._stopped or not self._writer.acquire_sweep(self._holder, LOCK_MS):
            raise LockLost

    def _run(self) -> None:
        while not self._stopped:
            try:
                self.sweep()
                if self._failing:
                    _log.info("sweeping again")
                self._failing = False
            except LockLost:
                pass
            except Unavailable as error:
                self._failed(error.message)
            except Exception:  # a bug in one sweep must not end all later ones
                self._metrics.sweeps.labels("failed").inc()
                _log.exception("a sweep failed")
            self._wake.wait(INTERVAL_S)
            self._wake.clear()

    def _failed(self, message: str) -> None:
        self._metrics.sweeps.labels("failed").inc()
        if not self._failing:
            _log.warning("sweeping is not possible, it is tried every %g s: %s", INTERVAL_S, message)
        self._failing = True
