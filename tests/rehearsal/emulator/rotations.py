"""Secrets Manager: a rotation really calls the rotation function, where the emulator only copies the value."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

from tests.rehearsal.emulator.patching import module, replace

STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")


def patch() -> None:
    """Make `RotateSecret` go through the four steps."""
    secrets = module("services.secretsmanager")
    replace(secrets, "_rotate_secret", lambda _: rotate_secret)
    replace(secrets, "_get_secret_value", _refusing_empty_versions)


def _refusing_empty_versions(get: Any) -> Any:
    """A pending version that has no value yet is not found, as on AWS: functions ask for it to see whether it has."""

    def get_secret_value(data: Any) -> Any:
        status, headers, body = get(data)
        if status == 200 and not json.loads(body).keys() & {"SecretString", "SecretBinary"}:
            message = "Secrets Manager can't find the specified secret value."
            return module("core.responses").error_response_json("ResourceNotFoundException", message, 400)
        return status, headers, body

    return get_secret_value


def rotate_secret(data: Any) -> Any:
    """Begin a rotation: a pending version without a value, and the function's four steps behind the caller's back."""
    secrets, responses = module("services.secretsmanager"), module("core.responses")
    _, secret = secrets._resolve(data.get("SecretId"))
    function = data.get("RotationLambdaARN") or (secret or {}).get("RotationLambdaARN")
    if secret is None or not function:
        return responses.error_response_json("InvalidRequestException", "No such secret, or no rotation function.", 400)
    secret.update(RotationEnabled=True, RotationLambdaARN=function, RotationRules=data.get("RotationRules") or {})
    version = data.get("ClientRequestToken") or responses.new_uuid()
    secret["Versions"][version] = {
        "SecretString": None, "SecretBinary": None, "CreatedDate": int(time.time()), "Stages": ["AWSPENDING"],
    }  # fmt: skip
    threading.Thread(target=_call, args=(function, secret["ARN"], version), daemon=True).start()
    return responses.json_response({"ARN": secret["ARN"], "Name": secret["Name"], "VersionId": version})


def _call(function: str, secret_arn: str, version: str) -> None:
    functions = module("services.lambda_svc")
    record, config, _ = functions._get_func_record_for_ref(function)
    for step in STEPS:
        event = {"Step": step, "SecretId": secret_arn, "ClientRequestToken": version}
        result = functions._execute_function_with_config_scope(
            functions._execution_record_for_config(record, config), event
        )
        if result.get("error"):
            return  # as on AWS: the pending version stays, and the function's log says why
