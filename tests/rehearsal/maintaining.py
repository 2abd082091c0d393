"""Rotations, as Secrets Manager does them: nobody restarts, nobody is logged out."""

from __future__ import annotations

import json
import time
from typing import Any

from tests.rehearsal.report import Report, expect, until
from tests.rehearsal.scoring import APPLIED_WITHIN_S
from tests.rehearsal.tasks import Tasks
from tests.rehearsal.world import World

ROTATED_WITHIN_S = 60.0


def rotate_signing_keys(tasks: Tasks, report: Report) -> None:
    """Twice, until a key of the rotation signs: the first makes `next`, the second makes it `current`."""
    world = tasks.world
    with report.step("Two rotations of the signing keys: old and new tokens are good at both doors, without a restart"):
        arn = world.cloud.outputs_of("Data")["JwtSecretArn"]
        old = world.token("old")
        before = world.keys()
        _rotate(world, arn, "RotateJwt")
        between = world.keys()
        expect(between["current"] == before["current"] and between["next"], "the first rotation makes no next key")
        _rotate(world, arn, "RotateJwt")
        after = world.keys()
        expect(after["current"] == between["next"], "the second rotation does not sign with the next key")
        expect(after["previous"] == before["current"], "the key before is not kept")
        new = world.token("new")
        for name, token in (("old", old), ("new", new)):
            _good_at_both(tasks, name, token)
        forged = _submit_to_service(tasks, world.token("eve", key="k" * 64))
        expect(forged == 401, f"the API takes a forged token: {forged}")


def _good_at_both(tasks: Tasks, user: str, token: str) -> None:
    world = tasks.world
    # Each process reads the secret anew within SECRETS_REFRESH_INTERVAL.
    until(
        lambda: world.submit(token, 1).status == 202,
        seconds=10,
        otherwise=f"the submission edge does not take the {user} token",
    )
    until(
        lambda: _submit_to_service(tasks, token) == 202, seconds=10, otherwise=f"the API does not take the {user} token"
    )
    until(lambda: world.score(user) == 2, seconds=APPLIED_WITHIN_S, otherwise=lambda: f"{user} has {world.score(user)}")


def _submit_to_service(tasks: Tasks, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    return tasks.viewer("POST", "/api/scores", {"delta": 1}, headers).status


def rotate_cache_password(tasks: Tasks, report: Report) -> None:
    """ElastiCache knows both passwords between two rotations; new connections use the new one."""
    world = tasks.world
    with report.step("A rotation of Valkey's password: connections go on, new ones use the new password"):
        arn = world.cloud.outputs_of("Data")["RedisSecretArn"]
        before = json.loads(world.cloud.secret(arn))
        _rotate(world, arn, "RotateRedis")
        after = json.loads(world.cloud.secret(arn))
        expect(after["password"] != before["password"], "the password is the same")
        with world.stores.redis() as admin:
            user = admin.acl_getuser(after["username"])
            expect(user and len(user["passwords"]) == 2, f"Valkey's user is {user}")
            time.sleep(1.1)  # SECRETS_REFRESH_INTERVAL
            admin.client_kill_filter(user=after["username"])
        status = until(
            lambda: (answer := tasks.viewer("GET", "/api/leaderboard")).status == 200 and answer.status,
            seconds=10,
            otherwise="the API does not come back to Valkey",
        )
        expect(status == 200, f"the API answers {status}")
        expect(world.submit(world.token("cleo"), 3).status == 202, "the submission edge does not come back")
        until(lambda: world.score("cleo") == 3, seconds=APPLIED_WITHIN_S, otherwise="the worker does not come back")


def _rotate(world: World, arn: str, function: str) -> None:
    """Let Secrets Manager rotate, and wait for the end of its four steps."""
    secrets = world.cloud.client("secretsmanager")
    name = world.operation(function)
    functions = world.cloud.client("lambda")
    function_arn = functions.get_function(FunctionName=name)["Configuration"]["FunctionArn"]
    version = secrets.rotate_secret(SecretId=arn, RotationLambdaARN=function_arn)["VersionId"]

    def stages() -> Any:
        return secrets.describe_secret(SecretId=arn)["VersionIdsToStages"].get(version, [])

    until(
        lambda: "AWSCURRENT" in stages(),
        seconds=ROTATED_WITHIN_S,
        otherwise=lambda: f"{name} does not finish the rotation; it has logged:\n{world.cloud.logged(name)[-3000:]}",
    )
