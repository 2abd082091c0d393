"""The Dockerfile, read: its stages and what each does."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

from ops.home import CLONE


@dataclass
class Stage:
    """One stage.

    Attributes:
        name: Its name, which is a target of the build.
        base: The image or the stage it begins from.
        platform: Whose platform it runs on, if it says so.
        instructions: Keyword and the rest of each line, in order.
    """

    name: str
    base: str
    platform: str = ""
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def all(self, keyword: str) -> list[str]:
        """The rest of each line that begins with a keyword."""
        return [rest for found, rest in self.instructions if found == keyword]


@dataclass(frozen=True)
class Copy:
    """One COPY from the build's context."""

    sources: tuple[str, ...]
    target: str


def stages() -> dict[str, Stage]:
    """The stages in their order, and the arguments before the first as the stage named ``."""
    text = re.sub(r"^\s*#.*\n", "", (CLONE / "Dockerfile").read_text(), flags=re.MULTILINE)
    found = {"": Stage("", "")}
    last = found[""]
    for line in re.sub(r"\\\n", " ", text).splitlines():
        if not line.strip():
            continue
        keyword, _, rest = line.strip().partition(" ")
        if keyword == "FROM":
            match = re.fullmatch(r"(?:--platform=(\S+) )?(\S+) AS (\S+)", rest)
            assert match, line
            last = found[match[3]] = Stage(match[3], match[2], match[1] or "")
        else:
            last.instructions.append((keyword, re.sub(r" +", " ", rest)))
    return found


def lineage(name: str) -> list[Stage]:
    """A stage and those that it begins from, the outermost first."""
    known = stages()
    line = [known[name]]
    while line[0].base in known:
        line.insert(0, known[line[0].base])
    return line


def context_copies() -> list[Copy]:
    """All COPY instructions that read the build's context."""
    copies = []
    for stage in stages().values():
        for rest in stage.all("COPY"):
            words = rest.split()
            if not any(word.startswith("--from=") for word in words):
                plain = [word for word in words if not word.startswith("--")]
                copies.append(Copy(tuple(plain[:-1]), plain[-1]))
    return copies


def listed(instruction: str) -> list[str]:
    """The words of an instruction in its list form. Raises `ValueError` if it is in the form that needs a shell."""
    words: list[str] = json.loads(instruction)
    return words
