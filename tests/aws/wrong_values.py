"""Values of parameters that must be refused before anything is made, alone or together."""

from __future__ import annotations

from typing import Final

from tests.aws.documents import BOOTSTRAP_TEMPLATE, ROOT_TEMPLATE

_CERTIFICATE: Final = "arn:aws:acm:us-east-1:111122223333:certificate/12345678-1234-1234-1234-123456789012"
_FIREWALL: Final = "arn:aws:wafv2:us-east-1:111122223333:global/webacl/own/12345678-1234-1234-1234-123456789012"
_ELSEWHERE: Final = {"CloudFrontPrefixListId": "pl-0123456789abcdef1", "EdgeWebAclArn": _FIREWALL}
WRONG: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    ROOT_TEMPLATE: {
        "EnvironmentName": ("production", "Prod", ""),
        "ImageUri": (
            "111122223333.dkr.ecr.us-east-1.amazonaws.com/scoreboard-api:latest",
            "111122223333.dkr.ecr.us-east-1.amazonaws.com/scoreboard-api",
            "scoreboard-api@sha256:abc",
            "",
        ),
        "AppVersion": ("", "1.0.0 beta", "v" * 80),
        "LogLevel": ("verbose", "INFO "),
        "CorsOrigin": ("*", "scoreboard.example.com", "https://a.example.com, https://b.example.com"),
        "Architecture": ("amd64", "ARM64"),
        "FunctionRuntime": ("python3.9", "nodejs22.x", "3.13"),
        "DomainName": ("https://scoreboard.example.com", "scoreboard", "Scoreboard.Example.com", "a..example.com"),
        "HostedZoneId": ("/hostedzone/Z0123456789ABCDEFGHIJ", "example.com"),
        "EdgeCertificateArn": (
            "arn:aws:acm:eu-west-1:111122223333:certificate/12345678-1234-1234-1234-123456789012",
            "12345678-1234-1234-1234-123456789012",
        ),
        "AlarmEmail": ("oncall", "oncall@", "on call@example.com"),
        "VpcCidr": ("10.0.0.0/24", "8.8.0.0/16", "10.0.0.0"),
        "AvailabilityZoneCount": ("0", "1", "4", "two"),
        "TaskCpu": ("500", "0.5"),
        "TaskMemory": ("128", "1 GB"),
        "MinTasks": ("-1", "1000"),
        "MaxTasks": ("0", "1000"),
        "DatabaseInstanceClass": ("t4g.large", "db.large", "db.t4g.large; drop"),
        "DatabaseStorageGb": ("5", "100GB"),
        "DatabaseMaxStorageGb": ("5",),
        "BackupRetentionDays": ("0", "36"),
        "CacheNodeType": ("r7g.large", "cache.large"),
        "CacheNodeCount": ("0", "7"),
        "WorkerConcurrency": ("1", "5000"),
        "EventRetentionDays": ("29", "never"),
        "LogRetentionDays": ("0", "31", "for ever"),
        "RegionRole": ("secondary", ""),
        "SourceDatabaseArn": ("scoreboard-prod", "arn:aws:s3:::bucket"),
        "StandbyOriginDomainName": ("https://standby.example.com",),
        "StandbyOriginHostedZoneId": ("standby",),
        "LocalDatabaseHost": ("10.0.0.5", "db.example.com", "0.0.0.0"),  # noqa: S104 - refused
        "LocalDatabasePort": ("0", "65536"),
        "LocalRedisHost": ("10.0.0.5", "redis.example.com"),
        "LocalRedisPort": ("0", "65536"),
        "OriginCertificateArn": ("12345678-1234-1234-1234-123456789012", "arn:aws:s3:::bucket"),
        "RequestsPerAddress": ("99", "many"),
        "SseConnectionsTarget": ("0", "10000"),
        "EdgeWebAclArn": ("own", "arn:aws:wafv2:eu-west-1:111122223333:regional/webacl/own/1"),
        "CloudFrontPrefixListId": ("", "3b927c52", "pl-XYZ"),
        "Route53HealthCheckPrefixListId": ("pl-1", "0.0.0.0/0"),
        "SourceJwtSecretArn": ("scoreboard-jwt", "arn:aws:secretsmanager:us-east-1:111122223333:secret:*"),
        "SourceOriginVerifySecretArn": ("scoreboard-origin", "arn:aws:s3:::bucket"),
        "StandbyRegion": ("west", "us-west", "US-WEST-2"),
    },
    BOOTSTRAP_TEMPLATE: {
        "GitHubRepository": ("*", "example", "example/*", "*/scoreboard", "https://github.com/example/scoreboard"),
        "GitHubBranch": ("*", "release/*", ""),
        "GitHubOidcProviderArn": ("github", "arn:aws:iam::111122223333:oidc-provider/example.com"),
        "HostedZoneId": ("example.com", "/hostedzone/Z0123456789ABCDEFGHIJ"),
        "SetsApiGatewayAccount": ("true", "maybe"),
    },
}
"""Of every parameter that a user gives."""
CONTRADICTIONS: Final[dict[str, tuple[str, dict[str, str]]]] = {
    "production without a domain, and so without a certificate": ("prod", {"DomainName": ""}),
    "staging without a domain": ("staging", {"DomainName": ""}),
    "a domain without its hosted zone": ("prod", {"HostedZoneId": ""}),
    "production that tells nobody of alarms": ("prod", {"AlarmEmail": ""}),
    "production on one task": ("prod", {"MinTasks": "1"}),
    "production with one cache node": ("prod", {"CacheNodeCount": "1"}),
    "a task size that Fargate does not have": ("prod", {"TaskCpu": "4096", "TaskMemory": "1024"}),
    "a standby that follows no database": ("prod", {"RegionRole": "standby"}),
    "production on this machine's database": ("prod", {"LocalDatabaseHost": "127.0.0.1"}),
    "production on this machine's Redis": ("prod", {"LocalRedisHost": "127.0.0.1"}),
    "a standby origin without its hosted zone": ("prod", {"StandbyOriginDomainName": "standby.example.com"}),
    "an edge far from us-east-1 without a certificate there": ("prod", {"AWS::Region": "eu-west-1", **_ELSEWHERE}),
    "another region with the first one's addresses of CloudFront": (
        "prod",
        {"AWS::Region": "eu-west-1", "EdgeCertificateArn": _CERTIFICATE, "EdgeWebAclArn": _FIREWALL},
    ),
    "the rehearsal without a database": ("local", {"LocalDatabaseHost": ""}),
}
"""Values that are right each, and wrong together: (profile, what is given on top)."""
