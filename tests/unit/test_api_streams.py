"""Streams: caps, ages, heartbeats, stalled clients and the end of all; and the slots of one stream."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from api import frames
from api.frames import Farewell, Frame
from api.metrics import Metrics
from api.sse import SseStream
from api.streams import StreamLimits, Streams, Visitor
from scoreboard.standings import BoardVersion
from tests.support.api_fakes import until


@dataclass(eq=False)
class FakeStream:
    who: Visitor
    stalled: float | None = None
    said: list[bytes] = field(default_factory=list)
    beats: int = 0
    aborted: bool = False

    def offer(self, frame: Frame) -> None:
        pass

    def tell(self, event: bytes) -> None:
        self.said.append(event)

    def beat(self) -> None:
        self.beats += 1

    def end(self, farewell: bytes) -> None:
        self.said.append(farewell)

    def stalled_since(self) -> float | None:
        return self.stalled

    def abort(self) -> None:
        self.aborted = True

    def has_ended(self, reason: Farewell) -> bool:
        return sum(f'"reason":"{reason}"'.encode() in event for event in self.said) == 1


def registry(**changes: float) -> Streams:
    values = {
        "per_instance": 100,
        "per_address": 100,
        "per_user": 100,
        "heartbeat_s": 3600,
        "message_timeout_s": 3600,
        "max_age_s": 36000,
    } | changes
    return Streams(StreamLimits(**values), Metrics())  # type: ignore[arg-type]


def visitor(number: int = 1, **more: object) -> Visitor:
    return Visitor(f"client-{number}", f"10.0.0.{number}", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("cap", ["per_instance", "per_address", "per_user"])
async def test_a_cap_refuses_the_next_and_admits_again_after_one_has_gone(cap: str) -> None:
    streams = registry(**{cap: 2})
    who = visitor(user_id="ada")
    held = [FakeStream(who), FakeStream(who)]
    for stream in held:
        assert streams.refusal(who) is None
        streams.add(stream)
    assert streams.refusal(who) is Farewell.OVERLOAD
    streams.remove(held[0])
    streams.remove(held[0])
    assert len(streams) == 1
    assert streams.refusal(who) is None


async def test_caps_count_each_address_and_user_by_itself() -> None:
    streams = registry(per_address=1, per_user=1)
    streams.add(FakeStream(visitor(1, user_id="ada")))
    assert streams.refusal(visitor(2, user_id="bob")) is None
    assert streams.refusal(visitor(2, user_id="ada")) is Farewell.OVERLOAD
    assert streams.refusal(visitor(1, user_id="bob")) is Farewell.OVERLOAD
    assert streams.refusal(visitor(2)) is None


async def looked_after(streams: Streams, condition: Callable[[], bool]) -> None:
    task = asyncio.create_task(streams.run())
    try:
        await until(condition)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_everyone_hears_a_heartbeat_again_and_again() -> None:
    streams = registry(heartbeat_s=0.02)
    held = [FakeStream(visitor(number)) for number in range(300)]
    for stream in held:
        streams.add(stream)
    await looked_after(streams, lambda: all(stream.beats >= 2 for stream in held))


async def test_an_old_stream_is_asked_to_reconnect_once() -> None:
    streams = registry(max_age_s=0.05)
    streams.add(stream := FakeStream(visitor()))
    await looked_after(streams, lambda: stream.has_ended(Farewell.MAX_AGE))
    await looked_after(streams, lambda: True)
    assert stream.has_ended(Farewell.MAX_AGE)


async def test_a_stream_ends_with_its_token() -> None:
    streams = registry(heartbeat_s=0.05)
    streams.add(stream := FakeStream(visitor(user_id="ada", expires_at=int(time.time()))))
    await looked_after(streams, lambda: stream.has_ended(Farewell.TOKEN_EXPIRED))


async def test_a_client_that_takes_nothing_is_cut_and_counted_and_frees_its_place() -> None:
    streams = registry(per_instance=1, message_timeout_s=0.05)
    streams.add(stream := FakeStream(visitor(), stalled=asyncio.get_running_loop().time()))
    await looked_after(streams, lambda: stream.aborted)
    assert len(streams) == 0
    assert streams.refusal(visitor()) is None


async def test_presence_is_told_when_the_number_has_changed() -> None:
    streams = registry()
    for number in range(3):
        streams.add(stream := FakeStream(visitor(number)))
    await looked_after(streams, lambda: frames.presence(3) in stream.said)


async def test_a_drain_says_goodbye_to_all_refuses_new_ones_and_drops_who_does_not_take_it() -> None:
    streams = registry()
    held = [FakeStream(visitor(number)) for number in range(5)]
    for stream in held:
        streams.add(stream)
    draining = asyncio.create_task(streams.drain(patience_s=0.2))
    await until(lambda: all(stream.has_ended(Farewell.DRAIN) for stream in held))
    assert streams.refusal(visitor(9)) is Farewell.DRAIN
    for stream in held[1:]:
        streams.remove(stream)
    await draining
    assert held[0].aborted
    assert not any(stream.aborted for stream in held[1:])


async def test_a_drain_without_streams_is_over_at_once() -> None:
    async with asyncio.timeout(20):
        await registry().drain(patience_s=3600)


def frame(version: int, board_id: str = "global", epoch: str = "e1") -> Frame:
    return Frame(board_id, BoardVersion(epoch, version), f"id: {epoch}:{version}\n\n".encode())


def sse(**more: str) -> tuple[SseStream, list[bool]]:
    aborted: list[bool] = []
    stream = SseStream(visitor(), metrics=Metrics(), abort=lambda: aborted.append(True), **more)
    return stream, aborted


async def test_a_slow_client_skips_to_the_newest_frame() -> None:
    stream, _ = sse()
    chunks = stream.chunks(b"retry: 2000\n\n")
    stream.offer(frame(1))
    assert await anext(chunks) == b"retry: 2000\n\nid: e1:1\n\n"
    for version in range(2, 100):
        stream.offer(frame(version))
    assert await anext(chunks) == b"id: e1:99\n\n"
    await chunks.aclose()  # type: ignore[attr-defined]


async def test_each_board_of_a_stream_has_a_slot_of_its_own() -> None:
    stream, _ = sse()
    stream.offer(frame(1))
    stream.offer(frame(5, "race"))
    stream.offer(frame(2))
    chunks = stream.chunks(b"")
    assert await anext(chunks) == b"id: e1:2\n\nid: e1:5\n\n"
    await chunks.aclose()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("has", "expected"),
    [("e1:1", b""), ("e1:2", b"id: e1:1\n\n"), ("e2:1", b"id: e1:1\n\n"), ("nonsense", b"id: e1:1\n\n")],
)
async def test_a_frame_that_the_client_has_is_not_repeated(has: str, expected: bytes) -> None:
    stream, _ = sse(last_event_id=has)
    stream.offer(frame(1))
    chunks = stream.chunks(b"first\n\n")
    assert await anext(chunks) == b"first\n\n" + expected
    stream.offer(frame(3))
    assert await anext(chunks) == b"id: e1:3\n\n"
    await chunks.aclose()  # type: ignore[attr-defined]


async def test_presence_waits_for_the_first_snapshot() -> None:
    stream, _ = sse()
    stream.tell(frames.presence(1))
    chunks = stream.chunks(b"first\n\n")
    assert await anext(chunks) == b"first\n\n"
    stream.offer(frame(1))
    assert await anext(chunks) == b"id: e1:1\n\n" + frames.presence(1)
    await chunks.aclose()  # type: ignore[attr-defined]


async def test_the_last_words_come_after_the_newest_frame_and_end_the_stream() -> None:
    stream, _ = sse()
    stream.offer(frame(4))
    stream.end(b"bye\n\n")
    assert [chunk async for chunk in stream.chunks(b"")] == [b"id: e1:4\n\nbye\n\n"]


async def test_only_a_chunk_that_was_not_taken_counts_as_stalled() -> None:
    stream, aborted = sse()
    assert stream.stalled_since() is None
    chunks = stream.chunks(b"first")
    await anext(chunks)
    assert stream.stalled_since() is not None
    following = asyncio.ensure_future(anext(chunks))
    await asyncio.sleep(0)
    assert stream.stalled_since() is None
    stream.beat()
    assert await following == frames.HEARTBEAT
    stream.abort()
    assert aborted == [True]
    await chunks.aclose()  # type: ignore[attr-defined]
