"""The folder of one local stack: data, logs, the lock, the secret, and the state others read."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops.listening import try_listening
from ops.processes import lives
from ops.terminal import WrongUse

CLONE = Path(__file__).resolve().parent.parent
PARTS = ("api", "worker", "postgres", "redis", "queue")

# Below the range the kernel hands out to outgoing connections, so that a port remembered from the
# last start is not taken by chance.
_INTERNAL_PORTS = range(20000, 32000)


@dataclass(frozen=True)
class Home:
    """`SCOREBOARD_HOME`: by default `.scoreboard` in the clone."""

    path: Path

    @classmethod
    def from_env(cls) -> Home:
        """The home that the environment names."""
        return cls(Path(os.environ.get("SCOREBOARD_HOME") or CLONE / ".scoreboard").absolute())

    @property
    def logs(self) -> Path:
        """One log file a part."""
        return self.path / "logs"

    @property
    def state_file(self) -> Path:
        """What runs now, for other programs; rewritten at every change."""
        return self.path / "state.json"

    @property
    def worker_pids_file(self) -> Path:
        """The processes of the worker, written by the poller."""
        return self.path / "worker-pids.json"

    def prepare(self) -> None:
        """Make the folders."""
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise WrongUse(f"Cannot write to SCOREBOARD_HOME={self.path}: {problem.strerror}.") from problem

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the home for oneself. The kernel drops the lock with the process, so it is never stale."""
        with (self.path / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise WrongUse(
                    f"A stack runs already on {self.path}: stop it, or set another SCOREBOARD_HOME and PORT."
                ) from None
            yield

    def is_locked(self) -> bool:
        """Whether a stack runs on this home."""
        try:
            with self.locked():
                return False
        except (WrongUse, FileNotFoundError) as problem:
            return isinstance(problem, WrongUse)

    def secret(self) -> str:
        """The signing secret of this home: random, made once, readable by its owner only."""
        file = self.path / "jwt-secret"
        if not file.exists():
            write_private(file, secrets.token_urlsafe(48))
        return file.read_text().strip()

    def ports(self, names: tuple[str, ...]) -> dict[str, int]:
        """A free port for each name: the one of the last start where it is still free."""
        file = self.path / "ports.json"
        known = _read_json(file)
        chosen: dict[str, int] = {}
        for name in names:
            port = known.get(name)
            while not isinstance(port, int) or port in chosen.values() or not is_free("127.0.0.1", port):
                port = random.choice(_INTERNAL_PORTS)
            chosen[name] = port
        write_private(file, json.dumps({**known, **chosen}))
        return chosen

    def read_state(self) -> dict[str, Any]:
        """What the supervisor wrote last; empty before the first start."""
        return _read_json(self.state_file)

    def write_state(self, state: dict[str, Any]) -> None:
        """Replace the state in one step, so that a reader never sees half of it."""
        write_private(self.state_file, json.dumps(state, indent=2) + "\n")

    def worker_pids(self, poller: int | None) -> list[int]:
        """The poller and its handler processes, as far as they live."""
        noted = _read_json(self.worker_pids_file)
        if poller is None or noted.get("poller") != poller:
            return [] if poller is None else [poller]
        return [poller, *(pid for pid in noted.get("handlers", []) if lives(pid))]


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now."""
    try:
        try_listening(host, port)
    except OSError:
        return False
    return True


def write_private(file: Path, text: str) -> None:
    """Write a file that only its owner may read, in one step."""
    draft = file.with_name(f"{file.name}.{os.getpid()}.new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        out.write(text)
    draft.replace(file)


def _read_json(file: Path) -> dict[str, Any]:
    try:
        read = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return read if isinstance(read, dict) else {}
