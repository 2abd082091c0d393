"""Whether our reading of the SAM transform is the SAM CLI's own: the same resources from the same templates."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, Final

from tests.aws.documents import Document
from tests.aws.findings import Finding
from tests.aws.serverless import FUNCTION, expand, with_globals
from tests.aws.tools import AWS, Outcome, require, run_tool

_TRANSLATE: Final = """
import json, sys
from samtranslator.translator.transform import transform
class NoPolicies:
    def load(self):
        return {}
made = transform(json.load(sys.stdin), {}, NoPolicies())
print(json.dumps([resource["Type"] for resource in made["Resources"].values()]))
"""


def sam_transform(documents: dict[str, Document]) -> Outcome:
    """Compare the types, and how many of each, that templates become."""
    require((AWS / "python", "make venv-aws"))
    findings: list[Finding] = []
    transformed = {
        file: document for file, document in documents.items() if "Serverless" in str(document.get("Transform"))
    }
    for file, document in transformed.items():
        done = run_tool(
            [str(AWS / "python"), "-c", _TRANSLATE],
            text=json.dumps(_packaged(document)),
            AWS_DEFAULT_REGION="us-east-1",
        )
        if done.returncode:
            findings.append(Finding(file, done.stderr.strip()))
            continue
        theirs, ours = Counter(json.loads(done.stdout)), Counter(_types(document))
        findings.extend(
            Finding(file, f"SAM makes {theirs[kind]} of {kind}, our reading {ours[kind]}")
            for kind in sorted(theirs | ours)
            if theirs[kind] != ours[kind]
        )
    return Outcome("SAM's transform and ours", f"{len(transformed)} templates", findings)


def _types(document: Document) -> list[str]:
    shared = document.get("Globals") or {}
    return [
        kind
        for name, resource in document["Resources"].items()
        for _, kind, _ in expand("", name, resource["Type"], with_globals(resource, shared))
    ]


def _packaged(document: Document) -> dict[str, Any]:
    """The template as `sam package` hands it on: with the code somewhere."""
    made: dict[str, Any] = json.loads(json.dumps(document))
    for resource in made["Resources"].values():
        if resource["Type"] == FUNCTION:
            resource["Properties"]["CodeUri"] = "s3://bucket/key"
    return made
