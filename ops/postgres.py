"""The embedded PostgreSQL: which user runs it, where its data lies, and how it is made.

PostgreSQL refuses to run as root. As root it therefore runs as `nobody`, and that user has to reach the
programs and the data. Where the clone lies below a folder closed to others (a home of mode 0700), the folder
stays closed: the data, and a copy of the programs, go to a folder of this home below a state directory.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from ops.binaries import postgres_install
from ops.home import Home, write_private
from ops.terminal import OpsError, say

_NOBODY = 65534
_STATE_DIRECTORY = Path("/var/lib/scoreboard")


@dataclass(frozen=True)
class PostgresPlace:
    """Where PostgreSQL runs.

    Attributes:
        programs: The folder of `postgres` and `initdb`.
        data: The data directory.
        owner: User and group to run as; None for one's own.
    """

    programs: Path
    data: Path
    owner: tuple[int, int] | None

    @property
    def is_new(self) -> bool:
        """Whether `initdb` has still to run."""
        return not self.data.exists()

    def command(self, port: int) -> list[str]:
        """The server's command line: loopback only, no socket file, durable as in production."""
        settings = {"max_connections": "100", "shared_buffers": "64MB", "log_min_messages": "warning"}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [
            str(self.programs / "postgres"),
            *("-D", str(self.data), "-h", "127.0.0.1", "-p", str(port), "-k", "", *options),
        ]

    async def initialise(self, log: Path) -> None:
        """Make the data directory; it gets its name only once it is whole."""
        draft = self.data.with_name(f"{self.data.name}.new")
        shutil.rmtree(draft, ignore_errors=True)
        _make_folder(draft, self.owner)
        uid, gid = self.owner or (None, None)
        with log.open("ab") as out:
            process = await asyncio.create_subprocess_exec(
                str(self.programs / "initdb"),
                *("-D", str(draft), "-U", "scoreboard", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"),
                stdout=out,
                stderr=out,
                cwd="/",
                user=uid,
                group=gid,
                extra_groups=[] if self.owner else None,
                start_new_session=True,
            )
            try:
                code = await process.wait()
            finally:  # whoever stops us meanwhile must not leave it and its children at work
                if process.returncode is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    await process.wait()
        if code:
            raise OpsError(f"initdb ended with {code}; its log is {log}.")
        draft.rename(self.data)


def find_place(home: Home) -> PostgresPlace:
    """Decide where PostgreSQL runs and who runs it; moves data that has become unreachable."""
    install, data = postgres_install(), home.path / "postgres"
    if os.geteuid() != 0:
        return PostgresPlace(install / "bin", data, None)
    owner = (_NOBODY, _NOBODY)
    refuge = state_directory(home)
    if not _may_enter(home.path, owner) or (refuge / "postgres").exists():
        data = _move_data(data, refuge / "postgres", owner)
    programs = install / "bin"
    if not _may_run(programs, owner):
        programs = _copy_programs(install, refuge) / "bin"
    return PostgresPlace(programs, data, owner)


def state_directory(home: Home) -> Path:
    """The folder of this home outside of it.

    Named by a random text kept in the home, not by its path: a fresh clone in the place of another starts empty.
    """
    base = Path(os.environ.get("SCOREBOARD_STATE_DIR") or _STATE_DIRECTORY)
    name = home.path / "state-id"
    if not name.exists():
        write_private(name, secrets.token_hex(8))
    return base / name.read_text().strip()


def _as_user(owner: tuple[int, int], command: list[str]) -> bool:
    try:
        done = subprocess.run(
            command, user=owner[0], group=owner[1], extra_groups=[], cwd="/", capture_output=True, check=False
        )
    except PermissionError:
        return False
    return done.returncode == 0


def _may_enter(folder: Path, owner: tuple[int, int]) -> bool:
    return _as_user(owner, ["/bin/sh", "-c", 'test -x "$1"', "sh", str(folder)])


def _may_run(programs: Path, owner: tuple[int, int]) -> bool:
    # Really run: only that also says whether the libraries can be read.
    return _as_user(owner, [str(programs / "postgres"), "--version"])


def _move_data(data: Path, refuge: Path, owner: tuple[int, int]) -> Path:
    if data.exists() and not refuge.exists():
        say(f"  postgres: {data} cannot be reached by an unprivileged user any more; moving it to {refuge}")
        refuge.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(data, refuge)
        for path in [refuge, *refuge.rglob("*")]:
            os.chown(path, *owner, follow_symlinks=False)
    return refuge


def _copy_programs(install: Path, refuge: Path) -> Path:
    """Copy a PostgreSQL with the libraries that its wheel keeps beside the package; gives the new installation."""
    package = install.parent
    # Named by its source's age too, so that another version of the wheel is copied anew.
    copy = refuge / f"programs-{int((install / 'bin' / 'postgres').stat().st_mtime)}"
    if not copy.exists():
        draft = refuge / f"{copy.name}.{os.getpid()}.new"
        shutil.copytree(install, draft / package.name / install.name, symlinks=True)
        for libraries in package.parent.glob(f"{package.name}.libs"):
            shutil.copytree(libraries, draft / libraries.name)
        draft.rename(copy)
    return copy / package.name / install.name


def _make_folder(folder: Path, owner: tuple[int, int] | None) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700)
    if owner:
        os.chown(folder, *owner)
