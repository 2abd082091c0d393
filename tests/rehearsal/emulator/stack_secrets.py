"""Secrets of stacks: `Ref` gives the ARN where the emulator gives the name, and no punctuation means none."""

from __future__ import annotations

import string
from typing import Any

from tests.rehearsal.emulator.patching import module, replace


def patch() -> None:
    """Make secrets what CloudFormation makes."""
    provisioners = module("services.cloudformation.provisioners")
    replace(provisioners, "_sm_secret_string", _without_punctuation)
    handlers = provisioners._RESOURCE_HANDLERS["AWS::SecretsManager::Secret"]
    replace(handlers, "create", _giving_arn)
    replace(handlers, "update", _by_name_giving_arn)
    replace(handlers, "delete", _by_name)


def _without_punctuation(generate: Any) -> Any:
    """The emulator knows `ExcludeCharacters` only; a header with a * in it is a pattern for the load balancer."""

    def secret_string(properties: Any) -> Any:
        wanted = properties.get("GenerateSecretString")
        if wanted and str(wanted.get("ExcludePunctuation")).lower() == "true":
            excluded = wanted.get("ExcludeCharacters", "") + string.punctuation
            properties = {**properties, "GenerateSecretString": {**wanted, "ExcludeCharacters": excluded}}
        return generate(properties)

    return secret_string


def _name_of(arn: str) -> str:
    name, _ = module("services.secretsmanager")._resolve(arn)
    return str(name or arn)


def _giving_arn(create: Any) -> Any:
    def create_secret(*given: Any) -> Any:
        _, attributes = create(*given)
        return attributes["Arn"], attributes

    return create_secret


def _by_name_giving_arn(update: Any) -> Any:
    def update_secret(physical_id: str, *given: Any) -> Any:
        _, attributes = update(_name_of(physical_id), *given)
        return attributes["Arn"], attributes

    return update_secret


def _by_name(delete: Any) -> Any:
    def delete_secret(physical_id: str, *given: Any) -> None:
        delete(_name_of(physical_id), *given)

    return delete_secret
