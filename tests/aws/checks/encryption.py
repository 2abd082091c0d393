"""Encryption, of what is stored and of what is sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tests.aws.findings import Finding, check
from tests.aws.model import Model, Resource
from tests.aws.policies import statements
from tests.aws.values import Value, as_list, is_true, plain

_AT_REST: Final[dict[str, tuple[str, ...]]] = {
    "AWS::SQS::Queue": ("KmsMasterKeyId", "SqsManagedSseEnabled"),
    "AWS::SNS::Topic": ("KmsMasterKeyId",),
    "AWS::ElastiCache::ReplicationGroup": ("AtRestEncryptionEnabled",),
    "AWS::S3::Bucket": ("BucketEncryption",),
    "AWS::SecretsManager::Secret": ("KmsKeyId",),
    "AWS::ECR::Repository": ("EncryptionConfiguration",),
}
"""Of each type, the properties of which one has to be given."""
_MODERN_EDGE: Final = ("TLSv1.2_2021", "TLSv1.2_2025", "TLSv1.3_2025")
_MODERN_BALANCER: Final = "ELBSecurityPolicy-TLS13-1-"


@check("everything that is stored is encrypted")
def stored_is_encrypted(model: Model) -> Iterator[Finding]:
    for kind, properties in _AT_REST.items():
        for resource in model.of(kind):
            given = [resource.get(name) for name in properties]
            if all(value is None or value is False for value in given):
                yield Finding(resource.where, f"is not encrypted: no {' or '.join(properties)}")
    for database in model.of("AWS::RDS::DBInstance"):
        if database.get("SourceDBInstanceIdentifier") or database.get("SourceRegion"):
            continue  # a replica, or what was one, is encrypted as its source is
        if not is_true(database.get("StorageEncrypted")):
            yield Finding(database.where, "is not encrypted: StorageEncrypted is not on")
        elif database.get("KmsKeyId") is None:
            yield Finding(database.where, "is encrypted by a key that is not ours: no KmsKeyId")
    for cache in model.of("AWS::ElastiCache::ReplicationGroup"):
        if cache.get("KmsKeyId") is None:
            yield Finding(cache.where, "is encrypted by a key that is not ours: no KmsKeyId")


@check("keys are renewed every year")
def keys_rotate(model: Model) -> Iterator[Finding]:
    for key in model.of("AWS::KMS::Key"):
        if not is_true(key.get("EnableKeyRotation")):
            yield Finding(key.where, "EnableKeyRotation is not on")


@check("PostgreSQL and Redis are spoken to under TLS, and Redis asks who calls")
def data_is_sent_encrypted(model: Model) -> Iterator[Finding]:
    for cache in model.of("AWS::ElastiCache::ReplicationGroup"):
        if not is_true(cache.get("TransitEncryptionEnabled")):
            yield Finding(cache.where, "TransitEncryptionEnabled is not on")
        if not as_list(cache.get("UserGroupIds")):
            yield Finding(cache.where, "lets in whoever connects: no UserGroupIds")
    if model.profile.section == "local":
        return
    for resource, variables in environments(model):
        if "REDIS_TLS_ENABLED" in variables and not is_true(variables["REDIS_TLS_ENABLED"]):
            yield Finding(resource.where, "REDIS_TLS_ENABLED is not true")


def environments(model: Model) -> Iterator[tuple[Resource, dict[str, Value]]]:
    """The (function or task, its environment variables)."""
    for function in model.of("AWS::Lambda::Function"):
        yield function, function.get("Environment.Variables", {})
    for task in model.of("AWS::ECS::TaskDefinition"):
        for container in task.get("ContainerDefinitions"):
            yield task, {str(each["Name"]): each["Value"] for each in as_list(container.get("Environment"))}


@check("browsers, the edge and the load balancer speak TLS 1.2 or later")
def web_is_encrypted(model: Model) -> Iterator[Finding]:
    named = bool(model.stacks[""].parameters.get("DomainName"))
    for distribution in model.of("AWS::CloudFront::Distribution"):
        yield from _distribution(distribution, named)
    for listener in model.of("AWS::ElasticLoadBalancingV2::Listener"):
        if named and (listener.get("Protocol") != "HTTPS" or not as_list(listener.get("Certificates"))):
            yield Finding(listener.where, "is not HTTPS with a certificate, though there is a domain")
        elif named and not plain(listener.get("SslPolicy")).startswith(_MODERN_BALANCER):
            yield Finding(listener.where, f"its SslPolicy is {listener.get('SslPolicy')}")


def _distribution(distribution: Resource, named: bool) -> Iterator[Finding]:
    config = distribution.get("DistributionConfig")
    for behavior in behaviors(distribution):
        if behavior["ViewerProtocolPolicy"] not in ("https-only", "redirect-to-https"):
            yield Finding(distribution.where, f"{behavior.get('PathPattern', 'the rest')} is served without TLS")
    if not named:
        return
    if config.get("ViewerCertificate", {}).get("MinimumProtocolVersion") not in _MODERN_EDGE:
        yield Finding(distribution.where, "takes viewers with an old TLS: see MinimumProtocolVersion")
    for origin in as_list(config.get("Origins")):
        custom = origin.get("CustomOriginConfig")
        if custom and custom.get("OriginProtocolPolicy") != "https-only":
            yield Finding(distribution.where, f"speaks to its origin {origin['Id']} without TLS")


def behaviors(distribution: Resource) -> Iterator[dict[str, Value]]:
    """The cache behaviours of a distribution, the default one last."""
    config = distribution.get("DistributionConfig")
    yield from as_list(config.get("CacheBehaviors"))
    yield config["DefaultCacheBehavior"]


@check("queues, topics and buckets refuse whoever does not use TLS")
def transport_is_demanded(model: Model) -> Iterator[Finding]:
    policies = {
        "AWS::SQS::Queue": ("AWS::SQS::QueuePolicy", "AWS::SQS::QueueInlinePolicy"),
        "AWS::SNS::Topic": ("AWS::SNS::TopicPolicy", "AWS::SNS::TopicInlinePolicy"),
        "AWS::S3::Bucket": ("AWS::S3::BucketPolicy",),
    }
    for kind, of_kind in policies.items():
        for resource in model.of(kind):
            found = [statement for policy in model.users(resource, *of_kind) for statement in statements(policy)]
            if not any(
                not each.allows and "aws:SecureTransport" in str(each.content.get("Condition")) for each in found
            ):
                yield Finding(resource.where, "no policy refuses requests without TLS (aws:SecureTransport)")
