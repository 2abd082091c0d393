"""How much there is, and how it follows the load: the guide's figures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tests.aws.checks.encryption import environments
from tests.aws.documents import ROOT_TEMPLATE
from tests.aws.findings import Finding, check
from tests.aws.model import Model, Resource
from tests.aws.values import as_list, number, plain

POLICY: Final = "AWS::ApplicationAutoScaling::ScalingPolicy"
TARGET: Final = "AWS::ApplicationAutoScaling::ScalableTarget"
GUIDE: Final = {
    "TaskCpu": "512",
    "TaskMemory": "1024",
    "MinTasks": "2",
    "MaxTasks": "10",
    "DatabaseInstanceClass": "db.t4g.large",
    "DatabaseStorageGb": "100",
    "BackupRetentionDays": "30",
    "CacheNodeType": "cache.r7g.large",
    "CacheNodeCount": "3",
    "LogLevel": "info",
    "AppVersion": "1.0.0",
    "AvailabilityZoneCount": "2",
}
"""The guide's figures, which are production's defaults."""
_PREDEFINED: Final = {"ECSServiceAverageCPUUtilization": 70, "ECSServiceAverageMemoryUtilization": 80}
REQUESTS: Final = 1000
LEAST_MEMORY_MB: Final = 256
ALARM: Final = 150
"""Connections to PostgreSQL, of 200."""
CACHE_ALARM: Final = 400
"""Connections to the primary of Redis."""
_OUT_S: Final = 60
_IN_S: Final = 300


@check("the guide's figures are the defaults", about_files=True)
def guide_figures_are_defaults(model: Model) -> Iterator[Finding]:
    parameters = model.project.documents[ROOT_TEMPLATE].get("Parameters") or {}
    for name, figure in GUIDE.items():
        if name not in parameters:
            yield Finding(f"{ROOT_TEMPLATE}: Parameters", f"has no {name}")
        elif plain(parameters[name].get("Default")) != figure:
            yield Finding(f"{ROOT_TEMPLATE}: Parameters.{name}", f"its default is not the guide's {figure}")


@check("production takes the guide's figures")
def production_takes_the_figures(model: Model) -> Iterator[Finding]:
    if model.profile.name != "prod":
        return
    parameters = model.stacks[""].parameters
    for name, figure in GUIDE.items():
        if name in parameters and name != "AppVersion" and plain(parameters[name]) != figure:
            yield Finding("samconfig.toml: prod", f"{name} is {parameters[name]}, not the guide's {figure}")


@check("the service scales on processor, memory, requests and streams, between the guide's bounds")
def service_scales(model: Model) -> Iterator[Finding]:
    if model.profile.section == "local" or not list(model.of("AWS::ECS::Service")):
        return
    policies = list(model.of(POLICY))
    for name, target in _PREDEFINED.items():
        found = [policy for policy in policies if _predefined(policy) == name]
        if not any(_target(policy) == target for policy in found):
            yield Finding("sam/scaling.yaml", f"nothing scales on {name} {target}")
    requests = [policy for policy in policies if "RequestCountPerTarget" in str(policy.properties)]
    if not any(_target(policy) == REQUESTS for policy in requests):
        yield Finding("sam/scaling.yaml", f"nothing scales on {REQUESTS} requests per target")
    if not any("SseConnections" in str(policy.properties) for policy in policies):
        yield Finding("sam/scaling.yaml", "nothing scales on streams")
    for policy in policies:
        yield from _policy(model, policy)


def _policy(model: Model, policy: Resource) -> Iterator[Finding]:
    settings = policy.get("TargetTrackingScalingPolicyConfiguration", {})
    if number(settings.get("ScaleOutCooldown")) != _OUT_S or number(settings.get("ScaleInCooldown")) != _IN_S:
        yield Finding(policy.where, f"does not wait the guide's {_OUT_S} s out and {_IN_S} s in")
    target = model.target(policy.get("ScalingTargetId"))
    if target is None or target.type != TARGET:
        yield Finding(policy.where, "scales nothing of the deployment")


def _predefined(policy: Resource) -> str:
    found = policy.get("TargetTrackingScalingPolicyConfiguration.PredefinedMetricSpecification.PredefinedMetricType")
    return plain(found)


def _target(policy: Resource) -> float:
    return number(policy.get("TargetTrackingScalingPolicyConfiguration.TargetValue"))


@check("what scales stays between the parameters' bounds")
def bounds_are_the_parameters(model: Model) -> Iterator[Finding]:
    parameters = model.stacks[""].parameters
    for target in model.of(TARGET):
        least, most = number(target.get("MinCapacity"), -1), number(target.get("MaxCapacity"))
        expected = 0 if parameters.get("RegionRole") == "standby" else number(parameters.get("MinTasks"))
        if least != expected or most != number(parameters.get("MaxTasks")):
            yield Finding(target.where, f"scales between {least:g} and {most:g}, whatever the parameters say")


@check("the tasks' and functions' connections leave room below the alarm at 150")
def connections_fit(model: Model) -> Iterator[Finding]:
    wanted = _connections(model, "DATABASE_SECRET_ARN", "DATABASE_POOL_MAX", 20)
    if wanted >= ALARM:
        yield Finding("template.yaml", f"{wanted:g} connections are possible, and {ALARM} raise an alarm")


@check("the tasks' and functions' connections to Redis leave room below the alarm at 400")
def connections_to_redis_fit(model: Model) -> Iterator[Finding]:
    wanted = _connections(model, "REDIS_SECRET_ARN", "REDIS_POOL_MAX", 50)
    if wanted >= CACHE_ALARM:
        yield Finding("template.yaml", f"{wanted:g} connections to Redis are possible; {CACHE_ALARM} raise an alarm")


def _connections(model: Model, login: str, pool: str, default: int) -> float:
    """A task has a pool, and one connection of the sweeper; a deployment has twice the tasks; a function has one."""
    tasks = 2 * number(model.stacks[""].parameters.get("MaxTasks"))
    bounds = {
        model.target(mapping.get("FunctionName")): number(mapping.get("ScalingConfig.MaximumConcurrency"))
        for mapping in model.of("AWS::Lambda::EventSourceMapping")
    }
    wanted = 0.0
    for resource, variables in environments(model):
        if login not in variables:
            continue
        if resource.type == "AWS::ECS::TaskDefinition":
            wanted += tasks * (number(variables.get(pool), default) + 1)
        else:
            wanted += bounds.get(resource) or number(resource.get("ReservedConcurrentExecutions"), 1)
    return wanted


@check("a function has memory, a bounded time, a current runtime, and the processor that is asked for")
def functions_are_bounded(model: Model) -> Iterator[Finding]:
    for function in model.of("AWS::Lambda::Function"):
        if not 1 <= number(function.get("Timeout"), 3) <= 900:
            yield Finding(function.where, "its Timeout is none that Lambda takes")
        if number(function.get("MemorySize"), 128) < LEAST_MEMORY_MB:
            yield Finding(function.where, f"has less than {LEAST_MEMORY_MB} MB: its processor share goes with it")
        if function.get("Timeout") is None:
            yield Finding(function.where, "has Lambda's default of 3 s: no Timeout")
        for name, parameter in (("Runtime", "FunctionRuntime"), ("Architectures", "Architecture")):
            given = [plain(each) for each in as_list(function.get(name))]
            if given != [plain(model.stacks[""].parameters.get(parameter))]:
                yield Finding(
                    function.where, f"its {name} is {', '.join(given) or 'not given'}, whatever {parameter} says"
                )
