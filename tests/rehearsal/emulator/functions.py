"""Functions: run by an interpreter that has the standard library and the SDK of Lambda's runtime, and nothing else."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from tests.rehearsal.emulator.patching import module, replace

SDK = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six.py", "urllib3")
"""What Lambda's Python runtimes bring along."""


def patch(folder: Path, sdk_source: Path) -> None:
    """Give functions their runtime, made in a folder from the packages of another virtual environment."""
    runtime = folder / "runtime"
    runtime.mkdir()
    for name in SDK:
        (runtime / name).symlink_to((sdk_source / name).resolve(strict=True))
    launcher = folder / "python"
    # Without site: the emulator's own packages are not there in Lambda.
    launcher.write_text(f'#!/bin/sh\nPYTHONPATH={runtime} exec {getattr(sys, "_base_executable", "")} -S "$@"\n')
    launcher.chmod(0o755)
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    handlers = module("services.cloudformation.provisioners")._RESOURCE_HANDLERS["AWS::Lambda::Function"]
    for action in ("create", "update"):
        replace(handlers, action, _keeping_dead_letters)
    replace(module("core.lambda_runtime"), "_detect_runtime_binary", lambda detect: _launching(detect, launcher))


def _keeping_dead_letters(act: Any) -> Any:
    """Where events go that fail for good is forgotten between the template and the function."""

    def function(*given: Any) -> Any:
        name, attributes = act(*given)
        (*_, properties) = (each for each in given if isinstance(each, dict))
        record = module("services.lambda_svc")._functions[name]
        record["config"]["DeadLetterConfig"] = properties.get("DeadLetterConfig") or {}
        return name, attributes

    return function


def _launching(detect: Any, launcher: Path) -> Any:
    def detect_runtime_binary(runtime: str) -> tuple[str, str]:
        binary, script = detect(runtime)
        return (str(launcher) if runtime.startswith("python") else binary), script

    return detect_runtime_binary
