"""Deployments after the first: hooks of ECS, one that must fail, one in place, and the last, which deletes."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any

from tests.rehearsal.report import Report, StepFailed, expect, until
from tests.rehearsal.sam import PACKAGE
from tests.rehearsal.scoring import APPLIED_WITHIN_S
from tests.rehearsal.tasks import Tasks
from tests.rehearsal.world import World

MIGRATIONS = "scoreboard/sql/migrations/"
WORKER_PACKAGE = "Workers/ScoreEvents"
BROKEN_SQL = "ALTER TABLE a_table_that_is_not_there ADD COLUMN x integer;\n"
MOST_CALLS = 10


def run_hooks(tasks: Tasks, report: Report) -> None:
    """Call the deployment's hooks as ECS does; the emulator's has none."""
    world = tasks.world
    with report.step("Deployment hooks: PRE_SCALE_UP migrates, POST_SCALE_UP asks every new task") as step:
        before = _hook(world, "PRE_SCALE_UP")
        expect(before[-1]["hookStatus"] == "SUCCEEDED", f"PRE_SCALE_UP gives {before}")
        after = _hook(world, "POST_SCALE_UP")
        expect(after[-1]["hookStatus"] == "SUCCEEDED", f"POST_SCALE_UP gives {after}")
        step.note("called here in ECS' place, with the tasks that are running")


def fail_smoke_test(world: World, report: Report) -> None:
    """The tasks are known to ECS, and nobody is there."""
    with report.step("Tasks that do not answer make POST_SCALE_UP fail, and so a deployment roll back") as step:
        failed = _hook(world, "POST_SCALE_UP")
        expect(failed[-1]["hookStatus"] == "FAILED", f"POST_SCALE_UP gives {failed}")
        step.note(f"after {len(failed)} tries, without the pauses between them")


def _hook(world: World, stage: str) -> list[dict[str, Any]]:
    """Call the hook until it has decided; gives all its answers."""
    outputs = world.cloud.outputs_of("Service")
    described = world.cloud.client("ecs").describe_services(
        cluster=outputs["ClusterName"], services=[outputs["ServiceName"]]
    )
    service_arn = described["services"][0]["serviceArn"]
    revision = service_arn.replace(":service/", ":service-revision/") + "/1"
    event: dict[str, Any] = {
        "executionDetails": {"serviceArn": service_arn, "targetServiceRevisionArn": revision},
        "executionId": "rehearsal",
        "lifecycleStage": stage,
        "resourceArn": service_arn.replace(":service/", ":service-deployment/") + "/1",
    }
    answers: list[dict[str, Any]] = []
    while len(answers) < MOST_CALLS:
        answers.append(world.cloud.invoke(world.operation("DeploymentHook"), event))
        if answers[-1]["hookStatus"] != "IN_PROGRESS":
            break
        event["hookDetails"] = answers[-1].get("hookDetails", {})
    return answers


def fail_a_migration(world: World, report: Report) -> None:
    """A package with a migration that PostgreSQL refuses: the update ends before the worker is touched."""
    with report.step("A migration that fails ends the update with its reason, and the old version goes on") as step:
        before = _worker_version(world)
        broken = world.sam.variant("broken")
        _add_to_operations(broken, f"{MIGRATIONS}9999_rehearsal.pre.sql", BROKEN_SQL)
        (broken / WORKER_PACKAGE / "changed.txt").write_text("broken")
        try:
            world.sam.deploy("broken", build=broken)
        except StepFailed:
            pass
        else:
            raise StepFailed("the update went through")
        status = world.cloud.stacks()[world.cloud.stack_name]
        expect(status == "UPDATE_ROLLBACK_COMPLETE", f"the stack is {status}")
        reasons = [
            event.get("ResourceStatusReason", "")
            for event in world.cloud.events(world.cloud.stack_name)
            if event["ResourceStatus"] == "UPDATE_FAILED"
        ]
        expect(any("a_table_that_is_not_there" in reason for reason in reasons), f"the events say {reasons}")
        step.note(f"in the stack's events: {reasons[0][:160]}")
        expect(_worker_version(world) == before, "the worker has changed")
        expect(world.submit(world.token("gil"), 4).status == 202, "the submission edge does not accept any more")
        until(lambda: world.score("gil") == 4, seconds=APPLIED_WITHIN_S, otherwise="the worker does not go on")


def update_in_place(world: World, report: Report) -> None:
    """New code and changed parameters, in the stacks that are there."""
    with report.step("sam deploy again: new code and other parameters, in place") as step:
        before, stacks = _worker_version(world), world.cloud.stacks()
        build = world.sam.variant("second")
        _add_to_operations(build, "changed.txt", "second")
        (build / WORKER_PACKAGE / "changed.txt").write_text("second")
        world.sam.deploy("second", build=build, changed={"AppVersion": "0.0.1-local", "WorkerConcurrency": "3"})
        expect(set(world.cloud.stacks()) == set(stacks), "stacks were made anew")
        expect(_worker_version(world) != before, "the worker's alias still has the old version")
        parameter = world.cloud.client("ssm").get_parameter(Name=f"{world.parameter_path}app/version")
        expect(parameter["Parameter"]["Value"] == "0.0.1-local", f"the version is {parameter['Parameter']['Value']}")
        (mapping,) = world.cloud.client("lambda").list_event_source_mappings()["EventSourceMappings"]
        expect(mapping["ScalingConfig"]["MaximumConcurrency"] == 3, f"the event source is {mapping['ScalingConfig']}")
        health = world.edge("GET", "/health")
        expect(health.status == 200 and health.json["version"] == "0.0.1-local", f"the submission edge is {health}")
        expect(world.submit(world.token("hal"), 6).status == 202, "the submission edge does not accept any more")
        until(lambda: world.score("hal") == 6, seconds=APPLIED_WITHIN_S, otherwise="the worker does not go on")
        step.note(f"the worker's alias went from version {before} to {_worker_version(world)}")


def _worker_version(world: World) -> str:
    name = world.cloud.outputs_of("Workers")["WorkerFunctionName"]
    return str(world.cloud.client("lambda").get_alias(FunctionName=name, Name="live")["FunctionVersion"])


def _add_to_operations(build: Path, name: str, text: str) -> None:
    """Add a file to the package of the operations app; a migration also changes what the stack knows of the schema."""
    folder = build / "Operations"
    with zipfile.ZipFile(folder / PACKAGE, "a") as archive:
        archive.writestr(name, text)
    if name.startswith(MIGRATIONS):
        template = folder / "template.yaml"
        changed, count = re.subn(r"(\n +Schema: ).+", r"\1changed", template.read_text())
        expect(count == 1, f"the template names the schema {count} times")
        template.write_text(changed)


def delete(world: World, report: Report) -> None:
    """Delete everything."""
    with report.step("sam delete: everything is gone but what its policy keeps") as step:
        stacks = [name for name, status in world.cloud.stacks().items() if status != "DELETE_COMPLETE"]
        world.sam.delete()
        left = {name: status for name, status in world.cloud.stacks().items() if status != "DELETE_COMPLETE"}
        expect(not left, f"stacks are left: {left}")
        kept = {each["Name"].rsplit("-", 2)[-2] for each in _secrets(world)}
        expect(kept == {"DatabaseOwnerSecret", "DatabaseSecret", "JwtSecret"}, f"the secrets {kept} are left")
        keys = world.cloud.client("kms")
        states = [keys.describe_key(KeyId=each["KeyId"])["KeyMetadata"] for each in keys.list_keys()["Keys"]]
        enabled = [each["Description"] for each in states if each["KeyState"] == "Enabled"]
        expect(len(enabled) == 1, f"the keys {enabled} are left")
        step.note(f"{len(stacks)} stacks deleted; kept by policy: {', '.join(sorted(kept))} and {enabled[0]}")
        for what, names in _left(world).items():
            expect(not names, f"{what} are left: {names}")


def _secrets(world: World) -> list[dict[str, Any]]:
    pages = world.cloud.client("secretsmanager").get_paginator("list_secrets").paginate()
    return [each for page in pages for each in page["SecretList"]]


def _left(world: World) -> dict[str, list[str]]:
    client = world.cloud.client
    return {
        "functions": [each["FunctionName"] for each in client("lambda").list_functions()["Functions"]],
        "queues": client("sqs").list_queues().get("QueueUrls", []),
        "roles": [each["RoleName"] for each in client("iam").list_roles()["Roles"]],
        "rules": [each["Name"] for each in client("events").list_rules()["Rules"]],
        "topics": [each["TopicArn"] for each in client("sns").list_topics()["Topics"]],
        "APIs": [each["name"] for each in client("apigateway").get_rest_apis()["items"]],
        "load balancers": [
            each["LoadBalancerName"] for each in client("elbv2").describe_load_balancers()["LoadBalancers"]
        ],
        "clusters": client("ecs").list_clusters()["clusterArns"],
        "log groups": [each["logGroupName"] for each in client("logs").describe_log_groups()["logGroups"]],
        "alarms": [each["AlarmName"] for each in client("cloudwatch").describe_alarms()["MetricAlarms"]],
    }
