"""What comes before what, and who is let in by whom: the seams between the stacks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from tests.aws.documents import ROOT_TEMPLATE, walk
from tests.aws.findings import Finding, check
from tests.aws.model import Model, Resource
from tests.aws.policies import Statement, statements
from tests.aws.values import as_list, references

MIGRATES: Final = "Operations"
NEED_SCHEMA: Final = ("Workers", "Service")
MIGRATION: Final = "Custom::Migration"


@check("the database is migrated before the worker and the service change", about_files=True)
def schema_comes_first(model: Model) -> Iterator[Finding]:
    resources = model.project.documents[ROOT_TEMPLATE].get("Resources", {})
    for name in NEED_SCHEMA:
        if name in resources and MIGRATES not in _waits_for(resources[name]):
            yield Finding(f"{ROOT_TEMPLATE}: {name}", f"may change before {MIGRATES} has migrated")


def _waits_for(resource: dict[str, Any]) -> set[str]:
    waits = set(as_list(resource.get("DependsOn")))
    for node in walk(resource.get("Properties", {})):
        argument = node.get("Fn::GetAtt")
        if isinstance(argument, list):
            waits.add(argument[0])
    return waits


@check("a migration that fails stops every function that needs its schema")
def functions_wait_for_the_migration(model: Model) -> Iterator[Finding]:
    for migration in model.of(MIGRATION):
        migrate = model.target(migration.get("ServiceToken"))
        if migrate is None or migrate.type != "AWS::Lambda::Function":
            yield Finding(migration.where, "its ServiceToken is no function of the deployment")
        if "ServiceTimeout" not in migration.properties:
            yield Finding(migration.where, "is waited for an hour when the function dies: no ServiceTimeout")
        if "Schema" not in migration.properties:
            yield Finding(migration.where, "does not run again when the migrations change: no Schema")
        for function in model.of("AWS::Lambda::Function"):
            same = function.path.rpartition("/")[0] == migration.path.rpartition("/")[0]
            waits = as_list(function.definition.get("DependsOn"))
            if same and function is not migrate and migration.name not in waits:
                yield Finding(function.where, f"changes whether or not {migration.name} succeeded: no DependsOn")
    if list(model.of("AWS::Lambda::Function")) and not list(model.of(MIGRATION)):
        yield Finding(ROOT_TEMPLATE, f"nothing migrates the database: no {MIGRATION}")


@check("whoever tells the alerts topic something is let in by its policy and its key")
def publishers_are_let_in(model: Model) -> Iterator[Finding]:
    for topic in model.of("AWS::SNS::Topic"):
        policies = [found for policy in model.users(topic, "AWS::SNS::TopicPolicy") for found in statements(policy)]
        key = model.target(topic.get("KmsMasterKeyId"))
        for service, source in _publishers(model, topic):
            if not any(_admits(found, service, "sns:Publish") for found in policies):
                yield Finding(topic.where, f"its policy does not let in {service}, for {source.name}")
            if key is not None and not any(_admits(found, service, "kms:GenerateDataKey") for found in statements(key)):
                yield Finding(key.where, f"does not let in {service}, for {source.name}")


def _publishers(model: Model, topic: Resource) -> Iterator[tuple[str, Resource]]:
    for source in model.users(topic, "AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm"):
        yield "cloudwatch.amazonaws.com", source
    for source in model.users(topic, "AWS::Events::Rule"):
        yield "events.amazonaws.com", source


def _admits(statement: Statement, service: str, action: str) -> bool:
    principal = statement.content.get("Principal")
    services = as_list(principal.get("Service")) if isinstance(principal, dict) else []
    wide = [each for each in statement.actions if each.endswith("*") and action.startswith(each[:-1])]
    return statement.allows and service in services and (action in statement.actions or bool(wide))


@check("whatever invokes a function is permitted to, and by whom is said")
def invokers_are_permitted(model: Model) -> Iterator[Finding]:
    permissions = list(model.of("AWS::Lambda::Permission"))
    for permission in permissions:
        if permission.get("Principal") == "*":
            yield Finding(permission.where, "lets anybody invoke it")
        if permission.definition.get("Type") == permission.type and not _is_bounded(permission):
            yield Finding(permission.where, "lets any account's resource invoke it: no SourceArn or SourceAccount")
    for schedule in model.of("AWS::SecretsManager::RotationSchedule"):
        function = model.target(schedule.get("RotationLambdaARN"))
        if function is not None and not _permits(model, function, "secretsmanager.amazonaws.com", permissions):
            yield Finding(function.where, "is not permitted to be called by Secrets Manager")
    for rule in model.of("AWS::Events::Rule"):
        for target in as_list(rule.get("Targets")):
            function = model.target(target.get("Arn"))
            if function is None or function.type != "AWS::Lambda::Function":
                continue
            if not _permits(model, function, "events.amazonaws.com", permissions):
                yield Finding(function.where, f"is not permitted to be called by {rule.name}")


def _is_bounded(permission: Resource) -> bool:
    return permission.get("SourceArn") is not None or permission.get("SourceAccount") is not None


def _permits(model: Model, function: Resource, service: str, permissions: list[Resource]) -> bool:
    return any(
        each.get("Principal") == service and model.target(each.get("FunctionName")) is function for each in permissions
    )


@check("ECS may call the hook that it is given")
def hooks_are_permitted(model: Model) -> Iterator[Finding]:
    for service in model.of("AWS::ECS::Service"):
        for hook in as_list(service.get("DeploymentConfiguration.LifecycleHooks")):
            role = model.target(hook.get("RoleArn"))
            named = {found.resource for found in references(hook.get("HookTargetArn"))}
            granted = [
                found
                for found in (statements(role) if role else ())
                if "lambda:InvokeFunction" in found.actions
                and named & {each.resource for each in references(found.targets)}
            ]
            if not granted:
                yield Finding(service.where, "its hook's role may not invoke the hook")
