"""What checks are, and what they say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from tests.aws.model import Model


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing that is wrong, and where."""

    where: str
    what: str
    check: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


Check = Callable[[Model], Iterator[Finding]]
CHECKS: Final[dict[str, Check]] = {}
"""Every check, by the sentence that it holds the templates to."""
ABOUT_FILES: Final[set[str]] = set()
"""Those that look at what is written, whatever the profile: once is enough."""
READER: Final = "prod"
"""The profile that they are made with."""


def check(sentence: str, *, about_files: bool = False) -> Callable[[Check], Check]:
    """Name a check, and have it made whenever all are."""

    def add(function: Check) -> Check:
        assert sentence not in CHECKS
        CHECKS[sentence] = function
        if about_files:
            ABOUT_FILES.add(sentence)
        return function

    return add


def applies(sentence: str, profile: str) -> bool:
    """Whether a check is made with a profile."""
    return profile == READER or sentence not in ABOUT_FILES


def run(model: Model) -> Iterator[Finding]:
    """Everything that any check finds."""
    for sentence, function in CHECKS.items():
        for found in function(model) if applies(sentence, model.profile.name) else ():
            yield Finding(found.where, found.what, sentence)
