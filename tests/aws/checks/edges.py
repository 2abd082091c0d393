"""Who connects to whom: the diagram, and the security groups that have to draw the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tests.aws.checks.exposure import ingress_rules
from tests.aws.findings import Finding, check
from tests.aws.model import Model
from tests.aws.values import Value, as_list, plain

CLOUDFRONT: Final = "CloudFront"
HEALTH_CHECKERS: Final = "Route 53"
EVERYWHERE: Final = "AWS's APIs"
NETWORK: Final = "the network"
INCOMING: Final = {
    (CLOUDFRONT, "AlbSecurityGroup", "443"),
    (CLOUDFRONT, "AlbSecurityGroup", "80"),
    (HEALTH_CHECKERS, "AlbHealthCheckSecurityGroup", "443"),
    ("AlbSecurityGroup", "AppSecurityGroup", "3000"),
    ("FunctionSecurityGroup", "AppSecurityGroup", "3000"),
    ("AppSecurityGroup", "DataSecurityGroup", "5432"),
    ("AppSecurityGroup", "DataSecurityGroup", "6379"),
    ("FunctionSecurityGroup", "DataSecurityGroup", "5432"),
    ("FunctionSecurityGroup", "DataSecurityGroup", "6379"),
    ("AppSecurityGroup", "EndpointSecurityGroup", "443"),
    ("FunctionSecurityGroup", "EndpointSecurityGroup", "443"),
}
"""The diagram, in the direction in which a connection is opened: (from, to, port)."""
OUTGOING: Final = {
    ("AlbSecurityGroup", NETWORK, "3000"),
    ("AppSecurityGroup", EVERYWHERE, "443"),
    ("AppSecurityGroup", NETWORK, "5432"),
    ("AppSecurityGroup", NETWORK, "6379"),
    ("FunctionSecurityGroup", EVERYWHERE, "443"),
    ("FunctionSecurityGroup", NETWORK, "3000"),
    ("FunctionSecurityGroup", NETWORK, "5432"),
    ("FunctionSecurityGroup", NETWORK, "6379"),
}
"""The same, as far as the side that opens it is concerned."""
_NOWHERE: Final = "127.0.0.1/32"


@check("security groups let in exactly what the diagram shows")
def groups_follow_the_diagram(model: Model) -> Iterator[Finding]:
    drawn: set[tuple[str, str, str]] = set()
    for group, rule in ingress_rules(model):
        edge = (_source(model, rule), group.name, _ports(rule))
        drawn.add(edge)
        if edge not in INCOMING:
            yield Finding(group.where, f"lets in {edge[0]} on port {edge[2]}, which the diagram does not show")
    groups = {group.name: group for group in model.of("AWS::EC2::SecurityGroup")}
    checked = bool(model.stacks[""].parameters.get("Route53HealthCheckPrefixListId"))
    for edge in sorted(INCOMING - drawn):
        if edge[0] == CLOUDFRONT or (edge[0] == HEALTH_CHECKERS and not checked):
            continue
        if edge[1] in groups:
            yield Finding(
                groups[edge[1]].where, f"does not let in {edge[0]} on port {edge[2]}, which the diagram shows"
            )
    if groups and not any(edge[0] == CLOUDFRONT for edge in drawn):
        yield Finding("sam/security.yaml", "nothing lets in CloudFront")


@check("security groups let out exactly what the diagram shows")
def groups_let_out_what_is_needed(model: Model) -> Iterator[Finding]:
    for group in model.of("AWS::EC2::SecurityGroup"):
        rules = as_list(group.get("SecurityGroupEgress"))
        if not rules:
            yield Finding(group.where, "has no outgoing rule, which means that everything may go out")
        drawn = {(group.name, _destination(rule), _ports(rule)) for rule in rules if rule.get("CidrIp") != _NOWHERE}
        for _, target, port in sorted(drawn - OUTGOING):
            yield Finding(group.where, f"lets out to {target} on port {port}, which the diagram does not show")
        for _, target, port in sorted(edge for edge in OUTGOING - drawn if edge[0] == group.name):
            yield Finding(group.where, f"does not let out to {target} on port {port}, which the diagram shows")


@check("every rule of a security group says what it is for")
def rules_have_descriptions(model: Model) -> Iterator[Finding]:
    for group in model.of("AWS::EC2::SecurityGroup"):
        for rule in [*as_list(group.get("SecurityGroupIngress")), *as_list(group.get("SecurityGroupEgress"))]:
            if not rule.get("Description"):
                yield Finding(group.where, f"the rule for port {_ports(rule)} has no description")


@check("every security group is on something")
def groups_are_used(model: Model) -> Iterator[Finding]:
    for group in model.of("AWS::EC2::SecurityGroup"):
        kinds = {user.type for user in model.users(group)} - {
            "AWS::EC2::SecurityGroup",
            "AWS::EC2::SecurityGroupIngress",
            "AWS::EC2::SecurityGroupEgress",
            "AWS::CloudFormation::Stack",
        }
        if not kinds and model.profile.name in ("dev", "staging", "prod"):
            yield Finding(group.where, "is on nothing")


def _source(model: Model, rule: dict[str, Value]) -> str:
    prefix_list = rule.get("SourcePrefixListId")
    if prefix_list:
        scope = model.stacks[""]
        return CLOUDFRONT if prefix_list == scope.parameters.get("CloudFrontPrefixListId") else HEALTH_CHECKERS
    group = model.target(rule.get("SourceSecurityGroupId"))
    return group.name if group is not None else plain(rule.get("CidrIp") or rule.get("CidrIpv6") or "something unknown")


def _destination(rule: dict[str, Value]) -> str:
    if rule.get("CidrIp") == "0.0.0.0/0":
        return EVERYWHERE
    group = rule.get("DestinationSecurityGroupId")
    return NETWORK if group is not None or plain(rule.get("CidrIp")).startswith("10.") else plain(rule.get("CidrIp"))


def _ports(rule: dict[str, Value]) -> str:
    if plain(rule.get("IpProtocol")) in ("-1", "all"):
        return "any"
    first, last = plain(rule.get("FromPort")), plain(rule.get("ToPort"))
    return first if first == last else f"{first}-{last}"
