"""The description of the API, OpenAPI 3.1, kept by hand; tests hold it against the routes and the error tree."""

from __future__ import annotations

from typing import Any, Final

from api import errors as http_errors
from api.openapi_schemas import PARAMETERS, SCHEMAS
from scoreboard import errors
from scoreboard.config import Settings
from scoreboard.errors import ConfigError, InvalidEvent, ScoreboardError

_BEARER: Final[list[dict[str, list[str]]]] = [{"token": []}]
_OPTIONAL_BEARER: Final[list[dict[str, list[str]]]] = [{}, {"token": []}]
_LIMIT_HEADERS: Final = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")


def error_codes() -> list[str]:
    """Return every code that a client can meet."""
    found = {"INTERNAL_ERROR"}
    waiting: list[type[ScoreboardError]] = [ScoreboardError]
    while waiting:
        kind = waiting.pop()
        waiting.extend(kind.__subclasses__())
        if kind.__module__ in (errors.__name__, http_errors.__name__) and kind not in (ConfigError, InvalidEvent):
            found.add(kind.code)
    return sorted(found)


def document(settings: Settings) -> dict[str, Any]:
    """Return the whole description."""
    base = settings.api_base_path
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Scoreboard",
            "version": settings.app_version,
            "summary": "A leaderboard that is live.",
            "description": (
                "Scores are accepted over HTTP, counted exactly once, and shown on every screen within a second. "
                "Unknown query parameters are ignored, unknown fields of a body are not."
            ),
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "paths": {
            f"{base}/scores": {"post": _submit()},
            f"{base}/scores/{{event_id}}": {"get": _event()},
            f"{base}/leaderboard": {"get": _leaderboard()},
            f"{base}/leaderboard/users/{{user_id}}": {"get": _user()},
            f"{base}/leaderboard/stream": {"get": _stream()},
            f"{base}/boards": {"get": _simple("List all boards.", "Boards", tag="boards")},
            f"{base}/boards/{{board_id}}": {
                "get": _simple("Show one board.", "Board", tag="boards", parameters=["board_id"], problems=[404])
            },
            "/health": {"get": _simple("How the process and its parts are; 200 while it lives.", "Health")},
            "/health/ready": {"get": _ready()},
            "/metrics": {"get": _file("Metrics for Prometheus.", "text/plain")},
            "/openapi.json": {"get": _file("This description.", "application/json")},
            "/": {"get": _file("The live board.", "text/html")},
            "/docs": {"get": _file("The documentation.", "text/html")},
            "/static/{name}": {"get": _file("A file of the pages.", "application/octet-stream", parameters=["name"])},
        },
        "components": {
            "schemas": {**SCHEMAS, "ErrorCode": {"type": "string", "enum": error_codes()}},
            "parameters": PARAMETERS,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def _submit() -> dict[str, Any]:
    accepted = _json("Queued; it will be counted exactly once.", "Receipt")
    accepted["headers"] = {
        **{name: _header("integer") for name in _LIMIT_HEADERS},
        "Idempotent-Replayed": _header("string", "`true` when this key was accepted before; nothing new happens."),
        "Location": _header("string", "Where to ask what became of it."),
    }
    return {
        "operationId": "submitScore",
        "tags": ["scores"],
        "summary": "Submit a score.",
        "description": (
            "A player scores for itself; a server's token names the user. With an Idempotency-Key the same request can "
            "be sent again without a second effect; replays of an accepted one are free."
        ),
        "security": _BEARER,
        "parameters": [_parameter("Idempotency-Key")],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/Submission"}, "example": {"delta": 5}}
            },
        },
        "responses": {"202": accepted, **_problems(400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 503)},
    }


def _event() -> dict[str, Any]:
    return {
        "operationId": "getScore",
        "tags": ["scores"],
        "summary": "What became of a score.",
        "description": "For who submitted it, the user it is for, and servers.",
        "security": _BEARER,
        "parameters": [_parameter("event_id")],
        "responses": {"200": _json("Its state.", "EventState"), **_problems(401, 404, 503)},
    }


