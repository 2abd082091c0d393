"""What a person reads: short lines on a terminal, plain text anywhere else."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from enum import IntEnum


class Exit(IntEnum):
    """The exit codes of every verb."""

    OK = 0
    FAILED = 1
    WRONG_USE = 2


class OpsError(Exception):
    """A verb cannot go on; the text says why and what to do."""

    exit_code = Exit.FAILED


class WrongUse(OpsError):
    """The call or the configuration is wrong; trying again will not help."""

    exit_code = Exit.WRONG_USE


_COLOURS = {"green": "32", "red": "31", "yellow": "33", "dim": "2", "bold": "1"}


def coloured(text: str, colour: str) -> str:
    """The text in a colour if a person looks at it (`NO_COLOR` is respected), else the text."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"


def say(text: str = "") -> None:
    """One line for the user, at once also through a pipe."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # The reader has gone (`scoreboard local | head`): the work goes on without one.
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - replaces stdout for good


def run_tool(about: str, arguments: list[str], work: Callable[[list[str]], None]) -> int:
    """Run a program of its own, without a parser; return its exit code.

    Asked for help it says what it is about; an `OpsError` is told in its own words.
    """
    if arguments in (["-h"], ["--help"]):
        say(about.rstrip())
        return Exit.OK
    try:
        work(arguments)
    except OpsError as problem:
        complain(str(problem))
        return problem.exit_code
    return Exit.OK


def complain(text: str) -> None:
    """One line about what went wrong."""
    marked = f"\x1b[31m{text}\x1b[0m" if sys.stderr.isatty() and not os.environ.get("NO_COLOR") else text
    print(marked, file=sys.stderr, flush=True)
