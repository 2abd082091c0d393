"""Where things are in the network: the ways out, the private ways to AWS, and which group each thing is in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from tests.aws.checks.exposure import public_subnets
from tests.aws.findings import Finding, check
from tests.aws.model import Model, Resource
from tests.aws.programs import API
from tests.aws.reads import needs
from tests.aws.values import Value, as_list, is_true, plain

SUBNET: Final = "AWS::EC2::Subnet"
ENDPOINT: Final = "AWS::EC2::VPCEndpoint"
ROUTE: Final = "AWS::EC2::Route"
SERVING: Final = (API, ("workers.score_events:handler",))
"""The programs between a score and its place on the board."""
_STARTING: Final = frozenset({"logs", "ecr.api", "ecr.dkr", "s3"})
"""What a task needs on top to start, and to speak."""
_GROUPED: Final = {
    "AWS::RDS::DBInstance": "VPCSecurityGroups",
    "AWS::ElastiCache::ReplicationGroup": "SecurityGroupIds",
    "AWS::ElasticLoadBalancingV2::LoadBalancer": "SecurityGroups",
    "AWS::ECS::Service": "NetworkConfiguration.AwsvpcConfiguration.SecurityGroups",
    "AWS::Lambda::Function": "VpcConfig.SecurityGroupIds",
}
_GROUP: Final = "AWS::EC2::SecurityGroup"
_DESCRIBED: Final = re.compile(r"[a-zA-Z0-9 ._\-:/()#,@\[\]+=&;{}!$*]{1,255}")
"""What EC2 takes as the description of a group or a rule. An apostrophe is not in it."""
_OWN: Final = {
    "AWS::RDS::DBInstance": {"DBParameterGroupName": "AWS::RDS::DBParameterGroup"},
    "AWS::ElastiCache::ReplicationGroup": {
        "CacheParameterGroupName": "AWS::ElastiCache::ParameterGroup",
        "CacheSubnetGroupName": "AWS::ElastiCache::SubnetGroup",
    },
    "AWS::ECS::Service": {"Cluster": "AWS::ECS::Cluster", "TaskDefinition": "AWS::ECS::TaskDefinition"},
}
"""What would otherwise be the account's default: properties, and what they have to name."""


@check("whatever has a network interface names its security groups")
def interfaces_have_groups(model: Model) -> Iterator[Finding]:
    for kind, place in _GROUPED.items():
        for resource in model.of(kind):
            groups = [model.target(each) for each in as_list(resource.get(place))]
            if not groups or any(group is None or group.type != _GROUP for group in groups):
                yield Finding(resource.where, f"is in the network's default security group: see {place}")
    for endpoint in model.of(ENDPOINT):
        if endpoint.get("VpcEndpointType") == "Interface" and not as_list(endpoint.get("SecurityGroupIds")):
            yield Finding(endpoint.where, "is in the network's default security group: see SecurityGroupIds")


@check("security groups and their rules are described in characters that EC2 takes")
def descriptions_are_taken(model: Model) -> Iterator[Finding]:
    for group in model.of(_GROUP):
        rules = [*as_list(group.get("SecurityGroupIngress")), *as_list(group.get("SecurityGroupEgress"))]
        for text in (group.get("GroupDescription"), *(rule.get("Description", "-") for rule in rules)):
            if not _DESCRIBED.fullmatch(str(text)):
                yield Finding(group.where, f"EC2 refuses the description {str(text)!r}")


@check("nothing runs in a default cluster, subnet group or parameter group")
def defaults_are_not_used(model: Model) -> Iterator[Finding]:
    for kind, properties in _OWN.items():
        for resource in model.of(kind):
            for name, wanted in properties.items():
                target = model.target(resource.get(name))
                if target is None or target.type != wanted:
                    yield Finding(resource.where, f"{name} is nothing of the deployment")
    for database in model.of("AWS::RDS::DBInstance"):
        target = model.target(database.get("DBSubnetGroupName"))
        if not database.get("SourceDBInstanceIdentifier") and target is None:
            yield Finding(database.where, "DBSubnetGroupName is nothing of the deployment")


