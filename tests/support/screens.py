"""Screens: clients of the stream that remember every frame and judge what they were shown."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

CONNECT_PAUSE_S = 0.1


@dataclass
class Screen:
    """One watching client: reconnects for ever, and keeps what it saw.

    Attributes:
        url: Of the stream.
        headers: Sent along with every connect.
        frames: (time received on the monotonic clock, snapshot), oldest first.
        byes: Reasons of the farewells received.
        wrongs: What must never be seen, in words.
    """

    url: str
    headers: dict[str, str] = field(default_factory=dict)
    frames: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    byes: list[str] = field(default_factory=list)
    wrongs: list[str] = field(default_factory=list)
    connects: int = 0

    @property
    def board(self) -> dict[str, Any] | None:
        """What is on the screen now."""
        return self.frames[-1][1] if self.frames else None

    def scores(self) -> dict[str, int]:
        """The scores on the screen now."""
        return {entry["user_id"]: entry["score"] for entry in (self.board or {"entries": []})["entries"]}

    async def watch(self) -> None:
        """Stay connected until cancelled."""
        while True:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, ValueError):
                await self._connect()
            await asyncio.sleep(CONNECT_PAUSE_S)

    async def _connect(self) -> None:
        parts = urlsplit(self.url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=2**20)
        try:
            target = f"{parts.path}?{parts.query}" if parts.query else parts.path
            lines = [f"GET {target} HTTP/1.1", f"Host: {parts.netloc}", "Accept: text/event-stream"]
            lines += [f"{name}: {value}" for name, value in self.headers.items()]
            writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise ValueError(head.split(b"\r\n", 1)[0])
            self.connects += 1
            await self._read_events(reader, chunked=b"transfer-encoding: chunked" in head.lower())
        finally:
            writer.close()

    async def _read_events(self, reader: asyncio.StreamReader, *, chunked: bool) -> None:
        pending = b""
        while True:
            if chunked:
                size = int(await reader.readuntil(b"\r\n"), 16)
                data = (await reader.readexactly(size + 2))[:-2]
            else:
                data = await reader.read(65536)
            if not data:
                return
            *events, pending = (pending + data).split(b"\n\n")
            for event in events:
                self._receive(event.decode())

    def _receive(self, event: str) -> None:
        fields = dict(line.partition(": ")[::2] for line in event.split("\n") if line and not line.startswith(":"))
        if fields.get("event") == "bye":
            self.byes.append(json.loads(fields["data"])["reason"])
        elif fields.get("event") == "snapshot":
            snapshot = json.loads(fields["data"])
            self._judge(snapshot, fields.get("id"))
            self.frames.append((time.monotonic(), snapshot))

    def _judge(self, new: dict[str, Any], frame_id: str | None) -> None:
        if frame_id != f"{new['epoch']}:{new['version']}":
            self.wrongs.append(f"the id {frame_id} is not of version {new['version']} of {new['epoch']}")
        self._judge_order(new["entries"])
        old = self.board
        if old is None:
            return
        if new["total"] < old["total"]:
            self.wrongs.append(f"a part of the board: {new['total']} users after {old['total']}")
        if new["epoch"] == old["epoch"]:
            self._judge_progress(old, new)

    def _judge_order(self, entries: Sequence[dict[str, Any]]) -> None:
        if [entry["rank"] for entry in entries] != list(range(1, len(entries) + 1)):
            self.wrongs.append("ranks are not 1, 2, 3, ...")
        keys = [(-entry["score"], entry["reached_at"]) for entry in entries]
        if keys != sorted(keys):
            self.wrongs.append("entries are not in order")

    def _judge_progress(self, old: dict[str, Any], new: dict[str, Any]) -> None:
        if new["version"] < old["version"]:
            self.wrongs.append(f"version {new['version']} after {old['version']} of {new['epoch']}")
        before = {entry["user_id"]: entry["score"] for entry in old["entries"]}
        for entry in new["entries"]:
            if entry["score"] < before.get(entry["user_id"], entry["score"]):
                self.wrongs.append(f"{entry['user_id']} fell from {before[entry['user_id']]} to {entry['score']}")


@contextlib.asynccontextmanager
async def screens(url: str, count: int) -> Any:
    """Some screens that watch for the time of the block."""
    watching = [Screen(url) for _ in range(count)]
    tasks = [asyncio.create_task(screen.watch()) for screen in watching]
    try:
        yield watching
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
