"""Which program a function or a task runs: the entries into the code."""

from __future__ import annotations

import ast
from typing import Final

from tests.aws.code import OPERATIONS, modules
from tests.aws.model import Resource

API: Final = ("api.__main__:", "api.server:", "api.healthcheck:")
"""What the image starts, and what asks it whether it is well."""
API_GATEWAY: Final = "app.app"
"""The handler that Chalice gives to the function behind the API: the application itself."""


def program_of(resource: Resource) -> tuple[str, ...]:
    """Return the entries of what a function or task definition runs; none where it names no program of ours."""
    if resource.type == "AWS::ECS::TaskDefinition":
        return API
    handler = resource.get("Handler", "")
    if handler == API_GATEWAY:
        return tuple(f"{OPERATIONS}:{name}" for name in routes())
    module, _, name = str(handler).rpartition(".")
    known = modules().get(module)
    return (f"{module}:{name}",) if known is not None and name in known.definitions else ()


def routes() -> list[str]:
    """Return the names of the operations app's functions that answer requests."""
    found = modules().get(OPERATIONS)
    if found is None:
        return []
    names = []
    for statement in found.tree.body:
        if isinstance(statement, ast.FunctionDef):
            decorators = [ast.unparse(node) for node in statement.decorator_list]
            if any(".route(" in text or ".middleware(" in text or ".authorizer(" in text for text in decorators):
                names.append(statement.name)
    return names
