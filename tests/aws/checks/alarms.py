"""Alarms: on metrics that exist, heard by somebody, and with the guide's thresholds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from tests.aws.checks.encryption import environments
from tests.aws.checks.queues import FUNCTION, QUEUE, is_for_dead_letters
from tests.aws.findings import Finding, check
from tests.aws.metrics import (
    KNOWN,
    STATISTICS,
    Metric,
    from_filters,
    metrics_of_alarm,
    metrics_of_scaling,
)
from tests.aws.model import Model, Resource
from tests.aws.own_metrics import of_api, of_functions
from tests.aws.values import Text, Value, as_list, is_true, number

ALARM: Final = "AWS::CloudWatch::Alarm"
COMPOSITE: Final = "AWS::CloudWatch::CompositeAlarm"
GUIDE: Final = {
    ("AWS/ECS", "CPUUtilization"): (80, 300, 2),
    ("AWS/RDS", "DatabaseConnections"): (150, 300, 1),
    ("AWS/ElastiCache", "CurrConnections"): (400, 300, 1),
    ("AWS/ApplicationELB", "UnHealthyHostCount"): (0, 60, 2),
}
"""The guide's alarms: (threshold, period in seconds, periods), more than which is one."""
ERROR_RATE: Final = 5
WORKER: Final = "scoreboard-worker"
OPERATIONS: Final = "scoreboard-operations"
_NAMED: Final = {
    "FunctionName": (FUNCTION,),
    "QueueName": (QUEUE,),
    "ClusterName": ("AWS::ECS::Cluster",),
    "ServiceName": ("AWS::ECS::Service",),
    "DBInstanceIdentifier": ("AWS::RDS::DBInstance",),
    "CacheClusterId": ("AWS::ElastiCache::ReplicationGroup",),
    "WebACL": ("AWS::WAFv2::WebACL",),
}
_NAMES: Final = {
    FUNCTION: "FunctionName",
    QUEUE: "QueueName",
    "AWS::ECS::Cluster": "ClusterName",
    "AWS::ECS::Service": "ServiceName",
    "AWS::RDS::DBInstance": "DBInstanceIdentifier",
    "AWS::ElastiCache::ReplicationGroup": "ReplicationGroupId",
    "AWS::WAFv2::WebACL": "Name",
}
_ENVIRONMENT: Final = ("Environment", "environment")


@check("every alarm is about a metric that exists, by the dimensions that it has")
def alarms_know_their_metrics(model: Model) -> Iterator[Finding]:
    for alarm in model.of(ALARM):
        metrics = list(metrics_of_alarm(alarm))
        if not metrics and "SEARCH(" not in str(alarm.properties):
            yield Finding(alarm.where, "looks at no metric")
        for metric in metrics:
            yield from _wrong(model, metric)


@check("every scaling policy follows a metric that exists, by the dimensions that it has")
def scaling_knows_its_metrics(model: Model) -> Iterator[Finding]:
    for policy in model.of("AWS::ApplicationAutoScaling::ScalingPolicy"):
        for metric in metrics_of_scaling(policy):
            yield from _wrong(model, metric)


@check("every metric on a dashboard exists, by the dimensions that it has")
def dashboards_know_their_metrics(model: Model) -> Iterator[Finding]:
    for board in model.of("AWS::CloudWatch::Dashboard"):
        body = board.get("DashboardBody")
        try:
            widgets = json.loads(str(body))["widgets"]
        except (ValueError, KeyError):
            yield Finding(board.where, "its body is no JSON object with widgets")
            continue
        for widget in widgets:
            for metric in _of_widget(board, widget):
                yield from _wrong(model, metric)


def _of_widget(board: Resource, widget: dict[str, Any]) -> Iterator[Metric]:
    before: list[Any] = []
    for row in widget.get("properties", {}).get("metrics", []):
        items = [item for item in row if not isinstance(item, dict)]
        if not items:
            continue  # an expression
        if "..." in items:
            items = [*before[: len(before) - len(items) + 1], *items[1:]]
        items = [before[place] if item == "." else item for place, item in enumerate(items)]
        before = items
        namespace, name, *pairs = map(str, items)
        yield Metric(board.where, namespace, name, tuple(zip(pairs[::2], pairs[1::2], strict=True)))


