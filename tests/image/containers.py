"""Containers by runc: as the user of the image, on a read-only root, without a capability, on the host's network."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

from tests.image.builder import TrialFailed, configuration, image, sh

PERIOD_US: Final = 100_000
_NAMESPACES: Final = ("pid", "ipc", "uts", "mount")  # of its own; the network is the machine's: loopback
_MASKED: Final = ("/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware")


class Container:
    """One container of an image.

    Attributes:
        log: What it wrote.
        user: The number of the user that the image names.
    """

    def __init__(
        self,
        target: str,
        variables: Mapping[str, str],
        folder: Path,
        *,
        command: Sequence[str] = (),
        data: bool = False,
    ) -> None:
        self._name = f"scoreboard-trial-{os.getpid()}-{folder.name}"
        self._says = configuration(target)
        self._command = list(command) or self._says["Cmd"]
        self.user = int(self._says["User"].partition(":")[0])
        self.log = folder / "log"
        self._folder = folder
        folder.mkdir()
        self._working = sh(["buildah", "from", image(target)]).strip()
        root = sh(["buildah", "mount", self._working]).strip()
        (folder / "config.json").write_text(json.dumps(self._specification(root, variables, data=data)))
        self._process: subprocess.Popen[bytes] | None = None
        self._output: IO[bytes] | None = None

    def start(self) -> None:
        """Start it without waiting."""
        self._output = self.log.open("wb")
        self._process = subprocess.Popen(
            ["runc", "run", "--bundle", str(self._folder), self._name],
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
        )

    def execute(self, command: Sequence[str]) -> int:
        """Run a command in it, as the same user; gives the exit code."""
        done = subprocess.run(
            ["runc", "exec", self._name, *command], stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
        return done.returncode

    def is_healthy(self) -> bool:
        """What the image's own HEALTHCHECK says."""
        kind, *command = self._says["Healthcheck"]["Test"]
        if kind != "CMD":
            raise TrialFailed(f"HEALTHCHECK is {kind}: it needs a shell")
        return self.execute(command) == 0

    def wait_until_healthy(self, within_s: float = 60.0) -> float:
        """Wait for the health check; gives the seconds. Raises `TrialFailed`."""
        began = time.monotonic()
        while not self.is_healthy():
            if not self.runs() or time.monotonic() - began > within_s:
                raise TrialFailed(f"not healthy:\n{self.printed()[-3000:]}")
            time.sleep(0.05)
        return time.monotonic() - began

    def status(self) -> dict[str, str]:
        """What the kernel says of its first process: Uid, Gid, CapEff, NoNewPrivs and more."""
        lines = (self._proc / "status").read_text().splitlines()
        return {name: " ".join(value.split()) for name, _, value in (line.partition(":") for line in lines)}

    def root_is_read_only(self) -> bool:
        """Whether the kernel says so of its mount; that a write is refused could be for want of a right, too."""
        mounts = [line.split() for line in (self._proc / "mountinfo").read_text().splitlines()]
        return all("ro" in options.split(",") for _, _, _, _, place, options, *_ in mounts if place == "/")

    @property
    def _proc(self) -> Path:
        return Path("/proc") / str(json.loads(sh(["runc", "state", self._name]))["pid"])

    def runs(self) -> bool:
        """Whether it has not ended."""
        return self._process is not None and self._process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Signal its first process."""
        sh(["runc", "kill", self._name, str(int(number))])

    def wait(self, within_s: float = 60.0) -> int:
        """Wait for its end; gives the exit code."""
        if self._process is None:
            raise TrialFailed("it was not started")
        return self._process.wait(within_s)

    def stop(self) -> int:
        """Ask it to end, as `docker stop` does; gives the exit code."""
        self.send(signal.SIGTERM)
        return self.wait()

    def printed(self) -> str:
        """What it wrote."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def remove(self) -> None:
        """End it and leave nothing behind."""
        if self.runs():
            subprocess.run(["runc", "kill", self._name, "9"], capture_output=True, check=False)
            self.wait()
        subprocess.run(["runc", "delete", "--force", self._name], capture_output=True, check=False)
        if self._output:
            self._output.close()
        sh(["buildah", "umount", self._working])
        sh(["buildah", "rm", self._working])
        shutil.rmtree(self._folder, ignore_errors=True)

    def _specification(self, root: str, variables: Mapping[str, str], *, data: bool) -> dict[str, Any]:
        user, _, group = self._says["User"].partition(":")
        environ = [*self._says["Env"], *(f"{name}={value}" for name, value in variables.items())]
        return {
            "ociVersion": "1.0.2",
            "process": {
                "user": {"uid": int(user), "gid": int(group)},
                "args": self._command,
                "env": environ,
                "cwd": self._says["WorkingDir"],
                "capabilities": {},
                "noNewPrivileges": True,
            },
            "root": {"path": root, "readonly": True},
            "hostname": "trial",
            "mounts": _mounts(int(user), int(group), data=data),
            "linux": {
                "namespaces": [{"type": kind} for kind in _NAMESPACES],
                "maskedPaths": list(_MASKED),
                # Those of a task: half a processor and one gibibyte.
                "resources": {
                    "cpu": {"quota": PERIOD_US // 2, "period": PERIOD_US},
                    "memory": {"limit": 1024 * 1024 * 1024},
                },
            },
        }


def _mounts(user: int, group: int, *, data: bool) -> list[dict[str, Any]]:
    """The kernel's own file systems; no folder that could be written, but for one of data where it is asked for."""
    safe = ["nosuid", "noexec", "nodev"]
    terminal = ["nosuid", "noexec", "newinstance"]
    mounts: list[dict[str, Any]] = [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=64k"]},
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": terminal},
    ]
    if data:
        owned = [*safe, f"uid={user}", f"gid={group}", "mode=700"]
        mounts.append({"destination": "/data", "type": "tmpfs", "source": "tmpfs", "options": owned})
    return mounts
