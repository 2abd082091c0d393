"""What this process counts and measures, for Prometheus. Labels are from fixed sets, so a client cannot add series."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_FAST: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """All of one process' metrics, in a registry of its own."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self.sse_connections = Gauge("sse_connections", "Streams that are open.", registry=registry)
        self.frames_sent = Counter("sse_frames_sent", "Snapshots handed to a connection.", registry=registry)
        self.frames_skipped = Counter(
            "sse_frames_skipped", "Snapshots replaced by a newer one before sending.", registry=registry
        )
        self.clients_cut = Counter(
            "sse_clients_cut", "Streams cut because they could not be written to.", registry=registry
        )
        self.streams_refused = Counter("sse_streams_refused", "Streams refused, by cap.", ["cap"], registry=registry)
        self.frame_latency = Histogram(
            "sse_frame_seconds",
            "From the notice of a change to the frame's offer to all.",
            buckets=_FAST,
            registry=registry,
        )
        self.refresh_seconds = Histogram(
            "board_refresh_seconds", "Reading the top of a board for its streams.", buckets=_FAST, registry=registry
        )
        self.refresh_failures = Counter(
            "board_refresh_failures", "Refreshes that could not read a board.", registry=registry
        )
        self.relay_reconnects = Counter(
            "relay_reconnects", "Subscriptions to changes that had to be renewed.", registry=registry
        )
        self.requests = Counter("http_requests", "Requests answered.", ["method", "route", "status"], registry=registry)
        self.request_seconds = Histogram(
            "http_request_seconds", "Duration of requests, streams apart.", ["route"], buckets=_FAST, registry=registry
        )
        self.submit_seconds = Histogram(
            "submit_seconds",
            "From a valid submission to the queue's acknowledgement.",
            buckets=_FAST,
            registry=registry,
        )
        self.score_updates = Counter("score_updates", "Scores accepted, repetitions apart.", registry=registry)
        self.leaderboard_queries = Counter("leaderboard_queries", "Reads of a board by requests.", registry=registry)
        self.redis_operations = Counter(
            "redis_operations", "Calls of the index and of the rate limit.", ["operation"], registry=registry
        )
        self.queue_waiting = Gauge(
            "queue_waiting", "Accepted events that wait to be sent to the queue.", registry=registry
        )
        self.sweeps = Counter("sweeps", "Sweeps of a board, by outcome.", ["outcome"], registry=registry)
        self.swept = Counter("sweeper_standings", "Standings that a sweep had to repair.", registry=registry)

    def count_request(self, *, method: str, route: str, status: int) -> None:
        """Count one answered request."""
        self.requests.labels(method if method in _METHODS else "OTHER", route, str(status)).inc()

    def count_redis(self, operation: str) -> None:
        """Count one call of what is in Redis."""
        self.redis_operations.labels(operation).inc()

    def text(self) -> bytes:
        """Return everything in the exposition format."""
        return generate_latest(self.registry)
