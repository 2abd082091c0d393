"""Hooks of a deployment: what ECS is told of a migration and of new tasks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import pytest
from aws_lambda_powertools import Logger
from botocore.stub import Stubber

from chalicelib import deployment
from chalicelib.deployment import MOST_TRIES, MOST_WAITS, PATHS, DeploymentHook, ask_task
from scoreboard.migrations import MigrationError

ARN = "arn:aws:ecs:us-east-1:000000000000"
CLUSTER, SERVICE = f"{ARN}:cluster/scoreboard-test", f"{ARN}:service/scoreboard-test/scoreboard-api"
REVISION = f"{ARN}:service-revision/scoreboard-test/scoreboard-api/9313423515462893900"
BEGAN = datetime(2026, 11, 24, 12, tzinfo=UTC)


def _event(stage: str, **details: int) -> dict[str, Any]:
    return {
        "executionId": "8b095b05-7bb0-4c56-a223-a3f61f4f9295",
        "lifecycleStage": stage,
        "resourceArn": f"{ARN}:service-deployment/scoreboard-test/scoreboard-api/EZe5RNVLH6PPzHXINuP28",
        "executionDetails": {
            "serviceArn": SERVICE,
            "targetServiceRevisionArn": REVISION,
            "testTrafficWeights": {},
            "productionTrafficWeights": {},
        },
        **({"hookDetails": details} if details else {}),
    }


def _task(
    number: int, *, definition: str = "api:2", minutes: int = 1, status: str = "RUNNING", address: bool = True
) -> dict[str, Any]:
    details = [{"name": "subnetId", "value": "subnet-1"}]
    if address:
        details.append({"name": "privateIPv4Address", "value": f"10.0.0.{number}"})
    return {
        "taskArn": f"{ARN}:task/scoreboard-test/{number}",
        "taskDefinitionArn": f"{ARN}:task-definition/{definition}",
        "createdAt": BEGAN + timedelta(minutes=minutes),
        "lastStatus": status,
        "attachments": [{"type": "ElasticNetworkInterface", "details": details}],
    }


def _is_new(task: dict[str, Any]) -> bool:
    return task["taskDefinitionArn"].endswith("api:2") and task["createdAt"] >= BEGAN


Hook = Callable[..., dict[str, Any]]


@pytest.fixture
def asked() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def after(monkeypatch: pytest.MonkeyPatch, asked: list[tuple[str, str]]) -> Iterator[Hook]:
    """Have the hook after the start of some tasks called, of which some answer wrongly."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    client = boto3.client("ecs", region_name="us-east-1")
    stubber = Stubber(client)

    def call(
        *tasks: dict[str, Any], wrong: dict[tuple[str, str], str] | None = None, wanted: int = 2, **details: int
    ) -> dict[str, Any]:
        stubber.add_response(
            "describe_service_revisions",
            {
                "serviceRevisions": [
                    {
                        "serviceRevisionArn": REVISION,
                        "clusterArn": CLUSTER,
                        "taskDefinition": f"{ARN}:task-definition/api:2",
                        "createdAt": BEGAN,
                    }
                ]
            },
            {"serviceRevisionArns": [REVISION]},
        )
        arns = [task["taskArn"] for task in tasks]
        stubber.add_response(
            "list_tasks",
            {"taskArns": arns},
            {"cluster": CLUSTER, "serviceName": "scoreboard-api", "desiredStatus": "RUNNING"},
        )
        if arns:
            stubber.add_response("describe_tasks", {"tasks": list(tasks)}, {"cluster": CLUSTER, "tasks": arns})
        if not any(_is_new(task) for task in tasks):
            stubber.add_response(
                "describe_services",
                {"services": [{"serviceArn": SERVICE, "desiredCount": wanted}]},
                {"cluster": "scoreboard-test", "services": [SERVICE]},
            )

        def ask(address: str, path: str) -> str | None:
            asked.append((address, path))
            return (wrong or {}).get((address, path))

        hook = DeploymentHook(lambda: client, lambda: None, Logger(service="test"), ask=ask)
        with stubber:
            answer = hook.answer(_event("POST_SCALE_UP", **details))
            stubber.assert_no_pending_responses()
        return answer

    yield call
    client.close()


