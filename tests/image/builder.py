"""Build the Dockerfile without Docker, and without a registry of images.

The base image that the Dockerfile names cannot be had here, so a stand-in takes its place: Debian's smallest system
with the Python of this program. The wheels are fetched beforehand, checked against the lock's hashes, and the build
itself has no network.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from ops.home import CLONE

TOOLS: Final = ("buildah", "runc", "mmdebstrap")
TARGETS: Final = ("api", "local", "queue")
STAND_IN: Final = f"localhost/scoreboard-python:{sys.version_info.major}.{sys.version_info.minor}"
DEBIAN: Final = "bookworm"
LIBRARIES: Final = (
    "ca-certificates,libbz2-1.0,libexpat1,libffi8,liblzma5,libncursesw6"
    ",libreadline8,libsqlite3-0,libssl3,libuuid1,zlib1g"
)
ARCHITECTURE: Final = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]


class TrialFailed(Exception):
    """The trial cannot go on; the text says why."""


def sh(command: Sequence[str], cwd: Path = CLONE) -> str:
    """Run a program; gives what it printed. Raises `TrialFailed` with its errors."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, cwd=cwd)
    if done.returncode:
        printed = f"{done.stdout}{done.stderr}"[-4000:]
        raise TrialFailed(f"{' '.join(command[:4])} ended with {done.returncode}:\n{printed}")
    return done.stdout


def check_tools() -> None:
    """Raise `TrialFailed` when something is missing that the trial needs."""
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if missing:
        raise TrialFailed(f"Missing: {', '.join(missing)}. On Debian: apt-get install {' '.join(TOOLS)}")
    if os.geteuid() != 0:
        raise TrialFailed("Containers are started by runc here, which needs root.")
    if sys.version_info[:2] != (3, 13):
        raise TrialFailed("The image has Python 3.13, so this has to be run by one: make image-trial PYTHON=...")


@contextmanager
def private_store(scratch: Path) -> Iterator[None]:
    """Keep all images below a folder, so that nothing is left of them and none of this machine's is touched."""
    images = scratch / "images"
    images.mkdir()
    configuration = scratch / "storage.conf"
    configuration.write_text(
        f'[storage]\ndriver = "overlay"\ngraphroot = "{images / "graph"}"\nrunroot = "{images / "run"}"\n'
    )
    os.environ["CONTAINERS_STORAGE_CONF"] = str(configuration)
    try:
        yield
    finally:
        del os.environ["CONTAINERS_STORAGE_CONF"]
        _unmount_below(images)
        shutil.rmtree(images, ignore_errors=True)