def _leaderboard() -> dict[str, Any]:
    page = _json("Some entries, all of one version.", "Snapshot")
    page["headers"] = {
        "ETag": _header("string", "Epoch and version of the board, and what was asked for."),
        "Link": _header("string", 'The stream of this page, rel="events".'),
    }
    names = ("board", "limit", "cursor", "around", "radius", "users", "If-None-Match")
    return {
        "operationId": "getLeaderboard",
        "tags": ["leaderboard"],
        "summary": "A page of a board, the entries around a user, or some users.",
        "parameters": [_parameter(name) for name in names],
        "responses": {"200": page, "304": {"description": "Not changed."}, **_problems(400, 404, 503)},
    }


def _user() -> dict[str, Any]:
    return {
        "operationId": "getUser",
        "tags": ["leaderboard"],
        "summary": "Where one user is.",
        "parameters": [_parameter("user_id"), _parameter("board"), _parameter("If-None-Match")],
        "responses": {
            "200": _json("Rank, score and percentile.", "UserStanding"),
            "304": {"description": "Not changed."},
            **_problems(400, 404, 503),
        },
    }


def _stream() -> dict[str, Any]:
    opened = {
        "description": (
            "`retry:`, then `event: snapshot` with `id: <epoch>:<version>` for each change, `event: presence` with the "
            "number of streams, `: hb` as a heartbeat, and `event: bye` with a reason (`drain`, `overload`, "
            "`max_age`, `token_expired`) before the server closes. The data of a snapshot is a `Snapshot`."
        ),
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
    names = ("boards", "limit", "last_event_id", "Last-Event-ID", "X-SSE-Client")
    return {
        "operationId": "streamLeaderboard",
        "tags": ["leaderboard"],
        "summary": "Boards as they change, as Server-Sent Events.",
        "security": _OPTIONAL_BEARER,
        "parameters": [_parameter(name) for name in names],
        "responses": {"200": opened, **_problems(400, 401, 404, 503)},
    }


def _ready() -> dict[str, Any]:
    return {
        "operationId": "getReady",
        "tags": ["operations"],
        "summary": "Whether to send requests here.",
        "responses": {"200": _json("Yes.", "Phase"), "503": _json("Starting or draining.", "Phase")},
    }


def _simple(
    summary: str,
    schema: str,
    *,
    tag: str = "operations",
    parameters: list[str] | None = None,
    problems: list[int] | None = None,
) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": f"get{schema}",
        "tags": [tag],
        "summary": summary,
        "responses": {"200": _json(summary, schema), **_problems(*problems or [])},
    }
    if parameters:
        operation["parameters"] = [_parameter(name) for name in parameters]
    return operation


def _file(summary: str, media_type: str, *, parameters: list[str] | None = None) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "tags": ["operations"],
        "summary": summary,
        "responses": {"200": {"description": summary, "content": {media_type: {}}}},
    }
    if parameters:
        operation["parameters"] = [_parameter(name) for name in parameters]
        operation["responses"] |= _problems(404)
    return operation


def _parameter(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/parameters/{name}"}


def _json(description: str, schema: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"description": description, "content": content}


def _header(kind: str, description: str = "") -> dict[str, Any]:
    return {"schema": {"type": kind}, **({"description": description} if description else {})}


_REASONS: Final = {
    400: "The request can never succeed as it stands.",
    401: "A valid token is needed.",
    403: "The token does not allow this.",
    404: "There is nothing of that name.",
    408: "The body did not arrive in time.",
    409: "The Idempotency-Key was used with another body.",
    413: "The body is larger than 4 KiB.",
    415: "The body is not application/json.",
    422: "The value is outside what the board allows.",
    429: "Over the limit; Retry-After says when to try again.",
    503: "A part is away for the moment; Retry-After says when to try again.",
}


def _problems(*statuses: int) -> dict[str, Any]:
    answers = {str(status): _json(_REASONS[status], "Error") for status in statuses}
    for status in (429, 503):
        if str(status) in answers:
            answers[str(status)]["headers"] = {"Retry-After": _header("integer", "Seconds.")}
    return answers
