"""Processes by number and birth: a number alone may long belong to somebody else."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path


def birth_of(pid: int) -> str | None:
    """When the process began, as an opaque text; None if it does not live (or only as a zombie)."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            # The name in the second field may hold blanks and brackets: count from its end.
            fields = stat.read_text().rpartition(")")[2].split()
        except (OSError, UnicodeDecodeError):
            return None
        return None if fields[0] in "ZX" else fields[19]
    found = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return found.stdout.strip() or None


def lives(pid: int, birth: str | None = None) -> bool:
    """Whether this very process still lives; without a birth, whether anything has the number."""
    now = birth_of(pid)
    return now is not None and (birth is None or birth == now)


def end(pid: int, birth: str | None, *, how: signal.Signals = signal.SIGTERM, patience_s: float = 5.0) -> bool:
    """End a process of an earlier start, gently first. True if there was one to end."""
    if not lives(pid, birth):
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, how)
    deadline = time.monotonic() + patience_s
    while lives(pid, birth):
        if time.monotonic() > deadline:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            deadline = time.monotonic() + 1
        time.sleep(0.02)
    return True
