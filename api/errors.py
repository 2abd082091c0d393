"""What goes wrong in HTTP itself, and how every error looks to a client.

These are leaves of the tree in `scoreboard.errors`, for what only this room knows of.
"""

from __future__ import annotations

import logging
from typing import Final

from werkzeug.exceptions import HTTPException

from scoreboard.answers import UNFORESEEN, ErrorAnswer, answer_to_known
from scoreboard.errors import InvalidRequest, Unavailable

_log = logging.getLogger(__name__)


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


def answer_to(error: Exception) -> ErrorAnswer:
    """Return how an error is answered. What nobody expected is logged here, and not shown."""
    known = answer_to_known(error)
    if known is not None:
        return known
    if isinstance(error, HTTPException) and error.code is not None and error.code < 500:
        code, message = _OF_STATUS.get(error.code, ("INVALID_REQUEST", error.description or error.name))
        allow = {name: value for name, value in error.get_headers() if name == "Allow"}
        return ErrorAnswer(error.code, code, message, allow)
    _log.error("unexpected error", exc_info=error)
    return UNFORESEEN
