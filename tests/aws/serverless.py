"""What the SAM transform makes of `AWS::Serverless::*`, as far as these templates use it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from tests.aws.values import Reference, Value, as_list

FUNCTION: Final = "AWS::Serverless::Function"
API: Final = "AWS::Serverless::Api"
_SAME: Final[tuple[str, ...]] = (
    *("Architectures", "Code", "Description", "EphemeralStorage", "FunctionName", "Handler", "KmsKeyArn", "Layers"),
    *("LoggingConfig", "MemorySize", "PackageType", "ReservedConcurrentExecutions", "Runtime", "SnapStart"),
    *("Tags", "Timeout", "VpcConfig", "Environment", "Role"),
)
_MAPPING: Final[tuple[str, ...]] = (
    *("BatchSize", "MaximumBatchingWindowInSeconds", "FunctionResponseTypes", "ScalingConfig", "Enabled"),
    *("FilterCriteria", "KmsKeyArn", "MetricsConfig", "ProvisionedPollerConfig"),
)
_STAGE: Final[tuple[str, ...]] = (
    *("StageName", "AccessLogSetting", "MethodSettings", "TracingEnabled", "CacheClusterEnabled", "Variables"),
)
_LOGS_POLICY: Final = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
_VPC_POLICY: Final = "arn:aws:iam::aws:policy/service-role/AWSLambdaVPCAccessExecutionRole"

Made = tuple[str, str, dict[str, Value]]
"""(name, type, properties) of a resource."""


def generated_names(resources: Mapping[str, Any]) -> set[str]:
    """Return the names of resources that the transform makes, and that a template may refer to."""
    names: set[str] = set()
    for name, resource in resources.items():
        properties = resource.get("Properties", {})
        if resource.get("Type") == FUNCTION:
            names.add(f"{name}Role")
            if alias := properties.get("AutoPublishAlias"):
                names.update((f"{name}Alias{alias}", f"{name}.Alias", f"{name}.Version"))
            names.update(f"{name}{event}" for event in properties.get("Events", {}))
        elif resource.get("Type") == API:
            names.update((f"{name}.Stage", f"{name}.Deployment", f"{name}{properties.get('StageName')}Stage"))
    return names


def with_globals(resource: dict[str, Any], shared: Mapping[str, Any]) -> dict[str, Any]:
    """Return a resource's properties with those that the template gives to all of its kind."""
    section = {FUNCTION: "Function", API: "Api"}.get(resource["Type"], "")
    properties = resource.get("Properties", {})
    return _merged(shared.get(section, {}), properties) if section else dict(properties)


def _merged(common: Any, own: Any) -> Any:
    if isinstance(common, dict) and isinstance(own, dict):
        if any(key.startswith("Fn::") or key == "Ref" for key in own):
            return own
        return {
            key: _merged(common[key], own[key]) if key in common and key in own else {**common, **own}[key]
            for key in {**common, **own}
        }
    if isinstance(common, list) and isinstance(own, list):
        return [*common, *own]
    return own


def expand(path: str, name: str, kind: str, properties: dict[str, Value]) -> Iterator[Made]:
    """What a resource becomes; one that is not SAM's stays what it is. `path` is the stack's, ending in a slash."""
    if kind == FUNCTION:
        yield from _function(path, name, properties)
    elif kind == API:
        yield name, "AWS::ApiGateway::RestApi", {**properties, "Body": properties.get("DefinitionBody")}
        stage = {key: properties[key] for key in _STAGE if key in properties}
        yield f"{name}.Stage", "AWS::ApiGateway::Stage", {**stage, "RestApiId": Reference(f"{path}{name}")}
        yield f"{name}.Deployment", "AWS::ApiGateway::Deployment", {"RestApiId": Reference(f"{path}{name}")}
    else:
        yield name, kind, properties


def _function(path: str, name: str, properties: dict[str, Value]) -> Iterator[Made]:
    made = {key: properties[key] for key in _SAME if key in properties}
    if "CodeUri" in properties:
        made["Code"] = properties["CodeUri"]
    if "Tracing" in properties:
        made["TracingConfig"] = {"Mode": properties["Tracing"]}
    if letters := properties.get("DeadLetterQueue"):
        made["DeadLetterConfig"] = {"TargetArn": letters["TargetArn"]}
    if "Role" not in properties:
        made["Role"] = Reference(f"{path}{name}Role", "Arn")
        yield f"{name}Role", "AWS::IAM::Role", _role(properties)
    yield name, "AWS::Lambda::Function", made
    if alias := properties.get("AutoPublishAlias"):
        yield f"{name}.Version", "AWS::Lambda::Version", {"FunctionName": Reference(f"{path}{name}")}
        yield f"{name}.Alias", "AWS::Lambda::Alias", {"Name": alias, "FunctionName": Reference(f"{path}{name}")}
    if invoke := properties.get("EventInvokeConfig"):
        yield (
            f"{name}EventInvokeConfig",
            "AWS::Lambda::EventInvokeConfig",
            {
                **invoke,
                "FunctionName": Reference(f"{path}{name}"),
            },
        )
    for event, source in properties.get("Events", {}).items():
        yield from _event(path, name, f"{name}{event}", source)


def _role(properties: dict[str, Value]) -> dict[str, Value]:
    managed = [_LOGS_POLICY, *([_VPC_POLICY] if "VpcConfig" in properties else [])]
    inline = []
    for number, policy in enumerate(as_list(properties.get("Policies"))):
        if isinstance(policy, dict) and "Statement" in policy:
            inline.append({"PolicyName": f"policy{number}", "PolicyDocument": policy})
        else:
            managed.append(policy)
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    return {"AssumeRolePolicyDocument": {"Statement": [trust]}, "ManagedPolicyArns": managed, "Policies": inline}


def _event(path: str, function: str, name: str, source: dict[str, Value]) -> Iterator[Made]:
    kind, properties = source["Type"], source.get("Properties", {})
    target = Reference(f"{path}{function}")
    arn = Reference(f"{path}{function}", "Arn")
    permission = {"Action": "lambda:InvokeFunction", "FunctionName": target}
    if kind == "SQS":
        mapping = {key: properties[key] for key in _MAPPING if key in properties}
        mapping.update(EventSourceArn=properties["Queue"], FunctionName=target)
        yield name, "AWS::Lambda::EventSourceMapping", mapping
    elif kind == "Schedule":
        schedule = properties["Schedule"]
        yield name, "AWS::Events::Rule", {"ScheduleExpression": schedule, "Targets": [{"Id": function, "Arn": arn}]}
        yield f"{name}Permission", "AWS::Lambda::Permission", {**permission, "Principal": "events.amazonaws.com"}
    elif kind == "ScheduleV2":
        yield name, "AWS::Scheduler::Schedule", {**properties, "Target": {"Arn": arn}}
    elif kind == "SNS":
        subscription = {"Protocol": "lambda", "Endpoint": arn, "TopicArn": properties["Topic"]}
        yield name, "AWS::SNS::Subscription", subscription
        yield f"{name}Permission", "AWS::Lambda::Permission", {**permission, "Principal": "sns.amazonaws.com"}
    elif kind == "Api":
        yield f"{name}Permission", "AWS::Lambda::Permission", {**permission, "Principal": "apigateway.amazonaws.com"}
    else:
        raise ValueError(f"{function} has an event of type {kind}, which tests/aws/serverless.py does not know")
