"""How a version gets there, how many run, and how a bad one goes back by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from tests.aws.findings import Finding, check
from tests.aws.model import Model, Resource
from tests.aws.programs import program_of
from tests.aws.values import Value, as_list, is_true, number, plain

SERVICE: Final = "AWS::ECS::Service"
TASK: Final = "AWS::ECS::TaskDefinition"
TARGETS: Final = "AWS::ElasticLoadBalancingV2::TargetGroup"
SWITCHED: Final = ("staging", "prod")
"""The profiles that deploy by exchange of the colours."""
PORT: Final = 3000
_IMMUTABLE: Final = re.compile(r".+(@sha256:[0-9a-f]{64}|:(?!latest$)[\w][\w.-]{0,127})")
_DRAINS_S: Final = 30


@check("every function and container starts a program that exists")
def programs_exist(model: Model) -> Iterator[Finding]:
    for function in model.of("AWS::Lambda::Function"):
        if not program_of(function):
            yield Finding(function.where, f"its handler {function.get('Handler')} is nothing in the code")
    for task in model.of(TASK):
        for container in task.get("ContainerDefinitions"):
            test = [plain(part) for part in container.get("HealthCheck", {}).get("Command", [])]
            if test[1:] != ["python", "-m", "api.healthcheck"]:
                yield Finding(task.where, "its health check is not `python -m api.healthcheck`")


@check("tasks run an image that cannot change, as nobody who may write, and end in good order")
def tasks_are_careful(model: Model) -> Iterator[Finding]:
    for task in model.of(TASK):
        for container in task.get("ContainerDefinitions"):
            if not _IMMUTABLE.fullmatch(plain(container.get("Image"))):
                yield Finding(task.where, f"its image {container.get('Image')} can change behind its name")
            if not is_true(container.get("ReadonlyRootFilesystem")):
                yield Finding(task.where, "its root file system can be written to")
            if is_true(container.get("Privileged")):
                yield Finding(task.where, "is privileged")
            if number(container.get("StopTimeout"), 30) <= _DRAINS_S:
                yield Finding(task.where, "is killed before it has drained its streams: see StopTimeout")
            ports = [number(each.get("ContainerPort")) for each in as_list(container.get("PortMappings"))]
            if ports != [PORT]:
                yield Finding(task.where, f"does not listen on {PORT} alone")
            files = [number(each.get("SoftLimit")) for each in as_list(container.get("Ulimits"))]
            if not files or files[0] < 20_000:
                yield Finding(task.where, "may have too few files open for its streams: see Ulimits")


@check("staging and production deploy by exchange of the colours, with both hooks and with alarms that take it back")
def colours_are_exchanged(model: Model) -> Iterator[Finding]:
    if model.profile.section not in SWITCHED:
        return
    for service in model.of(SERVICE):
        if service.get("DeploymentConfiguration.Strategy") != "BLUE_GREEN":
            yield Finding(service.where, "does not deploy BLUE_GREEN")
            continue
        yield from _colours(service)
        if not model.profile.is_standby:
            yield from _hooks(model, service)
        yield from _alarms(model, service)


def _colours(service: Resource) -> Iterator[Finding]:
    if number(service.get("DeploymentConfiguration.BakeTimeInMinutes")) < 5:
        yield Finding(service.where, "is given no time to show what is wrong: see BakeTimeInMinutes")
    for balancer in as_list(service.get("LoadBalancers")):
        advanced = balancer.get("AdvancedConfiguration", {})
        for name in ("AlternateTargetGroupArn", "ProductionListenerRule", "RoleArn"):
            if not advanced.get(name):
                yield Finding(service.where, f"has no {name} to exchange")
        if advanced.get("AlternateTargetGroupArn") == balancer.get("TargetGroupArn"):
            yield Finding(service.where, "exchanges a target group with itself")


def _hooks(model: Model, service: Resource) -> Iterator[Finding]:
    stages: set[str] = set()
    for hook in as_list(service.get("DeploymentConfiguration.LifecycleHooks")):
        function = model.target(hook.get("HookTargetArn"))
        if function is None or function.type != "AWS::Lambda::Function" or "hook" not in function.name.lower():
            yield Finding(service.where, "a hook is no function of the deployment")
        else:
            stages.update(hook.get("LifecycleStages", []))
    for stage in ("PRE_SCALE_UP", "POST_SCALE_UP"):
        if stage not in stages:
            yield Finding(service.where, f"has no hook at {stage}")


def _alarms(model: Model, service: Resource) -> Iterator[Finding]:
    alarms = service.get("DeploymentConfiguration.Alarms", {})
    if not is_true(alarms.get("Enable")) or not is_true(alarms.get("Rollback")):
        yield Finding(service.where, "no alarm takes a deployment back")
    for name in as_list(alarms.get("AlarmNames")):
        alarm = model.target(name)
        if alarm is None or alarm.type != "AWS::CloudWatch::Alarm":
            yield Finding(service.where, f"{name} is no alarm of the deployment")
    if len(as_list(alarms.get("AlarmNames"))) < 2:
        yield Finding(service.where, "fewer than two alarms watch a deployment")


@check("elsewhere a rolling deployment that fails goes back by its circuit breaker")
def rolling_goes_back(model: Model) -> Iterator[Finding]:
    if model.profile.section in SWITCHED:
        return
    for service in model.of(SERVICE):
        breaker = service.get("DeploymentConfiguration.DeploymentCircuitBreaker", {})
        if not is_true(breaker.get("Enable")) or not is_true(breaker.get("Rollback")):
            yield Finding(service.where, "has no circuit breaker that rolls back")


@check("no deployment takes away capacity, and no shell can be opened in a task")
def services_are_careful(model: Model) -> Iterator[Finding]:
    for service in model.of(SERVICE):
        if number(service.get("DeploymentConfiguration.MinimumHealthyPercent")) < 100:
            yield Finding(service.where, "stops tasks before their successors run")
        if is_true(service.get("EnableExecuteCommand")):
            yield Finding(service.where, "lets people open a shell in its tasks")
        if number(service.get("HealthCheckGracePeriodSeconds")) < 30:
            yield Finding(service.where, "has its tasks judged before they could have started")


@check("targets are asked whether they are ready, keep no visitor, and are left in good order")
def targets_are_right(model: Model) -> Iterator[Finding]:
    for group in model.of(TARGETS):
        attributes = _attributes(group, "TargetGroupAttributes")
        if group.get("HealthCheckPath") != "/health/ready":
            yield Finding(group.where, "asks for something else than /health/ready")
        if is_true(attributes.get("stickiness.enabled", "false")):
            yield Finding(group.where, "keeps visitors at one task: stickiness is on")
        if attributes.get("load_balancing.algorithm.type") != "least_outstanding_requests":
            yield Finding(group.where, "sends streams by turns, not to whoever has fewest")
        if not 30 <= number(attributes.get("deregistration_delay.timeout_seconds"), 300) <= 120:
            yield Finding(group.where, "leaves a task too early or too late: deregistration_delay")
        if (number(group.get("HealthCheckIntervalSeconds")), number(group.get("HealthCheckTimeoutSeconds"))) != (30, 5):
            yield Finding(group.where, "is not asked every 30 s for at most 5 s, as the guide has it")
        if number(group.get("Port")) != PORT:
            yield Finding(group.where, f"does not lead to port {PORT}")


@check("the load balancer waits longer than a heartbeat, and less than the API keeps a connection")
def balancer_waits_well(model: Model) -> Iterator[Finding]:
    from api.server import KEEP_ALIVE_S
    from scoreboard.config import Settings

    heartbeat_s = Settings.from_env({}, checks_tokens=False).sse_heartbeat_interval / 1000
    for balancer in model.of("AWS::ElasticLoadBalancingV2::LoadBalancer"):
        attributes = _attributes(balancer, "LoadBalancerAttributes")
        idle = number(attributes.get("idle_timeout.timeout_seconds"), 60)
        if idle < 2 * heartbeat_s:
            yield Finding(
                balancer.where, f"gives up a stream after {idle:g} s, with a heartbeat every {heartbeat_s:g} s"
            )
        if idle >= KEEP_ALIVE_S:
            yield Finding(
                balancer.where, f"keeps idle connections for {idle:g} s, longer than the API ({KEEP_ALIVE_S} s)"
            )
        if not is_true(attributes.get("routing.http.drop_invalid_header_fields.enabled")):
            yield Finding(balancer.where, "passes on invalid headers")


def _attributes(resource: Resource, place: str) -> dict[str, Value]:
    return {str(each["Key"]): each["Value"] for each in as_list(resource.get(place))}
