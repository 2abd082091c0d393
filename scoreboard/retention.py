"""The use case: forget what is old, in steps that are small and can end after each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from scoreboard.ports import History

STEP: Final = 5_000
"""Rows a transaction: a fraction of a second, so that no one waits for it and little is lost when it is stopped."""


@dataclass(frozen=True, slots=True)
class RetentionReport:
    """What was forgotten.

    Attributes:
        events: How many applied events.
        rejections: How many notes on rejected ones.
        done: Whether nothing is left that is old enough; else the next run goes on.
    """

    events: int
    rejections: int
    done: bool


def forget_old(history: History, *, older_than_days: int, time_left: Callable[[], bool]) -> RetentionReport:
    """Delete what is older than so many days, while there is time left.

    Raises:
        Unavailable: PostgreSQL cannot be used; what was deleted before stays deleted.
    """

    def repeat(forget: Callable[..., int]) -> tuple[int, bool]:
        count, last = 0, STEP
        while last >= STEP and time_left():
            last = forget(older_than_days=older_than_days, most=STEP)
            count += last
        return count, last < STEP

    events, events_done = repeat(history.forget_events)
    rejections, rejections_done = repeat(history.forget_rejections)
    return RetentionReport(events, rejections, events_done and rejections_done)
