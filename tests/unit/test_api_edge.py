"""The layer around Quart: bodies and times are bounded, and what a request took is given back whatever happens."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from api.connections import Connections
from api.edge import DISCARD_MAX, MAX_BODY, SCOPE_KEY, BoundedBody, Edge, Message, RequestNotes
from api.metrics import Metrics

SCOPE: dict[str, Any] = {"type": "http", "method": "GET", "path": "/x", "client": ("10.0.0.1", 5)}


def parts(*sizes: int, more: bool = False) -> AsyncIterator[Message]:
    async def messages() -> AsyncIterator[Message]:
        for number, size in enumerate(sizes):
            last = number == len(sizes) - 1
            yield {"type": "http.request", "body": b"x" * size, "more_body": more or not last}
        yield {"type": "http.disconnect"}

    return messages()


async def received(messages: AsyncIterator[Message]) -> tuple[bytes, bool]:
    """Read a bounded body as Quart does; return it, and whether it was said to end."""
    receive = BoundedBody(lambda: anext(messages))  # type: ignore[arg-type]
    body = b""
    while (message := await receive())["type"] == "http.request":
        body += message["body"]
        if not message["more_body"]:
            return body, True
    return body, False


@pytest.mark.parametrize("sizes", [(0,), (5,), (MAX_BODY,), (1000, 3000, 0), (MAX_BODY, 0)])
async def test_a_body_within_bounds_passes_as_it_is(sizes: tuple[int, ...]) -> None:
    assert await received(parts(*sizes)) == (b"x" * sum(sizes), True)


@pytest.mark.parametrize("sizes", [(MAX_BODY + 1,), (3000, 3000), (MAX_BODY, 1, 0), (100_000,) * 5])
async def test_of_a_larger_body_one_byte_too_many_arrives(sizes: tuple[int, ...]) -> None:
    body, ended = await received(parts(*sizes))
    assert ended
    assert len(body) > MAX_BODY
    assert len(body) <= 2 * MAX_BODY + 1


async def test_a_body_without_end_is_not_read_without_end() -> None:
    taken = 0

    async def endless() -> AsyncIterator[Message]:
        nonlocal taken
        while True:
            taken += 65536
            yield {"type": "http.request", "body": b"x" * 65536, "more_body": True}

    body, ended = await received(endless())
    assert ended
    assert len(body) == MAX_BODY + 1
    assert taken <= 2 * DISCARD_MAX


async def test_a_client_that_leaves_within_its_body_is_noticed() -> None:
    assert await received(parts(10, more=True)) == (b"x" * 10, False)
    assert (await received(parts(MAX_BODY + 1, more=True)))[1] is False


async def test_who_waits_for_a_body_hears_that_the_connection_is_lost_and_is_not_cancelled() -> None:
    async def never() -> Message:
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    body = BoundedBody(never)
    waiting = asyncio.create_task(body())
    await asyncio.sleep(0)
    body.disconnect()
    assert await waiting == await body() == {"type": "http.disconnect"}
    assert waiting.cancelling() == 0


async def test_a_reader_that_is_cancelled_is_cancelled_also_when_the_connection_is_lost() -> None:
    async def never() -> Message:
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    for lost in (True, False):
        body = BoundedBody(never)
        waiting = asyncio.create_task(body())
        await asyncio.sleep(0)
        if lost:
            body.disconnect()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def test_a_body_is_incomplete_until_its_last_part_is_there() -> None:
    messages = parts(3, 3)
    body = BoundedBody(lambda: anext(messages))  # type: ignore[arg-type]
    for incomplete in (True, True, False):
        assert (body.incomplete_since is not None) == incomplete
        await body()


async def serve(app: Any, *, timeout_s: float = 30) -> list[Message]:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    edge = Edge(app, connections=Connections(), metrics=Metrics(), timeout_s=timeout_s)
    await edge(dict(SCOPE), lambda: anext(parts(0)), send)  # type: ignore[arg-type]
    return sent


async def test_an_answer_that_takes_too_long_is_an_error_that_can_be_retried() -> None:
    async def slow(*_: object) -> None:
        await asyncio.sleep(3600)

    start, body = await serve(slow, timeout_s=0.01)
    assert start["status"] == 503
    assert json.loads(body["body"])["error_code"] == "OVERDUE"
    assert any(name == b"retry-after" for name, _ in start["headers"])


async def test_a_stream_has_no_time_limit() -> None:
    async def stream(scope: dict[str, Any], _receive: object, send: Any) -> None:
        scope[SCOPE_KEY].begin_stream()
        await asyncio.sleep(0.05)
        await send({"type": "http.response.start", "status": 200, "headers": []})

    assert [message["status"] for message in await serve(stream, timeout_s=0.01)] == [200]


async def test_a_failure_outside_of_all_handlers_is_answered_too() -> None:
    async def broken(*_: object) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())

    async def fail() -> None:
        raise RuntimeError("a bug")

    start, body = await serve(broken)
    assert start["status"] == 500
    assert json.loads(body["body"])["error_code"] == "INTERNAL_ERROR"


async def test_what_a_request_took_is_given_back_when_its_client_vanishes() -> None:
    given_back: list[str] = []

    async def vanishing(scope: dict[str, Any], *_: object) -> None:
        notes: RequestNotes = scope[SCOPE_KEY]
        notes.at_end.append(lambda: given_back.append(notes.request_id))
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await serve(vanishing)
    assert len(given_back) == 1


async def test_web_sockets_are_closed() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    edge = Edge(None, connections=Connections(), metrics=Metrics(), timeout_s=1)  # type: ignore[arg-type]
    await edge({"type": "websocket"}, None, send)  # type: ignore[arg-type]
    assert [message["type"] for message in sent] == ["websocket.close"]
