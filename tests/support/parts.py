"""Real parts for the tests of one session: PostgreSQL, Valkey and the SQS emulator, started as `ops` starts them."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

import psycopg

from ops import parts
from ops.environment import Plan, with_embedded
from ops.home import Home
from ops.postgres import find_place
from ops.queue_setup import call
from scoreboard.config import Settings
from scoreboard.migrations import migrate

SECRET = "a secret that only the tests know, of 32 bytes and more"
READY_WITHIN_S = 60.0

T = TypeVar("T")

_numbers = itertools.count(1)


def settings(**variables: str) -> Settings:
    """Settings of a test, by the names of the variables."""
    return Settings.from_env({"APP_ENV": "test", "JWT_SECRET": SECRET, **variables})


class RunningPart:
    """One part as a process of this test run."""

    def __init__(self, part: parts.Part, log: Path) -> None:
        self._part = part
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None, f"{self._part.name} does not run"
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it serves."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._part.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._part.cwd,
                env=dict(self._part.environ),
                start_new_session=True,
            )
        deadline = time.monotonic() + READY_WITHIN_S
        while not _run(self._part.is_ready):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"{self._part.name} does not start:\n{self._log.read_text()[-2000:]}")
            time.sleep(0.02)
        _run(self._part.on_ready)

    def stop(self) -> None:
        """End it in order."""
        if self._process is None:
            return
        self.resume()
        self._process.send_signal(self._part.stop_signal)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def kill(self) -> None:
        """End it without warning (`kill -9`), with its children."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(20)
            self._process = None

    def pause(self) -> None:
        """Make it a server that takes connections and never answers."""
        for pid in self._family():
            os.kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        if self._process is not None:
            for pid in self._family():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def _family(self) -> list[int]:
        """The process and its children, which in PostgreSQL are sessions of their own."""
        listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
        pairs = [(int(pid), int(parent)) for pid, parent in map(str.split, listed.splitlines())]
        return [self.pid, *(pid for pid, parent in pairs if parent == self.pid)]

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Hung within the block."""
        self.pause()
        try:
            yield
        finally:
            self.resume()


@dataclass(frozen=True, kw_only=True)
class PostgresServer:
    """A PostgreSQL with a migrated template, of which every test gets its own copy."""

    part: RunningPart
    url: str
    place: Any

    def database(self) -> str:
        """Make a migrated, empty database; gives its URL."""
        return self._create(f"test_{next(_numbers)}", "TEMPLATE template_migrated")

    def empty_database(self) -> str:
        """Make a database without anything in it; gives its URL."""
        return self._create(f"empty_{next(_numbers)}", "")

    def prepare(self) -> None:
        """Make the template. Nothing here has to outlive the machine, so nothing is waited for on its disk."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            for name in ("fsync", "full_page_writes"):
                connection.execute(f"ALTER SYSTEM SET {name} = off".encode())
            connection.execute("SELECT pg_reload_conf()")
        migrate(self._create("template_migrated", ""))

    def drop(self, url: str) -> None:
        """Remove a database, whoever is connected."""
        name = url.rpartition("/")[2]
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())

    def _create(self, name: str, options: str) -> str:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} {options}".encode())
        return f"{self.url.rpartition('/')[0]}/{name}"


@dataclass(frozen=True, kw_only=True)
class RedisServer:
    """A Valkey that appends its writes to a file."""

    part: RunningPart
    port: int

    def settings(self, prefix: str = "board") -> Settings:
        """Settings that lead here, with a key prefix of one's own."""
        return settings(
            REDIS_HOST="127.0.0.1",
            REDIS_PORT=str(self.port),
            REDIS_KEY_LEADERBOARD=prefix,
            REDIS_KEY_SCORE_PREFIX=f"{prefix}:score:",
            REDIS_KEY_RATE_LIMIT_PREFIX=f"{prefix}:rate:",
        )

    def fresh_settings(self) -> Settings:
        """Settings that lead here, to keys nobody else uses."""
        return self.settings(f"test{next(_numbers)}")


@dataclass(frozen=True, kw_only=True)
class QueueServer:
    """An SQS emulator."""

    part: RunningPart
    endpoint: str

    def create(self, **attributes: str) -> str:
        """Make a queue; gives its URL."""
        answer = call(
            self.endpoint,
            "CreateQueue",
            {"QueueName": f"test-{next(_numbers)}", "Attributes": attributes},
            timeout_s=10,
        )
        return str(answer["QueueUrl"])


@contextmanager
def home() -> Iterator[Home]:
    """A home that any user may enter, gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="scoreboard-test-"))
    folder.chmod(0o755)
    made = Home(folder)
    made.prepare()
    try:
        yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL of one's own."""
    with home() as where, mock.patch.dict(os.environ, {"SCOREBOARD_STATE_DIR": str(where.path / "state")}):
        plan = _plan(where, "postgres")
        place = find_place(where)
        _run(lambda: place.initialise(where.logs / "postgres.log"))
        part = RunningPart(parts.postgres_part(place, plan), where.logs / "postgres.log")
        part.start()
        try:
            server = PostgresServer(part=part, url=plan.environ["DATABASE_URL"], place=place)
            server.prepare()
            yield server
        finally:
            part.stop()


@contextmanager
def redis_server() -> Iterator[RedisServer]:
    """A Valkey of one's own."""
    with home() as where:
        plan = _plan(where, "redis")
        part = RunningPart(parts.redis_part(where, plan), where.logs / "redis.log")
        part.start()
        try:
            yield RedisServer(part=part, port=plan.ports["redis"])
        finally:
            part.stop()


@contextmanager
def queue_server() -> Iterator[QueueServer]:
    """An SQS emulator of one's own."""
    with home() as where:
        plan = _plan(where, "queue")
        assert plan.queue is not None
        part = RunningPart(parts.queue_part(where, plan), where.logs / "queue.log")
        part.start()
        try:
            yield QueueServer(part=part, endpoint=plan.queue.endpoint)
        finally:
            part.kill()


def _plan(where: Home, name: str) -> Plan:
    ports = where.ports((name,))
    return Plan(with_embedded({}, ports), ports, 0)


def _run(ask: Callable[[], Awaitable[T]]) -> T:
    """Await it on a loop of its own: the test may be running on one already."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(_awaited(ask()))).result()


async def _awaited(waiting: Awaitable[T]) -> T:
    return await waiting
