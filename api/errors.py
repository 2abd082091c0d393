"""What goes wrong in HTTP itself, and how every error looks to a client.

These are leaves of the tree in `scoreboard.errors`, for what only this room knows of.
"""

from __future__ import annotations

import json
import logging
import math
from dataclasses import dataclass, field
from typing import Final

from werkzeug.exceptions import HTTPException

from scoreboard.errors import InvalidJson, InvalidRequest, ScoreboardError, Unauthenticated, Unavailable

_log = logging.getLogger(__name__)


class DuplicateKey(InvalidJson):
    """The body has the same key twice."""

    code = "DUPLICATE_KEY"


class MethodNotAllowed(InvalidRequest):
    """This address does not take that method. The header Allow lists those it takes."""

    code = "METHOD_NOT_ALLOWED"
    status = 405


class RequestTimedOut(InvalidRequest):
    """The request did not arrive in time. Send it again."""

    code = "REQUEST_TIMEOUT"
    status = 408


class TooManyStreams(Unavailable):
    """There are too many streams. Try again later."""

    code = "TOO_MANY_STREAMS"


class Draining(Unavailable):
    """This server is about to stop. Connect again to reach another."""

    code = "DRAINING"


class Overdue(Unavailable):
    """The answer took too long. Try again."""

    code = "OVERDUE"


_OF_STATUS: Final[dict[int, tuple[str, str]]] = {
    404: ("NOT_FOUND", "There is nothing here. GET /openapi.json lists what there is."),
    405: (MethodNotAllowed.code, MethodNotAllowed.__doc__ or ""),
    408: (RequestTimedOut.code, RequestTimedOut.__doc__ or ""),
    413: ("PAYLOAD_TOO_LARGE", "The body is larger than 4 KiB."),
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


def answer_to(error: Exception) -> ErrorAnswer:
    """Return how an error is answered. What nobody expected is logged here, and not shown."""
    if isinstance(error, Unavailable) or (isinstance(error, ScoreboardError) and error.status < 500):
        return ErrorAnswer(error.status, error.code, error.message, _headers(error))
    if isinstance(error, HTTPException) and error.code is not None and error.code < 500:
        code, message = _OF_STATUS.get(error.code, ("INVALID_REQUEST", error.description or error.name))
        allow = {name: value for name, value in error.get_headers() if name == "Allow"}
        return ErrorAnswer(error.code, code, message, allow)
    _log.error("unexpected error", exc_info=error)
    return ErrorAnswer(500, "INTERNAL_ERROR", "Something went wrong here. Quote the request_id when you report it.")


def _headers(error: ScoreboardError) -> dict[str, str]:
    headers = {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(retry_after(error.retry_after_s))
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = 'Bearer realm="scoreboard"'
    return headers


def retry_after(seconds: float) -> int:
    """Return whole seconds, at least one: rounded up, so that who waits that long has waited long enough."""
    return max(1, math.ceil(seconds))
