"""What is written down of what happens, and who is told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tests.aws.findings import Finding, check
from tests.aws.model import Model, Resource
from tests.aws.values import as_list, is_true, number, plain, references

SWITCHED: Final = ("staging", "prod")
SCHEDULED: Final = ("Reconcile", "Retention", "DlqTriage")
_DISTRIBUTION: Final = "AWS::CloudFront::Distribution"


@check("in staging and production whatever the world reaches writes down who came")
def doors_keep_logs(model: Model) -> Iterator[Finding]:
    if model.profile.section not in SWITCHED:
        return
    for balancer in model.of("AWS::ElasticLoadBalancingV2::LoadBalancer"):
        attributes = {each["Key"]: each["Value"] for each in as_list(balancer.get("LoadBalancerAttributes"))}
        bucket = model.target(attributes.get("access_logs.s3.bucket"))
        if not is_true(attributes.get("access_logs.s3.enabled")) or bucket is None:
            yield Finding(balancer.where, "keeps no access log")
    sources = [model.target(source.get("ResourceArn")) for source in model.of("AWS::Logs::DeliverySource")]
    for distribution in model.of(_DISTRIBUTION):
        arn = [
            source
            for source in model.of("AWS::Logs::DeliverySource")
            if distribution.path in str(source.get("ResourceArn"))
        ]
        if distribution not in sources and not arn and not distribution.get("DistributionConfig.Logging"):
            yield Finding(distribution.where, "keeps no access log")
    logged = {
        found.resource
        for each in model.of("AWS::WAFv2::LoggingConfiguration")
        for found in references(each.get("ResourceArn"))
    }
    for found in model.of("AWS::WAFv2::WebACL"):
        if found.path not in logged:
            yield Finding(found.where, "does not write down what it refuses")


@check("the submission edge writes down who came, and takes no more than it can work on")
def submissions_are_bounded(model: Model) -> Iterator[Finding]:
    for stage in model.of("AWS::ApiGateway::Stage"):
        if model.target(stage.get("AccessLogSetting.DestinationArn")) is None:
            yield Finding(stage.where, "keeps no access log")
        settings = as_list(stage.get("MethodSettings"))
        if not any(number(each.get("ThrottlingRateLimit")) > 0 for each in settings):
            yield Finding(stage.where, "takes any number of requests: no ThrottlingRateLimit")
    if model.profile.section not in SWITCHED:
        return
    for permission in model.of("AWS::Lambda::Permission"):
        function = model.target(permission.get("FunctionName"))
        if permission.get("Principal") != "apigateway.amazonaws.com" or function is None:
            continue
        if number(function.get("ReservedConcurrentExecutions")) < 1:
            yield Finding(function.where, "may take every database connection: no ReservedConcurrentExecutions")


@check("in staging and production somebody hears of alarms")
def somebody_listens(model: Model) -> Iterator[Finding]:
    if model.profile.section not in SWITCHED:
        return
    for topic in model.of("AWS::SNS::Topic"):
        if not list(model.users(topic, "AWS::SNS::Subscription")):
            yield Finding(topic.where, "has no subscription")


@check("alarms on Container Insights have a cluster that has it")
def insights_are_on(model: Model) -> Iterator[Finding]:
    asked = [alarm for alarm in model.of("AWS::CloudWatch::Alarm") if "ECS/ContainerInsights" in str(alarm.properties)]
    for cluster in model.of("AWS::ECS::Cluster"):
        settings = {plain(each["Name"]): plain(each["Value"]) for each in as_list(cluster.get("ClusterSettings"))}
        if asked and settings.get("containerInsights") not in ("enabled", "enhanced"):
            yield Finding(cluster.where, f"has no Container Insights, which {asked[0].name} is about")


@check("queries of logs are about logs that the templates make")
def queries_are_about_logs(model: Model) -> Iterator[Finding]:
    groups = {str(group.get("LogGroupName")) for group in model.of("AWS::Logs::LogGroup")}
    for query in model.of("AWS::Logs::QueryDefinition"):
        names = as_list(query.get("LogGroupNames"))
        if not names:
            yield Finding(query.where, "is about no log")
        for name in names:
            target = model.target(name)
            if (target is None or target.type != "AWS::Logs::LogGroup") and model.text(name) not in groups:
                yield Finding(query.where, f"is about {name}, which nothing here makes")
        if "--" in str(query.get("QueryString")):
            yield Finding(query.where, "has a comment of SQL, which is none here: use #")


@check("what is to run again and again is on a schedule")
def maintenance_is_scheduled(model: Model) -> Iterator[Finding]:
    on_schedule: set[Resource | None] = {
        model.target(target.get("Arn"))
        for rule in model.of("AWS::Events::Rule")
        if rule.get("ScheduleExpression")
        for target in as_list(rule.get("Targets"))
    }
    for function in model.of("AWS::Lambda::Function"):
        if function.name in SCHEDULED and function not in on_schedule:
            yield Finding(function.where, "is on no schedule")
