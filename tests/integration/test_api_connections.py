"""Clients that send more than is due, or less than they said, or do not stay: nothing is left of their connections."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypercorn.asyncio.run import worker_serve
from hypercorn.config import Config
from hypercorn.utils import wrap_app

from api.connections import Connections, event_loop
from api.services import EXTENSION
from tests.support.api_fakes import FakeApi, api_settings, token, until
from tests.support.api_process import Answer, api_process

HOST = b"Host: localhost\r\n"
STREAM = b"GET /api/leaderboard/stream HTTP/1.1\r\n" + HOST + b"\r\n"
PAGE = b"GET /api/leaderboard?limit=100 HTTP/1.1\r\n" + HOST + b"\r\n"
LONG = b"GET /health HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 20_000 + b"\r\n\r\n"
HALF = (
    b"POST /api/scores HTTP/1.1\r\n"
    + HOST
    + f"Authorization: Bearer {token()}\r\n".encode()
    + b"Content-Type: application/json\r\nContent-Length: 20\r\n\r\n{"
)
ENDLESS = {"SHUTDOWN_GRACE_PERIOD": "3600000"}
"""An end that waits for anything at all is never over within a test."""


def connect(port: int, raw: bytes) -> socket.socket:
    """Send as much as is taken, and read nothing."""
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        connection.send(raw)
    return connection


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@pytest.mark.parametrize(
    "raw", [STREAM * 50, STREAM + LONG, PAGE * 300, PAGE * 3], ids=["streams", "long", "unread", "few"]
)
@pytest.mark.parametrize("stays", [True, False], ids=["stays", "resets"])
async def test_requests_sent_behind_one_in_progress_do_not_hold_up_the_end(
    tmp_path: Path, raw: bytes, stays: bool
) -> None:
    async with api_process(tmp_path / "api.log", **ENDLESS) as api:
        connections = [connect(api.port, raw) for _ in range(5)]
        if b"stream" in raw:
            await until(lambda: len(api.events("sse_connected")) == len(connections))
        else:
            await api.request("GET", "/health")
        if not stays:
            for connection in connections:
                reset(connection)
        api.send()
        assert await asyncio.to_thread(api.wait) == 0
        for connection in connections:
            connection.close()
        assert '"level": "ERROR"' not in api.printed()
        assert "Traceback" not in api.printed()


async def test_a_body_that_does_not_go_on_does_not_hold_up_the_end_and_a_slow_answer_is_given(tmp_path: Path) -> None:
    async with api_process(tmp_path / "api.log", **ENDLESS) as api:
        half = asyncio.create_task(api.exchange(HALF))
        slow = asyncio.create_task(
            api.request("GET", "/test/slow?seconds=4", body=b"{}", Content_Type="application/json")
        )
        await api.request("GET", "/health")
        await asyncio.sleep(0.3)
        api.send()
        assert await half == b"", "it was waited for until it was answered with 408"
        assert not slow.done()
        assert (await slow).json == {"status": "done"}
        assert await asyncio.to_thread(api.wait) == 0
        assert '"level": "ERROR"' not in api.printed()


async def test_a_stream_gives_back_its_place_when_its_client_resets_with_a_request_behind_it(tmp_path: Path) -> None:
    # The next heartbeat, which would meet the reset, is an hour away.
    async with api_process(tmp_path / "api.log", SSE_HEARTBEAT_INTERVAL="3600000") as api:
        connections = [connect(api.port, STREAM + LONG) for _ in range(20)]
        await until(lambda: len(api.events("sse_connected")) == len(connections))
        for connection in connections:
            reset(connection)
        await until(lambda: len(api.events("sse_disconnected")) == len(connections))
        assert Answer.of(await api.exchange(PAGE)).status == 200


@pytest.fixture(params=["uvloop", "asyncio"])
def served(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[Check], None]:
    """Run a check on an event loop that serves the API too, so that it can count what is left on it."""
    if request.param == "asyncio":
        monkeypatch.setitem(sys.modules, "uvloop", None)

    def run(check: Check) -> None:
        connections = Connections()
        with asyncio.Runner(loop_factory=lambda: event_loop(connections)) as runner:
            assert ("uvloop" in type(runner.get_loop()).__mro__[1].__module__) == (request.param == "uvloop")
            runner.run(_beside_a_server(check, connections))

    return run


Check = Callable[[int, Connections, Callable[[], int]], Awaitable[None]]


async def _beside_a_server(check: Check, connections: Connections) -> None:
    app = FakeApi(api_settings(SSE_MAX_CLIENTS_PER_ADDRESS="10000")).build(connections)
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    config = Config()
    config.bind = [f"fd://{listening.detach()}"]
    config.accesslog = None
    stop = asyncio.Event()
    serving = asyncio.create_task(worker_serve(wrap_app(app, 0, "asgi"), config, shutdown_trigger=stop.wait))
    try:
        await check(port, connections, lambda: len(app.extensions[EXTENSION].streams))
    finally:
        connections.abort_all()
        stop.set()
        await serving


def test_clients_that_send_ahead_and_reset_leave_no_task_no_connection_and_no_stream(
    served: Callable[[Check], None],
) -> None:
    complaints: list[object] = []

    async def check(port: int, connections: Connections, streams: Callable[[], int]) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        first = connect(port, STREAM)
        await until(lambda: streams() == 1)
        await asyncio.sleep(0.1)
        before = len(asyncio.all_tasks()), len(connections), streams()
        for _ in range(3):
            opened = [connect(port, STREAM + LONG) for _ in range(50)]
            await until(lambda: streams() == before[2] + 50)
            await asyncio.sleep(0.1)
            for connection in opened:
                reset(connection)
            await until(lambda: (len(asyncio.all_tasks()), len(connections), streams()) == before)
        reset(first)

    served(check)
    assert complaints == []
