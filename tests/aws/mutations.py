"""Faults as people make them, each one edit of the real templates, and what is to find it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from tests.aws.documents import Project
from tests.aws.edits import GONE, Edit
from tests.aws.findings import Finding, run
from tests.aws.model import resolve
from tests.aws.profiles import PROFILES

CONFIGURATION: Final = "samconfig.toml"
LINT: Final = "cfn-lint"


@dataclass(frozen=True, slots=True)
class Mutation:
    """A fault: what it is, and the edit that makes it."""

    title: str
    edit: Edit
    finder: str = "policy"
    """Which kind of check can find it at all."""

    def applied(self, project: Project) -> Project:
        """Return the project with the fault in it."""
        changed = project.copy()
        is_configuration = self.edit.file == CONFIGURATION
        self.edit.apply(changed.configuration if is_configuration else changed.documents[self.edit.file])
        return changed


def found_by_policy(project: Project, mutation: Mutation, known: frozenset[str]) -> list[Finding]:
    """Return what the policy checks say of the fault in the first profile that shows it, beyond what was known."""
    changed = mutation.applied(project)
    for profile in (PROFILES[3], PROFILES[0], PROFILES[1], PROFILES[2]):
        if found := [each for each in run(resolve(changed, profile)) if str(each) not in known]:
            return found
    return []


def said_of(project: Project) -> frozenset[str]:
    """Return everything that the checks say of a project."""
    return frozenset(str(found) for profile in PROFILES for found in run(resolve(project, profile)))


def _edits(file: str, *edits: tuple[str, str, Any]) -> Iterator[Mutation]:
    for title, path, to in edits:
        yield Mutation(title, Edit(file, path, to))


_ALLOW: Final = {"Sid": "Anything", "Effect": "Allow", "Action": "s3:*", "Resource": "*"}
_OPEN: Final = {"Description": "All", "IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "CidrIp": "0.0.0.0/0"}
_BESIDE: Final = {
    "Description": "Load balancer",
    "IpProtocol": "tcp",
    "FromPort": 5432,
    "ToPort": 5432,
    "SourceSecurityGroupId": {"Fn::GetAtt": ["AlbSecurityGroup", "GroupId"]},
}
_WORKER_POLICY: Final = "Resources/ScoreEventsRole/Properties/Policies[score-events]/PolicyDocument/Statement"
_TASK_POLICY: Final = "Resources/TaskRole/Properties/Policies[api]/PolicyDocument/Statement"
_CONTAINER: Final = "Resources/TaskDefinition/Properties/ContainerDefinitions[api]"
_DISTRIBUTION: Final = "Resources/Distribution/Properties/DistributionConfig"
_OPERATIONS: Final = "build/chalice/sam.yaml"

MUTATIONS: Final = (
    *_edits(
        "template.yaml",
        (
            "a nested stack is asked for an output that it has not",
            "Resources/Workers/Properties/Parameters/ScoreQueueArn",
            {"Fn::GetAtt": ["Messaging", "Outputs.ScoreQeueArn"]},
        ),
        (
            "the database is put into the public subnets",
            "Resources/Data/Properties/Parameters/PrivateSubnetIds",
            {"Fn::GetAtt": ["Network", "Outputs.PublicSubnetIds"]},
        ),
        ("a nested stack is not given a parameter", "Resources/Data/Properties/Parameters/DataSecurityGroupId", GONE),
        ("the tag latest is taken", "Parameters/ImageUri/AllowedPattern", GONE),
        ("one availability zone is taken", "Parameters/AvailabilityZoneCount/MinValue", 1),
        ("production may go without a domain", "Rules/ServesUnderAName", GONE),
        ("a default is not the guide's", "Parameters/MaxTasks/Default", 20),
        ("a parameter is not described", "Parameters/WorkerConcurrency/Description", GONE),
        (
            "a parameter that nothing uses",
            "Parameters/Spare",
            {"Type": "String", "Default": "", "Description": "Spare."},
        ),
        (
            "a stack is not handed a parameter that it has a default for",
            "Resources/Service/Properties/Parameters/MinTasks",
            GONE,
        ),
        ("the worker changes before the migration", "Resources/Workers/DependsOn", GONE),
    ),
    *_edits(
        "sam/messaging.yaml",
        (
            "a queue is asked for an attribute that it has not",
            "Outputs/ScoreQueueName/Value",
            {"Fn::GetAtt": ["ScoreQueue", "Name"]},
        ),
        ("an output is taken away", "Outputs/DeadLetterQueueName", GONE),
        ("a message comes back too early", "Resources/ScoreQueue/Properties/VisibilityTimeout", 60),
        ("a queue has no dead-letter queue", "Resources/ScoreQueue/Properties/RedrivePolicy", GONE),
        ("an outage fills the dead letters", "Resources/ScoreQueue/Properties/RedrivePolicy/maxReceiveCount", 1),
        ("dead letters are kept for a day", "Resources/DeadLetterQueue/Properties/MessageRetentionPeriod", 86400),
        ("a queue is not encrypted", "Resources/ScoreQueue/Properties/SqsManagedSseEnabled", False),
        (
            "a statement of a queue's policy is about two queues",
            "Resources/ScoreQueueOverTls/Properties/PolicyDocument/Statement[DenyWithoutTls]/Resource",
            [{"Fn::GetAtt": ["ScoreQueue", "Arn"]}, {"Fn::GetAtt": ["DeadLetterQueue", "Arn"]}],
        ),
        (
            "EventBridge may not use the topic's key",
            "Resources/MessagingKey/Properties/KeyPolicy/Statement[AwsReports]/Principal/Service",
            "cloudwatch.amazonaws.com",
        ),
    ),
    *_edits(
        "sam/security.yaml",
        (
            "a group is described with an apostrophe",
            "Resources/AlbSecurityGroup/Properties/GroupDescription",
            "CloudFront's way in",
        ),
    ),
    *_edits(
        "sam/workers.yaml",
        (
            "a program is not given what it reads",
            "Resources/ScoreEvents/Properties/Environment/Variables/REDIS_SECRET_ARN",
            GONE,
        ),
        (
            "a program is given what it does not read",
            "Resources/ScoreEvents/Properties/Environment/Variables/DATABASE_POOL_MAX",
            "5",
        ),
        (
            "a parameter that does not exist is referred to",
            "Resources/ScoreEvents/Properties/Timeout",
            {"Ref": "WorkerTimeout"},
        ),
        ("a function takes longer than a sixth of the visibility", "Resources/ScoreEvents/Properties/Timeout", 60),
        ("a handler's name is wrong", "Resources/ScoreEvents/Properties/Handler", "workers.score_event.handler"),
        (
            "one bad message brings back its batch",
            "Resources/ScoreEvents/Properties/Events/Scores/Properties/FunctionResponseTypes",
            GONE,
        ),
        ("a log is kept for ever", "Resources/ScoreEventsLogs/Properties/RetentionInDays", GONE),
        (
            "a function writes to a log that nobody made",
            "Resources/ScoreEvents/Properties/LoggingConfig/LogGroup",
            "/shared",
        ),
        ("a wildcard loses its reason", "Resources/ScoreEventsRole/Metadata/WildcardReasons/Tracing", GONE),
        (
            "a secret's value stands in the environment",
            "Resources/ScoreEvents/Properties/Environment/Variables/CLOUDWATCH_NAMESPACE",
            {"Fn::Sub": "{{resolve:secretsmanager:${RedisSecretArn}:SecretString:password}}"},
        ),
    ),
    Mutation(
        "a permission that is used is missing",
        Edit("sam/workers.yaml", f"{_WORKER_POLICY}[ConsumeScores]/Action", minus="sqs:ChangeMessageVisibility"),
    ),
    Mutation(
        "a permission that is not used is granted",
        Edit("sam/workers.yaml", f"{_WORKER_POLICY}[ConsumeScores]/Action", plus="sqs:PurgeQueue"),
    ),
    Mutation("a role may do everything", Edit("sam/workers.yaml", _WORKER_POLICY, plus=_ALLOW)),
    Mutation(
        "a secret that is named may not be read",
        Edit("sam/task.yaml", f"{_TASK_POLICY}[ReadSecrets]/Resource", minus={"Ref": "JwtSecretArn"}),
    ),
    Mutation("the secrets' key may not be used", Edit("sam/task.yaml", f"{_TASK_POLICY}[DecryptSecrets]")),
    *_edits(
        "sam/task.yaml",
        ("a task's environment lacks the queue", f"{_CONTAINER}/Environment[SQS_QUEUE_URL]", GONE),
        ("the pools want more connections than there are", f"{_CONTAINER}/Environment[DATABASE_POOL_MAX]/Value", "20"),
        ("the pools want more of Redis than raises an alarm", f"{_CONTAINER}/Environment[REDIS_POOL_MAX]", GONE),
        ("a task is killed while it drains", f"{_CONTAINER}/StopTimeout", GONE),
        ("a task can write to its disk", f"{_CONTAINER}/ReadonlyRootFilesystem", False),
        (
            "the health check is curl",
            f"{_CONTAINER}/HealthCheck/Command",
            ["CMD-SHELL", "curl -f http://localhost:3000/health"],
        ),
    ),
    *_edits(
        "sam/database.yaml",
        ("the database is publicly accessible", "Resources/Instance/Properties/PubliclyAccessible", True),
        ("the database goes with its stack", "Resources/Instance/DeletionPolicy", GONE),
        ("the password is written down", "Resources/Instance/Properties/MasterUserPassword", "correct-horse-battery"),
        ("the database is in the default security group", "Resources/Instance/Properties/VPCSecurityGroups", GONE),
        ("the database is in one zone", "Resources/Instance/Properties/MultiAZ", False),
        ("passwords are not rotated", "Resources/Rotation", GONE),
        (
            "PostgreSQL takes connections without TLS",
            "Resources/ParameterGroup/Properties/Parameters/rds.force_ssl",
            "0",
        ),
    ),
    *_edits(
        "sam/cache.yaml",
        ("Redis is spoken to without TLS", "Resources/ReplicationGroup/Properties/TransitEncryptionEnabled", False),
        (
            "Redis forgets ranks when it is full",
            "Resources/ParameterGroup/Properties/Properties/maxmemory-policy",
            "allkeys-lru",
        ),
    ),
    Mutation(
        "the data is open to the world",
        Edit("sam/security.yaml", "Resources/DataSecurityGroup/Properties/SecurityGroupIngress", plus=_OPEN),
    ),
    Mutation(
        "the load balancer reaches the database",
        Edit("sam/security.yaml", "Resources/DataSecurityGroup/Properties/SecurityGroupIngress", plus=_BESIDE),
    ),
    *_edits(
        "sam/alarms-cache.yaml",
        ("a metric has the guide's wrong name", "Resources/ConnectionsAlarm/Properties/MetricName", "ConnectionCount"),
    ),
    *_edits(
        "sam/alarms-service.yaml",
        ("silence means nothing", "Resources/CpuAlarm/Properties/TreatMissingData", GONE),
        ("a metric has no such dimensions", "Resources/CpuAlarm/Properties/Dimensions[ServiceName]", GONE),
        ("an alarm tells nobody", "Resources/CpuAlarm/Properties/AlarmActions", GONE),
        ("a threshold is not the guide's", "Resources/CpuAlarm/Properties/Threshold", 95),
        ("hosts are summed", "Resources/BlueUnhealthyAlarm/Properties/Statistic", "Sum"),
    ),
    *_edits(
        "sam/alarms-api.yaml",
        ("a metric of our own is misspelt", "Resources/StreamsAlarm/Properties/MetricName", "SSEConnections"),
    ),
    *_edits(
        "sam/service.yaml",
        ("a deployment has no hooks", "Resources/Service/Properties/DeploymentConfiguration/LifecycleHooks", GONE),
        ("no alarm takes a deployment back", "Resources/Service/Properties/DeploymentConfiguration/Alarms", GONE),
        (
            "tasks have public addresses",
            "Resources/Service/Properties/NetworkConfiguration/AwsvpcConfiguration/AssignPublicIp",
            "ENABLED",
        ),
    ),
    *_edits(
        "sam/balancer.yaml",
        (
            "visitors stick to a task",
            "Resources/BlueTargetGroup/Properties/TargetGroupAttributes[stickiness.enabled]/Value",
            "true",
        ),
        (
            "the load balancer answers whoever asks",
            "Resources/ApiRule/Properties/Conditions",
            [{"Field": "path-pattern", "PathPatternConfig": {"Values": ["/*"]}}],
        ),
    ),
    *_edits(
        "sam/scaling.yaml",
        (
            "scaling follows a metric without its dimensions",
            "Resources/StreamPolicy/Properties/TargetTrackingScalingPolicyConfiguration/CustomizedMetricSpecification/Dimensions[Environment]",
            GONE,
        ),
    ),
    *_edits(
        "sam/edge.yaml",
        ("the stream is compressed", f"{_DISTRIBUTION}/CacheBehaviors[/api/*]/Compress", True),
        ("the stream is cached", f"{_DISTRIBUTION}/CacheBehaviors[/api/*]/CachePolicyId", {"Ref": "PageCachePolicy"}),
        ("the edge has no firewall", f"{_DISTRIBUTION}/WebACLId", GONE),
    ),
    *_edits(
        "sam/network.yaml",
        ("a zone has no way out", "Resources/PrivateDefaultRouteB", GONE),
        (
            "a zone hangs on another one's NAT gateway",
            "Resources/PrivateDefaultRouteB/Properties/NatGatewayId",
            {"Ref": "NatGatewayA"},
        ),
        ("the rehearsal would need what the emulator has not", "Resources/NatGatewayA/Condition", GONE),
    ),
    *_edits(
        _OPERATIONS,
        ("a scheduled function fails into nothing", "Globals/Function/DeadLetterQueue", GONE),
        ("nothing looks at the dead letters", "Resources/DlqTriage/Properties/Events", GONE),
        ("submissions may take every connection", "Resources/APIHandler/Properties/ReservedConcurrentExecutions", GONE),
        ("a function does not wait for the migration", "Resources/Reconcile/DependsOn", GONE),
        ("Secrets Manager may not call its function", "Resources/RotateJwtPermission", GONE),
    ),
    *_edits(
        CONFIGURATION,
        ("a capability is missing", "prod/deploy/parameters/capabilities", ["CAPABILITY_IAM"]),
        (
            "a parameter that does not exist is set",
            "dev/deploy/parameters/parameter_overrides",
            ["EnvironmentName=dev", "TaskCount=1"],
        ),
        ("two environments have one stack", "staging/deploy/parameters/stack_name", "scoreboard-prod"),
    ),
    Mutation(
        "a property that does not exist",
        Edit("sam/messaging.yaml", "Resources/ScoreQueue/Properties/VisibilityTimeOut", 180),
        LINT,
    ),
    Mutation(
        "a value that is none of the type's",
        Edit("sam/cache.yaml", "Resources/ReplicationGroup/Properties/TransitEncryptionMode", "mandatory"),
        LINT,
    ),
    Mutation(
        "a version that RDS no longer has",
        Edit("sam/database.yaml", "Resources/Instance/Properties/EngineVersion", "17.1"),
        LINT,
    ),
    Mutation(
        "a required property is missing",
        Edit("sam/edge.yaml", f"{_DISTRIBUTION}/DefaultCacheBehavior/TargetOriginId"),
        LINT,
    ),
)
