"""The hub: reads a board once per change, encodes it once, and offers the newest frame to everyone who watches it.

It knows nothing of connections: a subscriber is whatever has `offer`. It knows nothing of Redis either: the relay says
that a board may have changed, and a function reads its top. Within an epoch no subscriber is ever offered an older
version than it was offered before.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection
from typing import Final, Protocol

from api.frames import Frame, Picture
from api.metrics import Metrics
from scoreboard.boards import Board
from scoreboard.standings import BoardVersion, Snapshot

REFRESH_INTERVAL_S: Final = 0.1
"""A board is read at most once in this time: the first change at once, those within it together at its end."""
RETRY_S: Final = 1.0
READ_TIMEOUT_S: Final = 8.0
SLICE: Final = 256
"""So many subscribers are offered a frame before other work has its turn."""

_log = logging.getLogger(__name__)

ReadTop = Callable[[Board, int], Awaitable[Snapshot]]


class Subscriber(Protocol):
    """Someone who watches boards."""

    def offer(self, frame: Frame) -> None:
        """Take note of the newest frame of a board, without waiting; it replaces one that was not sent yet."""


class _Channel:
    """Those who watch one board at one limit. There are at most as many per board as there are limits."""

    __slots__ = ("frame", "limit", "subscribers")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.frame: Frame | None = None
        self.subscribers: dict[Subscriber, None] = {}


class _Topic:
    """One watched board."""

    __slots__ = ("board", "changed", "channels", "noticed_at", "picture")

    def __init__(self, board: Board) -> None:
        self.board = board
        self.channels: dict[int, _Channel] = {}
        self.picture: Picture | None = None
        self.changed = asyncio.Event()
        self.noticed_at: float | None = None


class Hub:
    """All watched boards of this process. While nobody watches a board, nothing of it is read."""

    def __init__(self, read_top: ReadTop, metrics: Metrics, *, interval_s: float = REFRESH_INTERVAL_S) -> None:
        self._read_top = read_top
        self._metrics = metrics
        self._interval_s = interval_s
        self._topics: dict[str, _Topic] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def watched(self) -> Collection[str]:
        """Ids of the boards that someone watches."""
        return self._topics.keys()

    def version(self, board_id: str) -> BoardVersion | None:
        """The version that was last read of a watched board."""
        topic = self._topics.get(board_id)
        return topic.picture.version if topic and topic.picture else None

    def changed(self, board_id: str) -> None:
        """Take note that a board may have changed."""
        topic = self._topics.get(board_id)
        if topic is None:
            return
        if topic.noticed_at is None:
            topic.noticed_at = time.perf_counter()
        topic.changed.set()

    def subscribe(self, board: Board, limit: int, subscriber: Subscriber) -> None:
        """Offer every change from now on, and the current state: at once if it is known, else as soon as it is read."""
        topic = self._topics.get(board.board_id)
        if topic is None:
            topic = self._topics[board.board_id] = _Topic(board)
            self._spawn(self._follow(topic))
        channel = topic.channels.setdefault(limit, _Channel(limit))
        channel.subscribers[subscriber] = None
        if channel.frame is None and topic.picture and topic.picture.reaches(limit):
            channel.frame = topic.picture.frame(limit)
        if channel.frame is None:
            topic.changed.set()
        else:
            subscriber.offer(channel.frame)

    def unsubscribe(self, board_id: str, limit: int, subscriber: Subscriber) -> None:
        """Offer nothing more; unknown subscribers are ignored."""
        topic = self._topics.get(board_id)
        channel = topic.channels.get(limit) if topic else None
        if topic is None or channel is None:
            return
        channel.subscribers.pop(subscriber, None)
        if not channel.subscribers:
            del topic.channels[limit]
        if not topic.channels:
            topic.changed.set()  # wakes the follower, which then ends

    async def close(self) -> None:
        """Stop reading."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: Awaitable[None]) -> None:
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _follow(self, topic: _Topic) -> None:
        """Refresh one board as it changes, for as long as somebody watches it."""
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            await topic.changed.wait()
            if not topic.channels:
                # No await between this check and the removal: a new subscriber finds either this topic or none.
                del self._topics[topic.board.board_id]
                return
            topic.changed.clear()
            started, noticed = loop.time(), topic.noticed_at
            topic.noticed_at = None
            try:
                await self._refresh(topic)
                failures = 0
            except Exception as error:  # whatever went wrong, the streams keep their last frame and it is tried again
                failures += 1
                self._metrics.refresh_failures.inc()
                if failures == 1:
                    _log.warning("board %s cannot be read: %r", topic.board.board_id, error)
                topic.changed.set()
                await asyncio.sleep(RETRY_S)
                continue
            if noticed is not None:
                self._metrics.frame_latency.observe(time.perf_counter() - noticed)
            await asyncio.sleep(max(0.0, started + self._interval_s - loop.time()))

    async def _refresh(self, topic: _Topic) -> None:
        limit = max(topic.channels)
        with self._metrics.refresh_seconds.time():
            async with asyncio.timeout(READ_TIMEOUT_S):
                snapshot = await self._read_top(topic.board, limit)
        if _supersedes(snapshot, limit, topic.picture):
            topic.picture = Picture(snapshot, limit)
        await self._deliver(topic)

    async def _deliver(self, topic: _Topic) -> None:
        for channel in list(topic.channels.values()):
            picture = topic.picture
            if picture is None or not picture.reaches(channel.limit):
                topic.changed.set()  # it came while a smaller page was read
                continue
            if channel.frame and channel.frame.version == picture.version:
                continue
            channel.frame = frame = picture.frame(channel.limit)
            for number, subscriber in enumerate(list(channel.subscribers)):
                if number % SLICE == SLICE - 1:
                    await asyncio.sleep(0)
                if subscriber in channel.subscribers:
                    subscriber.offer(frame)


def _supersedes(snapshot: Snapshot, limit: int, known: Picture | None) -> bool:
    """Whether a reading replaces a known one: it is newer, or shows more of the same."""
    if known is None or snapshot.version.epoch != known.version.epoch:
        return True
    return (snapshot.version.version, limit) > (known.version.version, known.limit)
