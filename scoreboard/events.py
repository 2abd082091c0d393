"""Score events: the message on the queue, versioned. Pure."""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass
from typing import Any, Final

from scoreboard.boards import BOARD_ID, MAX_SAFE_INTEGER, USER_ID
from scoreboard.errors import InvalidEvent

VERSION: Final = 1
MAX_TIME_US: Final = 10**16 - 1
"""Largest time in microseconds that the 16 digits of a ranking member hold: the year 2286."""

# As `str` writes one: `uuid.UUID` also takes braces, and digits of any script.
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_KEY_NAMESPACE: Final = uuid.UUID("5c0eb0a2-d5f4-4c0e-9f0e-7b1d0f5b3a11")


def event_id_for_key(submitter: str, idempotency_key: str) -> uuid.UUID:
    """Return the event id of a submitter's idempotency key.

    The same key of the same submitter is the same event for ever, even where every cache was lost; another submitter
    cannot take the id, as its name is part of what is hashed (UUID version 5, RFC 9562).
    """
    return uuid.uuid5(_KEY_NAMESPACE, f"{submitter}\x00{idempotency_key}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreEvent:
    """One accepted submission.

    Attributes:
        event_id: Primary key of the effect: applied once, however often it is delivered.
        board_id: The board it counts on.
        user_id: Whose score changes.
        value: The change or the score, by the board's operator.
        accepted_at: When it was accepted, in microseconds since 1970 on Redis' clock.
        submitted_by: The token's subject, which for a server is not the user.
    """

    event_id: uuid.UUID
    board_id: str
    user_id: str
    value: int
    accepted_at: int
    submitted_by: str

    def to_json(self) -> str:
        """Return the message body."""
        return json.dumps(
            {
                "v": VERSION,
                "event_id": str(self.event_id),
                "board_id": self.board_id,
                "user_id": self.user_id,
                "value": self.value,
                "accepted_at": self.accepted_at,
                "submitted_by": self.submitted_by,
            },
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, body: str | bytes) -> ScoreEvent:
        """Read a message body.

        Raises:
            InvalidEvent: The body is anything but a score event of a known version.
        """
        try:
            fields = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise InvalidEvent("The message is not JSON.") from error
        if not isinstance(fields, dict) or type(fields.get("v")) is not int or fields["v"] != VERSION:
            raise InvalidEvent(f"The message is not a score event of version {VERSION}.")
        return cls(
            event_id=_uuid(fields.get("event_id")),
            board_id=_name(fields, "board_id", BOARD_ID),
            user_id=_name(fields, "user_id", USER_ID),
            value=_integer(fields, "value", -MAX_SAFE_INTEGER, MAX_SAFE_INTEGER),
            accepted_at=_integer(fields, "accepted_at", 0, MAX_TIME_US),
            submitted_by=_name(fields, "submitted_by", USER_ID),
        )


def _uuid(value: object) -> uuid.UUID:
    if isinstance(value, str) and _UUID.fullmatch(value):
        return uuid.UUID(value)
    raise InvalidEvent("event_id is not a UUID.")


def _name(fields: dict[str, Any], field: str, pattern: Any) -> str:
    value = fields.get(field)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise InvalidEvent(f"{field} is not a valid name.")
    return value


def _integer(fields: dict[str, Any], field: str, low: int, high: int) -> int:
    value = fields.get(field)
    if type(value) is not int or not low <= value <= high:
        raise InvalidEvent(f"{field} is not an integer from {low} to {high}.")
    return value
