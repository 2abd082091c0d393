"""The submission edge: takes scores by the same rules when the API cannot be reached, and tells everybody else so."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from aws_lambda_powertools import Logger

from chalicelib.board_cache import BoardCache
from chalicelib.status_page import PAGE, PAGE_POLICY
from scoreboard.answers import (
    SECURITY_HEADERS,
    UNFORESEEN,
    ErrorAnswer,
    answer_to_known,
    cors_headers,
    preflight_headers,
    rate_limit_headers,
)
from scoreboard.auth import Keyring, Principal
from scoreboard.config import Settings
from scoreboard.errors import ConfigError, MissingToken, Unavailable
from scoreboard.ports import EventQueue, EventReader, SubmissionGate
from scoreboard.service import OverLimit, event_state, submit_score
from scoreboard.submissions import (
    board_of,
    check_content,
    event_id_of,
    parse_object,
    read_key,
    read_principal,
    read_submission,
)

RETRY_S: Final = 30
INTERRUPTED: Final = "Boards cannot be shown for the moment. Scores are accepted: POST /api/scores. Try again."

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """A request as API Gateway hands it over.

    Attributes:
        method: As it was sent.
        path: Without the stage.
        headers: Name in lower case -> all values.
        body: What was sent.
    """

    method: str
    path: str
    headers: Mapping[str, Sequence[str]]
    body: bytes

    def values(self, name: str) -> Sequence[str]:
        """Return all values of a header."""
        return self.headers.get(name.lower(), ())

    def value(self, name: str) -> str | None:
        """Return the last value of a header, None if there is none."""
        values = self.values(name)
        return values[-1] if values else None


@dataclass(slots=True)
class Answer:
    """What is sent back."""

    status: int
    body: str
    headers: dict[str, str] = field(default_factory=dict)


def request_of(event: Mapping[str, Any], body: bytes | str) -> Request:
    """Return the request of an event of API Gateway."""
    headers: dict[str, list[str]] = {}
    for name, values in (event.get("multiValueHeaders") or {}).items():
        headers.setdefault(name.lower(), []).extend(values)
    if not headers:
        headers = {name.lower(): [value] for name, value in (event.get("headers") or {}).items()}
    context = event["requestContext"]
    raw = body.encode() if isinstance(body, str) else body
    return Request(context["httpMethod"], event.get("path") or context.get("path", "/"), headers, raw)


def completed(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run what never suspends to its end, without an event loop."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    coroutine.close()
    raise RuntimeError("a part of the submission edge suspends")


class Edge:
    """Answers the requests of the submission edge, one at a time."""

    def __init__(
        self,
        *,
        settings: Settings,
        keyring: Callable[[], Keyring],
        boards: BoardCache,
        gate: SubmissionGate,
        queue: EventQueue,
        events: EventReader,
        pings: Mapping[str, Callable[[], bool]],
        logger: Logger,
    ) -> None:
        """Take the parts. None of their calls may suspend, and each ends in time."""
        self.settings = settings
        self._keyring = keyring
        self._boards = boards
        self._gate = gate
        self._queue = queue
        self._events = events
        self._pings = pings
        self._logger = logger

    def post_score(self, request: Request) -> Answer:
        """Accept a score."""
        principal = self._principal_of(request)
        key = read_key(request.values("Idempotency-Key"))
        check_content(request.values("Content-Type"), request.value("Content-Encoding"))
        body = parse_object(request.body)
        board = self._boards.get(board_of(body))
        receipt = completed(
            submit_score(
                read_submission(body, board),
                principal=principal,
                idempotency_key=key,
                board=board,
                gate=self._gate,
                queue=self._queue,
            )
        )
        headers = {"Location": f"{self.settings.api_base_path}/scores/{receipt.event_id}"}
        headers |= rate_limit_headers(self.settings.rate_limit_max_requests, receipt.admission)
        if receipt.replayed:
            headers["Idempotent-Replayed"] = "true"
        return _json(202, {"event_id": str(receipt.event_id), "status": "queued"}, headers)

    def get_score(self, request: Request, event_id: str) -> Answer:
        """Say what became of a score."""
        principal = self._principal_of(request)
        state = completed(event_state(event_id_of(event_id), principal=principal, reader=self._events, gate=self._gate))
        answer = {"event_id": str(state.event_id), "status": state.status}
        if state.reason is not None:
            answer["reason"] = state.reason
        return _json(200, answer)

    def get_health(self, _request: Request) -> Answer:
        """Say how the parts are."""
        parts = {name: "up" if self._is_up(ping) else "down" for name, ping in self._pings.items()}
        status = "ok" if all(part == "up" for part in parts.values()) else "degraded"
        return _json(200, {"status": status, **parts, "version": self.settings.app_version})

    def _principal_of(self, request: Request) -> Principal:
        principal = read_principal(request.values("Authorization"), self._keyring())
        if principal is None:
            raise MissingToken
        return principal

    def _is_up(self, ping: Callable[[], bool]) -> bool:
        try:
            return ping()
        except Exception:  # whatever it is, the part is of no use now
            self._logger.debug("a part does not answer", exc_info=True)
            return False


def get_status(request: Request) -> Answer:
    """Say that this is not the service, but takes scores: as a page to a browser, else as an error."""
    if request.method in ("GET", "HEAD") and "text/html" in (request.value("Accept") or ""):
        headers = {"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": PAGE_POLICY}
        return Answer(503, PAGE, headers | {"Retry-After": str(RETRY_S)})
    raise Unavailable(INTERRUPTED, retry_after_s=RETRY_S)


def preflight(methods: Sequence[str]) -> Answer:
    """Say which requests a page may send."""
    return Answer(204, "", preflight_headers(methods))


def serve(request: Request, respond: Callable[[], Answer], settings: Callable[[], Settings], logger: Logger) -> Answer:
    """Answer a request, whatever goes wrong, and note it in the log.

    Args:
        request: What is asked.
        respond: Makes the answer, or raises an error of the tree.
        settings: Asked late, as they cannot be read while Secrets Manager is away.
        logger: Where the request is noted.
    """
    request_id, started = secrets.token_hex(8), time.perf_counter()
    answer = _answered(respond, settings, request_id, logger)
    answer.headers = {
        **SECURITY_HEADERS,
        "Cache-Control": "no-store",
        "Vary": "Origin",
        "X-Request-Id": request_id,
        **_cors(request, settings),
        **answer.headers,
    }
    logger.info(
        "request",
        extra={
            "event_type": "access",
            "request_id": request_id,
            "method": request.method[:16],
            "path": request.path[:200],
            "status": answer.status,
            "duration_ms": round((time.perf_counter() - started) * 1000, 2),
        },
    )
    return answer


def _answered(
    respond: Callable[[], Answer], settings: Callable[[], Settings], request_id: str, logger: Logger
) -> Answer:
    try:
        return respond()
    except ConfigError as error:
        # Perhaps the settings are wrong; perhaps what they point to cannot be read just now.
        logger.error("the settings cannot be used", extra={"problems": error.problems})
        known = answer_to_known(Unavailable(retry_after_s=5))
    except Exception as error:
        known = answer_to_known(error)
        if known is None:
            logger.exception("unexpected error", extra={"request_id": request_id})
        elif isinstance(error, OverLimit):
            known.headers.update(rate_limit_headers(settings().rate_limit_max_requests, error.admission))
    return _refused(known or UNFORESEEN, request_id)


def _refused(error: ErrorAnswer, request_id: str) -> Answer:
    return Answer(error.status, error.body(request_id).decode(), {"Content-Type": "application/json", **error.headers})


def _cors(request: Request, settings: Callable[[], Settings]) -> dict[str, str]:
    origin = request.value("Origin")
    if origin is None:
        return {}
    try:
        read = settings()
    except ConfigError:
        return {}
    return cors_headers(read.cors_origin, origin, credentials=read.cors_credentials)


def _json(status: int, value: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(status, json.dumps(value), {"Content-Type": "application/json", **(headers or {})})
