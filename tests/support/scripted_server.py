"""A server that does what a test says: serves the files of the page and a stream whose every event is scripted.

For what the real server does rarely or never at will: refuse, fall silent, go backwards, cut a connection.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

WEB = Path(__file__).resolve().parents[2] / "api" / "web"
POLICY = "default-src 'self'; img-src 'self' data:"
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


def snapshot(
    scores: dict[str, int], version: int = 1, *, epoch: str = "e1", board: str = "global", total: int | None = None
) -> dict[str, Any]:
    """A frame as the real server sends it, ranked by score and then by id."""
    ranked = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
    entries = [
        {"rank": rank, "user_id": user, "name": user, "score": score, "reached_at": "2026-11-24T20:16:54.123456Z"}
        for rank, (user, score) in enumerate(ranked, start=1)
    ]
    head = {"board": board, "season": "current", "epoch": epoch, "version": version}
    return {**head, "total": len(entries) if total is None else total, "entries": entries, "next": None}


def event(name: str, data: dict[str, Any], event_id: str = "") -> bytes:
    """One Server-Sent Event."""
    head = f"id: {event_id}\n" if event_id else ""
    return f"{head}event: {name}\ndata: {json.dumps(data)}\n\n".encode()


def frame(data: dict[str, Any]) -> bytes:
    """A snapshot event with the id that the real server gives it."""
    return event("snapshot", data, f"{data['epoch']}:{data['version']}")


class ScriptedServer:
    """See the module; `url` is where it listens.

    Attributes:
        status: What a stream is answered with; anything but 200 refuses it, 0 drops the connection instead.
        opening: What a new stream is sent at once.
        close_after_opening: Ends a new stream after that.
        asked: The query of every stream that was asked for, refused ones included, in order.
        known: Entries that `GET /api/leaderboard?users=` finds.
    """

    def __init__(self) -> None:
        self.url = ""
        self.status = 200
        self.opening: Sequence[bytes] = ()
        self.close_after_opening = False
        self.asked: list[dict[str, list[str]]] = []
        self.known: list[dict[str, Any]] = []
        self._streams: set[asyncio.StreamWriter] = set()

    @property
    def streams(self) -> int:
        """Open at this moment."""
        return len(self._streams)

    async def send(self, *events: bytes) -> None:
        """Writes to every open stream."""
        for writer in list(self._streams):
            writer.write(b"".join(events))
            await writer.drain()

    def cut(self) -> None:
        """Drops every open stream without a word."""
        for writer in list(self._streams):
            writer.transport.abort()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers one request; the connection is not kept."""
        try:
            method, target, _ = (await reader.readline()).decode().split()
            while (await reader.readline()).strip():
                pass
            await self._answer(method, urlsplit(target).path, parse_qs(urlsplit(target).query), reader, writer)
        except (OSError, ValueError):
            pass  # The browser went away, or opened a connection in advance and never used it.
        finally:
            self._streams.discard(writer)
            writer.close()

    async def _answer(
        self,
        method: str,
        path: str,
        query: dict[str, list[str]],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        if path == "/api/leaderboard/stream":
            await self._stream(method, query, reader, writer)
        elif path == "/api/boards":
            await _reply(writer, {"boards": [{"id": "global"}, {"id": "speedrun"}]})
        elif path == "/api/leaderboard":
            wanted = query.get("users", [""])[0].split(",")
            await _reply(writer, {"entries": [entry for entry in self.known if entry["user_id"] in wanted]})
        else:
            name = {"/": "index.html", "/docs": "docs.html"}.get(path, path.removeprefix("/static/"))
            body = (WEB / name).read_bytes()
            _head(writer, 200, TYPES[Path(name).suffix], len(body))
            writer.write(body)
            await writer.drain()

    async def _stream(
        self,
        method: str,
        query: dict[str, list[str]],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        if method == "GET":
            self.asked.append(query)
        if self.status == 0:
            writer.transport.abort()
            return
        if self.status != 200 or method == "HEAD":
            _head(writer, self.status, "application/json", 0)
            return
        _head(writer, 200, "text/event-stream")
        writer.write(b"retry: 3000\n\n" + b"".join(self.opening))
        await writer.drain()
        if self.close_after_opening:
            return
        self._streams.add(writer)
        await reader.read()


def _head(writer: asyncio.StreamWriter, status: int, kind: str, length: int | None = None) -> None:
    lines = [f"HTTP/1.1 {status} Scripted", f"Content-Type: {kind}", "Connection: close", "Cache-Control: no-store"]
    lines.append(f"Content-Security-Policy: {POLICY}")
    if length is not None:
        lines.append(f"Content-Length: {length}")
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())


async def _reply(writer: asyncio.StreamWriter, data: dict[str, Any]) -> None:
    body = json.dumps(data).encode()
    _head(writer, 200, "application/json", len(body))
    writer.write(body)
    await writer.drain()


@asynccontextmanager
async def scripted_server() -> AsyncIterator[ScriptedServer]:
    """A server on a free port of loopback, gone at the end with all its streams."""
    scripted = ScriptedServer()
    server = await asyncio.start_server(scripted.handle, "127.0.0.1", 0)
    scripted.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield scripted
    finally:
        scripted.cut()
        server.close()
        await server.wait_closed()
