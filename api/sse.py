"""Streams carried by Quart: a slot for what is newest of each kind, and an iterator that empties it into the response.

Nothing is queued for a client. A frame that was not sent when the next one comes is replaced, so a slow client skips to
the newest and costs no memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

from api import frames
from api.frames import Frame
from api.hub import Hub
from api.metrics import Metrics
from api.streams import Streams, Visitor
from scoreboard.boards import Board

HEADERS: Final = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",
}


class SseStream:
    """One client (`api.streams.Stream`), between the hub that offers and the response that sends."""

    def __init__(
        self, who: Visitor, *, metrics: Metrics, abort: Callable[[], None], last_event_id: str | None = None
    ) -> None:
        """Take `abort`, which drops the connection, and the id of the frame that the client says it has."""
        self._who = who
        self._metrics = metrics
        self._abort = abort
        self._has = last_event_id
        self._frames: dict[str, Frame] = {}
        self._heartbeat = b""
        self._presence = b""
        self._begun = False
        self._farewell: bytes | None = None
        self._waiting = asyncio.Event()
        self._writing_since: float | None = None

    @property
    def who(self) -> Visitor:
        """Whose it is."""
        return self._who

    def offer(self, frame: Frame) -> None:
        """Take the newest frame of a board; not the one that the client came with."""
        known, self._has = self._has, None
        self._begun = True
        self._waiting.set()
        if known is not None and known == str(frame.version):
            return
        if frame.board_id in self._frames:
            self._metrics.frames_skipped.inc()
        self._frames[frame.board_id] = frame

    def tell(self, event: bytes) -> None:
        """Send a presence event; a newer one replaces it. The first comes after the first snapshot."""
        self._presence = event
        if self._begun:
            self._waiting.set()

    def beat(self) -> None:
        """Send a heartbeat, unless one still waits."""
        self._heartbeat = frames.HEARTBEAT
        self._waiting.set()

    def end(self, farewell: bytes) -> None:
        """Send these last words and close."""
        self._farewell = farewell
        self._waiting.set()

    def stalled_since(self) -> float | None:
        """Since when, on the loop's clock, a write has not been taken; None while nothing waits."""
        return self._writing_since

    def abort(self) -> None:
        """Drop the connection now."""
        self._abort()

    async def chunks(self, first: bytes) -> AsyncIterator[bytes]:
        """Yield what is to be written: `first`, then whatever is newest, until the last words are said."""
        clock = asyncio.get_running_loop().time
        data = first + self._take()
        while True:
            # The next chunk is asked for once this one has been written, so the time in between is the writing.
            self._writing_since = clock()
            yield data
            self._writing_since = None
            if self._farewell == b"":
                return
            await self._waiting.wait()
            data = self._take()

    def _take(self) -> bytes:
        self._waiting.clear()
        self._metrics.frames_sent.inc(len(self._frames))
        parts = [self._heartbeat, *(frame.data for frame in self._frames.values())]
        self._frames, self._heartbeat = {}, b""
        if self._begun:
            parts.append(self._presence)
            self._presence = b""
        if self._farewell is not None:
            parts.append(self._farewell)
            self._farewell = b""
        return b"".join(parts)


class Watch:
    """A stream's entries in the registry and in the hub, made together and taken back together."""

    def __init__(self, stream: SseStream, boards: Sequence[tuple[Board, int]], *, streams: Streams, hub: Hub) -> None:
        """Enter a stream that watches boards, each up to a limit."""
        self._stream = stream
        self._boards = boards
        self._streams = streams
        self._hub = hub
        streams.add(stream)
        # Subscribed before a snapshot is read: nothing can change in between unseen.
        for board, limit in boards:
            hub.subscribe(board, limit, stream)
        stream.tell(frames.presence(len(streams)))

    def end(self) -> None:
        """Take both back; once is enough, twice does no harm."""
        self._streams.remove(self._stream)
        for board, limit in self._boards:
            self._hub.unsubscribe(board.board_id, limit, self._stream)
