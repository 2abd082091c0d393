"""Roles: each may do what its program's code calls and what its platform does for it, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Final

from tests.aws.checks.encryption import environments
from tests.aws.checks.queues import MAPPING
from tests.aws.findings import Finding, check
from tests.aws.model import Model, Resource
from tests.aws.policies import Statement, grants
from tests.aws.programs import program_of
from tests.aws.reads import needs
from tests.aws.values import Value, references

_OF_BATCHES: Final = {
    ("sqs", "SendMessageBatch"): ("sqs:SendMessage",),
    ("sqs", "DeleteMessageBatch"): ("sqs:DeleteMessage",),
    ("sqs", "ChangeMessageVisibilityBatch"): ("sqs:ChangeMessageVisibility",),
    ("lambda", "Invoke"): ("lambda:InvokeFunction",),
    ("s3", "HeadObject"): ("s3:GetObject",),
}
"""Calls whose action has another name; of every other call it is the operation's."""
_LOGS: Final = frozenset({"logs:CreateLogStream", "logs:PutLogEvents"})
_NETWORK: Final = frozenset(
    {
        *("ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface", "ec2:DescribeNetworkInterfaces"),
        *("ec2:DescribeSubnets", "ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses"),
    }
)
_TRACES: Final = frozenset({"xray:PutTraceSegments", "xray:PutTelemetryRecords"})
_CONSUMES: Final = frozenset({"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"})
_PULLS: Final = frozenset({"ecr:GetAuthorizationToken", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"})
_TURNS_OVER: Final = frozenset(
    f"elasticloadbalancing:{name}"
    for name in (
        *("DescribeListeners", "DescribeRules", "DescribeTargetGroups", "DescribeTargetHealth"),
        *("RegisterTargets", "DeregisterTargets", "ModifyListener", "ModifyRule"),
    )
)
"""What AWS's own policy for blue/green deployments allows."""
_MANAGED: Final = {
    "service-role/AWSLambdaBasicExecutionRole": _LOGS | {"logs:CreateLogGroup"},
    "service-role/AWSLambdaVPCAccessExecutionRole": _LOGS | _NETWORK | {"logs:CreateLogGroup"},
}
_READS_SECRET: Final = "secretsmanager:GetSecretValue"
_WRITES_SECRET: Final = "secretsmanager:PutSecretValue"
_TOLD: Final = {
    "AWS::SecretsManager::Secret": "secretsmanager:",
    "AWS::SQS::Queue": "sqs:",
    "AWS::SNS::Topic": "sns:",
}
"""What a program is told by its environment, and the actions that it then must have on it."""


def actions_of(calls: frozenset[tuple[str, str]]) -> set[str]:
    """Return the actions that some calls of boto3 need."""
    return {
        action
        for service, operation in calls
        for action in _OF_BATCHES.get((service, operation), (f"{service}:{operation}",))
    }


def needed_by_function(model: Model, function: Resource) -> set[str]:
    """Return the actions of a function's role: of its code, and of what Lambda does in its name."""
    actions = actions_of(needs(*program_of(function)).calls) | _LOGS
    if function.get("VpcConfig"):
        actions |= _NETWORK
    if function.get("TracingConfig.Mode") == "Active":
        actions |= _TRACES
    letters = model.target(function.get("DeadLetterConfig.TargetArn"))
    if letters is not None:
        actions.add("sqs:SendMessage" if letters.type == "AWS::SQS::Queue" else "sns:Publish")
    if any(model.target(mapping.get("FunctionName")) is function for mapping in model.of(MAPPING)):
        actions |= _CONSUMES
    return actions | _keys_for(actions)


def _keys_for(actions: set[str]) -> set[str]:
    """What a secret under a key of ours takes on top."""
    keys = {"kms:Decrypt"} if {_READS_SECRET, _WRITES_SECRET} & actions else set()
    return keys | ({"kms:GenerateDataKey"} if _WRITES_SECRET in actions else set())


def roles(model: Model) -> Iterator[tuple[Resource, Value, set[str]]]:
    """The (function or task, its role, the actions that it needs)."""
    for function in model.of("AWS::Lambda::Function"):
        if program_of(function):
            yield function, function.get("Role"), needed_by_function(model, function)
    for task in model.of("AWS::ECS::TaskDefinition"):
        actions = actions_of(needs(*program_of(task)).calls)
        yield task, task.get("TaskRoleArn"), actions | _keys_for(actions)
        yield task, task.get("ExecutionRoleArn"), set(_PULLS | _LOGS)


@check("the roles that AWS's own services take may do what they are for")
def services_may_do_their_work(model: Model) -> Iterator[Finding]:
    for service in model.of("AWS::ECS::Service"):
        for balancer in service.get("LoadBalancers", []):
            role = balancer.get("AdvancedConfiguration", {}).get("RoleArn")
            if role is not None:
                yield from _lacking(model, service, role, _TURNS_OVER)
    for log in model.of("AWS::EC2::FlowLog"):
        yield from _lacking(model, log, log.get("DeliverLogsPermissionArn"), _LOGS)


def _lacking(model: Model, resource: Resource, role: Value, needed: frozenset[str]) -> Iterator[Finding]:
    granted = granted_actions(model, role)
    for action in sorted(needed):
        if not any(fnmatchcase(action, pattern) for pattern in granted):
            yield Finding(resource.where, f"needs {action}, which {_name(model, role)} does not grant")


@check("every role may do what its program calls")
def what_is_called_is_granted(model: Model) -> Iterator[Finding]:
    for resource, role, needed in roles(model):
        yield from _lacking(model, resource, role, frozenset(needed))


@check("no role may do what its program does not call")
def what_is_granted_is_called(model: Model) -> Iterator[Finding]:
    for resource, role, needed in roles(model):
        target = model.target(role)
        for statement in grants(model, role):
            for action in sorted(set(statement.actions) - _USEFUL):
                if not any(fnmatchcase(each, action) for each in needed):
                    yield Finding(
                        target.where if target else resource.where,
                        f"grants {action}, which nothing in {resource.name} calls",
                    )


_USEFUL: Final = frozenset({"ecr:BatchCheckLayerAvailability", "logs:CreateLogGroup"})
"""Part of AWS's own policies for the purpose, though not asked for each time."""


def granted_actions(model: Model, role: Value) -> set[str]:
    """Return every action that a role is allowed, on whatever."""
    target = model.target(role)
    granted = {action for statement in grants(model, role) for action in statement.actions}
    for policy in target.get("ManagedPolicyArns", []) if target else ():
        granted |= _MANAGED.get(str(policy).partition(":policy/")[2], frozenset())
    return granted


def _name(model: Model, role: Value) -> str:
    target = model.target(role)
    return target.name if target else "its role"


@check("every program may use what its environment names, and no secret that it is not told of")
def what_is_named_is_granted(model: Model) -> Iterator[Finding]:
    for resource, variables in environments(model):
        role = resource.get("Role") or resource.get("TaskRoleArn")
        allowed = list(grants(model, role))
        for name, value in sorted(variables.items()):
            named = model.target(value)
            if named is None or named.type not in _TOLD:
                continue
            prefix = _TOLD[named.type]
            if not any(_covers(statement, named, prefix) for statement in allowed):
                yield Finding(resource.where, f"{name} names {named.name}, on which its role grants nothing")
        yield from _untold(model, resource, variables, allowed)


def _covers(statement: Statement, target: Resource, prefix: str) -> bool:
    if not any(action.startswith(prefix) for action in statement.actions):
        return False
    return any(found.resource == target.path for each in statement.targets for found in references(each))


def _untold(
    model: Model, resource: Resource, variables: dict[str, Value], allowed: list[Statement]
) -> Iterator[Finding]:
    told = {found.resource for value in variables.values() for found in references(value)}
    rotates = [
        permission
        for permission in model.of("AWS::Lambda::Permission")
        if permission.get("Principal") == "secretsmanager.amazonaws.com"
        and model.target(permission.get("FunctionName")) is resource
    ]
    for statement in allowed:
        for found in [found for each in statement.targets for found in references(each)]:
            secret = model.resources.get(found.resource)
            if secret and secret.type == "AWS::SecretsManager::Secret" and secret.path not in told and not rotates:
                yield Finding(resource.where, f"its role opens {secret.name}, which its environment does not name")


@check("every program may read the parameters below its path")
def parameters_are_granted(model: Model) -> Iterator[Finding]:
    for resource, variables in environments(model):
        path = variables.get("CONFIG_PARAMETER_PATH")
        if path is None:
            continue
        targets = [
            str(target)
            for statement in grants(model, resource.get("Role") or resource.get("TaskRoleArn"))
            if "ssm:GetParametersByPath" in statement.actions
            for target in statement.targets
        ]
        if not any(f":parameter{str(path).rstrip('/')}" in target for target in targets):
            yield Finding(resource.where, f"its role does not grant ssm:GetParametersByPath on {path}")
