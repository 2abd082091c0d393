"""Processes of a rehearsal: each ends with it, and none is left."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ops.home import CLONE
from ops.parts import Part
from ops.terminal import OpsError
from tests.support.parts import RunningPart

MARK = "SCOREBOARD_REHEARSAL"
"""In the environment of everything a rehearsal starts, and so of what that starts in turn."""


@contextlib.contextmanager
def running(part: Part, log: Path) -> Iterator[RunningPart]:
    """Run a part for the time of the block; then it and its children are gone."""
    process = RunningPart(part, log)
    process.start()
    group = process.pid
    try:
        yield process
    finally:
        process.stop()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)


def run(command: Sequence[str], *, cwd: Path, environ: Mapping[str, str], log: Path, timeout_s: float) -> int:
    """Run a program, named by its path, to its end, its output in a file; gives the exit code. It ends with us."""
    guarded = [sys.executable, "-I", "-S", str(CLONE / "ops" / "guard.py"), "SIGTERM", "-", str(os.getpid()), *command]
    with log.open("ab") as out:
        process = subprocess.Popen(
            guarded,
            cwd=cwd,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
        try:
            return process.wait(timeout_s)
        except subprocess.TimeoutExpired as problem:
            raise OpsError(
                f"{Path(command[0]).name} took longer than {timeout_s:.0f} s; its log is {log}."
            ) from problem
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def left_over(mark: str, *, within_s: float = 5.0) -> list[str]:
    """What still runs of a rehearsal after a moment to end: number and command line. Known on Linux only."""
    deadline = time.monotonic() + within_s
    while found := _marked(f"{MARK}={mark}".encode()):
        if time.monotonic() > deadline:
            break
        time.sleep(0.1)
    return found


def _marked(mark: bytes) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int(process.name) != os.getpid() and mark in (process / "environ").read_bytes().split(b"\0"):
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                found.append(f"{process.name} {command.strip()}")
    return found
