"""CloudFront, its firewall and its names: a stream passes as it is, the rest is kept for as long as it may be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tests.aws.checks.encryption import behaviors
from tests.aws.findings import Finding, check
from tests.aws.model import Model, Resource
from tests.aws.values import Value, as_list, is_true, number

DISTRIBUTION: Final = "AWS::CloudFront::Distribution"
CACHING_DISABLED: Final = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
ALL_BUT_HOST: Final = "b689b0a8-53d0-40ab-baf2-68738e2966ac"
FIREWALL_RULES: Final = ("AWSManagedRulesKnownBadInputsRuleSet", "AWSManagedRulesAmazonIpReputationList")
_HOUR_S: Final = 3600


@check("the stream and the API pass the edge uncached, uncompressed and as soon as they come")
def stream_passes(model: Model) -> Iterator[Finding]:
    for distribution in model.of(DISTRIBUTION):
        api = [found for found in behaviors(distribution) if str(found.get("PathPattern", "")).startswith("/api")]
        if not api:
            yield Finding(distribution.where, "has no behaviour for /api/*")
        for behavior in api:
            yield from _live(distribution, behavior)


def _live(distribution: Resource, behavior: dict[str, Value]) -> Iterator[Finding]:
    where = f"{distribution.where} {behavior['PathPattern']}"
    if behavior.get("CachePolicyId") != CACHING_DISABLED:
        yield Finding(where, "is cached: its policy is not CachingDisabled")
    if is_true(behavior.get("Compress")):
        yield Finding(where, "is compressed, which holds back the events of a stream")
    if behavior.get("OriginRequestPolicyId") != ALL_BUT_HOST:
        yield Finding(where, "does not pass on everything but the Host header")
    if "POST" not in behavior.get("AllowedMethods", []):
        yield Finding(where, "refuses POST")
    origin = _origin(distribution, behavior)
    timeout = number(origin.get("CustomOriginConfig", {}).get("OriginReadTimeout"), 30)
    if timeout < 60:
        yield Finding(where, f"is cut after {timeout:g} s of silence, not 60 s")
    if "ResponseCompletionTimeout" in origin:
        yield Finding(where, "is cut after a time however lively it is: ResponseCompletionTimeout")


def _origin(distribution: Resource, behavior: dict[str, Value]) -> dict[str, Value]:
    for origin in as_list(distribution.get("DistributionConfig.Origins")):
        if origin["Id"] == behavior["TargetOriginId"]:
            assert isinstance(origin, dict)
            return origin
    return {}


@check("pages are kept for an hour and what has a version in its name for a day, compressed")
def pages_are_kept(model: Model) -> Iterator[Finding]:
    policies = {policy.path: policy for policy in model.of("AWS::CloudFront::CachePolicy")}
    for distribution in model.of(DISTRIBUTION):
        for behavior in behaviors(distribution):
            pattern = str(behavior.get("PathPattern", "/*"))
            policy = model.target(behavior.get("CachePolicyId"))
            if policy is None or policy.path not in policies:
                continue
            hours = number(policy.get("CachePolicyConfig.DefaultTTL")) / _HOUR_S
            expected = 24 if pattern.startswith("/static") else 1
            if hours != expected:
                yield Finding(
                    f"{distribution.where} {pattern}", f"is kept for {hours:g} h, not the guide's {expected} h"
                )
            if not is_true(behavior.get("Compress")):
                yield Finding(f"{distribution.where} {pattern}", "is not compressed")


@check("every behaviour has an origin, and every origin carries the edge's secret to the load balancer")
def origins_are_known(model: Model) -> Iterator[Finding]:
    for distribution in model.of(DISTRIBUTION):
        for behavior in behaviors(distribution):
            if not _origin(distribution, behavior):
                yield Finding(distribution.where, f"{behavior['TargetOriginId']} is no origin of it")
        for origin in as_list(distribution.get("DistributionConfig.Origins")):
            headers = [header.get("HeaderName") for header in as_list(origin.get("OriginCustomHeaders"))]
            if "CustomOriginConfig" in origin and "X-Origin-Verify" not in headers:
                yield Finding(distribution.where, f"the origin {origin['Id']} is not shown X-Origin-Verify")


@check("staging and production have a firewall at the edge, with a rate and the known bad inputs")
def firewall_is_there(model: Model) -> Iterator[Finding]:
    if model.profile.section not in ("staging", "prod") or not list(model.of(DISTRIBUTION)):
        return
    lists = list(model.of("AWS::WAFv2::WebACL"))
    for distribution in model.of(DISTRIBUTION):
        given = distribution.get("DistributionConfig.WebACLId")
        if isinstance(given, str) and given.startswith("arn:"):
            continue  # one that the user has
        if not any(model.target(given) is each for each in lists):
            yield Finding(distribution.where, "has no firewall: no WebACLId")
    for found in lists:
        if found.get("Scope") != "CLOUDFRONT":
            yield Finding(found.where, "is not one for CloudFront")
        rules = str(found.get("Rules"))
        for name in (*FIREWALL_RULES, "RateBasedStatement"):
            if name not in rules:
                yield Finding(found.where, f"has no rule {name}")
        for rule in as_list(found.get("Rules")):
            if "ManagedRuleGroupStatement" in str(rule) and "Count" in rule.get("OverrideAction", {}):
                yield Finding(found.where, f"the rule {rule['Name']} only counts")


@check("a name fails over from the load balancer to what still takes scores")
def names_fail_over(model: Model) -> Iterator[Finding]:
    if not list(model.of(DISTRIBUTION)) or not model.stacks[""].parameters.get("DomainName"):
        return
    records = [found for found in model.of("AWS::Route53::RecordSet") if found.get("Failover")]
    kinds = {str(found.get("Failover")) for found in records}
    if kinds != {"PRIMARY", "SECONDARY"}:
        yield Finding(
            "sam/failover.yaml",
            f"the origin's records are {', '.join(sorted(kinds)) or 'none'}, not PRIMARY and SECONDARY",
        )
    for record in records:
        health = model.target(record.get("HealthCheckId"))
        if record.get("Failover") == "PRIMARY" and (health is None or health.type != "AWS::Route53::HealthCheck"):
            yield Finding(record.where, "nothing says when it has failed: no HealthCheckId")
        if record.get("AliasTarget") and is_true(record.get("AliasTarget.EvaluateTargetHealth")):
            yield Finding(record.where, "an empty target group would count as its failure: EvaluateTargetHealth")
    for health in model.of("AWS::Route53::HealthCheck"):
        if health.get("HealthCheckConfig.ResourcePath") != "/health/ready":
            yield Finding(health.where, "asks for something else than /health/ready")
