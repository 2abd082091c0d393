"""Logs: each program has its own, and none is kept for ever."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tests.aws.findings import Finding, check
from tests.aws.model import Model, Resource
from tests.aws.values import Reference, Text, Value, number

GROUP: Final = "AWS::Logs::LogGroup"


@check("every log group forgets")
def logs_have_retention(model: Model) -> Iterator[Finding]:
    for group in model.of(GROUP):
        if number(group.get("RetentionInDays")) < 1:
            yield Finding(group.where, "keeps its lines for ever: it has no RetentionInDays")


def group_of(model: Model, function: Resource) -> Resource | None:
    """Return the log group that a function writes to, if the templates make it."""
    named = function.get("LoggingConfig.LogGroup")
    if named is not None:
        found = model.target(named)
        if found is None or found.type != GROUP:
            found = next((group for group in model.of(GROUP) if group.get("LogGroupName") == named), None)
        return found
    own: list[Value] = [Text(("/aws/lambda/", Reference(function.path)))]
    if isinstance(function.get("FunctionName"), str):
        own.append(f"/aws/lambda/{function.get('FunctionName')}")
    return next((group for group in model.of(GROUP) if group.get("LogGroupName") in own), None)


@check("every function has a log group of its own")
def functions_have_groups(model: Model) -> Iterator[Finding]:
    taken: dict[str, Resource] = {}
    for function in model.of("AWS::Lambda::Function"):
        group = group_of(model, function)
        if group is None:
            yield Finding(
                function.where, "has no log group in the templates: Lambda makes one that keeps its lines for ever"
            )
        elif group.path in taken:
            yield Finding(function.where, f"shares the log group {group.name} with {taken[group.path].name}")
        else:
            taken[group.path] = function


@check("every container writes to a log group of the templates")
def containers_have_groups(model: Model) -> Iterator[Finding]:
    for task in model.of("AWS::ECS::TaskDefinition"):
        for container in task.get("ContainerDefinitions"):
            options = container.get("LogConfiguration", {}).get("Options", {})
            group = model.target(options.get("awslogs-group"))
            if group is None or group.type != GROUP:
                yield Finding(task.where, f"the container {container['Name']} writes to no log group of the templates")
            if options.get("mode") != "non-blocking":
                yield Finding(
                    task.where,
                    f"the container {container['Name']} stands still when the log does: mode is not non-blocking",
                )
