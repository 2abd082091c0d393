"""List what ships: `python -m ops.sbom FOLDER` writes a CycloneDX bill of materials of the image and of the functions.

Each is read from an installation of the lock for the platform it ships to, not from the lock, which knows other
platforms too. The image's base brings packages of its own system, which only a scan of the image itself can list.
"""

from __future__ import annotations

import json
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path
from typing import Final

from ops.home import CLONE
from ops.package import LOCK, PLATFORMS, install, run_quietly, target
from ops.terminal import WrongUse, run_tool, say

LOCKS: Final = {"image": CLONE / "requirements.txt", "functions": LOCK}
TOOL: Final = CLONE / ".venv-ship" / "bin" / "cyclonedx-py"


def main(arguments: list[str]) -> int:
    """Write the lists; gives 0 for done, 1 for failed, 2 for wrong use."""
    return run_tool(str(__doc__), arguments, _list)


def _list(arguments: list[str]) -> None:
    if len(arguments) != 1:
        raise WrongUse("usage: python -m ops.sbom FOLDER")
    if not TOOL.exists():
        raise WrongUse(f"{TOOL.relative_to(CLONE)} is missing: make venv-ship makes it")
    folder = Path(arguments[0]).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    platform, python = target()
    for name, lock in LOCKS.items():
        # The image has the Python of its base, whatever the functions have.
        count = write(folder / f"{name}.cdx.json", lock, platform, "3.13" if name == "image" else python)
        say(f"{name}: {count} components, in {folder / name}.cdx.json")


def write(to: Path, lock: Path, platform: str = PLATFORMS["arm64"], python: str = "3.13") -> int:
    """Write the list of one lock; return how many components it has."""
    with tempfile.TemporaryDirectory(prefix="scoreboard-sbom-") as scratch:
        # The tool reads an environment, so one without anything else gets the wheels.
        venv.create(scratch, with_pip=False, symlinks=True)
        packages = sysconfig.get_path("purelib", "venv", {"base": scratch, "platbase": scratch})
        install(Path(packages), platform, python, lock)
        command = [str(TOOL), "environment", "--pyproject", str(CLONE / "pyproject.toml"), "--output-reproducible"]
        command += ["--spec-version", "1.6", "--output-format", "JSON", "--output-file", str(to)]
        run_quietly([*command, str(Path(scratch) / "bin" / "python")], "The list cannot be written")
    return len(json.loads(to.read_text())["components"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
