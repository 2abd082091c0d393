"""Secrets Manager and Parameter Store in memory, and a clock that is set."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
from moto import mock_aws

REGION = "eu-central-1"


class Clock:
    """Seconds, as a test sets them."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Vault:
    """Secrets and parameters of one test."""

    def __init__(self) -> None:
        self._secrets = boto3.client("secretsmanager", region_name=REGION)
        self._parameters = boto3.client("ssm", region_name=REGION)

    def secret(self, name: str, value: Any) -> str:
        """Make a secret; gives its ARN."""
        text = value if isinstance(value, str) else json.dumps(value)
        return self._secrets.create_secret(Name=name, SecretString=text)["ARN"]

    def change(self, arn: str, value: Any) -> None:
        """Give a secret another value."""
        text = value if isinstance(value, str) else json.dumps(value)
        self._secrets.put_secret_value(SecretId=arn, SecretString=text)

    def remove(self, arn: str) -> None:
        """Remove a secret at once."""
        self._secrets.delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)

    def parameter(self, name: str, value: str) -> None:
        """Set a parameter."""
        self._parameters.put_parameter(Name=name, Value=value, Type="String")


@contextmanager
def vault(monkeypatch: pytest.MonkeyPatch) -> Iterator[Vault]:
    """An account without anything in it, for everything that uses boto3 within the block."""
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SECRETS_MANAGER", "AWS_ENDPOINT_URL_SSM", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    with mock_aws():
        yield Vault()
