"""What a rehearsal says: one line a step, with a mark and how long it took."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from ops.terminal import coloured


class StepFailed(Exception):
    """The deployed system did not do what the step asks for; the text says what it did."""


def expect(condition: object, otherwise: str) -> None:
    """Go on only if the condition holds.

    Raises:
        StepFailed: It does not.
    """
    if not condition:
        raise StepFailed(otherwise)


def until(question: Any, *, seconds: float, otherwise: str | Callable[[], str]) -> Any:
    """Ask until the answer is true; gives the answer.

    Args:
        question: Asked again and again.
        seconds: For how long.
        otherwise: What is wrong if it never becomes true; if it has to be looked up, how.

    Raises:
        StepFailed: It never was, with the last answer.
    """
    deadline = time.monotonic() + seconds
    while not (answer := question()):
        if time.monotonic() > deadline:
            wrong = otherwise if isinstance(otherwise, str) else otherwise()
            raise StepFailed(f"{wrong} (within {seconds:.0f} s; the last answer was {answer!r})")
        time.sleep(0.1)
    return answer


@dataclass
class Step:
    """One step, and what is worth telling about it."""

    title: str
    ok: bool = False
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Add a line below the step."""
        self.notes.append(text)


class Report:
    """The steps so far. With JSON, standard output gets one document at the end and the lines go to standard error."""

    def __init__(self, *, as_json: bool) -> None:
        self.steps: list[Step] = []
        self._as_json = as_json
        self._out = sys.stderr if as_json else sys.stdout
        self._began = time.monotonic()

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Time the block and say how it went; what it raises goes on."""
        step = Step(title)
        self.steps.append(step)
        self._show(f"  … {title}", passing=True)
        began = time.monotonic()
        try:
            yield step
            step.ok = True
        finally:
            step.seconds = round(time.monotonic() - began, 1)
            mark = coloured("✓", "green") if step.ok else coloured("✗", "red")
            self._show(f"  {mark} {title:<104} {step.seconds:>6.1f} s")
            for note in step.notes:
                self._show(coloured(f"      {note}", "dim"))

    def say(self, text: str = "") -> None:
        """One line."""
        self._show(text)

    def finish(self, limits: dict[str, dict[str, str]], problem: str | None, kept: str | None) -> None:
        """Say how it ended, and what was not rehearsed."""
        seconds = round(time.monotonic() - self._began, 1)
        self._show("")
        if problem:
            self._show(coloured(f"Failed after {seconds} s: {problem}", "red"))
        else:
            self._show("Not rehearsed, because the emulator cannot:")
            for entries in limits.values():
                for name, reason in entries.items():
                    self._show(f"  {name}: {reason}")
            self._show("")
            self._show(coloured(f"All {len(self.steps)} steps passed in {seconds} s.", "green"))
        if kept:
            self._show(f"Logs and data: {kept}")
        if self._as_json:
            steps = [asdict(step) for step in self.steps]
            result = {"ok": not problem, "seconds": seconds, "problem": problem, "kept": kept, "steps": steps}
            print(json.dumps({**result, "limits": limits}, indent=2))

    def _show(self, text: str, *, passing: bool = False) -> None:
        if not self._out.isatty():
            if not passing:
                print(text, file=self._out, flush=True)
            return
        width = os.get_terminal_size(self._out.fileno()).columns
        ending = "\r" if passing else "\n"
        print(f"\x1b[2K{text[:width] if passing else text}", end=ending, file=self._out, flush=True)
