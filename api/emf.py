"""The metrics of this process as lines of its log that CloudWatch makes metrics of (its embedded metric format).

A line tells what was counted since the one before. Names and dimensions are those of the alarms and the dashboard.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Mapping
from typing import Any, Final

from api.metrics import Metrics
from scoreboard.config import Settings

LOGGER: Final = "api.emf"
"""Its records are lines as they are: within a line of the log, CloudWatch would not find them."""
INTERVAL_S: Final = 60.0
COUNTS: Final = (
    "Requests",
    "ServerErrors",
    "ScoreUpdates",
    "LeaderboardQueries",
    "RedisOperations",
    "StreamsRefused",
    "ClientsCut",
)

_SAMPLES: Final = {
    "http_requests_total": "Requests",
    "score_updates_total": "ScoreUpdates",
    "leaderboard_queries_total": "LeaderboardQueries",
    "redis_operations_total": "RedisOperations",
    "sse_streams_refused_total": "StreamsRefused",
    "sse_clients_cut_total": "ClientsCut",
    "sse_connections": "SseConnections",
    "http_request_seconds_sum": "_seconds",
    "http_request_seconds_count": "_timed",
}

_log = logging.getLogger(LOGGER)


class EmbeddedMetrics:
    """Writes the metrics of a process to its log, from one line to the next."""

    def __init__(self, metrics: Metrics, settings: Settings) -> None:
        self._metrics = metrics
        self._namespace = settings.cloudwatch_namespace
        self._dimensions = {"Service": settings.app_name, "Environment": settings.app_env}
        self._before = self._totals()

    async def run(self) -> None:
        """Write a line a minute until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL_S)
            self.write()

    def write(self, *, last: bool = False) -> None:
        """Write what came since the last line.

        The last line of a process says nothing of streams: a 0 would lower the average that the number of processes is
        chosen by, although those streams are at other processes now.
        """
        totals = self._totals()
        since = {name: total - self._before[name] for name, total in totals.items()}
        self._before = totals
        figures: dict[str, float] = {name: int(since[name]) for name in COUNTS}
        if not last:
            figures["SseConnections"] = int(totals["SseConnections"])
        if since["_timed"]:
            figures["RequestDuration"] = round(since["_seconds"] / since["_timed"] * 1000, 3)
        _log.info(self._line(figures))

    def _line(self, figures: Mapping[str, float]) -> str:
        units = {"RequestDuration": "Milliseconds"}
        directive = {
            "Namespace": self._namespace,
            "Dimensions": [list(self._dimensions)],
            "Metrics": [{"Name": name, "Unit": units.get(name, "Count")} for name in figures],
        }
        embedded: dict[str, Any] = {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [directive]}
        return json.dumps({"_aws": embedded, **self._dimensions, **figures})

    def _totals(self) -> dict[str, float]:
        totals = dict.fromkeys((*_SAMPLES.values(), "ServerErrors"), 0.0)
        for family in self._metrics.registry.collect():
            for sample in family.samples:
                if name := _SAMPLES.get(sample.name):
                    totals[name] += sample.value
                    if name == "Requests" and sample.labels["status"].startswith("5"):
                        totals["ServerErrors"] += sample.value
        return totals
