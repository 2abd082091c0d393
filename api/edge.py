"""The ASGI layer around Quart: what has to hold for every request, whatever becomes of it.

It names the request, bounds its body and its time, counts it, logs it, and takes back what the request took (a place
among the streams, say), also when the client vanishes before an answer has begun.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final

from api.connections import Connection, Connections
from api.errors import Overdue, answer_to
from api.logs import request_id_of_context
from api.metrics import Metrics
from scoreboard.submissions import MAX_BODY

DISCARD_MAX: Final = 1024 * 1024
DISCARD_S: Final = 2.0
"""So much of a body that is too large, and for so long, is read and thrown away, so that the client reads the answer
instead of failing to write."""
SCOPE_KEY: Final = "scoreboard"
_QUIET: Final = frozenset({"/health", "/health/ready", "/metrics"})

_log = logging.getLogger("api.access")

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass(slots=True)
class RequestNotes:
    """What is noted of one request while it is served.

    Attributes:
        request_id: Our own name for it; what a client sends is not trusted in logs.
        connection: Where it came in, None in tests without a server.
        route: The rule that matched, for metrics.
        user_id: Whom the token speaks for.
        streaming: Whether the answer has no end, so that the time limit does not apply.
        at_end: Called when the request is over, in whatever way.
        status: What was answered, 0 before.
    """

    request_id: str
    connection: Connection | None = None
    route: str = "unmatched"
    user_id: str | None = None
    streaming: bool = False
    at_end: list[Callable[[], None]] = field(default_factory=list)
    status: int = 0
    deadline: asyncio.Timeout | None = None

    def begin_stream(self) -> None:
        """Lift the time limit: the answer goes on until someone ends it."""
        self.streaming = True
        if self.deadline is not None:
            self.deadline.reschedule(None)
        if self.connection is not None:
            self.connection.stream()


class Edge:
    """The outermost ASGI application."""

    def __init__(self, app: App, *, connections: Connections, metrics: Metrics, timeout_s: float) -> None:
        self._app = app
        self._connections = connections
        self._metrics = metrics
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            await self._serve(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        else:
            await self._app(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        notes = RequestNotes(secrets.token_hex(8), self._connections.find(scope.get("client")))
        body = BoundedBody(receive)
        scope[SCOPE_KEY] = notes
        request_id_of_context.set(notes.request_id)
        started = time.perf_counter()
        if notes.connection is not None:
            notes.connection.begin_request(body)
        try:
            await self._limited(notes, scope, body, _noting(notes, send))
        finally:
            if notes.connection is not None:
                notes.connection.end_request(body)
            for undo in notes.at_end:
                undo()
            self._record(notes, scope, time.perf_counter() - started)

    async def _limited(self, notes: RequestNotes, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with asyncio.timeout(self._timeout_s) as notes.deadline:
                await self._app(scope, receive, send)
        except Exception as error:
            # What did not even reach the error handlers: too late, or so odd that there was nothing to hand it to.
            if notes.status:
                raise
            await _answer(notes, send, _cause(error))

    def _record(self, notes: RequestNotes, scope: Scope, seconds: float) -> None:
        method = str(scope["method"])[:16]
        self._metrics.count_request(method=method, route=notes.route, status=notes.status)
        if not notes.streaming:
            self._metrics.request_seconds.labels(notes.route).observe(seconds)
        # Load balancers and scrapers ask so often that their questions would be most of the log.
        level = logging.DEBUG if notes.route in _QUIET and notes.status < 500 else logging.INFO
        _log.log(
            level,
            "%s %s %s",
            method,
            str(scope["path"])[:200],
            notes.status or "gone",
            extra={
                "event_type": "access",
                "method": method,
                "path": str(scope["path"])[:200],
                "status": notes.status,
                "duration_ms": round(seconds * 1000, 2),
                "user_id": notes.user_id,
            },
        )


class BoundedBody:
    """A `receive` that passes on at most one byte more than a body may have, and throws away the rest.

    Attributes:
        incomplete_since: When, on the loop's clock, the body began to be waited for; None once all of it is there.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._size = 0
        self._cut = False
        self._disconnected = asyncio.Event()
        self._reader: asyncio.Task[Any] | None = None
        self.incomplete_since: float | None = asyncio.get_running_loop().time()

    async def __call__(self) -> Message:
        """Return the next message."""
        message = await self._next()
        while self._cut and message["type"] == "http.request":
            message = await self._next()
        if message["type"] == "http.request":
            self._size += len(message.get("body", b""))
            if self._size > MAX_BODY:
                self._cut = True
                if message.get("more_body", False):
                    message = await self._discard() or message
                if message["type"] == "http.request":
                    return {"type": "http.request", "body": bytes(MAX_BODY + 1), "more_body": False}
        return message

    def disconnect(self) -> None:
        """Give whoever waits for a message, now or later, the one that says that the client has gone."""
        self._disconnected.set()
        if self._reader is not None:
            self._reader.cancel()

    async def _next(self) -> Message:
        message = await self._received()
        if not message.get("more_body", False):
            self.incomplete_since = None
        return message

    async def _received(self) -> Message:
        if self._disconnected.is_set():
            return {"type": "http.disconnect"}
        self._reader = reader = asyncio.current_task()
        try:
            return await self._receive()
        except asyncio.CancelledError:
            # Ours, unless someone else has cancelled the task as well.
            if not self._disconnected.is_set() or reader is None or reader.uncancel():
                raise
            return {"type": "http.disconnect"}
        finally:
            self._reader = None

    async def _discard(self) -> Message | None:
        """Read on for a while; return the disconnection if there is one."""
        try:
            async with asyncio.timeout(DISCARD_S):
                while self._size < DISCARD_MAX:
                    message = await self._next()
                    if message["type"] != "http.request":
                        return message
                    self._size += len(message.get("body", b""))
                    if not message.get("more_body", False):
                        break
        except TimeoutError:
            pass
        return None


def _noting(notes: RequestNotes, send: Send) -> Send:
    async def noting(message: Message) -> None:
        if message["type"] == "http.response.start":
            notes.status = message["status"]
        await send(message)

    return noting


def _cause(error: Exception) -> Exception:
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return Overdue(retry_after_s=1) if isinstance(error, TimeoutError) else error


async def _answer(notes: RequestNotes, send: Send, error: Exception) -> None:
    answer = answer_to(error)
    body = answer.body(notes.request_id)
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), "X-Request-Id": notes.request_id}
    raw = [(name.lower().encode(), value.encode()) for name, value in (headers | answer.headers).items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": raw})
    await send({"type": "http.response.body", "body": body, "more_body": False})
