"""IAM: what policies ask about a call, where the emulator does not know and takes any (`*`)."""

from __future__ import annotations

import json
from typing import Any

from tests.rehearsal.emulator.patching import module, replace


def patch() -> None:
    """Answer for the emulator."""
    actions = module("core.iam_actions")
    replace(actions, "extract_iam_action", _naming_actions)
    replace(actions, "extract_resource_arn", _naming_resources)
    replace(actions, "request_tag_context", _naming_clusters)
    # Queues refuse whoever does not come by TLS. Here nobody does, on the loopback interface.
    replace(module("app"), "pin_request_origin", lambda pin: lambda address, _: pin(address, True))


def _naming_actions(extract: Any) -> Any:
    """Who may send a message may send ten: IAM has no action for a batch, and no policy could name it."""

    def extract_iam_action(*given: Any) -> Any:
        found = extract(*given)
        return found.removesuffix("Batch") if found and found.startswith("sqs:") else found

    return extract_iam_action


def _naming_resources(extract: Any) -> Any:
    """Paths of Parameter Store, users of ElastiCache, tasks and revisions of ECS."""

    def extract_resource_arn(
        service: str, method: str, path: str, headers: Any, body: Any, params: Any, region: str, account: str
    ) -> Any:
        found = extract(service, method, path, headers, body, params, region, account)
        if service == "ssm" and found == "*" and (asked := _fields(body).get("Path")):
            return f"arn:aws:ssm:{region}:{account}:parameter{asked.rstrip('/')}"
        if service == "elasticache" and (user := params.get("UserId")):
            return f"arn:aws:elasticache:{region}:{account}:user:{user[0] if isinstance(user, list) else user}"
        if service == "ecs":
            arns = _fields(body).get("tasks") or _fields(body).get("serviceRevisionArns")
            return arns[0] if arns else found
        return found

    return extract_resource_arn


def _naming_clusters(context: Any) -> Any:
    """The condition key by which the listing of tasks is bound to a cluster."""

    def request_tag_context(service: str, action: str, body: Any, params: Any) -> Any:
        found = context(service, action, body, params)
        cluster = _fields(body).get("cluster") if service == "ecs" else None
        return {**found, "ecs:cluster": cluster} if cluster else found

    return request_tag_context


def _fields(body: Any) -> Any:
    try:
        return json.loads(body or b"{}")
    except ValueError:
        return {}