def _wrong(model: Model, metric: Metric) -> Iterator[Finding]:
    sets = KNOWN.get(metric.namespace, {}).get(metric.name)
    if metric.namespace.startswith(("AWS/", "ECS/")):
        if sets is None:
            yield Finding(metric.where, f"{metric.namespace} has no metric {metric.name}")
        elif metric.keys not in sets:
            yield Finding(metric.where, f"there is no {metric}")
        elif metric.statistic and STATISTICS.get(metric.name, metric.statistic) != metric.statistic:
            yield Finding(metric.where, f"{metric.name} is to be read as {STATISTICS[metric.name]}")
        elif any(value in ("", None) for _, value in metric.dimensions):
            yield Finding(metric.where, f"{metric} has an empty dimension")
        return
    known = _own(model)
    if (metric.namespace, metric.name) not in known:
        yield Finding(metric.where, f"no program publishes {metric.namespace} {metric.name}")
    elif metric.keys not in known[metric.namespace, metric.name]:
        yield Finding(metric.where, f"no program publishes {metric}")
    else:
        yield from _wrong_values(model, metric)


def _wrong_values(model: Model, metric: Metric) -> Iterator[Finding]:
    """A dimension of our own has the value that the programs give it."""
    environment = {str(variables["APP_ENV"]) for _, variables in environments(model) if "APP_ENV" in variables}
    services = {WORKER, OPERATIONS} | {
        str(variables["APP_NAME"]) for _, variables in environments(model) if "APP_NAME" in variables
    }
    for key, value in metric.dimensions:
        if key in _ENVIRONMENT and value not in environment:
            yield Finding(metric.where, f"{metric.name} is asked for the environment {value}, which no program is in")
        elif key.lower() == "service" and value not in services:
            yield Finding(metric.where, f"{metric.name} is asked for the service {value}, which no program is")


def _own(model: Model) -> dict[tuple[str, str], set[frozenset[str]]]:
    """Our own metrics, in the namespaces that the programs are told."""
    known: dict[tuple[str, str], set[frozenset[str]]] = {}
    for resource, variables in environments(model):
        namespace = str(variables.get("CLOUDWATCH_NAMESPACE", "Scoreboard/API"))
        if resource.type == "AWS::ECS::TaskDefinition":
            names, keys = of_api() if is_true(variables.get("CLOUDWATCH_ENABLED")) else (frozenset(), frozenset())
        else:
            names, keys = of_functions("workers" if resource.file == "sam/workers.yaml" else "chalicelib")
        for name in names:
            known.setdefault((namespace, name), set()).add(keys)
    for metric, dimensions in from_filters(model).items():
        known.setdefault(metric, set()).add(dimensions)
    return known


@check("every alarm says what silence means, what it is about, and tells somebody")
def alarms_are_complete(model: Model) -> Iterator[Finding]:
    composed = {
        other.path
        for composite in model.of(COMPOSITE)
        for other in model.of(ALARM)
        if f"<{other.path}" in str(composite.get("AlarmRule")) or _named_in(other, composite)
    }
    for alarm in model.of(ALARM, COMPOSITE):
        if alarm.type == ALARM and not alarm.get("TreatMissingData"):
            yield Finding(alarm.where, "does not say what missing data means: no TreatMissingData")
        if alarm.type == ALARM:
            yield from _unset(alarm)
        if not alarm.get("AlarmDescription"):
            yield Finding(alarm.where, "has no description")
        heard = [model.target(action) for action in as_list(alarm.get("AlarmActions"))]
        rolls_back = any(True for _ in model.users(alarm, "AWS::ECS::Service"))
        if not any(heard) and alarm.path not in composed and not rolls_back:
            yield Finding(alarm.where, "tells nobody: no AlarmActions")


def _unset(alarm: Resource) -> Iterator[Finding]:
    """What CloudWatch would take some default for, or refuse only when it is deployed."""
    wanted = ["EvaluationPeriods", "Threshold", "ComparisonOperator"]
    wanted += ["Period"] if alarm.get("MetricName") else []
    for name in wanted:
        if alarm.get(name) is None:
            yield Finding(alarm.where, f"has no {name}")
    if alarm.get("MetricName") and not (alarm.get("Statistic") or alarm.get("ExtendedStatistic")):
        yield Finding(alarm.where, "has no statistic")


