"""Schemas and parameters of the description of the API."""

from __future__ import annotations

from typing import Any, Final

from api.blueprints.leaderboard import DEFAULT_RADIUS
from api.blueprints.stream import MAX_BOARDS
from api.requests import MAX_LIMIT, MAX_RADIUS, MAX_USERS
from scoreboard.boards import BOARD_ID, MAX_SAFE_INTEGER, USER_ID, Operator, SortOrder, Writers

_USER: Final[dict[str, Any]] = {"type": "string", "pattern": f"^{USER_ID.pattern}$", "maxLength": 64}
_BOARD: Final[dict[str, Any]] = {"type": "string", "pattern": f"^{BOARD_ID.pattern}$", "maxLength": 32}
_SCORE: Final[dict[str, Any]] = {"type": "integer", "minimum": -MAX_SAFE_INTEGER, "maximum": MAX_SAFE_INTEGER}
_COUNT: Final[dict[str, Any]] = {"type": "integer", "minimum": 0}
_TEXT: Final[dict[str, Any]] = {"type": "string"}
_TIME: Final[dict[str, Any]] = {"type": "string", "format": "date-time"}
_EVENT_ID: Final[dict[str, Any]] = {"type": "string", "format": "uuid"}
_PART: Final[dict[str, Any]] = {"type": "string", "enum": ["up", "down"]}


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    """An object with exactly these properties, all of them there."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


_ENTRY: Final = {
    "rank": {"type": "integer", "minimum": 1},
    "user_id": _USER,
    "name": _TEXT,
    "score": _SCORE,
    "reached_at": _TIME,
}
_BOARD_STATE: Final = {"board": _BOARD, "season": _TEXT, "epoch": _TEXT, "version": _COUNT, "total": _COUNT}

SCHEMAS: Final[dict[str, Any]] = {
    "Submission": {
        "type": "object",
        "properties": {
            "delta": {
                **_SCORE,
                "description": "The change, where value_field is delta (on `global` 1 to 1000).",
            },
            "score": {**_SCORE, "description": "The score, where value_field is score."},
            "board": {**_BOARD, "default": "global"},
            "user_id": {**_USER, "description": "Whose score it is: required from a server, else only oneself."},
        },
        "oneOf": [{"required": ["delta"]}, {"required": ["score"]}],
        "additionalProperties": False,
    },
    "Receipt": _object(event_id=_EVENT_ID, status={"const": "queued"}),
    "EventState": {
        "type": "object",
        "properties": {
            "event_id": _EVENT_ID,
            "status": {"type": "string", "enum": ["queued", "applied", "rejected"]},
            "reason": {"type": "string", "description": "Why it was rejected."},
        },
        "required": ["event_id", "status"],
        "additionalProperties": False,
    },
    "Entry": _object(**_ENTRY),
    "Snapshot": _object(
        **_BOARD_STATE,
        entries={"type": "array", "items": _ref("Entry"), "maxItems": 2 * MAX_RADIUS + 1},
        next={"type": ["string", "null"], "description": "Cursor of the page after this one."},
    ),
    "UserStanding": _object(**_BOARD_STATE, **_ENTRY, percentile={"type": "number", "minimum": 0, "maximum": 100}),
    "Board": _object(
        id=_BOARD,
        operator={"type": "string", "enum": [operator.value for operator in Operator]},
        sort_order={"type": "string", "enum": [order.value for order in SortOrder]},
        value_field={"type": "string", "enum": ["delta", "score"]},
        min_change=_SCORE,
        max_change=_SCORE,
        min_score=_SCORE,
        max_score=_SCORE,
        writers={"type": "string", "enum": [writers.value for writers in Writers]},
        display_limit={"type": "integer", "minimum": 1, "maximum": MAX_LIMIT},
        season=_TEXT,
    ),
    "Boards": _object(boards={"type": "array", "items": _ref("Board")}),
    "Health": _object(
        status={"type": "string", "enum": ["ok", "degraded", "draining"]},
        db=_PART,
        redis=_PART,
        queue=_PART,
        version=_TEXT,
    ),
    "Phase": _object(status={"type": "string", "enum": ["starting", "ready", "draining"]}),
    "Error": _object(
        error_code=_ref("ErrorCode"),
        message={"type": "string", "description": "What to do about it, for people."},
        request_id={"type": "string", "description": "Quote it when you report a problem."},
    ),
}


def _query(name: str, schema: dict[str, Any], description: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema, "description": description, **more}


def _path(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _header(name: str, description: str, **schema: Any) -> dict[str, Any]:
    return {"name": name, "in": "header", "schema": {"type": "string", **schema}, "description": description}


def _number(highest: int, **more: Any) -> dict[str, Any]:
    return {"type": "integer", "minimum": 1, "maximum": highest, **more}


PARAMETERS: Final[dict[str, Any]] = {
    "event_id": _path("event_id", _EVENT_ID),
    "user_id": _path("user_id", _USER),
    "board_id": _path("board_id", _BOARD),
    "name": _path("name", _TEXT),
    "board": _query("board", {**_BOARD, "default": "global"}, "Which board."),
    "boards": _query(
        "board",
        {"type": "array", "items": _BOARD, "maxItems": MAX_BOARDS},
        f"Which boards: the parameter may be given up to {MAX_BOARDS} times, and is `global` if not given.",
        explode=True,
    ),
    "limit": _query(
        "limit",
        _number(MAX_LIMIT),
        (
            "How many entries; the board's display_limit if not given. With `around` or `users`: at most so many of "
            "them, the nearest to the user or the first in rank order; all if not given."
        ),
    ),
    "cursor": _query("cursor", _TEXT, "The `next` of the page before."),
    "around": _query("around", _USER, "The entries around this user."),
    "radius": _query(
        "radius",
        _number(MAX_RADIUS, default=DEFAULT_RADIUS),
        "How many before and after, with `around`; half of `limit` if only that is given.",
    ),
    "users": _query(
        "users",
        {"type": "array", "items": _USER, "minItems": 1, "maxItems": MAX_USERS},
        "These users only, separated by commas.",
        style="form",
        explode=False,
    ),
    "last_event_id": _query("last_event_id", _TEXT, "As the header Last-Event-ID, for clients that cannot send one."),
    "Idempotency-Key": _header(
        "Idempotency-Key", "Makes the request safe to repeat.", minLength=1, maxLength=128, pattern="^[ -~]+$"
    ),
    "If-None-Match": _header("If-None-Match", "The ETag of an earlier answer."),
    "Last-Event-ID": _header(
        "Last-Event-ID",
        (
            "The id of the last snapshot. It is not sent again if it is current, where one board is watched at its "
            "display_limit."
        ),
    ),
    "X-SSE-Client": _header("X-SSE-Client", "`sdk`: refuse with 503 rather than with a stream that ends."),
}
