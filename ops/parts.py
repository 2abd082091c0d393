"""The parts of a local stack: how each is started, when it is ready, and how it is ended."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ops.binaries import queue_python, redis_server
from ops.environment import Plan
from ops.home import CLONE, Home
from ops.postgres import PostgresPlace
from ops.queue_setup import ensure_queues

Check = Callable[[], Awaitable[bool]]


async def _nothing() -> None:
    pass


async def _at_once() -> bool:
    return True


@dataclass(frozen=True, kw_only=True)
class Part:
    """One process of the stack.

    Attributes:
        name: What status and the log file call it.
        command: Program, absolute, and arguments.
        environ: Its whole environment.
        cwd: Where it runs.
        owner: User and group to run as; None for one's own.
        stop_signal: What asks it to end.
        patience_s: How long it may take to end before it is killed. The longest of each wave of a stop add up to
            7.5 s, so that with all parts hung a stop takes less than 10.
        backoff_cap_s: Longest pause before it is started again.
        restarts_clean: Whether an end with code 0 is its normal way to make room for a new one.
        is_ready: Whether it serves; asked again and again.
        on_ready: What has to be done each time it has become ready.
    """

    name: str
    command: tuple[str, ...]
    environ: Mapping[str, str]
    cwd: Path = CLONE
    owner: tuple[int, int] | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    patience_s: float = 1.0
    backoff_cap_s: float = 5.0
    restarts_clean: bool = False
    is_ready: Check = field(default=_at_once)
    on_ready: Callable[[], Awaitable[None]] = field(default=_nothing)

    @property
    def argv(self) -> list[str]:
        """The command line, with the guard that ends the part together with its supervisor."""
        owner = f"{self.owner[0]}:{self.owner[1]}" if self.owner else "-"
        guard = str(CLONE / "ops" / "guard.py")
        return [sys.executable, "-I", "-S", guard, self.stop_signal.name, owner, str(os.getpid()), *self.command]


def postgres_part(place: PostgresPlace, plan: Plan) -> Part:
    """PostgreSQL; SIGINT is its fast, orderly end."""
    return Part(
        name="postgres",
        command=tuple(place.command(plan.ports["postgres"])),
        # Nothing of the caller's PG* variables, which the server would read too.
        environ={"PATH": os.defpath, "LC_ALL": "C"},
        cwd=Path("/"),
        owner=place.owner,
        stop_signal=signal.SIGINT,
        patience_s=1.5,
        is_ready=lambda: asyncio.to_thread(_accepts_sql, plan.environ["DATABASE_URL"]),
    )


def redis_part(home: Home, plan: Plan) -> Part:
    """Valkey, with its writes appended to a file, so that a restart finds them."""
    folder, port = home.path / "redis", plan.ports["redis"]
    folder.mkdir(exist_ok=True)
    options = {
        "port": str(port),
        "bind": "127.0.0.1",
        "dir": str(folder),
        "appendonly": "yes",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "loglevel": "notice",
    }
    return Part(
        name="redis",
        command=(str(redis_server()), *(word for name, value in options.items() for word in (f"--{name}", value))),
        environ={"PATH": os.defpath},
        is_ready=lambda: _answers_ping(port),
    )


def queue_part(home: Home, plan: Plan) -> Part:
    """The SQS emulator: on loopback, with SQS only, keeping what it has acknowledged (see `queue_server`)."""
    queue = plan.queue
    if queue is None:
        raise ValueError("the queue is not embedded")
    folder = home.path / "queue"
    folder.mkdir(exist_ok=True)

    return Part(
        name="queue",
        command=(str(queue_python()), str(CLONE / "ops" / "queue_server.py"), str(folder / "journal.jsonl")),
        environ={
            "PATH": os.environ.get("PATH", os.defpath),
            "GATEWAY_PORT": str(plan.ports["queue"]),
            "BIND_HOST": "127.0.0.1",
            "MINISTACK_HOST": "127.0.0.1",
            "SERVICES": "sqs",
            "LOG_LEVEL": "WARNING",
            "TMPDIR": str(folder),
            "HOME": str(folder),
            "SFTP_ENABLED": "0",
            "IOT_MTLS_ENABLED": "0",
        },
        cwd=folder,
        is_ready=lambda: answers_http(f"{queue.endpoint}/_ministack/health"),
        on_ready=lambda: asyncio.to_thread(ensure_queues, queue.endpoint),
    )


def worker_part(home: Home, plan: Plan) -> Part:
    """The poller with its handler processes. It finishes the batch in hand before it ends."""
    return Part(
        name="worker",
        command=(sys.executable, "-m", "ops.poller", "--pids-file", str(home.worker_pids_file)),
        environ=plan.environ,
        patience_s=4.0,  # a batch in hand has 3.5 s
        backoff_cap_s=1.0,
    )


def api_part(plan: Plan) -> Part:
    """The API. It drains on SIGTERM and ends with 0, to be replaced at once."""
    url = f"{plan.api_url}/health/ready"
    return Part(
        name="api",
        command=(sys.executable, "-m", "api.server"),
        environ=plan.environ,
        patience_s=5.0,
        restarts_clean=True,
        is_ready=lambda: answers_http(url),
    )


def demo_part(plan: Plan) -> Part:
    """The players that keep the page alive."""
    return Part(
        name="demo",
        command=(sys.executable, "-m", "ops.demo", "--url", plan.api_url),
        environ=plan.environ,
        patience_s=0.5,
    )


async def answers_http(url: str) -> bool:
    """Whether a GET is answered with 200."""

    def ask() -> bool:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - http on loopback
                return bool(json.loads(answer.read() or b"null") is not None and answer.status == 200)
        except (OSError, ValueError, urllib.error.URLError):
            return False

    return await asyncio.to_thread(ask)


async def _answers_ping(port: int) -> bool:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    try:
        writer.write(b"PING\r\n")
        return await asyncio.wait_for(reader.readline(), 2) == b"+PONG\r\n"  # -LOADING while it reads its file
    except (OSError, TimeoutError):
        return False
    finally:
        writer.close()


def _accepts_sql(url: str) -> bool:
    """Whether the database can be used; makes it on the way, as a new server has none of its name."""
    import psycopg

    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError as problem:
        if "does not exist" in str(problem):
            _make_database(url)
        return False
    return True


def _make_database(url: str) -> None:
    import psycopg

    server, _, name = url.rpartition("/")
    with psycopg.connect(f"{server}/postgres", connect_timeout=2, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
