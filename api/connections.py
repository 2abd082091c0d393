"""Every connection that this process has accepted, so that it can end those that nobody else ends.

Hypercorn has no limit for a write, and since Python 3.12 a server that closes waits for all of its clients: one that
has stopped reading would keep the process alive for ever. So the event loop puts a protocol of ours around the one that
Hypercorn gives to `create_server`; it passes everything on and remembers the transport, and the task that serves it.

That task has to be ended too. While a request is being answered, what the client has sent behind it parks the task
until the answer is complete. If the connection is lost before that, the task does not see it: neither the request hears
of it, nor does the task ever end. So the requests are told here, and then the task is cancelled.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol, cast

HEAD_TIMEOUT_S: Final = 10.0
"""A client that has begun a request has to finish its head within this time."""
LEAVE_S: Final = 1.0
"""So long the task of a connection that is lost may take to end by itself."""
_SWEEP_S: Final = 1.0

_log = logging.getLogger(__name__)

Address = tuple[str, int]
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Incoming(Protocol):
    """A request, as far as its connection has to know it."""

    @property
    def incomplete_since(self) -> float | None:
        """When, on the loop's clock, its body began to be waited for; None once it is there."""

    def disconnect(self) -> None:
        """Take note that the connection is lost."""


class Connections:
    """The open connections, by the address of the other side."""

    def __init__(self) -> None:
        self._open: dict[Address, Connection] = {}

    def __len__(self) -> int:
        return len(self._open)

    def find(self, address: object) -> Connection | None:
        """Return the connection of a client, None if it is gone or was never one of ours."""
        return self._open.get(cast("Address", address)) if isinstance(address, tuple) else None

    def abort_all(self) -> None:
        """Drop every connection, whatever still waits to be sent."""
        for connection in list(self._open.values()):
            connection.abort()

    def abort_finished(self, *, idle_s: float, stalled_s: float, body_s: float) -> None:
        """Drop those on which nothing has been asked for a while, nothing has been taken, or a body is not complete."""
        now = asyncio.get_running_loop().time()
        for connection in list(self._open.values()):
            waits = (
                (connection.idle_since, idle_s),
                (connection.stalled_since, stalled_s),
                (connection.incomplete_since, body_s),
            )
            if any(since is not None and now - since >= limit for since, limit in waits):
                connection.abort()

    async def cut_slow_heads(self) -> None:
        """Drop clients that begin a request and do not go on, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_SWEEP_S)
            now = loop.time()
            for connection in list(self._open.values()):
                if connection.head_since is not None and now - connection.head_since > HEAD_TIMEOUT_S:
                    connection.abort()

    def wrap(self, factory: Callable[[], asyncio.BaseProtocol]) -> Callable[[], asyncio.Protocol]:
        """Return a factory whose protocols are those of `factory` (of asyncio's streams), and are remembered here."""
        return lambda: Connection(cast("asyncio.StreamReaderProtocol", factory()), self._open)


class Connection(asyncio.Protocol):
    """Passes everything on to the protocol within, and knows its transport.

    Attributes:
        head_since: Since when, on the loop's clock, a head has been on its way; None before the first byte of a
            request and once it has been read.
        idle_since: Since when nothing has been asked, None while a request is being answered.
        stalled_since: Since when the client has taken too little of what was written, None while it keeps up.
    """

    __slots__ = (
        "_address",
        "_given_up",
        "_inner",
        "_open",
        "_requests",
        "_task",
        "_transport",
        "head_since",
        "idle_since",
        "stalled_since",
    )

    def __init__(self, inner: asyncio.StreamReaderProtocol, registry: dict[Address, Connection]) -> None:
        # There is no public way to the task of a connection: asyncio makes it of what this returns.
        inner._client_connected_cb = self._remembering(inner._client_connected_cb)  # type: ignore[attr-defined]
        self._inner = inner
        self._open = registry
        self._address: Address | None = None
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[Any] | None = None
        self._given_up = False
        self._requests: set[Incoming] = set()
        self.head_since: float | None = None
        self.idle_since: float | None = asyncio.get_running_loop().time()
        self.stalled_since: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the connection."""
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        if isinstance(peer, tuple):
            self._address = (str(peer[0]), int(peer[1]))
            self._open[self._address] = self
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Note when a head begins."""
        if self.head_since is None and self.idle_since is not None:
            self.head_since = asyncio.get_running_loop().time()
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """Pass it on."""
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        """Note that the client does not keep up."""
        self.stalled_since = asyncio.get_running_loop().time()
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Note that it does again."""
        self.stalled_since = None
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection.

        Hypercorn expects the errors of a connection that is lost to be `ConnectionError`s. Those of a network that is
        gone (timed out, unreachable) are not, and would be reported as failures of ours.
        """
        if isinstance(exc, OSError) and not isinstance(exc, ConnectionError):
            exc = ConnectionResetError(*exc.args)
        if self._address is not None and self._open.get(self._address) is self:
            del self._open[self._address]
        self._transport = None
        self._inner.connection_lost(exc)
        for request in self._requests:
            request.disconnect()
        if self._task is not None:
            asyncio.get_running_loop().call_later(LEAVE_S, self._give_up)

    @property
    def incomplete_since(self) -> float | None:
        """Since when nothing goes on but waiting for bodies, None while anything else does."""
        waits = [request.incomplete_since for request in self._requests]
        known = [since for since in waits if since is not None]
        return max(known) if known and len(known) == len(waits) else None

    def begin_request(self, request: Incoming) -> None:
        """Note that a head has been read."""
        self._requests.add(request)
        self.head_since = self.idle_since = None

    def end_request(self, request: Incoming) -> None:
        """Note that a request has been answered. HTTP/2 has several at a time."""
        self._requests.discard(request)
        if not self._requests:
            self.idle_since = asyncio.get_running_loop().time()

    def stream(self) -> None:
        """Make a write wait for the kernel, not for a buffer of our own: what a client has not taken by then is old."""
        if self._transport is not None:
            self._transport.set_write_buffer_limits(high=0)

    def abort(self) -> None:
        """Drop it, whatever still waits to be sent."""
        if self._transport is not None:
            self._transport.abort()

    def _remembering(self, serve: Serve) -> Serve:
        async def serving(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._task = asyncio.current_task()
            try:
                await serve(reader, writer)
            except asyncio.CancelledError:
                # Hypercorn waits for all of these tasks when it stops, and one that is cancelled would stop it midway.
                if not self._given_up:
                    raise
            finally:
                self._task = None

        return serving

    def _give_up(self) -> None:
        if self._task is not None:
            self._given_up = True
            self._task.cancel()


def event_loop(connections: Connections) -> asyncio.AbstractEventLoop:
    """Return a new event loop, uvloop's if it is there, whose servers remember their connections."""
    base: type[Any] = asyncio.SelectorEventLoop
    try:
        import uvloop
    except ImportError:
        _log.info("uvloop is not there, asyncio's own loop is used")
    else:
        base = uvloop.Loop

    class ServerLoop(base):  # type: ignore[misc]
        async def create_server(self, protocol_factory: Any, *args: Any, **options: Any) -> Any:
            return await super().create_server(connections.wrap(protocol_factory), *args, **options)

    return cast("asyncio.AbstractEventLoop", ServerLoop())
