"""The one tree of errors, each with its stable code, its HTTP status and whether trying again can help.

    ScoreboardError
    ├── InvalidRequest            400  a request that can never succeed as it stands
    │   ├── InvalidJson           400
    │   │   └── DuplicateKey      400
    │   ├── InvalidField          400
    │   ├── UnknownField          400
    │   ├── InvalidParameter      400
    │   ├── InvalidCursor         400
    │   ├── InvalidIdempotencyKey 400
    │   ├── InvalidEvent          400  a queue message that is not a score event
    │   ├── DeltaOutOfRange       422
    │   ├── ScoreOutOfRange       422
    │   ├── PayloadTooLarge       413
    │   └── UnsupportedMediaType  415
    ├── Unauthenticated           401
    │   ├── MissingToken          401
    │   ├── ExpiredToken          401
    │   └── InvalidToken          401
    ├── Forbidden                 403
    ├── NotFound                  404
    │   ├── UnknownBoard          404
    │   ├── UnknownUser           404
    │   └── UnknownEvent          404
    ├── IdempotencyConflict       409
    ├── RateLimited               429  retryable
    ├── Unavailable               503  retryable
    │   ├── QueueUnavailable      503
    │   ├── LimiterUnavailable    503
    │   └── BoardUnavailable      503
    └── ConfigError               settings that cannot work; a program exits with 2

The docstring of a class is its message when none is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class ScoreboardError(Exception):
    """Something went wrong."""

    code: ClassVar[str] = "INTERNAL_ERROR"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(self, message: str | None = None, *, retry_after_s: float | None = None) -> None:
        self.message = message or (type(self).__doc__ or "").strip()
        self.retry_after_s = retry_after_s
        super().__init__(self.message)


class InvalidRequest(ScoreboardError):
    """The request is not valid."""

    code = "INVALID_REQUEST"
    status = 400


class InvalidJson(InvalidRequest):
    """The body is not a JSON object. Send one, for example {"delta": 5}."""

    code = "INVALID_JSON"


class DuplicateKey(InvalidJson):
    """The body has the same key twice."""

    code = "DUPLICATE_KEY"


class InvalidField(InvalidRequest):
    """A field has the wrong type or value."""

    code = "INVALID_FIELD"


class UnknownField(InvalidRequest):
    """The body has a field that is not known here."""

    code = "UNKNOWN_FIELD"


class InvalidParameter(InvalidRequest):
    """A query parameter has a value that cannot be used."""

    code = "INVALID_PARAMETER"


class InvalidCursor(InvalidRequest):
    """The cursor was not made by this board. Start again without one."""

    code = "INVALID_CURSOR"


class InvalidIdempotencyKey(InvalidRequest):
    """Send one Idempotency-Key of 1 to 128 printable ASCII characters."""

    code = "INVALID_IDEMPOTENCY_KEY"


class InvalidEvent(InvalidRequest):
    """The message is not a score event."""

    code = "INVALID_EVENT"


class DeltaOutOfRange(InvalidRequest):
    """The change is outside what the board allows for one event."""

    code = "DELTA_OUT_OF_RANGE"
    status = 422


class ScoreOutOfRange(InvalidRequest):
    """The score would leave the bounds of the board."""

    code = "SCORE_OUT_OF_RANGE"
    status = 422


class PayloadTooLarge(InvalidRequest):
    """The body is larger than 4 KiB."""

    code = "PAYLOAD_TOO_LARGE"
    status = 413


class UnsupportedMediaType(InvalidRequest):
    """Send the body as Content-Type: application/json."""

    code = "UNSUPPORTED_MEDIA_TYPE"
    status = 415


class Unauthenticated(ScoreboardError):
    """A valid token is needed."""

    code = "UNAUTHENTICATED"
    status = 401


class MissingToken(Unauthenticated):
    """Send a token: Authorization: Bearer <JWT>."""

    code = "MISSING_TOKEN"


class ExpiredToken(Unauthenticated):
    """The token has expired. Ask for a new one."""

    code = "EXPIRED_TOKEN"


class InvalidToken(Unauthenticated):
    """The token is not valid here."""

    code = "INVALID_TOKEN"


class Forbidden(ScoreboardError):
    """The token does not allow this."""

    code = "FORBIDDEN"
    status = 403


class NotFound(ScoreboardError):
    """There is nothing here."""

    code = "NOT_FOUND"
    status = 404


class UnknownBoard(NotFound):
    """There is no board of that name. GET /api/boards lists those there are."""

    code = "UNKNOWN_BOARD"


class UnknownUser(NotFound):
    """That user has no score on this board yet."""

    code = "UNKNOWN_USER"


class UnknownEvent(NotFound):
    """No score event of yours has that id."""

    code = "UNKNOWN_EVENT"


class IdempotencyConflict(ScoreboardError):
    """This Idempotency-Key was used with another body. Use a new key for a new score."""

    code = "IDEMPOTENCY_KEY_REUSED"
    status = 409


class RateLimited(ScoreboardError):
    """Too many scores in too short a time. Wait, then send the same request again."""

    code = "RATE_LIMITED"
    status = 429
    retryable = True


class Unavailable(ScoreboardError):
    """A part of the service is away for the moment. Try again with the same Idempotency-Key."""

    code = "UNAVAILABLE"
    status = 503
    retryable = True


class QueueUnavailable(Unavailable):
    """The queue cannot take scores for the moment. Try again with the same Idempotency-Key."""

    code = "QUEUE_UNAVAILABLE"


class LimiterUnavailable(Unavailable):
    """The rate limit cannot be checked for the moment. Try again with the same Idempotency-Key."""

    code = "LIMITER_UNAVAILABLE"


class BoardUnavailable(Unavailable):
    """The board cannot be read for the moment. Try again."""

    code = "BOARD_UNAVAILABLE"


class ConfigError(ScoreboardError):
    """The settings cannot work."""

    code = "CONFIG_ERROR"

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("Settings cannot work:\n" + "\n".join(f"  - {problem}" for problem in self.problems))
