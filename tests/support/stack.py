"""Local stacks for tests, each in a home and on ports of its own."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ops.home import CLONE, is_free

READY_S = 90.0
STOP_S = 20.0


def free_port() -> int:
    """A port nobody listens on, out of the range of outgoing connections."""
    while not is_free("127.0.0.1", port := random.randrange(12000, 20000)):
        pass
    return port


class LocalStack:
    """One `scoreboard local` as a process of its own."""

    def __init__(
        self, home: Path, environ: Mapping[str, str] | None = None, *, arguments: tuple[str, ...] = ()
    ) -> None:
        self.home = home
        self.port = free_port()
        self._arguments = arguments
        self.environ = {
            # No demo players and no rate limit, unless a test wants them.
            "SCOREBOARD_DEMO": "0",
            "RATE_LIMIT_MAX_REQUESTS": "1000000",
            # What a developer keeps in the clone's .env is not for tests.
            "SCOREBOARD_ENV_FILE": os.devnull,
            **_clean_environ(),
            **(environ or {}),
            "SCOREBOARD_HOME": str(home),
            "PORT": str(self.port),
        }
        self._process: subprocess.Popen[str] | None = None
        self._log = home.parent / f"{home.name}.out"

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The supervisor."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> LocalStack:
        """Start, and wait until it says that it is ready."""
        self.begin()
        deadline = time.monotonic() + READY_S
        while "\nReady: " not in "\n" + self.printed():
            assert self._process is not None
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise AssertionError(f"the stack did not become ready:\n{self.printed()}")
            time.sleep(0.05)
        return self

    def begin(self) -> None:
        """Start without waiting."""
        with self._log.open("w") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ops", "local", *self._arguments],
                cwd=CLONE,
                env=self.environ,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                text=True,
            )

    def printed(self) -> str:
        """What it has said so far."""
        return self._log.read_text() if self._log.exists() else ""

    def stop(self, how: signal.Signals = signal.SIGINT) -> int:
        """Ask it to stop; gives its exit code."""
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.send_signal(how)
        return self.wait()

    def wait(self) -> int:
        """Wait for its end; gives its exit code."""
        assert self._process is not None
        try:
            return self._process.wait(STOP_S)
        finally:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()

    def run(self, *verb: str, check: bool = True, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run another verb of the command on this stack."""
        return subprocess.run(
            [sys.executable, "-m", "ops", *verb],
            cwd=CLONE,
            env=self.environ,
            capture_output=True,
            text=True,
            check=check,
            timeout=timeout,
        )

    def status(self) -> dict[str, Any]:
        """`scoreboard status --json`."""
        read: dict[str, Any] = json.loads(self.run("status", "--json", check=False).stdout)
        return read

    def pids(self) -> list[int]:
        """Every process of the stack that status knows."""
        state = self.status()
        found = [state[name]["pid"] for name in ("api", "postgres", "redis", "queue")] + state["worker"]["pids"]
        return [pid for pid in found if pid]

    def token(self, user: str, *arguments: str) -> str:
        """A token from the command."""
        return self.run("token", "--user", user, *arguments).stdout.strip()

    def get(self, path: str) -> Any:
        """The JSON answer of a GET."""
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:  # noqa: S310 - http on loopback
            return json.load(answer)

    def post_score(self, user: str, delta: int, *, key: str | None = None) -> Any:
        """Submit a score; gives the answer's JSON."""
        headers = {"Authorization": f"Bearer {self.token(user)}", "Content-Type": "application/json"}
        if key:
            headers["Idempotency-Key"] = key
        body = json.dumps({"delta": delta}).encode()
        request = urllib.request.Request(self.url + "/api/scores", body, headers)  # noqa: S310 - http on loopback
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - as above
            return json.load(answer)

    def score_of(self, user: str) -> int:
        """What the leaderboard says, 0 without a line."""
        entries = self.get(f"/api/leaderboard?users={user}")["entries"]
        return int(entries[0]["score"]) if entries else 0


@contextlib.contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that PostgreSQL's user may enter, unlike pytest's; gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="scoreboard-test-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@contextlib.contextmanager
def local_stack(home: Path, **environ: str) -> Iterator[LocalStack]:
    """A whole stack, ready, for the length of a block. The home may be closed to PostgreSQL's user."""
    with open_folder() as outside:
        stack = LocalStack(home, {"SCOREBOARD_STATE_DIR": str(outside), **environ}).start()
        try:
            yield stack
        finally:
            stack.stop()


def until(question: Any, *, seconds: float = 30.0, what: str = "it did not become so") -> Any:
    """Ask until the answer is true; gives the answer."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if answer := question():
                return answer
        except OSError:
            pass
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def _clean_environ() -> dict[str, str]:
    """What a shell gives every program; nothing that would configure a stack."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "SCOREBOARD_QUEUE_PYTHON", "SCOREBOARD_STATE_DIR")
    return {name: value for name, value in os.environ.items() if name in kept}
