"""AWS's metrics with the dimensions that they come with, and what alarms, policies and filters name of them.

AWS's come from each service's page "metrics and dimensions". A metric without its dimensions, or with others, is
another metric, which nobody publishes: an alarm on it stays silent for ever.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tests.aws.model import Model, Resource
from tests.aws.values import Value, as_list

_SERVICE: Final = (frozenset({"ClusterName", "ServiceName"}),)
_BALANCER: Final = (
    frozenset({"LoadBalancer"}),
    frozenset({"LoadBalancer", "AvailabilityZone"}),
    frozenset({"LoadBalancer", "TargetGroup"}),
    frozenset({"LoadBalancer", "TargetGroup", "AvailabilityZone"}),
)
_BALANCER_ONLY: Final = _BALANCER[:2]
_TARGETS: Final = _BALANCER[2:]
_DATABASE: Final = (frozenset({"DBInstanceIdentifier"}),)
_NODE: Final = (frozenset({"CacheClusterId"}), frozenset({"CacheClusterId", "CacheNodeId"}))
_QUEUE: Final = (frozenset({"QueueName"}),)
_FUNCTION: Final = (frozenset({"FunctionName"}), frozenset({"FunctionName", "Resource"}))
_API: Final = (frozenset({"ApiName"}), frozenset({"ApiName", "Stage"}))
_DISTRIBUTION: Final = (frozenset({"DistributionId", "Region"}),)
_FIREWALL: Final = (frozenset({"WebACL", "Rule"}), frozenset({"WebACL", "Rule", "Region"}))

_INSIGHTS: Final = re.compile(r"SELECT \w+\((\w+)\) FROM SCHEMA\(\"([^\"]+)\"((?:, *\w+)*)\)")
"""A query over all metrics of a kind, in CloudWatch's own SQL."""

Sets = tuple[frozenset[str], ...]


def _named(sets: Sets, *names: str) -> dict[str, Sets]:
    return dict.fromkeys(names, sets)


KNOWN: Final[dict[str, dict[str, Sets]]] = {
    "AWS/ECS": _named(_SERVICE, "CPUUtilization", "MemoryUtilization"),
    "ECS/ContainerInsights": _named(
        _SERVICE, "RunningTaskCount", "DesiredTaskCount", "PendingTaskCount", "DeploymentCount", "TaskSetCount"
    ),
    "AWS/ApplicationELB": {
        **_named(_BALANCER, "RequestCount", "HTTPCode_Target_2XX_Count", "HTTPCode_Target_4XX_Count"),
        **_named(_BALANCER, "HTTPCode_Target_5XX_Count", "TargetResponseTime", "TargetConnectionErrorCount"),
        **_named(_BALANCER_ONLY, "HTTPCode_ELB_4XX_Count", "HTTPCode_ELB_5XX_Count", "ActiveConnectionCount"),
        **_named(_BALANCER_ONLY, "HTTPCode_ELB_502_Count", "HTTPCode_ELB_503_Count", "HTTPCode_ELB_504_Count"),
        **_named(_BALANCER_ONLY, "NewConnectionCount", "RejectedConnectionCount", "ProcessedBytes", "ConsumedLCUs"),
        **_named(_TARGETS, "HealthyHostCount", "UnHealthyHostCount"),
        **_named((frozenset({"TargetGroup"}), *_TARGETS), "RequestCountPerTarget"),
    },
    "AWS/RDS": {
        **_named(
            _DATABASE, "CPUUtilization", "DatabaseConnections", "FreeStorageSpace", "FreeableMemory", "ReplicaLag"
        ),
        **_named(_DATABASE, "CPUCreditBalance", "CPUSurplusCreditBalance", "DiskQueueDepth", "SwapUsage", "DBLoad"),
        **_named(_DATABASE, "ReadLatency", "WriteLatency", "ReadIOPS", "WriteIOPS", "MaximumUsedTransactionIDs"),
        **_named(_DATABASE, "OldestReplicationSlotLag", "TransactionLogsDiskUsage", "EBSIOBalance%", "EBSByteBalance%"),
    },
    "AWS/ElastiCache": {
        **_named(_NODE, "CPUUtilization", "EngineCPUUtilization", "FreeableMemory", "SwapUsage", "NetworkBytesOut"),
        **_named(_NODE, "CurrConnections", "NewConnections", "CurrItems", "Evictions", "ReplicationLag"),
        **_named(_NODE, "DatabaseMemoryUsagePercentage", "BytesUsedForCache", "CacheHits", "CacheMisses"),
        **_named(_NODE, "CacheHitRate", "AuthenticationFailures", "CommandAuthorizationFailures", "IsMaster"),
    },
    "AWS/SQS": {
        **_named(_QUEUE, "ApproximateAgeOfOldestMessage", "ApproximateNumberOfMessagesVisible", "SentMessageSize"),
        **_named(_QUEUE, "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed"),
        **_named(_QUEUE, "NumberOfMessagesSent", "NumberOfMessagesReceived", "NumberOfMessagesDeleted"),
    },
    "AWS/Lambda": {
        **_named(_FUNCTION, "Errors", "Invocations", "Duration", "Throttles", "DeadLetterErrors", "AsyncEventsDropped"),
        **_named(_FUNCTION, "AsyncEventAge", "AsyncEventsReceived", "IteratorAge", "DestinationDeliveryFailures"),
        **_named((*_FUNCTION, frozenset()), "ConcurrentExecutions"),
    },
    "AWS/ApiGateway": _named(_API, "Count", "4XXError", "5XXError", "Latency", "IntegrationLatency"),
    "AWS/CloudFront": _named(
        _DISTRIBUTION,
        "Requests",
        "BytesDownloaded",
        "4xxErrorRate",
        "5xxErrorRate",
        "TotalErrorRate",
        "CacheHitRate",
        "OriginLatency",
    ),
    "AWS/WAFV2": _named(_FIREWALL, "AllowedRequests", "BlockedRequests", "CountedRequests"),
    "AWS/Route53": _named((frozenset({"HealthCheckId"}),), "HealthCheckStatus", "HealthCheckPercentageHealthy"),
    "AWS/NATGateway": _named((frozenset({"NatGatewayId"}),), "ErrorPortAllocation", "PacketsDropCount"),
    "AWS/SNS": _named((frozenset({"TopicName"}),), "NumberOfNotificationsFailed", "NumberOfMessagesPublished"),
    "AWS/Events": _named((frozenset({"RuleName"}),), "FailedInvocations", "Invocations"),
    "AWS/CertificateManager": _named((frozenset({"CertificateArn"}),), "DaysToExpiry"),
}
STATISTICS: Final = {
    "UnHealthyHostCount": "Maximum",
    "ReplicaLag": "Maximum",
    "ApproximateAgeOfOldestMessage": "Maximum",
}
"""Of these, another statistic says something else: summed over the nodes of a load balancer, one host is several."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric as it is asked for."""

    where: str
    namespace: str
    name: str
    dimensions: tuple[tuple[str, Value], ...]
    statistic: str = ""

    @property
    def keys(self) -> frozenset[str]:
        """The names of its dimensions."""
        return frozenset(key for key, _ in self.dimensions)

    def __str__(self) -> str:
        return f"{self.namespace} {self.name} by {', '.join(sorted(self.keys)) or 'nothing'}"