def _unmount_below(folder: Path) -> None:
    """Take mounts off, the inner ones first: the driver leaves one of its own, a build that was ended all of its."""
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for mount in sorted((mount for mount in mounts if mount.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", "--lazy", mount], capture_output=True, check=False)


def base_image(scratch: Path) -> str:
    """Give the image to build on: PYTHON_IMAGE if that is set, else a stand-in."""
    if os.environ.get("PYTHON_IMAGE"):
        return os.environ["PYTHON_IMAGE"]
    _make_stand_in(scratch / "root")
    return STAND_IN


def _make_stand_in(root: Path) -> None:
    sh(["mmdebstrap", "--quiet", "--variant=minbase", f"--include={LIBRARIES}", DEBIAN, str(root)])
    python = Path(sys.base_prefix)
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    kept = shutil.ignore_patterns("__pycache__", "test", "idlelib", "tkinter", "config-*", "*.a", "site-packages")
    for part in ("bin", "lib"):
        shutil.copytree(python / part, root / "usr/local" / part, symlinks=True, ignore=kept, dirs_exist_ok=True)
    packages = Path("lib") / name / "site-packages"
    for pip in (python / packages).glob("pip*"):
        shutil.copytree(pip, root / "usr/local" / packages / pip.name, ignore=kept)
    for link in (root / "usr/local/bin/python", root / "usr/local/bin/python3"):
        link.unlink(missing_ok=True)
        link.symlink_to(name)
    sh(["chroot", str(root), "/sbin/ldconfig"])
    container = sh(["buildah", "from", "scratch"]).strip()
    try:
        sh(["buildah", "add", "--quiet", container, str(root), "/"])
        sh(["buildah", "config", "--env", "PATH=/usr/local/bin:/usr/bin:/bin", container])
        sh(["buildah", "commit", "--quiet", container, STAND_IN])
    finally:
        sh(["buildah", "rm", container])


def fetch_wheels(folder: Path, machine: str = platform.machine()) -> Path:
    """Download what the build installs; gives the pip configuration that leads there and nowhere else."""
    folder.mkdir()
    lock = str(CLONE / "requirements.txt")
    foreign = [word for tag in ("_2_28", "2014") for word in ("--platform", f"manylinux{tag}_{machine}")]
    _download(folder, ["--implementation", "cp", "--python-version", "3.13", *foreign, "-r", lock])
    _download(folder, ["-r", str(CLONE / "requirements/queue.txt")])
    configuration = folder / "pip.conf"
    configuration.write_text("[global]\nno-index = true\nfind-links = /wheels\n")
    return configuration


def _download(folder: Path, what: Sequence[str]) -> None:
    options = ["--quiet", "--require-hashes", "--only-binary", ":all:", "--dest", str(folder / "wheels")]
    sh([sys.executable, "-m", "pip", "download", *options, *what])


def build(base: str, pip: Path) -> dict[str, float]:
    """Build all targets for this machine; gives the seconds that each took. The API's is built by `make image`."""
    took = {}
    options = _options(base, pip)
    for target in TARGETS:
        began = time.monotonic()
        if target == "api":
            settings = [f"IMAGE={image(target)}", f"PLATFORM=linux/{ARCHITECTURE}", "VERSION=trial"]
            sh(["make", "image", "BUILDER=buildah", *settings, f"OPTIONS={' '.join(options)}"])
        else:
            command = ["buildah", "build", "--format", "docker", "--platform", f"linux/{ARCHITECTURE}", *options]
            sh([*command, "--target", target, "--tag", image(target), "."])
        took[target] = time.monotonic() - began
    return took


def build_foreign(base: str, pip: Path) -> str:
    """Build the API's image for the other processor; gives its name.

    Nothing of that processor is run, so its base may be the same files under another label.
    """
    other = {"amd64": "arm64", "arm64": "amd64"}[ARCHITECTURE]
    relabelled, both = f"{STAND_IN}-{other}", f"{STAND_IN}-both"
    container = sh(["buildah", "from", base]).strip()
    sh(["buildah", "config", "--arch", other, container])
    sh(["buildah", "commit", "--quiet", "--rm", container, relabelled])
    sh(["buildah", "manifest", "create", both])
    for architecture, reference in ((ARCHITECTURE, base), (other, relabelled)):
        sh(["buildah", "manifest", "add", "--arch", architecture, both, reference])
    settings = [f"IMAGE={image(other)}", f"PLATFORM=linux/{other}", "VERSION=trial"]
    sh(["make", "image", "BUILDER=buildah", *settings, f"OPTIONS={' '.join(_options(both, pip))}"])
    return image(other)


def _options(base: str, pip: Path) -> list[str]:
    """What a build needs here besides the Dockerfile: the stand-in, runc, and the wheels instead of a network."""
    options = ["--isolation", "oci", "--runtime", "runc", "--network", "none", "--layers"]
    options += ["--build-arg", f"PYTHON_IMAGE={base}"]
    volumes = (f"{pip}:/etc/pip.conf:ro", f"{pip.parent / 'wheels'}:/wheels:ro")
    return [*options, *(word for volume in volumes for word in ("--volume", volume))]


def image(target: str) -> str:
    """The name of an image."""
    return f"localhost/scoreboard-{target}:trial"


def configuration(target: str) -> dict[str, Any]:
    """What an image says about how it is run: User, Env, Cmd, Healthcheck, Labels."""
    inspected = json.loads(sh(["buildah", "inspect", "--type", "image", image(target)]))
    found: dict[str, Any] = inspected["Docker"]["config"]
    return found


def size_mb(reference: str) -> float:
    """The size of an image in megabytes, unpacked."""
    return _megabytes(sh(["buildah", "images", "--format", "{{.Size}}", reference]).strip())


def _megabytes(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+) (KB|MB|GB)", text).groups()  # type: ignore[union-attr]
    return float(number) * {"KB": 0.001, "MB": 1, "GB": 1000}[unit]
