"""What others wrote: cfn-lint, `sam validate --lint` and checkov, each in its own virtual environment."""

from __future__ import annotations

import json
import os
import subprocess
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from tests.aws.documents import ROOT
from tests.aws.findings import Finding
from tests.aws.profiles import REGION

AWS: Final = ROOT / ".venv-aws/bin"
CHECKOV: Final = ROOT / ".venv-checkov/bin"
SKIPS: Final = Path(__file__).with_name("checkov.toml")
_TIMEOUT_S: Final = 300


class Missing(Exception):
    """Something that a tool needs is not there; the text says how to make it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a tool says."""

    tool: str
    about: str
    """How much it looked at."""
    findings: list[Finding]


def require(*needed: tuple[Path, str]) -> None:
    """Check that files are there. Raises `Missing` with the command that makes them."""
    for file, command in needed:
        if not file.exists():
            shown = file.relative_to(ROOT) if file.is_relative_to(ROOT) else file
            raise Missing(f"{shown} is missing: {command} makes it")


def run_tool(
    command: list[str], folder: Path = ROOT, *, text: str | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a program of another environment, as nobody: none of them has anything to ask AWS."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return subprocess.run(
        command,
        cwd=folder,
        env={**kept, "AWS_EC2_METADATA_DISABLED": "true", **variables},
        input=text or "",
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
    )


def cfn_lint(templates: list[str], folder: Path = ROOT) -> Outcome:
    """Lint templates, with the region set and without the rules that are off by default."""
    require((AWS / "cfn-lint", "make venv-aws"))
    done = run_tool([str(AWS / "cfn-lint"), "--regions", REGION, "--format", "json", "--", *templates], folder)
    try:
        said = json.loads(done.stdout or "[]")
    except ValueError:
        said = []
    findings = [
        Finding(f"{each['Filename']}:{each['Location']['Start']['LineNumber']}", each["Message"], each["Rule"]["Id"])
        for each in said
    ]
    if done.returncode and not findings:
        findings = [Finding("cfn-lint", done.stderr.strip() or f"ended with {done.returncode}")]
    return Outcome("cfn-lint", f"{len(templates)} templates", findings)


def sam_validate(templates: list[str], folder: Path = ROOT) -> Outcome:
    """Have the SAM CLI validate templates one by one."""
    require((AWS / "sam", "make venv-aws"))

    def validate(template: str) -> list[Finding]:
        command = [str(AWS / "sam"), "validate", "--lint", "--region", REGION, "--template", template]
        done = run_tool(command, folder, SAM_CLI_TELEMETRY="0", SAM_CLI_CONTAINER_CONNECTION_TIMEOUT="1")
        return [Finding(template, (done.stdout + done.stderr).strip())] if done.returncode else []

    with ThreadPoolExecutor(os.cpu_count() or 1) as threads:
        findings = [found for each in threads.map(validate, templates) for found in each]
    return Outcome("sam validate --lint", f"{len(templates)} templates", findings)


def checkov(templates: list[str], folder: Path = ROOT, skips: Path = SKIPS) -> Outcome:
    """Scan templates; what is skipped with a reason is left out, and a skip of nothing is a finding."""
    require((CHECKOV / "checkov", "make venv-checkov"))
    command = [str(CHECKOV / "checkov"), "--framework", "cloudformation", "--skip-download", "--quiet", "--compact"]
    done = run_tool([*command, "--output", "json", "--file", *templates], folder)
    try:
        said: Any = json.loads(done.stdout)
    except ValueError:
        return Outcome("checkov", "nothing", [Finding("checkov", done.stderr.strip() or done.stdout.strip())])
    said = said[0] if isinstance(said, list) else said
    failed = said.get("results", {}).get("failed_checks", [])
    findings, count = explained(failed, tomllib.loads(skips.read_text())["skip"])
    broken = said.get("results", {}).get("parsing_errors", [])
    findings.extend(Finding(str(file), "cannot be read by checkov") for file in broken)
    passed = said.get("summary", said).get("passed", 0)
    return Outcome("checkov", f"{passed} passed, {count} explained", findings)


def explained(failed: list[dict[str, Any]], skips: list[dict[str, Any]]) -> tuple[list[Finding], int]:
    """Return the findings without a reason, and how many have one."""
    findings: list[Finding] = []
    used: set[tuple[str, str]] = set()
    for each in failed:
        where = f"{each['file_path'].lstrip('/')} {each['resource']}"
        reasons = [
            (skip["check"], pattern)
            for skip in skips
            for pattern in skip["resources"]
            if skip["check"] == each["check_id"] and fnmatchcase(where, pattern)
        ]
        used.update(reasons)
        if not reasons:
            findings.append(Finding(where, each["check_name"], each["check_id"]))
    count = len(failed) - len(findings)
    for skip in skips:
        if len(skip["because"]) < 20:
            findings.append(Finding(SKIPS.name, f"{skip['check']} is skipped without a reason"))
        findings.extend(
            Finding(SKIPS.name, f"{skip['check']} has nothing to say about {pattern} any more")
            for pattern in skip["resources"]
            if (skip["check"], pattern) not in used
        )
    return findings, count
