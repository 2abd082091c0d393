"""ECS without containers: a task gets an address on loopback, where the rehearsal starts what its container would."""

from __future__ import annotations

import hashlib
import itertools
from typing import Any

from tests.rehearsal.emulator.patching import module, replace


def task_credentials(task_arn: str) -> dict[str, str]:
    """The credentials of a task's role, which ECS gives a container by an address that only containers reach."""
    digest = hashlib.sha256(task_arn.encode()).hexdigest()
    return {
        "AWS_ACCESS_KEY_ID": f"ASIA{digest[:16].upper()}",
        "AWS_SECRET_ACCESS_KEY": hashlib.sha256(f"key {digest}".encode()).hexdigest(),
        "AWS_SESSION_TOKEN": hashlib.sha256(f"token {digest}".encode()).hexdigest(),
    }


def patch(network: str) -> None:
    """Give tasks their addresses, which begin with `network`, and services their revisions."""
    ecs = module("services.ecs")
    numbers = itertools.count(1)
    replace(ecs, "_run_task", lambda run: _with_addresses(run, ecs, network, numbers))
    replace(ecs, "_describe_service_revisions", lambda _: _revisions(ecs))
    replace(ecs._ACTION_MAP, "DescribeServiceRevisions", lambda _: ecs._describe_service_revisions)


def _with_addresses(run: Any, ecs: Any, network: str, numbers: itertools.count[int]) -> Any:
    """Without Docker a task has no network interface, and so nobody can find or probe it."""

    def run_task(data: Any) -> Any:
        known = set(ecs._tasks)
        answer = run(data)
        for arn in [arn for arn in ecs._tasks if arn not in known]:
            task, address = ecs._tasks[arn], f"{network}{next(numbers)}"
            task["_container_ip"] = address
            details = {"subnetId": task["_subnet"], "privateIPv4Address": address}
            task["attachments"] = [
                {
                    "id": arn.rpartition("/")[2],
                    "type": "ElasticNetworkInterface",
                    "status": "ATTACHED",
                    "details": [{"name": name, "value": value} for name, value in details.items() if value],
                }
            ]
            _open_session(arn, ecs._task_defs[ecs._resolve_td_key(task["taskDefinitionArn"])].get("taskRoleArn", ""))
        return answer

    return run_task


def _open_session(task_arn: str, role_arn: str) -> None:
    """What ECS does with a task's role before its container starts."""
    keys, account, task = task_credentials(task_arn), task_arn.split(":")[4], task_arn.rpartition("/")[2]
    role = role_arn.rpartition("/")[2]
    session = {
        "Arn": f"arn:aws:sts::{account}:assumed-role/{role}/{task}",
        "UserId": f"{role}:{task}",
        "SecretAccessKey": keys["AWS_SECRET_ACCESS_KEY"],
        "SessionToken": keys["AWS_SESSION_TOKEN"],
    }
    module("services.sts").register_session(keys["AWS_ACCESS_KEY_ID"], session)


def _revisions(ecs: Any) -> Any:
    """The emulator knows no revisions. A revision is told by its ARN: .../service-revision/CLUSTER/SERVICE/NUMBER."""

    def describe_service_revisions(data: Any) -> Any:
        found, failures = [], []
        for arn in data.get("serviceRevisionArns", []):
            _, cluster, name, _ = arn.rsplit(":", 1)[1].split("/")
            service = ecs._services.get(f"{cluster}/{name}")
            if service is None:
                failures.append({"arn": arn, "reason": "MISSING"})
                continue
            found.append(
                {
                    "serviceRevisionArn": arn,
                    "serviceArn": service["serviceArn"],
                    "clusterArn": service["clusterArn"],
                    "taskDefinition": service["taskDefinition"],
                    "createdAt": service["deployments"][0]["createdAt"],
                }
            )
        return module("core.responses").json_response({"serviceRevisions": found, "failures": failures})

    return describe_service_revisions
