"""What the world can reach: the edge, the submission API, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tests.aws.findings import Finding, check
from tests.aws.model import Model, Resource
from tests.aws.values import Value, as_list, is_true

DOORS: Final = {
    "AWS::CloudFront::Distribution": 1,
    "AWS::ApiGateway::RestApi": 1,
    "AWS::ElasticLoadBalancingV2::LoadBalancer": 1,
    "AWS::ApiGatewayV2::Api": 0,
    "AWS::Lambda::Url": 0,
    "AWS::Cognito::UserPoolDomain": 0,
    "AWS::EC2::Instance": 0,
    "AWS::ECR::PublicRepository": 0,
}
"""How many of each kind of public address a deployment has at most."""
_PRIVATE: Final = {
    "AWS::RDS::DBSubnetGroup": "SubnetIds",
    "AWS::ElastiCache::SubnetGroup": "SubnetIds",
    "AWS::Lambda::Function": "VpcConfig.SubnetIds",
    "AWS::ECS::Service": "NetworkConfiguration.AwsvpcConfiguration.Subnets",
    "AWS::EC2::VPCEndpoint": "SubnetIds",
}
_EVERYWHERE: Final = ("0.0.0.0/0", "::/0")
_BLOCKS: Final = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")


def public_subnets(model: Model) -> set[str]:
    """Return the paths of subnets whose route leads to the internet and back."""
    tables = {
        target.path
        for route in model.of("AWS::EC2::Route")
        if (gateway := model.target(route.get("GatewayId"))) and gateway.type == "AWS::EC2::InternetGateway"
        if (target := model.target(route.get("RouteTableId")))
    }
    return {
        subnet.path
        for association in model.of("AWS::EC2::SubnetRouteTableAssociation")
        if (table := model.target(association.get("RouteTableId"))) and table.path in tables
        if (subnet := model.target(association.get("SubnetId")))
    }


@check("data, tasks and functions are in subnets that the internet cannot reach")
def private_things_are_in_private_subnets(model: Model) -> Iterator[Finding]:
    public = public_subnets(model)
    for kind, place in _PRIVATE.items():
        for resource in model.of(kind):
            subnets = as_list(resource.get(place))
            for subnet in filter(None, map(model.target, subnets)):
                if subnet.path in public:
                    yield Finding(resource.where, f"is in {subnet.name}, which is public")


@check("functions and tasks are in the network, and have no public address")
def programs_are_in_the_network(model: Model) -> Iterator[Finding]:
    for function in model.of("AWS::Lambda::Function"):
        if not as_list(function.get("VpcConfig.SubnetIds")) or not as_list(function.get("VpcConfig.SecurityGroupIds")):
            yield Finding(function.where, "is not in the network: it has no VpcConfig")
    for service in model.of("AWS::ECS::Service"):
        if service.get("NetworkConfiguration.AwsvpcConfiguration.AssignPublicIp") != "DISABLED":
            yield Finding(service.where, "gives its tasks public addresses")
    for subnet in model.of("AWS::EC2::Subnet"):
        if is_true(subnet.get("MapPublicIpOnLaunch")):
            yield Finding(subnet.where, "gives a public address to whatever starts in it")


@check("no database is publicly accessible")
def databases_are_private(model: Model) -> Iterator[Finding]:
    for database in model.of("AWS::RDS::DBInstance"):
        if database.get("PubliclyAccessible") is None or is_true(database.get("PubliclyAccessible")):
            yield Finding(database.where, "PubliclyAccessible is not false")


@check("nothing is open to every address, and only prefix lists reach the load balancer")
def nothing_is_open_to_everyone(model: Model) -> Iterator[Finding]:
    balancers = {
        group.path
        for balancer in model.of("AWS::ElasticLoadBalancingV2::LoadBalancer")
        for group in filter(None, map(model.target, as_list(balancer.get("SecurityGroups"))))
    }
    for group, rule in ingress_rules(model):
        if rule.get("CidrIp") in _EVERYWHERE or rule.get("CidrIpv6") in _EVERYWHERE:
            yield Finding(group.where, "lets in every address")
        elif group.path in balancers and not rule.get("SourcePrefixListId"):
            yield Finding(group.where, "lets something else than a prefix list reach the load balancer")


def ingress_rules(model: Model) -> Iterator[tuple[Resource, dict[str, Value]]]:
    """The (security group, rule) of everything that comes in."""
    for group in model.of("AWS::EC2::SecurityGroup"):
        for rule in as_list(group.get("SecurityGroupIngress")):
            yield group, rule
    for rule in model.of("AWS::EC2::SecurityGroupIngress"):
        owner = model.target(rule.get("GroupId"))
        if owner is not None:
            yield owner, rule.properties


@check("no bucket can be made public")
def buckets_are_blocked(model: Model) -> Iterator[Finding]:
    for bucket in model.of("AWS::S3::Bucket"):
        for block in _BLOCKS:
            if not is_true(bucket.get(f"PublicAccessBlockConfiguration.{block}")):
                yield Finding(bucket.where, f"{block} is not on")


@check("the edge, the load balancer behind it and the submission API are the only public addresses")
def doors_are_counted(model: Model) -> Iterator[Finding]:
    for kind, most in DOORS.items():
        found = list(model.of(kind))
        if kind.endswith("::LoadBalancer"):
            found = [balancer for balancer in found if balancer.get("Scheme", "internet-facing") != "internal"]
        for resource in found[most:]:
            yield Finding(resource.where, f"is one {kind} more than the {most} that may be public")
    for address in model.of("AWS::EC2::EIP"):
        if not list(model.users(address, "AWS::EC2::NatGateway")):
            yield Finding(address.where, "is an address that no NAT gateway uses")


@check("the load balancer answers only what comes through the edge")
def balancer_asks_for_the_edge(model: Model) -> Iterator[Finding]:
    for listener in model.of("AWS::ElasticLoadBalancingV2::Listener"):
        actions = as_list(listener.get("DefaultActions"))
        refuses = [
            action for action in actions if str(action.get("FixedResponseConfig", {}).get("StatusCode")) == "403"
        ]
        if not refuses:
            yield Finding(listener.where, "its default is not a refusal with 403")
    for rule in model.of("AWS::ElasticLoadBalancingV2::ListenerRule"):
        yield from _rule(rule)


def _rule(rule: Resource) -> Iterator[Finding]:
    if not any(action.get("Type") == "forward" for action in as_list(rule.get("Actions"))):
        return
    conditions = as_list(rule.get("Conditions"))
    headers = [
        each for each in conditions if each.get("HttpHeaderConfig", {}).get("HttpHeaderName") == "X-Origin-Verify"
    ]
    paths = [str(path) for each in conditions for path in each.get("PathPatternConfig", {}).get("Values", [])]
    if any("metrics" in path for path in paths):
        yield Finding(rule.where, "/metrics leads to the tasks")
    if not headers and paths != ["/health/ready"]:
        yield Finding(rule.where, "forwards what does not carry the edge's header")
