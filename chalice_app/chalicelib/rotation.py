"""Rotation of secrets: the four steps that Secrets Manager asks for, each of which may come more than once.

No value of a secret is logged or part of an error.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

Fields = dict[str, str]


class RotationError(Exception):
    """The rotation cannot go on; the text says why, without any value."""


class Recipe(Protocol):
    """How one kind of secret is rotated."""

    def successor(self, current: Fields) -> Fields:
        """The secret that follows another."""

    def install(self, current: Fields, pending: Fields) -> None:
        """Have the pending secret accepted beside the current one."""

    def check(self, current: Fields, pending: Fields) -> None:
        """Raise `RotationError` unless the pending secret works."""


def rotate(event: Mapping[str, Any], secrets: SecretsManagerClient, recipe: Recipe) -> str:
    """Do one step of a rotation, and return what was done.

    Raises:
        RotationError: The request does not fit the secret, or the pending secret does not work.
    """
    step = _Step(secrets, event["SecretId"], event["ClientRequestToken"])
    if not step.is_wanted():
        return "it is current already"
    name = event["Step"]
    if name == "createSecret":
        return step.create(recipe)
    if name == "setSecret":
        recipe.install(step.read("AWSCURRENT"), step.read("AWSPENDING"))
        return "the pending secret is accepted beside the current one"
    if name == "testSecret":
        recipe.check(step.read("AWSCURRENT"), step.read("AWSPENDING"))
        return "the pending secret works"
    if name == "finishSecret":
        return step.finish()
    raise RotationError(f"There is no step {str(name)[:40]!r}.")


class _Step:
    """One secret and its pending version."""

    def __init__(self, secrets: SecretsManagerClient, arn: str, token: str) -> None:
        self._secrets = secrets
        self._arn = arn
        self._token = token

    def is_wanted(self) -> bool:
        """Whether the version is still to be made current. Raises `RotationError` if it is none of this secret's."""
        known = self._secrets.describe_secret(SecretId=self._arn)
        if not known.get("RotationEnabled"):
            raise RotationError("The secret is not to be rotated.")
        stages = known.get("VersionIdsToStages", {}).get(self._token)
        if stages is None:
            raise RotationError("The secret has no such version.")
        if "AWSCURRENT" in stages:
            return False
        if "AWSPENDING" not in stages:
            raise RotationError("The version is not the pending one.")
        return True

    def create(self, recipe: Recipe) -> str:
        """Make the pending secret, unless it was made before."""
        try:
            self.read("AWSPENDING")
        except self._secrets.exceptions.ResourceNotFoundException:
            pending = recipe.successor(self.read("AWSCURRENT"))
            self._secrets.put_secret_value(
                SecretId=self._arn,
                ClientRequestToken=self._token,
                SecretString=json.dumps(pending),
                VersionStages=["AWSPENDING"],
            )
            return "a pending secret was made"
        return "the pending secret was there"

    def read(self, stage: str) -> Fields:
        """Return the secret of a stage."""
        version = {"VersionId": self._token} if stage == "AWSPENDING" else {}
        text = self._secrets.get_secret_value(SecretId=self._arn, VersionStage=stage, **version).get("SecretString")
        try:
            fields = json.loads(text or "")
        except ValueError:
            fields = None
        if not isinstance(fields, dict) or not all(isinstance(value, str) for value in fields.values()):
            raise RotationError("The secret is not a JSON object of texts.") from None
        return fields

    def finish(self) -> str:
        """Make the pending secret current."""
        stages = self._secrets.describe_secret(SecretId=self._arn)["VersionIdsToStages"]
        current = next(version for version, names in stages.items() if "AWSCURRENT" in names)
        self._secrets.update_secret_version_stage(
            SecretId=self._arn, VersionStage="AWSCURRENT", MoveToVersionId=self._token, RemoveFromVersionId=current
        )
        return "the pending secret is current"
