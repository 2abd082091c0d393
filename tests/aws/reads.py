"""Which settings and which calls of AWS a program's code has: what its environment and its role must hold."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cache
from typing import Final

import botocore.session
from botocore import xform_name

from scoreboard.config import Settings
from tests.aws.code import Reached, reach

SETTINGS: Final = frozenset(setting.name for setting in fields(Settings))
SUPPLIED: Final = {"app_version": "CONFIG_PARAMETER_PATH", "log_level": "CONFIG_PARAMETER_PATH"}
"""Settings that come from elsewhere, and the variable that says from where."""
LOGINS: Final = {
    "database_url": "DATABASE_SECRET_ARN",
    "redis_username": "REDIS_SECRET_ARN",
    "redis_password": "REDIS_SECRET_ARN",
    "jwt_secret": "JWT_SECRET_ARN",
    "jwt_secret_previous": "JWT_SECRET_ARN",
    "jwt_secret_next": "JWT_SECRET_ARN",
}
"""Settings that `LiveSecrets` knows better: code that reads them may be given the secret, and need not."""
_OF_SECRETS: Final = {
    "LiveSecrets.database_url": "DATABASE_SECRET_ARN",
    "LiveSecrets.owner_database_url": "DATABASE_OWNER_SECRET_ARN",
    "LiveSecrets.redis_credentials": "REDIS_SECRET_ARN",
    "LiveSecrets.keyring": "JWT_SECRET_ARN",
}
_GENERIC: Final = ("scoreboard.config", "scoreboard.config_values", "scoreboard.settings_aws")
"""Modules that handle any setting alike, without needing it."""
_VARIABLE: Final = re.compile(r"[A-Z][A-Z0-9_]+")


@dataclass(frozen=True, slots=True)
class Needs:
    """What some code needs of its surroundings."""

    variables: frozenset[str]
    """What it reads."""
    fallbacks: frozenset[str]
    """What it also takes, if it is given it."""
    calls: frozenset[tuple[str, str]]
    """(service, operation) of boto3."""
    uses_powertools: bool


@cache
def needs(*entries: str) -> Needs:
    """Return what the code that the entries reach needs."""
    pieces = reach(*entries)
    variables = {name for piece in pieces for name in _variables(piece)}
    fallbacks = variables & set(LOGINS)
    variables -= fallbacks
    calls = {call for piece in pieces for call in _calls(piece)}
    powertools = any(
        origin.startswith("aws_lambda_powertools") for piece in pieces for origin, _ in piece.module.imports.values()
    )
    taken = frozenset(LOGINS[name] for name in fallbacks)
    return Needs(frozenset(variables), taken, frozenset(calls), powertools)


def _variables(piece: Reached) -> Iterator[str]:
    if piece.module.name == "scoreboard.settings_aws":
        if piece.name in _OF_SECRETS:
            yield _OF_SECRETS[piece.name]
        elif piece.name == "load_settings":
            yield "CONFIG_PARAMETER_PATH"
    if piece.module.name == "scoreboard.config" and piece.name == "Settings.from_env":
        yield "APP_ENV"
    names = {"settings", *_other_names(piece)}
    for node in piece.walk():
        if isinstance(node, ast.Call):
            yield from _of_call(node)
        elif isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith("environ"):
            if isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
                yield node.slice.value
        elif piece.module.name in _GENERIC:
            continue
        elif isinstance(node, ast.Attribute) and node.attr in SETTINGS and _is_settings(node.value, names):
            yield node.attr if node.attr in LOGINS else SUPPLIED.get(node.attr, node.attr.upper())


def _other_names(piece: Reached) -> Iterator[str]:
    """What a piece of code calls the settings, where it gives them a name of its own."""
    for node in piece.walk():
        if isinstance(node, ast.Assign) and _is_settings(node.value, {"settings"}):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))


def _is_settings(node: ast.expr, names: set[str]) -> bool:
    """Whether an expression is, by its name, the settings."""
    if isinstance(node, ast.Call):
        return _is_settings(node.func, names)
    name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
    return name.strip("_") in names


def _of_call(node: ast.Call) -> Iterator[str]:
    called = ast.unparse(node.func)
    if called.endswith(("environ.get", "getenv")) and node.args and isinstance(node.args[0], ast.Constant):
        yield str(node.args[0].value)
    if called.rpartition(".")[2] in ("load_settings", "from_env"):
        spared = any(
            keyword.arg == "checks_tokens" and ast.unparse(keyword.value) != "True" for keyword in node.keywords
        )
        if not spared:
            yield "JWT_SECRET_ARN"


@cache
def operations(service: str) -> dict[str, str]:
    """Return the operations of a service by the names that boto3 gives them."""
    model = botocore.session.get_session().get_service_model(service)
    return {xform_name(name): name for name in model.operation_names}


def services_of(piece: Reached) -> set[str]:
    """Return the services that a module has clients of."""
    found = {
        origin.removeprefix("mypy_boto3_").partition(".")[0].replace("_", "-")
        for origin, _ in piece.module.imports.values()
        if origin.startswith("mypy_boto3_")
    }
    for node in ast.walk(piece.module.tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
            ("boto3.client", "session.client", ".create_client")
        ):
            found.update(str(argument.value) for argument in node.args[:1] if isinstance(argument, ast.Constant))
    return found


def _calls(piece: Reached) -> Iterator[tuple[str, str]]:
    services = services_of(piece)
    if not services:
        return
    for node in piece.walk():
        names: list[str] = []
        if isinstance(node, ast.Attribute):
            names.append(node.attr)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("get_paginator", "get_waiter")):
            names.extend(str(argument.value) for argument in node.args if isinstance(argument, ast.Constant))
        for service in services:
            for name in names:
                if name in operations(service):
                    yield service, operations(service)[name]
