"""What the rehearsal can show: every type that the local profile makes is one that the emulator has."""

from __future__ import annotations

import json
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from typing import Final

from tests.aws.documents import BOOTSTRAP_TEMPLATE, ROOT
from tests.aws.findings import Finding, check
from tests.aws.model import Model

PYTHON: Final = ROOT / ".venv-queue/bin/python"
LIMITS: Final = ROOT / "tests/rehearsal/limits.toml"
_SHOWN: Final = "tests/rehearsal/limits.toml"
_ASK: Final = """
import json
from ministack.services.cloudformation.provisioners import _RESOURCE_HANDLERS
print(json.dumps(sorted(_RESOURCE_HANDLERS)))
"""


@cache
def supported() -> frozenset[str]:
    """Return the types that the emulator makes, as it says itself."""
    answer = subprocess.run([PYTHON, "-c", _ASK], check=True, capture_output=True, text=True, timeout=60)
    return frozenset(json.loads(answer.stdout.splitlines()[-1]))


@cache
def listed() -> frozenset[str]:
    """Return the types that the rehearsal says it does without."""
    return frozenset(tomllib.loads(LIMITS.read_text()).get("types", {})) if LIMITS.exists() else frozenset()


@check("the local profile makes nothing that the emulator does not know")
def local_is_rehearsed(model: Model) -> Iterator[Finding]:
    if model.profile.name != "local":
        return
    for resource in model.resources.values():
        if resource.type not in supported() and not resource.type.startswith("Custom::"):
            yield Finding(resource.where, f"the emulator has no {resource.type}: leave it out in local")


@check("what the rehearsal does without is said in its list, and nothing else is", about_files=True)
def limits_are_listed(model: Model) -> Iterator[Finding]:
    used = {kind for kind in _types(model) if not kind.startswith(("AWS::Serverless::", "Custom::"))}
    for kind in sorted(used - supported() - listed()):
        yield Finding(_SHOWN, f"does not list {kind}, which the emulator has not")
    for kind in sorted(listed() & supported()):
        yield Finding(_SHOWN, f"lists {kind}, which the emulator has")
    for kind in sorted(listed() - used):
        yield Finding(_SHOWN, f"lists {kind}, which no template has")


def _types(model: Model) -> Iterator[str]:
    """The types in what is rehearsed, which the bootstrap is not."""
    for file, document in model.project.documents.items():
        if not file.startswith(BOOTSTRAP_TEMPLATE.removesuffix(".yaml")):
            yield from (str(resource.get("Type")) for resource in document.get("Resources", {}).values())
