"""Check the templates: `python -m tests.aws [--json] [--mutations]`, which is `make check-aws`.

cfn-lint, `sam validate --lint`, checkov, and our own checks for each profile; with `--mutations` also whether they find
the faults of tests/aws/mutations.py. 0: nothing was found. 1: something was. 2: something that is needed is missing.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import tests.aws.checks
from tests.aws.documents import ROOT
from tests.aws.findings import CHECKS, Finding, applies, run
from tests.aws.generated import OPERATIONS_TEMPLATE, project
from tests.aws.model import resolve
from tests.aws.mutations import LINT, MUTATIONS, Mutation, found_by_policy, said_of
from tests.aws.profiles import ALL, Profile
from tests.aws.tools import Missing, Outcome, cfn_lint, checkov, require, sam_validate
from tests.aws.transform import sam_transform

assert tests.aws.checks.__all__


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table."""

    tool: str
    about: str
    seconds: float
    findings: list[Finding]


def policy(profile: Profile) -> Outcome:
    """Run our own checks on a profile."""
    model = resolve(project(), profile)
    checks = sum(applies(sentence, profile.name) for sentence in CHECKS)
    about = f"{checks} checks, {len(model.resources)} resources"
    return Outcome(f"policy: {profile.name}", about, sorted(run(model)))


def mutations() -> Outcome:
    """Put each fault into the templates, and see whether it is found."""
    known = said_of(project())
    missed = [
        Finding(mutation.edit.file, f"not found: {mutation.title}", mutation.finder)
        for mutation in MUTATIONS
        if not (_lint(mutation) if mutation.finder == LINT else found_by_policy(project(), mutation, known))
    ]
    return Outcome("mutations", f"{len(MUTATIONS) - len(missed)} of {len(MUTATIONS)} found", missed)


def _lint(mutation: Mutation) -> bool:
    with tempfile.TemporaryDirectory(prefix="scoreboard-mutation-") as folder:
        mutation.applied(project()).write(Path(folder))
        return bool(cfn_lint([mutation.edit.file], Path(folder)).findings)


def steps(with_mutations: bool) -> Iterator[Callable[[], Outcome]]:
    """Everything that is to be run, in order."""
    templates = sorted(project().documents)
    yield lambda: cfn_lint(templates)
    yield lambda: sam_validate(templates)
    yield lambda: checkov(templates)
    yield lambda: sam_transform(project().documents)
    for profile in ALL:
        yield partial(policy, profile)
    if with_mutations:
        yield mutations


def timed(step: Callable[[], Outcome]) -> Row:
    """Run a step."""
    began = time.monotonic()
    outcome = step()
    return Row(outcome.tool, outcome.about, time.monotonic() - began, outcome.findings)


def show(row: Row, said: set[str]) -> None:
    """Print a line, and below it what was found and not said before: much is found in every profile."""
    verdict = f"{len(row.findings)} found" if row.findings else "clean"
    print(f"{row.tool:<56} {row.about:<27} {row.seconds:6.1f} s  {verdict}", flush=True)
    for found in row.findings:
        if str(found) not in said:
            said.add(str(found))
            print(f"    {found}" + (f"  [{found.check}]" if found.check else ""), flush=True)


def main(arguments: list[str]) -> int:
    """Check; give the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.aws", description=__doc__.split("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--mutations", action="store_true", help="also put faults into the templates, to be found")
    given = parser.parse_args(arguments)
    rows: list[Row] = []
    said: set[str] = set()
    try:
        require((ROOT / OPERATIONS_TEMPLATE, "make package"))
        for step in steps(given.mutations):
            rows.append(timed(step))
            if not given.json:
                show(rows[-1], said)
    except Missing as missing:
        print(missing, file=sys.stderr)
        return 2
    if given.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
    return 1 if any(row.findings for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
