"""Answering submissions over HTTP, whichever server took them: errors, limits, and who may read from a browser."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from scoreboard.errors import ScoreboardError, Unauthenticated, Unavailable
from scoreboard.ports import Admission

REQUEST_HEADERS: Final = "Authorization, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID, X-SSE-Client"
EXPOSED_HEADERS: Final = (
    "ETag, Idempotent-Replayed, Link, Location, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, Retry-After, "
    "X-Request-Id"
)
PREFLIGHT_AGE_S: Final = 600
SECURITY_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """An error as it is sent."""

    status: int
    code: str
    message: str
    headers: dict[str, str] = field(default_factory=dict)

    def body(self, request_id: str) -> bytes:
        """Return the JSON that a client reads."""
        return json.dumps({"error_code": self.code, "message": self.message, "request_id": request_id}).encode()


UNFORESEEN: Final = ErrorAnswer(
    500, "INTERNAL_ERROR", "Something went wrong here. Quote the request_id when you report it."
)


def answer_to_known(error: Exception) -> ErrorAnswer | None:
    """Return how an error is answered; None for one that a client must not be shown."""
    if not isinstance(error, ScoreboardError) or (error.status >= 500 and not isinstance(error, Unavailable)):
        return None
    headers = {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(retry_after(error.retry_after_s))
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = 'Bearer realm="scoreboard"'
    return ErrorAnswer(error.status, error.code, error.message, headers)


def rate_limit_headers(limit: int, admission: Admission) -> dict[str, str]:
    """Return how much of the limit is left, and in how many seconds there will be more."""
    return {
        "RateLimit-Limit": str(limit),
        "RateLimit-Remaining": str(admission.remaining),
        "RateLimit-Reset": str(retry_after(admission.reset_ms / 1000)),
    }


def retry_after(seconds: float) -> int:
    """Return whole seconds, at least one: rounded up, so that who waits that long has waited long enough."""
    return max(1, math.ceil(seconds))


def cors_headers(allowed: Sequence[str], origin: str | None, *, credentials: bool) -> dict[str, str]:
    """Return what tells a browser whether the page of an origin may read an answer."""
    if origin is None:
        return {}
    if "*" in allowed:
        origin = "*"
    elif origin not in allowed:
        return {}
    headers = {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": EXPOSED_HEADERS}
    if credentials and origin != "*":
        headers["Access-Control-Allow-Credentials"] = "true"
    return headers


def preflight_headers(methods: Sequence[str]) -> dict[str, str]:
    """Return what tells a browser which requests it may send."""
    listed = ", ".join(sorted(methods))
    return {
        "Access-Control-Allow-Methods": listed,
        "Access-Control-Allow-Headers": REQUEST_HEADERS,
        "Access-Control-Max-Age": str(PREFLIGHT_AGE_S),
        "Allow": listed,
    }
