"""IAM statements, wherever they stand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from tests.aws.model import Model, Resource
from tests.aws.values import Value, as_list

_DOCUMENTS: Final = (
    "PolicyDocument",
    "AssumeRolePolicyDocument",
    "KeyPolicy",
    "ResourcePolicy",
    "RepositoryPolicyText",
)
TRUST: Final = "AssumeRolePolicyDocument"


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement of a policy, and the resource that it is written in."""

    resource: Resource
    document: str
    """The property that the policy stands in."""
    content: dict[str, Value]

    @property
    def sid(self) -> str:
        """Its name, if it has one."""
        return str(self.content.get("Sid", ""))

    @property
    def actions(self) -> list[str]:
        """What it allows or denies."""
        return [str(action) for action in as_list(self.content.get("Action")) + as_list(self.content.get("NotAction"))]

    @property
    def targets(self) -> list[Value]:
        """On what."""
        return as_list(self.content.get("Resource")) + as_list(self.content.get("NotResource"))

    @property
    def allows(self) -> bool:
        """Whether it gives something."""
        return self.content.get("Effect") == "Allow"


def statements(resource: Resource) -> Iterator[Statement]:
    """Every statement that a resource writes down."""
    yield from _statements(resource, resource.properties)


def all_statements(model: Model) -> Iterator[Statement]:
    """Every statement of a deployment."""
    for resource in model.resources.values():
        yield from statements(resource)


def _statements(resource: Resource, node: Any) -> Iterator[Statement]:
    if isinstance(node, list):
        for value in node:
            yield from _statements(resource, value)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key in _DOCUMENTS and isinstance(value, dict):
                for content in as_list(value.get("Statement")):
                    yield Statement(resource, key, content)
            else:
                yield from _statements(resource, value)


def grants(model: Model, role: Value) -> Iterator[Statement]:
    """What a role is allowed by the policies written for it, in the role or beside it."""
    target = model.target(role)
    if target is None:
        return
    for found in statements(target):
        if found.document != TRUST and found.allows:
            yield found
    for shared in filter(None, map(model.target, as_list(target.get("ManagedPolicyArns")))):
        yield from (found for found in statements(shared) if found.allows)
    for policy in model.of("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy", "AWS::IAM::RolePolicy"):
        attached = as_list(policy.properties.get("Roles")) + as_list(policy.properties.get("RoleName"))
        if any(model.target(each) is target for each in attached):
            yield from (found for found in statements(policy) if found.allows)
