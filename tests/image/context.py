"""What a build of the Dockerfile can see: the clone, less what .dockerignore leaves out."""

from __future__ import annotations

import fnmatch
import hashlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from ops.home import CLONE
from ops.package import files


def ignore_rules() -> list[tuple[bool, str]]:
    """The rules in order: whether one lets in again, and its pattern."""
    lines = [line.strip() for line in (CLONE / ".dockerignore").read_text().splitlines()]
    return [(line.startswith("!"), line.lstrip("!")) for line in lines if line and not line.startswith("#")]


def is_seen(path: str) -> bool:
    """Whether a path of the clone gets into a build: the last rule that fits it, or a folder that it is in, decides."""
    parts = path.split("/")
    names = ["/".join(parts[: length + 1]) for length in range(len(parts))]
    seen = True
    for lets_in, pattern in ignore_rules():
        if any(_fits(name, pattern) for name in names):
            seen = lets_in
    return seen


def _fits(name: str, pattern: str) -> bool:
    """Match as Docker does: `*` stays within a folder, a leading `**/` means any folder or none."""
    tail = pattern.removeprefix("**/")
    if "**" in tail or tail.count("/") != tail.strip("/").count("/"):
        raise ValueError(f"{pattern}: a kind of pattern that is not read here")
    regular = re.sub(r"\.\*", "[^/]*", fnmatch.translate(tail))
    candidates = [name]
    if tail != pattern:
        parts = name.split("/")
        candidates = ["/".join(parts[start:]) for start in range(len(parts))]
    return any(re.match(regular, candidate) for candidate in candidates)


def seen_files(room: str) -> Iterator[Path]:
    """The files of a folder of the clone that get into a build."""
    for path in sorted((CLONE / room).rglob("*")):
        if path.is_file() and is_seen(path.relative_to(CLONE).as_posix()):
            yield path


def copy_seen(room: str, to: Path) -> Path:
    """What `COPY room room` would lay into an image."""
    for path in seen_files(room):
        target = to / path.relative_to(CLONE)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return to / room


def tree_hash(folder: Path) -> str:
    """The hash of the names and contents of all files below a folder that are no compiled code."""
    digest = hashlib.sha256()
    for path in files(folder):
        if "__pycache__" not in path.parts:
            digest.update(
                f"{path.relative_to(folder).as_posix()}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\0".encode()
            )
    return digest.hexdigest()
