"""The API as a process of its own, and clients that speak to it over plain sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ops.home import CLONE
from tests.support.api_fakes import SECRET
from tests.support.stack import free_port

READY_S = 60.0
END_S = 60.0
FAKES = "tests.support.api_server"
REAL = "api.server"


@dataclass
class ApiProcess:
    """One server; `module` says on which backends."""

    log: Path
    module: str = FAKES
    variables: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    streams: list[EventStream] = field(default_factory=list)

    def start(self, *, wait: bool = True) -> ApiProcess:
        known = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "TMPDIR", "LANG")}
        known |= {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        environ = {"JWT_SECRET": SECRET, "APP_ENV": "test", "HOST": "127.0.0.1", "PORT": str(self.port)}
        environ |= {"SSE_MAX_CLIENTS_PER_ADDRESS": "100000"} | known | self.variables
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", self.module], cwd=CLONE, env=environ, stdout=log, stderr=log
            )
        deadline = time.monotonic() + READY_S
        while wait and not self._is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the API does not start:\n{self.printed()}")
            time.sleep(0.02)
        return self

    def printed(self) -> str:
        return self.log.read_text()

    def events(self, event_type: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.printed().splitlines() if line.startswith("{")]
        return [line for line in lines if line.get("event_type") == event_type]

    def send(self, number: signal.Signals = signal.SIGTERM) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self) -> int:
        assert self.process is not None
        return self.process.wait(END_S)

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def _is_ready(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 5) as connection:
            connection.sendall(b"GET /health/ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return connection.recv(64).startswith(b"HTTP/1.1 200")
        return False

    # Clients

    async def exchange(self, raw: bytes) -> bytes:
        """Send bytes as they are; return what comes back until a whole answer is there or the server closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            async with asyncio.timeout(30):
                with contextlib.suppress(ConnectionError):
                    writer.write(raw)
                    await writer.drain()
                return await _answer(reader, head_only=raw.startswith(b"HEAD"))
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def request(self, method: str, path: str, *, body: bytes = b"", **headers: str) -> Answer:
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        raw = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body
        return Answer.of(await self.exchange(raw))

    async def stream(self, query: str = "", **options: Any) -> EventStream:
        stream = await EventStream.open(self.port, query, **options)
        self.streams.append(stream)
        return stream

    async def close_streams(self) -> None:
        """Hang up all streams; to be called on the loop that opened them."""
        for stream in self.streams:
            await stream.hang_up()
        self.streams.clear()


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @classmethod
    def of(cls, raw: bytes) -> Answer:
        head, _, body = raw.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(": ") for line in lines)
        return cls(int(status.split(" ")[1]), {name.lower(): value for name, _, value in pairs}, body)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def _answer(reader: asyncio.StreamReader, *, head_only: bool) -> bytes:
    raw = b""
    while True:
        head, found, body = raw.partition(b"\r\n\r\n")
        if found:
            lines = head.lower().split(b"\r\n")
            length = next((int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:")), None)
            whole = body.endswith(b"0\r\n\r\n") if length is None else len(body) >= length
            if head_only or whole or b" 204" in lines[0] or b" 304" in lines[0]:
                return raw
        try:
            data = await reader.read(65536)
        except ConnectionError:
            return raw
        if not data:
            return raw
        raw += data


@dataclass
class Event:
    id: str | None = None
    type: str = "message"
    retry: int | None = None
    data: Any = None


class EventStream:
    """A stream that is read event by event."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: Answer) -> None:
        self._reader = reader
        self._writer = writer
        self._buffer = b""
        self.head = head

    @classmethod
    async def open(
        cls, port: int, query: str = "", *, receive_buffer: int | None = None, **headers: str
    ) -> EventStream:
        connection = socket.socket()
        if receive_buffer is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
        # A small limit: a client that is not read from must not have its bytes taken by the test's own buffers.
        reader, writer = await asyncio.open_connection(sock=connection, limit=2048)
        lines = [f"GET /api/leaderboard/stream{query} HTTP/1.1", "Host: localhost"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n")
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
        return cls(reader, writer, Answer.of(head))

    async def next(self, wanted: str | None = None) -> Event | None:
        """Return the next event, of a type if one is named; None at the end. Heartbeats have the type `hb`."""
        async with asyncio.timeout(30):
            while True:
                while b"\n\n" not in self._buffer:
                    chunk = await self._chunk()
                    if chunk is None:
                        return None
                    self._buffer += chunk
                block, _, self._buffer = self._buffer.partition(b"\n\n")
                event = _event(block.decode())
                if wanted in (None, event.type):
                    return event

    async def snapshot(self) -> Event:
        event = await self.next("snapshot")
        assert event is not None, "the stream has ended"
        return event

    async def rest(self) -> list[Event]:
        events = []
        while (event := await self.next()) is not None:
            events.append(event)
        return events

    def close(self) -> None:
        self._writer.close()

    async def hang_up(self) -> None:
        self._writer.transport.abort()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def _chunk(self) -> bytes | None:
        if "content-length" in self.head.headers:
            return await self._reader.readexactly(int(self.head.headers.pop("content-length")))
        if "transfer-encoding" not in self.head.headers:
            return None
        try:
            size = int(await self._reader.readline() or b"0", 16)
            if size == 0:
                return None
            data = await self._reader.readexactly(size)
            await self._reader.readexactly(2)
        except (ConnectionError, asyncio.IncompleteReadError):
            return None
        return data


def _event(block: str) -> Event:
    event = Event()
    for line in block.split("\n"):
        name, _, value = line.partition(": ")
        if name == "":
            event.type = "hb"
        elif name == "id":
            event.id = value
        elif name == "event":
            event.type = value
        elif name == "retry":
            event.retry = int(value)
        elif name == "data":
            event.data = json.loads(value)
    return event


@contextlib.contextmanager
def running_api(log: Path, module: str = FAKES, **variables: str) -> Iterator[ApiProcess]:
    """A running server, gone afterwards."""
    api = ApiProcess(log, module, variables).start()
    try:
        yield api
    finally:
        api.kill()


@contextlib.asynccontextmanager
async def api_process(log: Path, module: str = FAKES, **variables: str) -> AsyncIterator[ApiProcess]:
    """A running server, gone afterwards with all streams of the test."""
    with running_api(log, module, **variables) as api:
        try:
            yield api
        finally:
            await api.close_streams()
