"""Keep the parts of a stack alive: start, restart with back-off, report, stop in order."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ops.parts import Part
from ops.processes import birth_of
from ops.terminal import OpsError, say

_BACKOFF_START_S = 0.2
_HEALTHY_AFTER_S = 10.0
_READY_WITHIN_S = 60.0
_DEATHS_BEFORE_READY = 5
_LOG_CHECK_S = 10.0
_LOG_LIMIT_BYTES = 10 * 1024 * 1024


class Keeper:
    """Keeps one part alive."""

    def __init__(self, part: Part, log: Path, changed: Callable[[], None]) -> None:
        self.part = part
        self.log = log
        self.pid: int | None = None
        self.birth: str | None = None
        self._changed = changed
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False
        self._ready = asyncio.Event()
        self._deaths = 0
        self._at_once = False
        self._trouble = ""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to keep it alive."""
        self._task = asyncio.create_task(self._keep(), name=f"keep {self.part.name}")

    async def ready(self) -> None:
        """Wait until it serves for the first time.

        Raises:
            OpsError: It dies again and again, or takes too long.
        """
        deadline = time.monotonic() + _READY_WITHIN_S
        while not self._ready.is_set():
            if self._task is not None and self._task.done():
                self._task.result()
            if self._deaths >= _DEATHS_BEFORE_READY or time.monotonic() > deadline:
                raise OpsError(
                    f"{self.part.name} does not start. {self._trouble}The end of {self.log}:\n{_tail(self.log)}"
                )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ready.wait(), 0.1)

    async def stop(self) -> None:
        """End it, gently first, and whatever it left in its process group."""
        self._stopping = True
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(self.part.stop_signal)
            try:
                await asyncio.wait_for(process.wait(), self.part.patience_s)
            except TimeoutError:
                _kill_group(process.pid)
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def replace(self) -> None:
        """Ask it to end, to be started again at once: its code has changed."""
        if self._process is not None and self._process.returncode is None:
            self._at_once = True
            self._process.send_signal(self.part.stop_signal)

    async def _keep(self) -> None:
        pause = 0.0
        while True:
            await asyncio.sleep(pause)
            born = time.monotonic()
            try:
                code = await self._live()
            except OSError as problem:  # no process to be had, no space for the state: it is tried again
                self._note_trouble(problem)
                code = 1
            if self._stopping:
                return
            lived = time.monotonic() - born
            self._deaths += 1
            makes_room = code == 0 and self.part.restarts_clean and lived > _BACKOFF_START_S
            if self._at_once or makes_room:
                pause, self._at_once = 0.0, False
            elif lived > _HEALTHY_AFTER_S or not pause:
                pause = _BACKOFF_START_S
            else:
                pause = min(pause * 2, self.part.backoff_cap_s)
            if self._ready.is_set():
                say(f"  {self.part.name} ended ({_how(code)}); starting it again")

    async def _live(self) -> int:
        """One life, from start to end; gives the exit code."""
        with self.log.open("ab") as out:
            process = await asyncio.create_subprocess_exec(
                *self.part.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=self.part.cwd,
                env=dict(self.part.environ),
                start_new_session=True,
            )
        self._process = process
        preparing = asyncio.create_task(self._prepare())
        try:
            self._note(process.pid)
            return await process.wait()
        finally:
            preparing.cancel()
            if process.returncode is None:
                _kill_group(process.pid)
                await process.wait()
            # Children that outlived it would hold its port, its data or a batch.
            _kill_group(process.pid)
            self._note(None)

    async def _prepare(self) -> None:
        while True:
            try:
                if await self.part.is_ready():
                    await self.part.on_ready()
                    break
            except Exception as problem:
                # It ended or stalls between the two: asked again, or the next life is. Whatever else it is, somebody
                # waits for this task, and would wait in vain if it ended.
                self._note_trouble(problem)
            await asyncio.sleep(0.02 if not self._ready.is_set() else 0.1)
        self._ready.set()

    def _note_trouble(self, problem: Exception) -> None:
        """Keep the last reason why it is not ready, for whoever has waited long enough."""
        self._trouble = f"The last trouble: {type(problem).__name__}: {str(problem).strip()}. "

    def _note(self, pid: int | None) -> None:
        self.pid = pid
        self.birth = birth_of(pid) if pid else None
        self._changed()


class Supervisor:
    """The parts of one stack, in the order in which they stop."""

    def __init__(self, logs: Path, changed: Callable[[Supervisor], None]) -> None:
        self.keepers: dict[str, Keeper] = {}
        self._logs = logs
        self._changed = changed

    def start(self, parts: Sequence[Part]) -> None:
        """Start parts side by side."""
        for part in parts:
            keeper = Keeper(part, self._logs / f"{part.name}.log", lambda: self._changed(self))
            self.keepers[part.name] = keeper
            keeper.start()

    async def ready(self, *names: str) -> None:
        """Wait until these parts serve."""
        waits = [asyncio.create_task(self.keepers[name].ready()) for name in names if name in self.keepers]
        try:
            await asyncio.gather(*waits)
        finally:
            for wait in waits:
                wait.cancel()

    async def stop(self, *waves: tuple[str, ...]) -> None:
        """Stop wave after wave, the parts of one side by side."""
        for wave in waves:
            await asyncio.gather(*(self.keepers[name].stop() for name in wave if name in self.keepers))

    async def bound_logs(self) -> None:
        """Look after the length of the logs, for ever."""
        while True:
            for keeper in self.keepers.values():
                bound(keeper.log)
            await asyncio.sleep(_LOG_CHECK_S)

    def report(self) -> dict[str, dict[str, Any]]:
        """What lives now."""
        return {
            name: {
                "pid": keeper.pid,
                "birth": keeper.birth,
                "log": str(keeper.log),
                "stop": keeper.part.stop_signal.name,
            }
            for name, keeper in self.keepers.items()
        }


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def bound(log: Path) -> None:
    """Keep a log that has become long as `.log.1`, and begin it anew; its writer appends and does not notice."""
    if log.exists() and log.stat().st_size > _LOG_LIMIT_BYTES:
        shutil.copyfile(log, log.with_suffix(".log.1"))
        os.truncate(log, 0)


def _tail(log: Path, lines: int = 8) -> str:
    text = log.read_text(errors="replace") if log.exists() else ""
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:])


def _how(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"code {code}"