def _before(migrate: Callable[[], object]) -> dict[str, Any]:
    def no_ecs() -> Any:
        raise AssertionError("ECS is not to be asked")

    return DeploymentHook(no_ecs, migrate, Logger(service="test")).answer(_event("PRE_SCALE_UP"))


def test_before_the_tasks_the_schema_is_migrated() -> None:
    migrated: list[str] = []
    assert _before(lambda: migrated.append("pre")) == {"hookStatus": "SUCCEEDED"}
    assert migrated == ["pre"]


def _reasons(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.reason for record in caplog.records if hasattr(record, "reason")]


def test_a_migration_that_fails_rolls_back_and_says_why(caplog: pytest.LogCaptureFixture) -> None:
    def migrate() -> None:
        raise MigrationError("0002 failed and was not recorded: out of space")

    assert _before(migrate) == {"hookStatus": "FAILED"}
    assert _reasons(caplog) == ["0002 failed and was not recorded: out of space"]


def test_a_stage_without_a_duty_goes_on() -> None:
    hook = DeploymentHook(lambda: None, lambda: None, Logger(service="test"))  # type: ignore[arg-type, return-value]
    assert hook.answer(_event("POST_PRODUCTION_TRAFFIC_SHIFT")) == {"hookStatus": "SUCCEEDED"}


def test_every_new_task_is_asked_everything(after: Hook, asked: list[tuple[str, str]]) -> None:
    assert after(_task(1), _task(2)) == {"hookStatus": "SUCCEEDED"}
    assert sorted(asked) == sorted((f"10.0.0.{number}", path) for number in (1, 2) for path in PATHS)


def test_tasks_of_before_are_left_out(after: Hook, asked: list[tuple[str, str]]) -> None:
    old = _task(1, definition="api:1"), _task(2, minutes=-60)
    assert after(*old, _task(3)) == {"hookStatus": "SUCCEEDED"}
    assert {address for address, _ in asked} == {"10.0.0.3"}


def test_a_service_that_is_to_have_no_task_is_not_waited_for(after: Hook, asked: list[tuple[str, str]]) -> None:
    assert after(wanted=0) == {"hookStatus": "SUCCEEDED"}
    assert asked == []


@pytest.mark.parametrize("tasks", [(), (_task(1, minutes=-60),), (_task(1), _task(2, status="PENDING"))])
def test_tasks_that_do_not_run_yet_are_waited_for(
    after: Hook, asked: list[tuple[str, str]], tasks: tuple[dict[str, Any], ...]
) -> None:
    answer = after(*tasks)
    assert answer == {
        "hookStatus": "IN_PROGRESS",
        "callBackDelay": deployment.AGAIN_S,
        "hookDetails": {"waits": 1},
    }
    assert asked == []
    assert after(*tasks, **answer["hookDetails"])["hookDetails"] == {"waits": 2}
    assert after(*tasks, waits=MOST_WAITS - 1) == {"hookStatus": "FAILED"}


@pytest.mark.parametrize("path", PATHS)
def test_a_task_that_answers_wrongly_is_tried_again_and_then_rolls_back(
    after: Hook, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = {("10.0.0.2", path): "answers 500"}
    assert after(_task(1), _task(2), wrong=wrong)["hookDetails"] == {"tries": 1}
    assert after(_task(1), _task(2), wrong=wrong, tries=MOST_TRIES - 1) == {"hookStatus": "FAILED"}
    assert all(reason.endswith(f"10.0.0.2: GET {path} answers 500.") for reason in _reasons(caplog))


def test_a_task_without_an_address_is_a_problem(after: Hook) -> None:
    assert after(_task(1, address=False))["hookStatus"] == "IN_PROGRESS"


# Asking


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/health/ready" else 503)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    monkeypatch.setattr(deployment, "PORT", made.server_port)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def test_a_task_is_asked_at_its_address(server: ThreadingHTTPServer) -> None:
    assert ask_task("127.0.0.1", "/health/ready") is None
    assert ask_task("127.0.0.1", "/health") == "answers 503"


def test_a_task_that_is_not_there_or_hangs_does_not_answer(
    server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.shutdown()
    monkeypatch.setattr(deployment, "REQUEST_S", 0.2)
    assert ask_task("127.0.0.1", "/health") == "does not answer (TimeoutError)"
    monkeypatch.setattr(deployment, "PORT", 9)
    assert ask_task("127.0.0.1", "/health") == "does not answer (ConnectionRefusedError)"
