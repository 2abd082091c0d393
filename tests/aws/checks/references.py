"""Everything that is named is there, and everything that is there is named."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from tests.aws.documents import BOOTSTRAP_TEMPLATE, ROOT, ROOT_TEMPLATE, STACK, Document, nested_templates, walk
from tests.aws.findings import Finding, check
from tests.aws.model import Model
from tests.aws.values import Reference, references

_VARIABLE: Final = re.compile(r"\$\{([^!}][^}]*)\}")
_USERS_OF_OUTPUTS: Final = (
    "docs/**/*.md",
    "README.md",
    "Makefile",
    "ops/**/*.py",
    "tests/rehearsal/**/*.py",
    ".github/**/*.yml",
)
ATTRIBUTES: Final[dict[str, tuple[str, ...]]] = {
    "AWS::ApiGateway::RestApi": ("RestApiId", "RootResourceId"),
    "AWS::ApiGateway::DomainName": ("RegionalDomainName", "RegionalHostedZoneId", "DistributionDomainName"),
    "AWS::CertificateManager::Certificate": (),
    "AWS::CloudFront::Distribution": ("DomainName", "Id"),
    "AWS::CloudWatch::Alarm": ("Arn",),
    "AWS::EC2::EIP": ("AllocationId", "PublicIp"),
    "AWS::EC2::SecurityGroup": ("GroupId", "VpcId", "Id"),
    "AWS::EC2::VPC": ("VpcId", "CidrBlock", "DefaultSecurityGroup", "CidrBlockAssociations", "DefaultNetworkAcl"),
    "AWS::ECR::Repository": ("Arn", "RepositoryUri"),
    "AWS::ECS::Cluster": ("Arn",),
    "AWS::ECS::Service": ("Name", "ServiceArn"),
    "AWS::ECS::TaskDefinition": ("TaskDefinitionArn",),
    "AWS::ElastiCache::ReplicationGroup": (
        *("PrimaryEndPoint.Address", "PrimaryEndPoint.Port", "ReaderEndPoint.Address", "ReaderEndPoint.Port"),
    ),
    "AWS::ElasticLoadBalancingV2::LoadBalancer": (
        *("CanonicalHostedZoneID", "DNSName", "LoadBalancerArn", "LoadBalancerFullName", "LoadBalancerName"),
    ),
    "AWS::ElasticLoadBalancingV2::TargetGroup": ("TargetGroupArn", "TargetGroupFullName", "TargetGroupName"),
    "AWS::IAM::Role": ("Arn", "RoleId"),
    "AWS::KMS::Key": ("Arn", "KeyId"),
    "AWS::Lambda::Function": ("Arn",),
    "AWS::Logs::LogGroup": ("Arn",),
    "AWS::RDS::DBInstance": ("Endpoint.Address", "Endpoint.Port", "DBInstanceArn", "DbiResourceId"),
    "AWS::S3::Bucket": ("Arn", "DomainName", "RegionalDomainName", "WebsiteURL"),
    "AWS::SecretsManager::Secret": ("Id",),
    "AWS::SNS::Topic": ("TopicArn", "TopicName"),
    "AWS::SQS::Queue": ("Arn", "QueueName", "QueueUrl"),
    "AWS::WAFv2::WebACL": ("Arn", "Id", "Capacity", "LabelNamespace"),
}
"""What GetAtt gives of the types that are asked; of others cfn-lint knows."""
OF_CHALICE: Final = ("APIHandlerArn", "APIHandlerName", "EndpointURL", "RestAPIId")
"""Outputs that Chalice writes, and that its merge cannot take away."""


@check("every reference leads somewhere, through every nested stack")
def references_resolve(model: Model) -> Iterator[Finding]:
    for where, what in model.problems:
        yield Finding(where, what)


@check("what a stack and a stack in it both have a parameter for is handed on", about_files=True)
def parameters_are_handed_on(model: Model) -> Iterator[Finding]:
    documents = model.project.documents
    for file, document in documents.items():
        nested = dict(nested_templates(file, document))
        outputs = {output for path in nested.values() for output in documents.get(path, {}).get("Outputs") or {}}
        known = set(document.get("Parameters") or {}) | outputs
        for name, path in nested.items():
            inner = documents.get(path, {})
            wanted = set(inner.get("Parameters") or {}) - set(inner.get("Outputs") or {})
            given = document["Resources"][name]["Properties"].get("Parameters", {})
            for parameter in sorted((wanted & known) - set(given)):
                yield Finding(f"{file}: {name}", f"is not given {parameter}, which is there to be given")


@check("every attribute that is asked for is one that its resource has")
def attributes_exist(model: Model) -> Iterator[Finding]:
    for resource in model.resources.values():
        for found in references(resource.properties):
            yield from _attribute(model, resource.where, found)
    for name, value in model.outputs.items():
        for found in references(value):
            yield from _attribute(model, f"{model.profile.template}: Outputs.{name}", found)


def _attribute(model: Model, where: str, found: Reference) -> Iterator[Finding]:
    target = model.resources.get(found.resource)
    known = ATTRIBUTES.get(target.type, ()) if target else ()
    if found.attribute and known and found.attribute not in (*known, "Alias", "Version"):
        yield Finding(where, f"asks {found.resource} for {found.attribute}, which it has not")


@check("every parameter, condition and mapping is used", about_files=True)
def declarations_are_used(model: Model) -> Iterator[Finding]:
    for file, document in model.project.documents.items():
        names, conditions, mappings = _mentioned(document)
        for section, used in (("Parameters", names), ("Conditions", conditions), ("Mappings", mappings)):
            for name in (document.get(section) or {}).keys() - used:
                yield Finding(f"{file}: {section}.{name}", "nothing uses it")


@check("every output of a nested stack is used by the stack around it, or read by a program", about_files=True)
def outputs_are_used(model: Model) -> Iterator[Finding]:
    documents, texts = model.project.documents, _texts()
    used: dict[str, set[str]] = {}
    for file, document in documents.items():
        for name, nested in nested_templates(file, document):
            used.setdefault(nested, set()).update(_outputs_taken(document, name))
    for file, taken in used.items():
        for name in (documents.get(file, {}).get("Outputs") or {}).keys() - taken:
            if name not in OF_CHALICE and not re.search(rf"\b{name}\b", texts):
                yield Finding(f"{file}: Outputs.{name}", "neither the stack around it nor a program uses it")


@check("every output of a whole deployment is used by a program or a page", about_files=True)
def root_outputs_are_used(model: Model) -> Iterator[Finding]:
    texts = _texts()
    for file in (ROOT_TEMPLATE, BOOTSTRAP_TEMPLATE):
        for name in model.project.documents.get(file, {}).get("Outputs") or {}:
            if not re.search(rf"\b{name}\b", texts):
                yield Finding(f"{file}: Outputs.{name}", "no program, workflow or page names it")


@cache
def _texts() -> str:
    found = (file for pattern in _USERS_OF_OUTPUTS for file in sorted(ROOT.glob(pattern)) if file.is_file())
    return "\n".join(file.read_text() for file in found)


def _mentioned(document: Document) -> tuple[set[str], set[str], set[str]]:
    """The (names, conditions, mappings) that a template mentions outside their definitions."""
    names: set[str] = set()
    conditions: set[str] = set()
    mappings: set[str] = set()
    for node in walk({title: section for title, section in document.items() if title != "Metadata"}):
        if isinstance(node.get("Ref"), str):
            names.add(node["Ref"])
        if isinstance(node.get("Condition"), str):
            conditions.add(node["Condition"])
        for function, argument in node.items():
            if function == "Fn::Sub":
                names.update(_substituted(argument))
            elif function == "Fn::If":
                conditions.add(argument[0])
            elif function == "Fn::FindInMap":
                mappings.add(argument[0])
    return names, conditions, mappings


def _substituted(argument: Any) -> set[str]:
    text = argument[0] if isinstance(argument, list) else argument
    return {match.strip().split(".")[0] for match in _VARIABLE.findall(text)}


def _outputs_taken(document: Document, stack: str) -> set[str]:
    taken: set[str] = set()
    for node in walk(document):
        argument = node.get("Fn::GetAtt")
        if isinstance(argument, list) and argument[0] == stack and isinstance(argument[1], str):
            taken.add(argument[1].removeprefix("Outputs."))
        text = node.get("Fn::Sub")
        for text_part in [text[0] if isinstance(text, list) else text] if text else []:
            taken.update(re.findall(rf"\$\{{{stack}\.Outputs\.(\w+)\}}", text_part))
    return taken


@check("no template is larger than CloudFormation takes, and none nests one that is not there", about_files=True)
def templates_fit(model: Model) -> Iterator[Finding]:
    for file, document in model.project.documents.items():
        resources = document.get("Resources", {})
        if len(resources) > 500:
            yield Finding(file, f"{len(resources)} resources, more than 500")
        if len(document.get("Parameters") or {}) > 200:
            yield Finding(file, "more than 200 parameters")
        for name, resource in resources.items():
            url = resource.get("Properties", {}).get("TemplateURL", "") if resource.get("Type") == STACK else ""
            if not isinstance(url, str) or url.startswith(("http:", "https:")):
                yield Finding(f"{file}: {name}", "nests a template that is not part of the clone")
