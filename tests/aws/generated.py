"""The operations app's template as Chalice writes it: made anew, without the wheels, which it does not depend on."""

from __future__ import annotations

import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

from ops.package import copy_code, run_chalice
from tests.aws.documents import ROOT, Document, Project, parse

OPERATIONS_TEMPLATE: Final = "build/chalice/sam.yaml"


@cache
def operations_template() -> str:
    """Return what `chalice package` writes of the app as it is now; nothing below the clone is touched."""
    with tempfile.TemporaryDirectory(prefix="scoreboard-template-") as scratch:
        project = Path(scratch) / "project"
        shutil.copytree(ROOT / "chalice_app", project, ignore=shutil.ignore_patterns("__pycache__", "deployments"))
        copy_code(ROOT / "scoreboard", project / "vendor" / "scoreboard")
        run_chalice(project, Path(scratch) / "out")
        return (Path(scratch) / "out" / "sam.yaml").read_text()


@cache
def project() -> Project:
    """Return the templates of the clone, with the generated one; not to be changed: `copy` it for that."""
    generated: dict[str, Document] = {OPERATIONS_TEMPLATE: parse(operations_template())}
    return Project.load(generated=generated)
