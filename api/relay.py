"""The relay: learns that boards have changed, and tells the hub.

Messages are only hints: a lost one costs at most the second until the versions of all boards are compared with what
was read. That comparison also sees what no message tells: a dead subscription, an emptied Redis, another epoch.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from contextlib import aclosing
from typing import Any, Final, cast

from api.hub import Hub
from api.metrics import Metrics
from scoreboard.errors import Unavailable
from scoreboard.ports import RankReader
from scoreboard.standings import BoardVersion

POLL_S: Final = 1.0
POLL_TIMEOUT_S: Final = 2.0
SILENCE_S: Final = 5.0
"""A subscription that says nothing for this long, not even that a second has passed, is dead."""
BACKOFF_S: Final = (0.1, 0.2, 0.5, 1.0)

_log = logging.getLogger(__name__)


class Relay:
    """One subscription and one comparison of versions per process, whatever the number of streams."""

    def __init__(
        self,
        ranks: RankReader,
        hub: Hub,
        metrics: Metrics,
        *,
        board_ids: Callable[[], Collection[str]],
        on_incomplete: Callable[[], None],
    ) -> None:
        """Take `board_ids`, the boards to compare, and `on_incomplete`, to be told of an index that needs a rebuild."""
        self._ranks = ranks
        self._hub = hub
        self._metrics = metrics
        self._board_ids = board_ids
        self._on_incomplete = on_incomplete

    async def run(self) -> None:
        """Relay until cancelled; no failure ends it."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            group.create_task(self._compare_for_ever())

    async def _listen(self) -> None:
        failures = 0
        while True:
            try:
                # The driver's iterator is a generator, which has to be closed to give its connection back.
                async with aclosing(cast("Any", self._ranks.changes())) as changes:
                    while True:
                        async with asyncio.timeout(SILENCE_S):
                            board_id = await anext(changes)
                        if failures:
                            _log.info("listening to changes again")
                        failures = 0
                        if board_id is not None:
                            self._hub.changed(board_id)
            except (Unavailable, TimeoutError, StopAsyncIteration) as error:
                self._lost(failures, error)
            except Exception:
                _log.exception("the subscription to changes failed")
            failures += 1
            self._metrics.relay_reconnects.inc()
            await asyncio.sleep(BACKOFF_S[min(failures, len(BACKOFF_S)) - 1])

    def _lost(self, failures: int, error: BaseException) -> None:
        if not failures:
            _log.warning("changes cannot be heard, versions are still compared: %r", error)

    async def _compare_for_ever(self) -> None:
        while True:
            try:
                await self._compare()
            except Exception:
                _log.exception("comparing versions failed")
            await asyncio.sleep(POLL_S)

    async def _compare(self) -> None:
        watched = list(self._hub.watched)
        everyone = list({*self._board_ids(), *watched})
        try:
            async with asyncio.timeout(POLL_TIMEOUT_S):
                versions: Mapping[str, BoardVersion | None] = await self._ranks.versions(everyone)
        except (Unavailable, TimeoutError):
            versions = {}
        else:
            if None in versions.values():
                self._on_incomplete()
        for board_id in watched:
            # Without an index there is no version to compare: the truth is read, once a second.
            version = versions.get(board_id)
            if version is None or version != self._hub.version(board_id):
                self._hub.changed(board_id)
