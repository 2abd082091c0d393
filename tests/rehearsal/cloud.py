"""The emulated account: its process, its clients, and how to find what was deployed."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3

from ops.binaries import queue_python
from ops.home import CLONE
from ops.parts import Part, answers_http
from tests.rehearsal.report import expect
from tests.rehearsal.started import MARK, running
from tests.support.stack import free_port

ACCOUNT = "000000000000"


@dataclass
class Cloud:
    """The account, seen by its root user, who deploys."""

    endpoint: str
    region: str
    stack_name: str
    access_key: str = field(default_factory=lambda: f"AKIA{secrets.token_hex(8).upper()}")
    secret_key: str = field(default_factory=lambda: secrets.token_urlsafe(30))
    _clients: dict[str, Any] = field(default_factory=dict)

    @property
    def environ(self) -> dict[str, str]:
        """What an AWS client needs in its environment to come here, and nowhere else."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def client(self, service: str) -> Any:
        """A client of one service."""
        if service not in self._clients:
            session = boto3.Session(self.access_key, self.secret_key, region_name=self.region)
            self._clients[service] = session.client(service, endpoint_url=self.endpoint)  # type: ignore[call-overload]
        return self._clients[service]

    def outputs(self) -> dict[str, str]:
        """The outputs of the root stack."""
        return self._outputs(self.stack_name)

    def outputs_of(self, *path: str) -> dict[str, str]:
        """The outputs of a nested stack, by the logical ids on the way to it."""
        return self._outputs(self.physical_id(*path))

    def physical_id(self, *path: str) -> str:
        """What was made for a resource, by the logical ids of the nested stacks it is in, and its own."""
        found = self.stack_name
        for logical_id in path:
            answer = self.client("cloudformation").describe_stack_resources(StackName=found)
            ids = {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in answer["StackResources"]}
            expect(logical_id in ids, f"the stack {found} has no resource {logical_id}, only {', '.join(sorted(ids))}")
            found = ids[logical_id]
        return found

    def _outputs(self, stack: str) -> dict[str, str]:
        found = self.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
        return {each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", [])}

    def events(self, stack: str) -> list[dict[str, Any]]:
        """A stack's events, newest first."""
        pages = self.client("cloudformation").get_paginator("describe_stack_events").paginate(StackName=stack)
        return [event for page in pages for event in page["StackEvents"]]

    def reasons(self) -> list[str]:
        """Why the last deployment failed, by all stacks' events."""
        found = []
        for stack in self.stacks():
            for event in self.events(stack):
                if event["ResourceStatus"].endswith("_COMPLETE") and event["LogicalResourceId"] == stack:
                    if not event["ResourceStatus"].endswith("ROLLBACK_COMPLETE"):
                        break  # of an earlier deployment
                elif event["ResourceStatus"].endswith("_FAILED") and event.get("ResourceStatusReason"):
                    found.append(f"{stack} {event['LogicalResourceId']}: {event['ResourceStatusReason']}")
        return found

    def stacks(self) -> dict[str, str]:
        """All stacks, also those deleted, and their status."""
        pages = self.client("cloudformation").get_paginator("list_stacks").paginate()
        return {each["StackName"]: each["StackStatus"] for page in pages for each in page["StackSummaries"]}

    def secret(self, arn: str, stage: str = "AWSCURRENT") -> str:
        """The value of a secret."""
        return str(self.client("secretsmanager").get_secret_value(SecretId=arn, VersionStage=stage)["SecretString"])

    def invoke(self, function: str, payload: Mapping[str, Any]) -> Any:
        """Invoke a function and give its result. Fails with the function's own words if it raises."""
        answer = self.client("lambda").invoke(
            FunctionName=function, Payload=json.dumps(payload).encode(), LogType="Tail"
        )
        result = json.loads(answer["Payload"].read() or b"null")
        if answer.get("FunctionError"):
            log = base64.b64decode(answer.get("LogResult", "")).decode(errors="replace")
            expect(False, f"{function} failed: {json.dumps(result)[:600]}\n{log[-2000:]}")
        return result

    def logged(self, function: str) -> str:
        """What a function has logged, as one text."""
        logs = self.client("logs")
        with contextlib.suppress(logs.exceptions.ResourceNotFoundException):
            pages = logs.get_paginator("filter_log_events").paginate(logGroupName=f"/aws/lambda/{function}")
            return "\n".join(event["message"] for page in pages for event in page["events"])
        return ""


@contextlib.contextmanager
def cloud(folder: Path, mark: str, *, region: str, stack_name: str, network: str, redis: str) -> Iterator[Cloud]:
    """Run the emulator for the time of the block.

    Args:
        folder: Of the rehearsal.
        mark: Of its processes.
        region: The region that everything is in.
        stack_name: The root stack's name.
        network: The beginning of the addresses of tasks, as in `127.1.2.`.
        redis: Port and administrator's password of the Valkey whose users the emulated ElastiCache has to make.
    """
    where = folder / "emulator"
    where.mkdir()
    port = free_port()
    made = Cloud(f"http://127.0.0.1:{port}", region, stack_name)
    command = (str(queue_python()), str(CLONE / "tests/rehearsal/emulator/server.py"), str(where), str(sdk()), network)
    environ = {
        "PATH": os.environ.get("PATH", os.defpath),
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "127.0.0.1",
        "MINISTACK_REGION": region,
        # Signatures are checked, and every call against the policies of the role that makes it.
        "AUTH": "true",
        "AWS_ACCESS_KEY_ID": made.access_key,
        "AWS_SECRET_ACCESS_KEY": made.secret_key,
        "REHEARSAL_REDIS": redis,
        "LOG_LEVEL": "INFO",
        "TMPDIR": str(where),
        "HOME": str(where),
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        MARK: mark,
    }
    part = Part(
        name="emulator",
        command=command,
        environ=environ,
        cwd=where,
        is_ready=lambda: answers_http(f"{made.endpoint}/_ministack/health"),
    )
    with running(part, folder / "logs" / "emulator.log"):
        yield made


def sdk() -> Path:
    """Where the virtual environment of the SAM CLI keeps its packages."""
    script = "import sysconfig; print(sysconfig.get_path('purelib'))"
    python = CLONE / ".venv-aws" / "bin" / "python"
    return Path(subprocess.run([python, "-c", script], check=True, capture_output=True, text=True).stdout.strip())


def emulator_python() -> str:
    """The version of the interpreter that functions run on, as in 3.13."""
    script = "import sys; print('%d.%d' % sys.version_info[:2])"
    return subprocess.run([queue_python(), "-c", script], check=True, capture_output=True, text=True).stdout.strip()
