"""samconfig.toml: a section for each profile, with parameters that exist and the capabilities that are needed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from tests.aws.documents import ROOT_TEMPLATE, STACK
from tests.aws.findings import Finding, check
from tests.aws.model import Model
from tests.aws.profiles import PROFILES, deploy_parameters, parameter_overrides

_NAMED: Final = ("RoleName", "UserName", "GroupName", "ManagedPolicyName", "InstanceProfileName")
NAMES: Final = {"local": "local", "dev": "dev", "staging": "staging", "prod": "prod"}


@check("the configuration has a section for every profile, each with its own name of the stack", about_files=True)
def sections_are_there(model: Model) -> Iterator[Finding]:
    names: set[str] = set()
    for profile in PROFILES:
        parameters = deploy_parameters(model.project.configuration, profile.section)
        where = f"samconfig.toml: {profile.section}"
        if not parameters:
            yield Finding(where, "is not there")
            continue
        name = parameters.get("stack_name", "")
        if not name or name in names:
            yield Finding(where, f"its stack_name {name!r} is none of its own")
        names.add(name)
        overrides = parameter_overrides(model.project.configuration, profile.section)
        if overrides.get("EnvironmentName") != NAMES[profile.section]:
            yield Finding(where, "does not set its EnvironmentName")


@check("the configuration sets parameters that exist", about_files=True)
def overrides_exist(model: Model) -> Iterator[Finding]:
    declared = model.project.documents[ROOT_TEMPLATE].get("Parameters") or {}
    for section in model.project.configuration:
        if section == "version":
            continue
        for name in parameter_overrides(model.project.configuration, section):
            if name not in declared:
                yield Finding(f"samconfig.toml: {section}", f"sets {name}, which {ROOT_TEMPLATE} does not have")


@check("the configuration allows what the templates need, and no more", about_files=True)
def capabilities_are_right(model: Model) -> Iterator[Finding]:
    needed = _needed(model)
    for profile in PROFILES:
        given = deploy_parameters(model.project.configuration, profile.section).get("capabilities", [])
        allowed = set(given.split() if isinstance(given, str) else given)
        for capability in sorted(needed - allowed):
            yield Finding(
                f"samconfig.toml: {profile.section}", f"does not allow {capability}, which the templates need"
            )
        for capability in sorted(allowed - needed - {"CAPABILITY_IAM"}):
            yield Finding(f"samconfig.toml: {profile.section}", f"allows {capability}, which no template needs")


def _needed(model: Model) -> set[str]:
    needed: set[str] = set()
    resources: list[dict[str, Any]] = [
        resource for document in model.project.documents.values() for resource in document.get("Resources", {}).values()
    ]
    for resource in resources:
        kind = resource.get("Type", "")
        if kind.startswith("AWS::IAM::"):
            needed.add("CAPABILITY_IAM")
            if any(name in resource.get("Properties", {}) for name in _NAMED):
                needed.add("CAPABILITY_NAMED_IAM")
    documents = model.project.documents.values()
    transforms = any(document.get("Transform") for document in documents)
    nests = any(resource.get("Type") == STACK for resource in resources)
    return needed | ({"CAPABILITY_AUTO_EXPAND"} if transforms and nests else set())


@check("production asks before it changes", about_files=True)
def production_asks(model: Model) -> Iterator[Finding]:
    parameters = deploy_parameters(model.project.configuration, "prod")
    if parameters and parameters.get("confirm_changeset") is not True:
        yield Finding("samconfig.toml: prod", "changes production without asking: confirm_changeset is not true")


@check("names in production do not collide with those of another profile")
def names_are_of_the_profile(model: Model) -> Iterator[Finding]:
    profile = model.profile.section
    for resource in model.resources.values():
        for name in ("QueueName", "TopicName", "FunctionName", "ClusterName", "LogGroupName", "AlarmName", "RoleName"):
            given = resource.get(name)
            owned = resource.type.partition("::")[2].startswith(
                ("SQS::Queue", "SNS::Topic", "Lambda::Function", "ECS::Cl")
            )
            if isinstance(given, str) and owned and profile not in given:
                yield Finding(resource.where, f"{name} {given} is the same in every profile")
