"""What the entry points work with: made once by the composition root, reached through `services()`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, cast

from quart import current_app

from api.catalog import BoardCatalog
from api.connections import Connections
from api.health import Health
from api.hub import Hub
from api.keys import LiveKeyring
from api.metrics import Metrics
from api.streams import Streams
from scoreboard.auth import Keyring
from scoreboard.config import Settings
from scoreboard.ports import EventQueue, RankReader, RankWriter, ScoreReader, ScoreStore, SubmissionGate
from scoreboard.service import LeaderboardReader

EXTENSION: Final = "scoreboard"


class Phase(StrEnum):
    """Where a process is in its life."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"


@dataclass(slots=True)
class Lifecycle:
    """The phase, written by the lifespan and by the server."""

    phase: Phase = Phase.STARTING


@dataclass(frozen=True, slots=True, kw_only=True)
class Backends:
    """Everything outside of the process, behind its ports.

    Attributes:
        open: Connects what needs an event loop; it does not wait for parts that are away.
        close: Gives back what `open` took.
        waiting: How many accepted events wait to be sent to the queue.
    """

    ranks: RankReader
    scores: ScoreReader
    gate: SubmissionGate
    queue: EventQueue
    store: ScoreStore
    writer: RankWriter
    open: Callable[[], Awaitable[None]]
    close: Callable[[], Awaitable[None]]
    waiting: Callable[[], int] = field(default=lambda: 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """All parts of the API."""

    settings: Settings
    backends: Backends
    keys: LiveKeyring
    catalog: BoardCatalog
    reader: LeaderboardReader
    hub: Hub
    streams: Streams
    health: Health
    metrics: Metrics
    connections: Connections
    lifecycle: Lifecycle

    @property
    def keyring(self) -> Keyring:
        """The keys that tokens are checked with now."""
        return self.keys.current


def services() -> Services:
    """Return the parts of the application that serves the current request."""
    return cast("Services", current_app.extensions[EXTENSION])
