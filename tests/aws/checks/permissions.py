"""Policies: nothing wider than it needs, and a reason beside each that has to be."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from tests.aws.findings import Finding, check
from tests.aws.model import Model, Resource
from tests.aws.policies import TRUST, Statement, all_statements, statements
from tests.aws.values import Value, as_list

_SENTENCE: Final = 20
"""A reason of fewer letters is none."""
_MANAGED: Final = {
    "service-role/AWSLambdaBasicExecutionRole": "writes to a function's own log group",
    "service-role/AWSLambdaVPCAccessExecutionRole": "lets a function have its network interface",
    "service-role/AmazonECSTaskExecutionRolePolicy": "pulls the image and writes the log",
    "service-role/AmazonRDSEnhancedMonitoringRole": "writes the enhanced metrics",
    "AmazonECSInfrastructureRolePolicyForLoadBalancers": "moves the listener's weights in a blue/green deployment",
    "service-role/AmazonAPIGatewayPushToCloudWatchLogs": "lets API Gateway write its access logs",
}


_WIDE_RESOURCE: Final = re.compile(r"\*|arn:[^:]*:[^:]*:[^:]*:[^:]*:([a-z-]+[:/])?\*")


def is_wide(statement: Statement) -> bool:
    """Whether a statement spans several actions by a wildcard, or every resource of a kind."""
    if any("*" in action for action in statement.actions):
        return True
    return any(_WIDE_RESOURCE.fullmatch(str(target)) for target in statement.targets)


@check("no policy has a wildcard for an action or a resource without a reason beside it")
def wildcards_have_reasons(model: Model) -> Iterator[Finding]:
    for statement in filter(is_wide, all_statements(model)):
        reason = _reasons(statement.resource).get(statement.sid, "")
        shown = statement.sid or f"the statement on {', '.join(statement.actions)}"
        if not statement.sid:
            yield Finding(statement.resource.where, f"{shown} has a wildcard, and no Sid that a reason could name")
        elif len(reason) < _SENTENCE:
            yield Finding(statement.resource.where, f"{shown} has a wildcard, and no reason in WildcardReasons")


@check("no reason stands beside a wildcard that is gone")
def reasons_are_current(model: Model) -> Iterator[Finding]:
    for resource in model.resources.values():
        wide = {statement.sid for statement in statements(resource) if is_wide(statement)}
        for sid in _reasons(resource).keys() - wide:
            yield Finding(resource.where, f"WildcardReasons has {sid}, but no statement of that Sid has a wildcard")


def _reasons(resource: Resource) -> dict[str, str]:
    found = resource.definition.get("Metadata", {}).get("WildcardReasons", {})
    assert isinstance(found, dict)
    return found


@check("whoever may be anybody is held by a condition, or only refused")
def principals_are_named(model: Model) -> Iterator[Finding]:
    for statement in all_statements(model):
        principal = statement.content.get("Principal")
        anybody = principal == "*" or (isinstance(principal, dict) and "*" in as_list(principal.get("AWS")))
        if anybody and statement.allows and not statement.content.get("Condition"):
            yield Finding(statement.resource.where, f"{statement.sid or 'a statement'} allows anybody, on no condition")


@check("only known policies of AWS are attached")
def managed_policies_are_known(model: Model) -> Iterator[Finding]:
    for role in model.of("AWS::IAM::Role"):
        for policy in as_list(role.properties.get("ManagedPolicyArns")):
            if isinstance(policy, str) and policy.partition(":policy/")[2] not in _MANAGED:
                yield Finding(role.where, f"{policy} is not among the managed policies that these checks know")


@check("every role trusts one service, and the deployment's role one repository")
def roles_trust_services(model: Model) -> Iterator[Finding]:
    for role in model.of("AWS::IAM::Role"):
        for statement in statements(role):
            if statement.document == TRUST:
                yield from _trust(role, statement)


def _trust(role: Resource, statement: Statement) -> Iterator[Finding]:
    principal: Value = statement.content.get("Principal", {})
    if not isinstance(principal, dict) or set(principal) - {"Service", "Federated"}:
        yield Finding(role.where, "trusts something else than a service or the identity provider")
    elif "Federated" in principal:
        conditions = statement.content.get("Condition", {})
        subjects = [str(value) for test in conditions.values() for key, value in test.items() if key.endswith(":sub")]
        if not subjects or any(subject in ("*", "repo:*") for subject in subjects):
            yield Finding(role.where, "trusts the identity provider for every repository")
        if not any(key.endswith(":aud") for test in conditions.values() for key in test):
            yield Finding(role.where, "trusts the identity provider's tokens for any audience")
    elif len(as_list(principal["Service"])) != 1:
        yield Finding(role.where, "trusts more than one service")
