"""Expand the SAM templates below a build folder: `python translate.py BUILD_FOLDER`, by the SAM CLI's interpreter.

CloudFormation applies the SAM transform to nested stacks too; the emulator does to none. `sam deploy` then uploads the
code of plain functions just as that of SAM's.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import sys
from pathlib import Path
from typing import Any


class NoPolicies:
    """The transform asks AWS for managed policies that are named without their ARN; no template does that."""

    def load(self) -> dict[str, str]:
        """Give none."""
        return {}


def expand(file: Path) -> bool:
    """Expand one template in place; false if it is no SAM template."""
    template = importlib.import_module("samtranslator.yaml_helper").yaml_parse(file.read_text())
    if "AWS::Serverless" not in str(template.get("Transform", "")):
        return False
    code = {
        name: resource["Properties"].pop("CodeUri")
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::Serverless::Function"
    }
    for name, path in code.items():
        # The transform wants code that is uploaded already, and makes a new version of a function when its key is new.
        template["Resources"][name]["Properties"]["CodeUri"] = f"s3://placeholder/{digest(file.parent / path)}"
    transform: Any = importlib.import_module("samtranslator.translator.transform").transform
    expanded = json.loads(json.dumps(transform(template, {}, NoPolicies()), default=str))
    expanded.pop("Transform", None)
    for name, path in code.items():
        expanded["Resources"][name]["Properties"]["Code"] = path
    file.write_text(json.dumps(expanded, indent=1))
    return True


def digest(code: Path) -> str:
    """A hash of a package, a zip or a folder."""
    hashed = hashlib.sha256()
    for file in sorted(code.rglob("*")) if code.is_dir() else [code]:
        if file.is_file():
            hashed.update(f"{file.relative_to(code)}".encode() + file.read_bytes())
    return hashed.hexdigest()


def main() -> None:
    """Expand every template of a build."""
    for file in sorted(Path(sys.argv[1]).rglob("template.yaml")):
        if expand(file):
            print(f"expanded {file}")


if __name__ == "__main__":
    sys.path[:] = [path for path in sys.path if Path(path or ".").resolve() != Path(__file__).resolve().parent]
    main()