def metrics_of_alarm(alarm: Resource) -> Iterator[Metric]:
    """Every metric that an alarm looks at."""
    if "MetricName" in alarm.properties:
        yield _metric(alarm.where, alarm.properties, alarm.get("Statistic") or alarm.get("ExtendedStatistic") or "")
    for query in as_list(alarm.get("Metrics")):
        if "MetricStat" in query:
            yield _metric(alarm.where, query["MetricStat"]["Metric"], query["MetricStat"].get("Stat", ""))
        for name, namespace, keys in _INSIGHTS.findall(str(query.get("Expression", ""))):
            dimensions = tuple((key, "any") for key in keys.replace(",", " ").split())
            yield Metric(alarm.where, namespace, name, dimensions)


def metrics_of_scaling(policy: Resource) -> Iterator[Metric]:
    """Every metric that a scaling policy follows, unless it is a predefined one."""
    custom = policy.get("TargetTrackingScalingPolicyConfiguration.CustomizedMetricSpecification", {})
    if "MetricName" in custom:
        yield _metric(policy.where, custom, custom.get("Statistic", ""))
    for query in as_list(custom.get("Metrics")):
        if "MetricStat" in query:
            yield _metric(policy.where, query["MetricStat"]["Metric"], query["MetricStat"].get("Stat", ""))


def _metric(where: str, source: dict[str, Value], statistic: str) -> Metric:
    dimensions = tuple((str(each["Name"]), each["Value"]) for each in as_list(source.get("Dimensions")))
    return Metric(where, str(source.get("Namespace")), str(source.get("MetricName")), dimensions, statistic)


def from_filters(model: Model) -> dict[tuple[str, str], frozenset[str]]:
    """Return the metrics that are made of log lines: (namespace, name) → the dimensions."""
    made: dict[tuple[str, str], frozenset[str]] = {}
    for found in model.of("AWS::Logs::MetricFilter"):
        for each in as_list(found.get("MetricTransformations")):
            keys = frozenset(str(dimension["Key"]) for dimension in as_list(each.get("Dimensions")))
            made[str(each["MetricNamespace"]), str(each["MetricName"])] = keys
    return made
