"""Make what runs in Lambda: `python -m ops.package worker|chalice FOLDER`.

`worker` lays the package of the SAM functions into FOLDER, `chalice` writes FOLDER/deployment.zip and FOLDER/sam.yaml,
the template that the root template nests. Both hold the same `scoreboard` and the wheels of requirements/functions.txt,
checked by hash, for LAMBDA_PYTHON (3.13) on LAMBDA_ARCH (arm64 or x86_64), whatever machine and Python this is.
Two builds give the same bytes.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ops.home import CLONE
from ops.terminal import OpsError, WrongUse, run_tool, say

LOCK: Final = CLONE / "requirements" / "functions.txt"
PLATFORMS: Final = {"arm64": "aarch64-manylinux_2_28", "x86_64": "x86_64-manylinux_2_28"}
PYTHONS: Final = ("3.11", "3.12", "3.13")
LARGEST: Final = 40 * 1024 * 1024
"""Bytes that a package may have unzipped. Lambda takes 250 MiB, but every cold start loads them."""
STAMP: Final = 315_532_800
"""1980-01-01, the earliest time a zip can hold: all files get it, as the time of the build must not show."""
NO_CODE: Final = ("__pycache__", "*.pyc", ".*")
OF_THE_INSTALLER: Final = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json")
"""Of an installation, not of a package: RECORD has the hash of scripts that name the interpreter which installed them.
The rest of a .dist-info stays: libraries look up their own version there, and it has the licences."""


def main(arguments: list[str]) -> int:
    """Make one package; gives 0 for done, 1 for failed, 2 for wrong use."""
    return run_tool(str(__doc__), arguments, _package)


def _package(arguments: list[str]) -> None:
    if len(arguments) != 2 or arguments[0] not in ("worker", "chalice"):
        raise WrongUse("usage: python -m ops.package worker|chalice FOLDER")
    kind, folder = arguments[0], Path(arguments[1]).absolute()
    platform, python = target()
    folder.mkdir(parents=True, exist_ok=True)
    size = {"worker": build_worker, "chalice": build_chalice}[kind](folder, platform, python)
    if size > LARGEST:
        raise OpsError(f"The package {kind} has {size:,} bytes unzipped: more than the {LARGEST:,} it may have.")
    say(f"{kind}: {size / 1024 / 1024:.1f} MiB unzipped for Python {python} on {platform}, in {folder}")


def target() -> tuple[str, str]:
    """Return the platform and the Python that the environment asks for. Raises `WrongUse`."""
    arch, python = os.environ.get("LAMBDA_ARCH") or "arm64", os.environ.get("LAMBDA_PYTHON") or "3.13"
    if arch not in PLATFORMS:
        raise WrongUse(f"LAMBDA_ARCH is {arch!r}: it must be one of {', '.join(PLATFORMS)}")
    if python not in PYTHONS:
        raise WrongUse(f"LAMBDA_PYTHON is {python!r}: it must be one of {', '.join(PYTHONS)}")
    return PLATFORMS[arch], python


def build_worker(folder: Path, platform: str, python: str) -> int:
    """Lay the functions of `workers` into an empty folder; return the bytes."""
    if any(folder.iterdir()):
        raise WrongUse(f"{folder} is not empty: a package must hold nothing else")
    install(folder, platform, python)
    for room in ("scoreboard", "workers"):
        copy_code(CLONE / room, folder / room)
    return settle(folder)


def build_chalice(folder: Path, platform: str, python: str) -> int:
    """Write the zip and the template of the operations app; return the bytes unzipped."""
    with tempfile.TemporaryDirectory(prefix="scoreboard-package-") as scratch:
        project, package = Path(scratch) / "project", Path(scratch) / "package"
        shutil.copytree(CLONE / "chalice_app", project, ignore=shutil.ignore_patterns("__pycache__", "deployments"))
        copy_code(CLONE / "scoreboard", project / "vendor" / "scoreboard")
        run_chalice(project, Path(scratch) / "out")
        # Chalice imports the app to see its functions, so the wheels, which may be of another platform, come later.
        with zipfile.ZipFile(Path(scratch) / "out" / "deployment.zip") as made:
            made.extractall(package)
        install(package, platform, python)
        for cache in [*package.rglob("__pycache__")]:
            shutil.rmtree(cache)
        size = settle(package)
        write_zip(package, folder / "deployment.zip")
        shutil.copyfile(Path(scratch) / "out" / "sam.yaml", folder / "sam.yaml")
    return size


def install(folder: Path, platform: str, python: str, lock: Path = LOCK) -> None:
    """Install a lock's wheels into a folder, without what only an installation needs."""
    command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-config", "--link-mode", "copy"]
    command += ["--python", sys.executable, "--python-platform", platform, "--python-version", python]
    command += ["--only-binary", ":all:", "--require-hashes", "--target", str(folder), "-r", str(lock)]
    run_quietly(command, "The wheels of the package cannot be installed")
    shutil.rmtree(folder / "bin", ignore_errors=True)
    for name in (".lock", "CACHEDIR.TAG", ".gitignore"):
        (folder / name).unlink(missing_ok=True)
    for information in folder.glob("*.dist-info"):
        for name in OF_THE_INSTALLER:
            (information / name).unlink(missing_ok=True)


def run_chalice(project: Path, out: Path) -> None:
    """Have Chalice write its template and its zip."""
    config = json.loads((project / ".chalice" / "config.json").read_text())
    stage = next(iter(config.get("stages", {})), "dev")
    command = [sys.executable, "-c", "from chalice.cli import main; main()", "package", "--stage", stage]
    if not (project / "merge.yaml").is_file():  # Chalice does without, and says nothing
        raise OpsError("chalice_app/merge.yaml is missing.")
    command += ["--template-format", "yaml", "--merge-template", "merge.yaml", str(out)]
    # It makes a session before it sees that it needs none.
    run_quietly(
        command, "chalice package failed", cwd=project, AWS_DEFAULT_REGION="us-east-1", PYTHONDONTWRITEBYTECODE="1"
    )


def run_quietly(command: list[str], complaint: str, cwd: Path = CLONE, **variables: str) -> None:
    """Run a program. Raises `OpsError` with what it printed when it fails."""
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **variables}, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.returncode:
        raise OpsError(f"{complaint}:\n{done.stdout}{done.stderr}".rstrip())


def copy_code(room: Path, to: Path) -> None:
    """Copy the files of a room that are code or data of it."""
    shutil.copytree(room, to, ignore=shutil.ignore_patterns(*NO_CODE))


def files(folder: Path) -> Iterator[Path]:
    """All files below a folder, in an order that is always the same."""
    yield from sorted(path for path in folder.rglob("*") if path.is_file())


def settle(folder: Path) -> int:
    """Give all files and folders the same time, and modes that Lambda's user may read; return the bytes."""
    size = 0
    for path in [*folder.rglob("*"), folder]:
        path.chmod(0o755 if path.is_dir() else 0o644)
        os.utime(path, (STAMP, STAMP))
        size += path.stat().st_size if path.is_file() else 0
    return size


def write_zip(folder: Path, to: Path) -> None:
    """Write all files below a folder into a zip; the same files give the same bytes."""
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files(folder):
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), (1980, 1, 1, 0, 0, 0))
            entry.compress_type, entry.create_system, entry.external_attr = zipfile.ZIP_DEFLATED, 3, 0o100644 << 16
            archive.writestr(entry, path.read_bytes())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
