"""Parameters: each is described, and a wrong value is refused by a sentence before anything is made."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from tests.aws.checks.references import OF_CHALICE
from tests.aws.documents import ROOT_TEMPLATE, Project
from tests.aws.findings import Finding, check
from tests.aws.model import Model, resolve
from tests.aws.profiles import PROFILES, Profile
from tests.aws.values import SYMBOLS, number, plain
from tests.aws.wrong_values import CONTRADICTIONS, WRONG

_LIMITS: Final = ("AllowedPattern", "AllowedValues", "MinLength", "MaxLength", "MinValue", "MaxValue")


def refusals(project: Project, profile: Profile, changes: Mapping[str, str]) -> list[str]:
    """Return the sentences with which a deployment of changed parameters is refused."""
    given = {**profile.given, **changes}
    region = given.pop("AWS::Region", profile.region)
    model = resolve(project, Profile(profile.name, profile.section, given, region=region))
    declared = project.documents[ROOT_TEMPLATE]["Parameters"]
    values = model.stacks[""].parameters
    sentences = [
        f"{name} {declared[name].get('ConstraintDescription', 'is refused')}"
        for name, value in values.items()
        if not accepts(declared[name], value)
    ]
    return [*sentences, *model.stacks[""].asserts()]


def accepts(definition: Mapping[str, Any], value: Any) -> bool:
    """Whether a parameter takes a value; what only a deployment knows is taken."""
    if isinstance(value, (*SYMBOLS, list)):
        return True
    text = plain(value)
    if "AllowedPattern" in definition and not re.fullmatch(definition["AllowedPattern"], text):
        return False
    if "AllowedValues" in definition and text not in map(plain, definition["AllowedValues"]):
        return False
    if not int(definition.get("MinLength", 0)) <= len(text) <= int(definition.get("MaxLength", 10**6)):
        return False
    if definition["Type"] != "Number":
        return True
    figure = number(text, float("nan"))
    least, most = float(definition.get("MinValue", "-inf")), float(definition.get("MaxValue", "inf"))
    return least <= figure <= most


@check("every parameter is described, and says what it takes", about_files=True)
def parameters_are_described(model: Model) -> Iterator[Finding]:
    for file, document in model.project.documents.items():
        for name, definition in (document.get("Parameters") or {}).items():
            where = f"{file}: Parameters.{name}"
            if len(str(definition.get("Description", ""))) < 4:
                yield Finding(where, "has no Description")
            if any(limit in definition for limit in _LIMITS) and not definition.get("ConstraintDescription"):
                yield Finding(where, "is limited, and does not say how: no ConstraintDescription")


@check("every output is described", about_files=True)
def outputs_are_described(model: Model) -> Iterator[Finding]:
    for file, document in model.project.documents.items():
        for name, definition in (document.get("Outputs") or {}).items():
            if name not in OF_CHALICE and len(str(definition.get("Description", ""))) < 4:
                yield Finding(f"{file}: Outputs.{name}", "has no Description")


@check("every value that is handed to a template is one that it takes")
def values_are_taken(model: Model) -> Iterator[Finding]:
    for scope in model.stacks.values():
        for name, definition in scope.section("Parameters").items():
            value = scope.parameters.get(name)
            if value is not None and not accepts(definition, value):
                yield Finding(f"{scope.file}: Parameters.{name}", f"is given {plain(value)!r}, which it does not take")


@check("no profile breaks a rule")
def profiles_keep_the_rules(model: Model) -> Iterator[Finding]:
    for path, scope in model.stacks.items():
        for sentence in scope.asserts():
            yield Finding(scope.file, f"{path or 'the root'}: {sentence}")


@check("wrong values and contradictions are refused", about_files=True)
def wrong_values_are_refused(model: Model) -> Iterator[Finding]:
    for file, tried in WRONG.items():
        declared = model.project.documents.get(file, {}).get("Parameters") or {}
        for name, definition in declared.items():
            if not tried.get(name):
                yield Finding(
                    f"{file}: Parameters.{name}", "no wrong value of it is tried: see tests/aws/wrong_values.py"
                )
            for value in tried.get(name, ()):
                if accepts(definition, value):
                    yield Finding(f"{file}: Parameters.{name}", f"takes {value!r}")
    profiles = {profile.name: profile for profile in PROFILES}
    for title, (name, changes) in CONTRADICTIONS.items():
        if not refusals(model.project, profiles[name], changes):
            yield Finding(f"{ROOT_TEMPLATE}: Rules", f"nothing refuses {title}")


@check("every rule says what is wrong", about_files=True)
def rules_have_sentences(model: Model) -> Iterator[Finding]:
    for file, document in model.project.documents.items():
        for name, rule in (document.get("Rules") or {}).items():
            for assertion in rule.get("Assertions", []):
                if len(assertion.get("AssertDescription", "")) < 20:
                    yield Finding(f"{file}: Rules.{name}", "an assertion has no sentence")