def _routes_of(model: Model, subnet: Resource) -> list[Resource]:
    """The default routes of a subnet."""
    tables = {
        table.path
        for association in model.of("AWS::EC2::SubnetRouteTableAssociation")
        if model.target(association.get("SubnetId")) is subnet
        if (table := model.target(association.get("RouteTableId")))
    }
    return [
        route
        for route in model.of(ROUTE)
        if (table := model.target(route.get("RouteTableId"))) and table.path in tables
        if route.get("DestinationCidrBlock") == "0.0.0.0/0"
    ]


@check("every subnet has a route table, a zone of its own kind, and a way out that leaves no zone behind")
def subnets_have_ways_out(model: Model) -> Iterator[Finding]:
    public = public_subnets(model)
    zones: dict[tuple[bool, str], Resource] = {}
    for subnet in model.of(SUBNET):
        place = (subnet.path in public, plain(subnet.get("AvailabilityZone")))
        if place in zones:
            yield Finding(subnet.where, f"is in the zone of {zones[place].name}, which is of the same kind")
        zones[place] = subnet
        routes = _routes_of(model, subnet)
        if len(routes) != 1 and model.profile.section != "local":
            yield Finding(subnet.where, f"has {len(routes)} ways out")
        for route in routes:
            yield from _nat(model, subnet, route)


def _nat(model: Model, subnet: Resource, route: Resource) -> Iterator[Finding]:
    gateway = model.target(route.get("NatGatewayId"))
    if gateway is None or model.profile.section != "prod":
        return
    beside = model.target(gateway.get("SubnetId"))
    if beside is None or beside.get("AvailabilityZone") != subnet.get("AvailabilityZone"):
        yield Finding(subnet.where, "goes out by another zone's NAT gateway, and hangs on that zone")


@check("in production what serves a score reaches AWS without leaving the network")
def serving_needs_no_nat(model: Model) -> Iterator[Finding]:
    if model.profile.section != "prod":
        return
    services = {service for entry in SERVING for service, _ in needs(*entry).calls} | _STARTING
    found = {
        plain(endpoint.get("ServiceName")).partition(f"{model.profile.region}.")[2] for endpoint in model.of(ENDPOINT)
    }
    for service in sorted(services - found):
        yield Finding("sam/security.yaml", f"has no endpoint of {service}")
    for endpoint in model.of(ENDPOINT):
        gateway = plain(endpoint.get("ServiceName")).endswith((".s3", ".dynamodb"))
        if gateway:
            continue
        if endpoint.get("VpcEndpointType") != "Interface" or not as_list(endpoint.get("SubnetIds")):
            yield Finding(endpoint.where, "is no interface in the subnets, which this service's has to be")
        if not is_true(endpoint.get("PrivateDnsEnabled")):
            yield Finding(endpoint.where, "is used by nobody: PrivateDnsEnabled is not on")


@check("the network resolves names, as private ways to AWS need it")
def network_resolves_names(model: Model) -> Iterator[Finding]:
    for network in model.of("AWS::EC2::VPC"):
        for flag in ("EnableDnsSupport", "EnableDnsHostnames"):
            if not is_true(network.get(flag)):
                yield Finding(network.where, f"{flag} is not on")
    tables = {table.path for table in _private_tables(model)}
    for endpoint in model.of(ENDPOINT):
        if endpoint.get("VpcEndpointType") == "Gateway":
            reached = {target.path for value in _tables(endpoint) if (target := model.target(value))}
            if tables - reached:
                yield Finding(endpoint.where, f"is not in the route tables {', '.join(sorted(tables - reached))}")


def _tables(endpoint: Resource) -> list[Value]:
    return as_list(endpoint.get("RouteTableIds"))


def _private_tables(model: Model) -> Iterator[Resource]:
    public = public_subnets(model)
    for association in model.of("AWS::EC2::SubnetRouteTableAssociation"):
        subnet, table = model.target(association.get("SubnetId")), model.target(association.get("RouteTableId"))
        if subnet is not None and table is not None and subnet.path not in public:
            yield table
