"""Every connection that this process has accepted, so that it can end those that nobody else ends.

Hypercorn has no limit for a write, and since Python 3.12 a server that closes waits for all of its clients: one that
has stopped reading would keep the process alive for ever. So the event loop puts a protocol of ours around the one that
Hypercorn gives to `create_server`; it passes everything on and remembers the transport.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final, cast

HEAD_TIMEOUT_S: Final = 10.0
"""A client that has begun a request has to finish its head within this time."""
_SWEEP_S: Final = 1.0

_log = logging.getLogger(__name__)

Address = tuple[str, int]


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

    def abort_idle(self, since: float) -> None:
        """Drop those on which nothing has been asked since a time on the loop's clock."""
        for connection in list(self._open.values()):
            if connection.idle_since is not None and connection.idle_since <= since:
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
        """Return a factory whose protocols are those of `factory`, and are remembered here."""
        return lambda: Connection(cast("asyncio.Protocol", factory()), self._open)


class Connection(asyncio.Protocol):
    """Passes everything on to the protocol within, and knows its transport.

    Attributes:
        head_since: Since when, on the loop's clock, a head has been on its way; None before the first byte of a
            request and once it has been read.
        idle_since: Since when nothing has been asked, None while a request is being answered.
    """

    __slots__ = ("_address", "_inner", "_open", "_transport", "head_since", "idle_since")

    def __init__(self, inner: asyncio.Protocol, registry: dict[Address, Connection]) -> None:
        self._inner = inner
        self._open = registry
        self._address: Address | None = None
        self._transport: asyncio.Transport | None = None
        self.head_since: float | None = None
        self.idle_since: float | None = asyncio.get_running_loop().time()

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
        """Pass it on."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Pass it on."""
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        if self._address is not None and self._open.get(self._address) is self:
            del self._open[self._address]
        self._transport = None
        self._inner.connection_lost(exc)

    def begin_request(self) -> None:
        """Note that a head has been read."""
        self.head_since = self.idle_since = None

    def end_request(self) -> None:
        """Note that the request has been answered."""
        self.idle_since = asyncio.get_running_loop().time()

    def stream(self) -> None:
        """Make a write wait for the kernel, not for a buffer of our own: what a client has not taken by then is old."""
        if self._transport is not None:
            self._transport.set_write_buffer_limits(high=0)

    def abort(self) -> None:
        """Drop it, whatever still waits to be sent."""
        if self._transport is not None:
            self._transport.abort()


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