def _named_in(alarm: Resource, composite: Resource) -> bool:
    name = alarm.get("AlarmName")
    return isinstance(name, (str, Text)) and str(name) in str(composite.get("AlarmRule"))


@check("the guide's alarms are there, with the guide's thresholds")
def guide_alarms_are_there(model: Model) -> Iterator[Finding]:
    if model.profile.name != "prod":
        return
    alarms = [(alarm, metric) for alarm in model.of(ALARM) for metric in metrics_of_alarm(alarm)]
    for (namespace, name), figures in GUIDE.items():
        found = [alarm for alarm, metric in alarms if (metric.namespace, metric.name) == (namespace, name)]
        if not found:
            yield Finding("sam/observability.yaml", f"no alarm is about {namespace} {name}, which the guide has")
        elif not any(_figures(alarm) == figures for alarm in found):
            shown = "{} over {} s, {} times".format(*figures)
            yield Finding(found[0].where, f"is not the guide's: {shown}")
    rates = [alarm for alarm, metric in alarms if metric.name == "HTTPCode_Target_5XX_Count"]
    if not any(alarm.get("Metrics") and number(alarm.get("Threshold")) == ERROR_RATE for alarm in rates):
        yield Finding(
            "sam/observability.yaml", f"no alarm is about an error rate of {ERROR_RATE} %, which the guide has"
        )


def _figures(alarm: Resource) -> tuple[float, float, float]:
    period: Value = alarm.get("Period")
    for query in as_list(alarm.get("Metrics")):
        period = query.get("MetricStat", {}).get("Period", period)
    return number(alarm.get("Threshold"), -1), number(period), number(alarm.get("EvaluationPeriods"))


@check("every dead letter, every old message and every failing function is heard of")
def failures_are_heard_of(model: Model) -> Iterator[Finding]:
    functions = list(model.of(FUNCTION))
    if not functions:
        return  # a standby takes no scores
    watched = {(metric.name, path) for metric in _asked(model) for path in _named_by(model, metric)}
    for queue in model.of(QUEUE):
        gives_up = is_for_dead_letters(model, queue)
        name = "ApproximateNumberOfMessagesVisible" if gives_up else "ApproximateAgeOfOldestMessage"
        if (name, queue.path) not in watched:
            yield Finding(queue.where, f"no alarm is about its {name}")
    if model.profile.section == "local":
        return  # the emulator has no alarms that compute
    for function in functions:
        if ("Errors", function.path) not in watched:
            yield Finding(function.where, "no alarm is about its Errors")
    for mapping in model.of("AWS::Lambda::EventSourceMapping"):
        worker = model.target(mapping.get("FunctionName"))
        if worker is not None and ("Throttles", worker.path) not in watched:
            yield Finding(worker.where, "no alarm is about its Throttles")


def _asked(model: Model) -> Iterator[Metric]:
    return (metric for alarm in model.of(ALARM) for metric in metrics_of_alarm(alarm))


def _named_by(model: Model, metric: Metric) -> Iterator[str]:
    """The paths of the resources that a metric's dimensions name, by a reference or by their names."""
    for key, value in metric.dimensions:
        target = model.target(value)
        if target is not None:
            yield target.path
        for kind in _NAMED.get(key, ()):
            yield from (each.path for each in model.of(kind) if each.get(_NAMES[kind]) == value)


@check("every alarm that names something by its name names something that is there")
def alarms_name_what_exists(model: Model) -> Iterator[Finding]:
    if model.profile.section == "local":
        return  # its database and its Redis are none of its own
    for metric in _asked(model):
        for key, value in metric.dimensions:
            if key not in _NAMED or not isinstance(value, str):
                continue
            names = {str(each.get(_NAMES[kind])) for kind in _NAMED[key] for each in model.of(kind)}
            if not any(value == name or value.startswith(f"{name}-0") for name in names):
                yield Finding(metric.where, f"{key} {value} is nothing of the deployment")
