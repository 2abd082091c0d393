"""Stacks: what the emulator forgets of parameters, and of what it does for a root stack, for a nested one."""

from __future__ import annotations

from functools import partial
from typing import Any

from tests.rehearsal.emulator.patching import module, replace

NUMBERS = {
    "AWS::ECS::Service": ("DesiredCount",),
    "AWS::Lambda::EventSourceMapping": ("MaximumConcurrency",),
}
"""Properties with which the emulator counts."""


def patch() -> None:
    """Make stacks, and nested ones too, what CloudFormation makes."""
    provisioners = module("services.cloudformation.provisioners")
    for kind, names in NUMBERS.items():
        for action in ("create", "update"):
            replace(provisioners._RESOURCE_HANDLERS[kind], action, partial(_with_numbers, names))
    replace(provisioners, "_provision_resource", _resolving_references)
    replace(provisioners, "_update_resource", _keeping_attributes)
    replace(provisioners._RESOURCE_HANDLERS["AWS::CloudFormation::Stack"], "delete", _minding_policies)


def _with_numbers(names: tuple[str, ...], act: Any) -> Any:
    """CloudFormation makes a number of a parameter that is one; the emulator hands on its text."""

    def numbered(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: int(each) if name in names else numbered(each) for name, each in value.items()}
        return value

    return lambda *given: act(*map(numbered, given))


def _resolving_references(provision: Any) -> Any:
    """`{{resolve:...}}` stands as it is in the resources of a nested stack; AWS resolves it in all."""
    resolve = module("services.cloudformation.engine")._resolve_dynamic_references

    def provision_resource(kind: str, logical_id: str, properties: Any, stack_name: str) -> Any:
        return provision(kind, logical_id, resolve(properties)[0], stack_name)

    return provision_resource


def _keeping_attributes(update: Any) -> Any:
    """An update of a nested stack forgets the attributes of what did not change, and the next `GetAtt` fails."""
    engine, formation = module("services.cloudformation.engine"), module("services.cloudformation")

    def update_resource(
        kind: str, physical_id: str, old: Any, new: Any, stack_name: str, logical_id: Any = None, attributes: Any = None
    ) -> Any:
        if attributes is None:
            known = formation._stacks.get(stack_name, {}).get("_resources", {})
            attributes = known.get(logical_id, {}).get("Attributes")
        if old != new:
            new = engine._resolve_dynamic_references(new)[0]
        return update(kind, physical_id, old, new, stack_name, logical_id, attributes)

    return update_resource


def _minding_policies(delete: Any) -> Any:
    """The delete of a nested stack ignores `DeletionPolicy`: what has to stay is taken out of its hands before."""
    provisioners, formation = module("services.cloudformation.provisioners"), module("services.cloudformation")
    stacks = module("services.cloudformation.stacks")

    def delete_stack(physical_id: str, properties: Any) -> None:
        stack = formation._stacks.get(provisioners._nested_stack_lookup_name(physical_id)) or {}
        template, name, stack_id = stack.get("_template") or {}, stack.get("StackName"), stack.get("StackId")
        resources = stack.get("_resources", {})
        parent = formation._stacks.get(stack.get("_parent_stack_name")) or {}
        came_to_be = parent.get("StackStatus") != "ROLLBACK_IN_PROGRESS"
        for logical_id, resource in list(resources.items()):
            policy = stacks._resource_policy(
                template.get("Resources", {}).get(logical_id), "DeletionPolicy", resources,
                stack["_resolved_params"], stack["_conditions"], template.get("Mappings", {}), name, stack_id,
            )  # fmt: skip
            kind, physical = resource["ResourceType"], resource["PhysicalResourceId"]
            if policy == "Snapshot":
                provisioners._snapshot_resource(kind, physical, resource["Properties"])
            elif policy == "Retain" or (policy == "RetainExceptOnCreate" and came_to_be):
                stacks._add_event(stack_id, name, logical_id, kind, "DELETE_SKIPPED", physical_id=physical)
                del resources[logical_id]
        delete(physical_id, properties)

    return delete_stack
