"""The real server, Hypercorn and sockets and signals, on backends in memory."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from ops.home import CLONE
from tests.support.api_fakes import token, until
from tests.support.api_process import REAL, Answer, ApiProcess, EventStream, api_process, running_api

HOST = b"Host: localhost\r\n"


@pytest.fixture(scope="module")
def one_for_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    with running_api(tmp_path_factory.mktemp("api") / "api.log") as api:
        yield api


@pytest.fixture
async def shared(one_for_all: ApiProcess) -> AsyncIterator[ApiProcess]:
    yield one_for_all
    await one_for_all.close_streams()


async def put(api: ApiProcess, size: int = 3) -> int:
    answer = await api.request("POST", f"/test/put?size={size}")
    return int(answer.json["version"])


async def test_200_streams_hear_the_goodbye_and_10_stalled_clients_do_not_hold_up_the_end(tmp_path: Path) -> None:
    async with api_process(tmp_path / "api.log") as api:
        streams = [await api.stream("?limit=100") for _ in range(200)]
        stalled = [await api.stream("?limit=100", receive_buffer=4096) for _ in range(10)]
        reading = asyncio.gather(*(stream.rest() for stream in streams))
        version = 0
        for _ in range(25):
            version = await put(api, 100)
            await asyncio.sleep(0.11)
        api.send()
        everything = await reading
        assert await asyncio.to_thread(api.wait) == 0
        for events in everything:
            assert events[-1].type == "bye"
            assert events[-1].data["reason"] == "drain"
            assert events[-1].retry == events[-1].data["retry_ms"]
            versions = [event.data["version"] for event in events if event.type == "snapshot"]
            assert versions == sorted(set(versions))
            assert versions[-1] == version
        waits = {events[-1].retry for events in everything}
        assert len(waits) > 50, "they would all come back at once"
        assert all(stream.head.status == 200 for stream in stalled)
        assert '"level": "ERROR"' not in api.printed()


async def test_what_is_being_answered_is_answered_before_the_end(tmp_path: Path) -> None:
    async with api_process(tmp_path / "api.log") as api:
        slow = asyncio.create_task(api.request("GET", "/test/slow?seconds=1.5"))
        while not (await api.request("GET", "/metrics")).body:
            pass
        await asyncio.sleep(0.3)
        api.send()
        assert (await slow).json == {"status": "done"}
        assert await asyncio.to_thread(api.wait) == 0


async def test_what_takes_longer_than_the_grace_period_is_given_up(tmp_path: Path) -> None:
    async with api_process(tmp_path / "api.log", SHUTDOWN_GRACE_PERIOD="500") as api:
        slow = asyncio.create_task(api.exchange(b"GET /test/slow?seconds=3600 HTTP/1.1\r\n" + HOST + b"\r\n"))
        await asyncio.sleep(0.3)
        api.send()
        assert await slow == b""
        assert await asyncio.to_thread(api.wait) == 0


async def test_idle_half_open_and_unread_connections_do_not_hold_up_the_end(tmp_path: Path) -> None:
    async with api_process(tmp_path / "api.log") as api:
        idle = socket.create_connection(("127.0.0.1", api.port))
        kept = socket.create_connection(("127.0.0.1", api.port))
        kept.sendall(b"GET /health HTTP/1.1\r\n" + HOST + b"\r\n")
        half = socket.create_connection(("127.0.0.1", api.port))
        half.sendall(b"GET /api/leader")
        unread = socket.create_connection(("127.0.0.1", api.port))
        unread.sendall(b"GET /test/large HTTP/1.1\r\n" + HOST + b"\r\n")
        await api.request("GET", "/health")
        api.send(signal.SIGINT)
        assert await asyncio.to_thread(api.wait) == 0
        for connection in (idle, kept, half, unread):
            connection.close()


async def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    async with api_process(tmp_path / "api.log") as api:
        slow = asyncio.create_task(api.exchange(b"GET /test/slow?seconds=3600 HTTP/1.1\r\n" + HOST + b"\r\n"))
        await asyncio.sleep(0.3)
        api.send()
        await until(lambda: bool(api.events("draining")))
        api.send()
        assert await asyncio.to_thread(api.wait) == 128 + signal.SIGTERM
        assert await slow == b""


async def test_a_process_that_drains_is_not_ready_and_refuses_new_streams(tmp_path: Path) -> None:
    async with api_process(tmp_path / "api.log", SSE_MESSAGE_TIMEOUT="60000") as api:
        # A client that does not read keeps the drain open for its patience.
        stalled = await api.stream("?limit=100", receive_buffer=4096)
        for _ in range(25):
            await put(api, 100)
            await asyncio.sleep(0.11)
        api.send()
        await until(lambda: bool(api.events("draining")))
        assert (await api.request("GET", "/health/ready")).status == 503
        refused = await (await api.stream()).rest()
        assert next(event.data["reason"] for event in refused if event.type == "bye") == "drain"
        program = await api.request("GET", "/api/leaderboard/stream", X_SSE_Client="sdk")
        assert (program.status, program.json["error_code"]) == (503, "DRAINING")
        assert await asyncio.to_thread(api.wait) == 0
        stalled.close()


async def test_a_client_that_takes_nothing_is_cut_and_the_others_are_served(tmp_path: Path) -> None:
    async with api_process(tmp_path / "api.log", SSE_MESSAGE_TIMEOUT="500") as api:
        stalled = [await api.stream("?limit=100", receive_buffer=4096) for _ in range(3)]
        reader = await api.stream("?limit=100")
        cut = 0.0
        while cut < len(stalled):
            version = await put(api, 100)
            while (await reader.snapshot()).data["version"] < version:
                pass
            metrics = (await api.request("GET", "/metrics")).body.decode()
            cut = float(
                next(line for line in metrics.splitlines() if line.startswith("sse_clients_cut_total ")).split()[1]
            )
        assert "sse_connections 1.0" in metrics
        reader.close()


async def test_a_stream_beats_and_ends_by_age_and_says_so(tmp_path: Path) -> None:
    async with api_process(tmp_path / "api.log", SSE_HEARTBEAT_INTERVAL="100", SSE_MAX_AGE="1000") as api:
        events = await (await api.stream()).rest()
        assert events[0].retry is not None
        assert 2000 <= events[0].retry <= 5000
        assert (events[1].type, events[1].id) == ("snapshot", "e1:1")
        assert (events[2].type, events[2].data) == ("presence", {"streams": 1})
        assert sum(event.type == "hb" for event in events) >= 3
        assert (events[-1].type, events[-1].data["reason"]) == ("bye", "max_age")


async def test_a_stream_ends_with_its_token_and_a_bad_one_is_refused(shared: ApiProcess) -> None:
    stream = await shared.stream(Authorization=f"Bearer {token('zoe', ttl_s=1)}")
    events = await stream.rest()
    assert events[-1].data["reason"] == "token_expired"
    refused = await shared.request("GET", "/api/leaderboard/stream", Authorization="Bearer nonsense")
    assert (refused.status, refused.json["error_code"]) == (401, "INVALID_TOKEN")


async def test_over_a_cap_browsers_get_a_goodbye_and_programs_an_error(tmp_path: Path) -> None:
    async with api_process(tmp_path / "api.log", SSE_MAX_CLIENTS_PER_INSTANCE="1", SSE_MAX_CLIENTS_PER_USER="1") as api:
        first = await api.stream()
        await first.snapshot()
        refused = await api.stream()
        assert refused.head.status == 200
        assert refused.head.headers["content-type"].startswith("text/event-stream")
        assert [(event.type, event.data["reason"]) for event in await refused.rest()] == [("bye", "overload")]
        program = await api.request("GET", "/api/leaderboard/stream", X_SSE_Client="sdk")
        assert (program.status, program.json["error_code"]) == (503, "TOO_MANY_STREAMS")
        assert int(program.headers["retry-after"]) >= 1
        await api.request("HEAD", "/api/leaderboard/stream")
        assert b'sse_streams_refused_total{cap="instance"} 2.0' in (await api.request("GET", "/metrics")).body
        first.close()
        await until(lambda: bool(api.events("sse_disconnected")))
        await (await api.stream()).snapshot()


async def test_reconnecting_repeats_nothing_that_is_current(shared: ApiProcess) -> None:
    first = await shared.stream()
    for by_header in (True, False):
        current = await first.snapshot()
        assert current.id is not None
        if by_header:
            again = await shared.stream(Last_Event_ID=current.id)
        else:
            again = await shared.stream(f"?last_event_id={current.id}")
        version = await put(shared)
        assert (await again.snapshot()).data["version"] == version
    current = await first.snapshot()
    for odd in ("nonsense", "e1:999999", "x" * 5000):
        stream = await shared.stream(Last_Event_ID=odd)
        assert (await stream.snapshot()).id == current.id


async def test_an_id_does_not_keep_entries_from_who_asks_for_another_number(shared: ApiProcess) -> None:
    version = await put(shared, 20)
    fewer = await shared.stream("?limit=3")
    while (current := await fewer.snapshot()).data["version"] < version:
        pass
    more = await (await shared.stream("?limit=15", Last_Event_ID=str(current.id))).snapshot()
    assert (more.id, len(more.data["entries"])) == (current.id, 15)


async def test_a_stream_may_watch_several_boards_each_with_frames_of_its_own(shared: ApiProcess) -> None:
    stream = await shared.stream("?board=global&board=race&board=race&limit=2")
    boards = {(await stream.snapshot()).data["board"] for _ in range(2)}
    assert boards == {"global", "race"}
    version = await put(shared, 50)
    update = (await stream.snapshot()).data
    assert (update["board"], update["version"], len(update["entries"])) == ("global", version, 2)
    stream.close()


@pytest.mark.parametrize(
    "path", ["/api/leaderboard", "/api/boards", "/health", "/", "/nope", "/api/leaderboard/stream"]
)
async def test_head_answers_as_get_without_a_body(shared: ApiProcess, path: str) -> None:
    got, asked = (
        await shared.request("HEAD", path),
        await shared.exchange(f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()),
    )
    assert got.body == b""
    assert Answer.of(asked).status == got.status
    if path.endswith("stream"):
        assert got.headers["content-type"].startswith("text/event-stream")
        assert got.headers["x-accel-buffering"] == "no"
    else:
        whole = await shared.request("GET", path)
        assert got.headers["content-length"] == whole.headers["content-length"]


def posting(extra: bytes, body: bytes) -> bytes:
    bearer = f"Authorization: Bearer {token()}\r\n".encode()
    return (
        b"POST /api/scores HTTP/1.1\r\n"
        + HOST
        + bearer
        + b"Content-Type: application/json\r\n"
        + extra
        + b"\r\n"
        + body
    )


ODD = {
    "a body that is larger than declared": (posting(b"Content-Length: 5\r\n", b'{"delta":1}'), 400),
    "a large body in chunks": (
        posting(b"Transfer-Encoding: chunked\r\n", b"2000\r\n" + b" " * 0x2000 + b"\r\n0\r\n\r\n"),
        413,
    ),
    "a large body": (posting(b"Content-Length: 300000\r\n", b" " * 300_000), 413),
    "a large body that never ends": (posting(b"Content-Length: 300000\r\n", b" " * 9000), 413),
    "two lengths": (posting(b"Content-Length: 3\r\nContent-Length: 4\r\n", b"{}  "), 400),
    "a negative length": (posting(b"Content-Length: -1\r\n", b""), 400),
    "a length nobody can count": (posting(b"Content-Length: " + b"9" * 5000 + b"\r\n", b""), 400),
    "a coding nobody knows": (posting(b"Transfer-Encoding: gzip\r\n", b""), 501),
    "no host": (b"GET /health HTTP/1.1\r\n\r\n", 400),
    "a host that cannot be": (b"GET /health HTTP/1.1\r\nHost: " + b"a" * 5000 + b"\r\n\r\n", 400),
    "a null byte in a header": (b"GET /health HTTP/1.1\r\n" + HOST + b"X: \0\r\n\r\n", 400),
    "a space in a header's name": (b"GET /health HTTP/1.1\r\n" + HOST + b"X Y: 1\r\n\r\n", 400),
    "a null byte in the path": (b"GET /api/boards/%00 HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    "bad percent-encoding": (b"GET /api/boards/%zz%ff HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    "an asterisk": (b"GET * HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    "a way out of the folder": (b"GET /static/../app.py HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    "a web socket": (
        b"GET /api/leaderboard/stream HTTP/1.1\r\n"
        + HOST
        + b"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        + b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        403,
    ),
    "an endless head": (b"GET /health HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 100_000, 431),
    "another protocol": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "an older protocol": (b"GET /health HTTP/1.0\r\n\r\n", 200),
}


@pytest.mark.parametrize("name", ODD)
async def test_odd_requests_get_an_answer_of_their_own(shared: ApiProcess, name: str) -> None:
    raw, status = ODD[name]
    assert Answer.of(await shared.exchange(raw)).status == status
    assert (await shared.request("GET", "/health")).status == 200


async def test_a_head_that_does_not_go_on_is_cut(shared: ApiProcess) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", shared.port)
    writer.write(b"GET /health HTTP/1.1\r\nX: ")
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        async with asyncio.timeout(60):
            await reader.readexactly(1)
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def test_a_stream_is_logged_with_its_client_and_nothing_of_the_query(shared: ApiProcess) -> None:
    stream = await shared.stream("?token=secret-in-the-query")
    await stream.snapshot()
    stream.close()
    name = stream.head.headers["x-request-id"]
    await until(lambda: name in {event["client_id"] for event in shared.events("sse_disconnected")})
    assert name in {event["client_id"] for event in shared.events("sse_connected")}
    access = next(event for event in shared.events("access") if event["request_id"] == name)
    assert (access["method"], access["path"], access["status"]) == ("GET", "/api/leaderboard/stream", 200)
    assert "secret-in-the-query" not in shared.printed()


def start(**variables: str) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": os.environ["PATH"], "APP_ENV": "test", **variables}
    return subprocess.run(
        [sys.executable, "-m", REAL], cwd=CLONE, env=environ, capture_output=True, text=True, timeout=60, check=False
    )


def test_settings_that_cannot_work_are_listed_all_at_once() -> None:
    ended = start(PORT="no-number", RATE_LIMIT_MAX_REQUESTS="0", JWT_SECRET="x" * 40)
    assert ended.returncode == 2
    assert "PORT" in ended.stderr
    assert "RATE_LIMIT_MAX_REQUESTS" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_secret_that_cannot_be_read_ends_the_start_with_its_arn_and_the_reason() -> None:
    arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:jwt-AbCdEf"
    credentials = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    ended = start(JWT_SECRET_ARN=arn, AWS_ENDPOINT_URL_SECRETS_MANAGER="http://127.0.0.1:9", **credentials)
    assert ended.returncode == 2
    assert f"JWT_SECRET_ARN is {arn}: it cannot be read (EndpointConnectionError)" in ended.stderr
    assert "Traceback" not in ended.stderr


async def test_the_last_metrics_are_a_line_of_their_own_in_the_output(tmp_path: Path) -> None:
    async with api_process(tmp_path / "api.log", CLOUDWATCH_ENABLED="true", LOG_LEVEL="warning") as api:
        assert (await api.request("GET", "/api/leaderboard")).status == 200
        api.send()
        assert await asyncio.to_thread(api.wait) == 0
        (line,) = [json.loads(text) for text in api.printed().splitlines()]
    assert line["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Scoreboard/API"
    assert (line["Service"], line["LeaderboardQueries"]) == ("scoreboard-api", 1)


def test_a_busy_port_is_one_sentence(shared: ApiProcess) -> None:
    ended = start(PORT=str(shared.port), JWT_SECRET="x" * 40)
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert str(shared.port) in ended.stderr


def test_the_health_check_of_the_image_tells_life_from_death(shared: ApiProcess) -> None:
    def check(port: int) -> int:
        return subprocess.run(
            [sys.executable, "-m", "api.healthcheck"], cwd=CLONE, env={"PORT": str(port)}, timeout=60, check=False
        ).returncode

    assert check(shared.port) == 0
    assert check(1) == 1


async def test_half_a_thousand_streams_that_come_and_go_leave_nothing(shared: ApiProcess) -> None:
    for _ in range(5):
        opened: list[EventStream] = await asyncio.gather(*(shared.stream() for _ in range(100)))
        for stream in opened:
            stream.close()
    text = ""
    while "sse_connections 0.0" not in text:
        await asyncio.sleep(0.05)
        text = (await shared.request("GET", "/metrics")).body.decode()
