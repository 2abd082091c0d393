"""How the local event source behaves: the same knobs as Lambda's mapping of an SQS queue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scoreboard.errors import ConfigError


@dataclass(frozen=True)
class PollerSettings:
    """The event source of one machine.

    Attributes:
        batch_size: Messages an invocation gets at most (WORKER_BATCH_SIZE).
        window_ms: How long a batch that is not full waits for more (WORKER_BATCH_WINDOW_MS). In AWS it is a
            second; here a screen is to follow a score within 300 ms.
        concurrency: Invocations side by side, each in a process of its own (WORKER_CONCURRENCY).
        timeout_ms: When an invocation is killed (WORKER_TIMEOUT_MS); below the queue's visibility of 4 s.
    """

    batch_size: int = 100
    window_ms: int = 100
    concurrency: int = 2
    timeout_ms: int = 3500

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> PollerSettings:
        """Read the settings. Raises `ConfigError` with all that is wrong."""
        problems: list[str] = []

        def number(name: str, default: int, low: int, high: int) -> int:
            text = environ.get(name, "").strip() or str(default)
            if text.isdecimal() and low <= int(text) <= high:
                return int(text)
            problems.append(f"{name} is {text[:80]!r}: it must be a whole number from {low} to {high}")
            return default

        settings = cls(
            batch_size=number("WORKER_BATCH_SIZE", cls.batch_size, 1, 10_000),
            window_ms=number("WORKER_BATCH_WINDOW_MS", cls.window_ms, 0, 300_000),
            concurrency=number("WORKER_CONCURRENCY", cls.concurrency, 1, 100),
            timeout_ms=number("WORKER_TIMEOUT_MS", cls.timeout_ms, 100, 900_000),
        )
        if problems:
            raise ConfigError(problems)
        return settings
