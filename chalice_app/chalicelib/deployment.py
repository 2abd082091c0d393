"""Hooks of a blue/green deployment of the API: migrate before the new tasks start, and try each of them after.

The events are those that ECS sends to lifecycle hooks. A hook that fails, or raises, rolls the deployment back.
"""

from __future__ import annotations

import http.client
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from aws_lambda_powertools import Logger

from scoreboard.errors import ScoreboardError

if TYPE_CHECKING:
    from mypy_boto3_ecs import ECSClient
    from mypy_boto3_ecs.type_defs import TaskTypeDef

PORT: Final = 3000
PATHS: Final = ("/health/ready", "/health", "/api/leaderboard")
"""Ready, alive, and able to read a board."""
REQUEST_S: Final = 4.0
DESCRIBED_AT_ONCE: Final = 100
AGAIN_S: Final = 15
MOST_WAITS: Final = 40
"""So often it is asked whether the tasks run: ten minutes."""
MOST_TRIES: Final = 4
"""So often a task that runs may fail before the deployment does."""

Ask = Callable[[str, str], str | None]


@dataclass(frozen=True, slots=True)
class Task:
    """A new task."""

    arn: str
    address: str | None
    runs: bool


class DeploymentHook:
    """Answers the hooks of deployments."""

    def __init__(
        self, ecs: Callable[[], ECSClient], migrate: Callable[[], object], logger: Logger, *, ask: Ask | None = None
    ) -> None:
        """Take how to reach ECS, how to migrate, and how to ask a task (address, path -> what is wrong)."""
        self._ecs = ecs
        self._migrate = migrate
        self._logger = logger
        self._ask = ask or ask_task

    def answer(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Return what ECS is to do."""
        stage = event["lifecycleStage"]
        self._logger.append_keys(lifecycle_stage=stage, deployment=event.get("resourceArn"))
        if stage == "PRE_SCALE_UP":
            return self._before()
        if stage == "POST_SCALE_UP":
            return self._after(event)
        self._logger.warning("nothing is to be done at this stage")
        return {"hookStatus": "SUCCEEDED"}

    def _before(self) -> dict[str, Any]:
        try:
            self._logger.info("migrated", extra={"migration": self._migrate()})
        except ScoreboardError as error:
            return self._failed(error.message)
        return {"hookStatus": "SUCCEEDED"}

    def _after(self, event: Mapping[str, Any]) -> dict[str, Any]:
        details = dict(event.get("hookDetails") or {})
        tasks = new_tasks(self._ecs(), event["executionDetails"])
        if not tasks and wants_no_task(self._ecs(), event["executionDetails"]["serviceArn"]):
            self._logger.info("the service is to have no task")
            return {"hookStatus": "SUCCEEDED"}
        waiting = [task.arn for task in tasks if not task.runs]
        if waiting or not tasks:
            reason = f"{len(waiting)} of {len(tasks)} new tasks do not run yet."
            return self._again(details, "waits", MOST_WAITS, reason)
        problems = self._problems(tasks)
        if problems:
            return self._again(details, "tries", MOST_TRIES, " ".join(problems))
        self._logger.info("every new task answers", extra={"tasks": [task.arn for task in tasks]})
        return {"hookStatus": "SUCCEEDED"}

    def _problems(self, tasks: Sequence[Task]) -> list[str]:
        def try_task(task: Task) -> str | None:
            if task.address is None:
                return f"{task.arn} has no address."
            for path in PATHS:
                wrong = self._ask(task.address, path)
                if wrong:
                    return f"{task.arn} at {task.address}: GET {path} {wrong}."
            return None

        with ThreadPoolExecutor(len(tasks)) as threads:
            return [problem for problem in threads.map(try_task, tasks) if problem]

    def _again(self, details: dict[str, Any], counter: str, most: int, reason: str) -> dict[str, Any]:
        """Have the hook called again, with how often it was; or give up."""
        details[counter] = int(details.get(counter, 0)) + 1
        if details[counter] >= most:
            return self._failed(reason)
        self._logger.info("asked again later", extra={"reason": reason, counter: details[counter]})
        return {"hookStatus": "IN_PROGRESS", "callBackDelay": AGAIN_S, "hookDetails": details}

    def _failed(self, reason: str) -> dict[str, Any]:
        self._logger.error("the deployment is rolled back", extra={"reason": reason})
        return {"hookStatus": "FAILED"}


def new_tasks(ecs: ECSClient, execution: Mapping[str, Any]) -> list[Task]:
    """Return the tasks of the revision that is being deployed.

    They run its task definition and were created after it; a deployment of the same definition has older ones too.
    """
    revisions = ecs.describe_service_revisions(serviceRevisionArns=[execution["targetServiceRevisionArn"]])
    (revision,) = revisions["serviceRevisions"]
    cluster, service = revision["clusterArn"], execution["serviceArn"].rpartition("/")[2]
    pages = ecs.get_paginator("list_tasks").paginate(cluster=cluster, serviceName=service, desiredStatus="RUNNING")
    arns = [arn for page in pages for arn in page["taskArns"]]
    described = [
        task
        for start in range(0, len(arns), DESCRIBED_AT_ONCE)
        for task in ecs.describe_tasks(cluster=cluster, tasks=arns[start : start + DESCRIBED_AT_ONCE])["tasks"]
    ]
    return [
        Task(task["taskArn"], _address(task), task.get("lastStatus") == "RUNNING")
        for task in described
        if task.get("taskDefinitionArn") == revision["taskDefinition"] and task["createdAt"] >= revision["createdAt"]
    ]


def wants_no_task(ecs: ECSClient, service_arn: str) -> bool:
    """Whether a service is to have no task for now, as that of a standby region before its first is started."""
    cluster = service_arn.split("/")[-2]
    (service,) = ecs.describe_services(cluster=cluster, services=[service_arn])["services"]
    return service.get("desiredCount") == 0


def _address(task: TaskTypeDef) -> str | None:
    for attachment in task.get("attachments", []):
        for detail in attachment.get("details", []):
            if detail.get("name") == "privateIPv4Address":
                return detail.get("value")
    return None


def ask_task(address: str, path: str) -> str | None:
    """Ask a task directly; return what is wrong, None if nothing."""
    connection = http.client.HTTPConnection(address, PORT, timeout=REQUEST_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read(65_536)
    except (OSError, http.client.HTTPException) as error:
        return f"does not answer ({type(error).__name__})"
    finally:
        connection.close()
    return None if answer.status == 200 else f"answers {answer.status}"
