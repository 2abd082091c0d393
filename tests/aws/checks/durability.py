"""What must outlive a mistake: data, keys, and what restores them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tests.aws.findings import Finding, check
from tests.aws.model import Model, Resource
from tests.aws.values import is_true, number, plain

STATEFUL: Final = {
    "AWS::RDS::DBInstance": ("Snapshot", "Retain"),
    "AWS::ElastiCache::ReplicationGroup": ("Snapshot", "Retain"),
    "AWS::S3::Bucket": ("Retain", "RetainExceptOnCreate"),
    "AWS::KMS::Key": ("Retain", "RetainExceptOnCreate"),
    "AWS::ECR::Repository": ("Retain", "RetainExceptOnCreate"),
    "AWS::SecretsManager::Secret": ("Retain", "RetainExceptOnCreate"),
}
"""What holds something that cannot be made again, and the policies that keep it."""
MADE_AGAIN: Final = ("MessagingKey", "RedisSecret", "OriginVerifySecret")
"""Keys and secrets that nothing outside the stack needs: a new stack has new ones."""
_COPIES: Final = ("SourceDBInstanceIdentifier",)


@check("what holds state survives its stack")
def state_survives(model: Model) -> Iterator[Finding]:
    for resource in model.of(*STATEFUL):
        if resource.name in MADE_AGAIN:
            continue
        if any(resource.get(copy) for copy in _COPIES) and not model.profile.is_standby:
            continue  # a replica holds nothing of its own
        for policy in ("DeletionPolicy", "UpdateReplacePolicy"):
            given = resource.definition.get(policy, "Delete")
            if given not in STATEFUL[resource.type]:
                yield Finding(resource.where, f"{policy} is {given}: it is lost with the stack")


def _primary(model: Model) -> Iterator[Resource]:
    return (found for found in model.of("AWS::RDS::DBInstance") if not found.get("SourceDBInstanceIdentifier"))


@check("production's data is in two zones, backed up, and not deleted by a slip")
def production_is_durable(model: Model) -> Iterator[Finding]:
    if model.profile.name != "prod":
        return
    for database in _primary(model):
        yield from _database(database)
    replicas = [found for found in model.of("AWS::RDS::DBInstance") if found.get("SourceDBInstanceIdentifier")]
    if len(replicas) != 2:
        yield Finding("sam/data.yaml", f"{len(replicas)} read replicas, not the guide's 2")
    zones = [plain(found.get("AvailabilityZone")) for found in replicas]
    if len(set(zones)) != len(zones):
        yield Finding("sam/data.yaml", "the read replicas are in one zone")
    for cache in model.of("AWS::ElastiCache::ReplicationGroup"):
        yield from _cache(cache)


def _database(database: Resource) -> Iterator[Finding]:
    for flag in ("MultiAZ", "DeletionProtection", "CopyTagsToSnapshot"):
        if not is_true(database.get(flag)):
            yield Finding(database.where, f"{flag} is not on")
    if number(database.get("BackupRetentionPeriod")) != 30:
        yield Finding(database.where, "backups are not kept for the guide's 30 days")
    if number(database.get("MonitoringInterval")) != 60:
        yield Finding(database.where, "enhanced monitoring is not every 60 s")


def _cache(cache: Resource) -> Iterator[Finding]:
    for flag in ("AutomaticFailoverEnabled", "MultiAZEnabled"):
        if not is_true(cache.get(flag)):
            yield Finding(cache.where, f"{flag} is not on")
    if number(cache.get("NumCacheClusters")) != 3:
        yield Finding(cache.where, "has not the guide's 3 nodes")
    if number(cache.get("SnapshotRetentionLimit")) != 30:
        yield Finding(cache.where, "snapshots are not kept for the guide's 30 days")


@check("every database instance is watched, grows, and is of the storage that the guide has")
def instances_are_alike(model: Model) -> Iterator[Finding]:
    for database in model.of("AWS::RDS::DBInstance"):
        if database.get("StorageType") != "gp3":
            yield Finding(database.where, "its storage is not gp3")
        if number(database.get("MaxAllocatedStorage")) <= number(database.get("AllocatedStorage")):
            yield Finding(database.where, "its storage does not grow: see MaxAllocatedStorage")
        if number(database.get("MonitoringInterval")) != 60 or model.target(database.get("MonitoringRoleArn")) is None:
            yield Finding(database.where, "has no enhanced monitoring every 60 s")
        role = model.target(database.get("MonitoringRoleArn"))
        if role is not None and "AmazonRDSEnhancedMonitoringRole" not in str(role.get("ManagedPolicyArns")):
            yield Finding(role.where, "may not write the enhanced metrics")
        if not is_true(database.get("EnablePerformanceInsights")):
            yield Finding(database.where, "does not tell which queries are slow: EnablePerformanceInsights")


@check("the database and Redis are set up as the guide and the design say")
def data_is_set_up(model: Model) -> Iterator[Finding]:
    for group in model.of("AWS::RDS::DBParameterGroup"):
        parameters = group.get("Parameters", {})
        wanted = {"max_connections": "200", "shared_preload_libraries": "pg_stat_statements", "rds.force_ssl": "1"}
        for name, value in wanted.items():
            if plain(parameters.get(name)) != value:
                yield Finding(group.where, f"{name} is {parameters.get(name)}, not {value}")
    for group in model.of("AWS::ElastiCache::ParameterGroup"):
        if group.get("Properties.maxmemory-policy") != "noeviction":
            yield Finding(group.where, "Redis forgets ranks when it is full: maxmemory-policy is not noeviction")
    for database in _primary(model):
        if is_true(database.get("ManageMasterUserPassword")):
            yield Finding(database.where, "RDS cannot manage the password of an instance with read replicas")
