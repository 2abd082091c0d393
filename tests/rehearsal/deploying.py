"""From the clone to a running system: build, deploy, and look whether it is what the templates say."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import botocore.exceptions
import psycopg
import redis

from tests.rehearsal.report import Report, expect, until
from tests.rehearsal.stores import DATABASE
from tests.rehearsal.tasks import Tasks
from tests.rehearsal.world import World

REFRESH_MS = 1000


def build(world: World, report: Report) -> None:
    """Make what is deployed."""
    with report.step("make package, sam build: two packages of functions, and the templates that name them"):
        world.sam.build()


def deploy(world: World, report: Report) -> None:
    """Create all stacks."""
    with report.step("sam deploy: every stack is created, each call under the rules of IAM") as step:
        world.sam.deploy("first")
        stacks = [name for name, status in world.cloud.stacks().items() if status == "CREATE_COMPLETE"]
        kinds = Counter(
            each["ResourceType"]
            for name in stacks
            for each in world.cloud.client("cloudformation").describe_stack_resources(StackName=name)["StackResources"]
        )
        made = sum(count for kind, count in kinds.items() if kind != "AWS::CloudFormation::Stack")
        step.note(f"{len(stacks)} stacks, {made} resources of {len(kinds) - 1} types")
        # Read at each start like any setting of Parameter Store: rotations need not be waited for.
        world.cloud.client("ssm").put_parameter(
            Name=f"{world.parameter_path}secrets-refresh-interval", Value=str(REFRESH_MS), Type="String"
        )


def check_database(world: World, report: Report) -> None:
    """The custom resource has migrated, as the owner, and made the application's role."""
    with report.step("The custom resource has migrated the database and made a role that may do no more than it must"):
        outputs = world.cloud.outputs_of("Data")
        with world.stores.sql() as connection:
            tables = {row[0] for row in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname='public'")}
        expect({"boards", "standings", "score_events"} <= tables, f"the tables are {sorted(tables)}")
        world.stores.adopt_owner(world.cloud.secret(outputs["DatabaseOwnerSecretArn"]))
        login = json.loads(world.cloud.secret(outputs["DatabaseSecretArn"]))
        given = {"host": login["host"], "port": login["port"], "dbname": DATABASE, "user": login["username"]}
        expect(not _can(given | {"password": "guessed"}, "SELECT 1"), "PostgreSQL takes any password")
        given["password"] = login["password"]
        expect(_can(given, "SELECT count(*) FROM standings"), "the application cannot log in with its secret, or read")
        for forbidden in ("CREATE TABLE more ()", "DROP TABLE boards", "TRUNCATE score_events", "CREATE ROLE other"):
            expect(not _can(given, forbidden), f"the application may {forbidden}")


def _can(login: dict[str, object], statement: str) -> bool:
    try:
        with psycopg.connect(**login) as connection:  # type: ignore[arg-type]
            connection.execute(statement.encode())
            connection.rollback()
    except (psycopg.errors.InsufficientPrivilege, psycopg.OperationalError):
        return False
    return True


def check_cache(world: World, report: Report) -> None:
    """The ElastiCache user has the access string of the template."""
    with report.step("The Valkey user of the template logs in with its secret, and may call its own commands only"):
        login = json.loads(world.cloud.secret(world.cloud.outputs_of("Data")["RedisSecretArn"]))
        with redis.Redis(
            port=world.stores.redis_port, username=login["username"], password=login["password"]
        ) as client:
            expect(client.ping(), "Valkey does not answer")
            for command in (("FLUSHALL",), ("KEYS", "*"), ("CONFIG", "GET", "*"), ("SET", "other", "1")):
                try:
                    client.execute_command(*command)
                except redis.exceptions.NoPermissionError:
                    continue
                expect(False, f"the application may {' '.join(command)}")


def start_tasks(tasks: Tasks, report: Report) -> None:
    """Play Fargate, and ask the load balancer."""
    with report.step("The ECS service's tasks start in their role; CloudFront reaches them, nobody else does") as step:
        tasks.start()
        ready = tasks.balancer("/health/ready")
        expect(ready.status == 200, f"Route 53's health checkers get {ready}")
        for path in ("/health", "/api/leaderboard", "/"):
            outside = tasks.balancer(path)
            expect(outside.status == 403, f"{path} without CloudFront's header gets {outside}")
        metrics = tasks.viewer("GET", "/metrics")
        expect(metrics.status == 403, f"/metrics is shown: {metrics}")
        page = tasks.viewer("GET", "/")
        expect(page.status == 200 and "<html" in page.body, f"the page is {page}")
        board = until(
            lambda: (answer := tasks.viewer("GET", "/api/leaderboard")).status == 200 and answer,
            seconds=20,
            otherwise="the board is not there",
        )
        expect(board.json["entries"] == [], f"the first board is {board}")
        _check_role(tasks)
        step.note(f"tasks: {len(tasks.running)}, each the process of the image; there is no Docker")


def _check_role(tasks: Tasks) -> None:
    """IAM is really asked: a task may send scores and read its own secrets, and nothing else."""
    world, denied = tasks.world, botocore.exceptions.ClientError
    secrets, data = tasks.client("secretsmanager"), world.cloud.outputs_of("Data")
    expect(secrets.get_secret_value(SecretId=data["JwtSecretArn"]), "a task cannot read the signing keys")
    forbidden: list[Callable[[], Any]] = [
        lambda: secrets.get_secret_value(SecretId=data["DatabaseOwnerSecretArn"]),
        lambda: secrets.put_secret_value(SecretId=data["JwtSecretArn"], SecretString="{}"),
        lambda: tasks.client("sqs").receive_message(QueueUrl=world.queue("ScoreQueue")),
        lambda: tasks.client("lambda").list_functions(),
    ]
    for call in forbidden:
        try:
            answer = call()
        except denied as problem:
            expect("AccessDenied" in problem.response["Error"]["Code"], f"a forbidden call gets {problem}")
        else:
            expect(False, f"a forbidden call is answered: {answer}")
