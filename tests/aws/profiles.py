"""The profiles: each with the parameters that its configuration sets, and examples of those that a user must give."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import Any, Final

from tests.aws.documents import BOOTSTRAP_TEMPLATE, ROOT_TEMPLATE

REGION: Final = "us-east-1"
ACCOUNT: Final = "111122223333"
_DIGEST: Final = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_IMAGE: Final = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/scoreboard-api@sha256:{_DIGEST}"
_SECRET: Final = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret"
_DOMAIN: Final = {
    "HostedZoneId": "Z0123456789ABCDEFGHIJ",
    "AlarmEmail": "oncall@example.com",
    "Route53HealthCheckPrefixListId": "pl-0123456789abcdef0",
}

_SOURCES: Final = {
    "SourceJwtSecretArn": f"{_SECRET}:scoreboard-jwt-AbCdEf",
    "SourceOriginVerifySecretArn": f"{_SECRET}:scoreboard-origin-AbCdEf",
    "SourceDatabaseArn": f"arn:aws:rds:{REGION}:{ACCOUNT}:db:scoreboard-prod",
    "CloudFrontPrefixListId": "pl-0123456789abcdef1",
}
_STANDBY_REGION: Final = "us-west-2"
_OWN_EDGE: Final = {
    "EdgeCertificateArn": f"arn:aws:acm:us-east-1:{ACCOUNT}:certificate/12345678-1234-1234-1234-123456789012",
    "EdgeWebAclArn": f"arn:aws:wafv2:us-east-1:{ACCOUNT}:global/webacl/own/12345678-1234-1234-1234-123456789012",
}


@dataclass(frozen=True, slots=True)
class Profile:
    """One way to deploy: a section of the configuration, and what is given at the command line."""

    name: str
    section: str
    given: dict[str, str] = field(default_factory=dict)
    template: str = ROOT_TEMPLATE
    region: str = REGION

    @property
    def is_standby(self) -> bool:
        """Whether it follows another region, and serves nobody."""
        return self.given.get("RegionRole") == "standby"

    def overrides(self, configuration: dict[str, Any]) -> dict[str, str]:
        """Return the parameters that are set, those of the command line last."""
        return {**parameter_overrides(configuration, self.section), **self.given}


PROFILES: Final = (
    Profile("local", "local", {"ImageUri": _IMAGE}),
    Profile("dev", "dev", {"ImageUri": _IMAGE}),
    Profile("staging", "staging", {"ImageUri": _IMAGE, "DomainName": "staging.scoreboard.example.com", **_DOMAIN}),
    Profile("prod", "prod", {"ImageUri": _IMAGE, "DomainName": "scoreboard.example.com", **_DOMAIN}),
)
VARIANTS: Final = (
    Profile(
        "prod with a standby region",
        "prod",
        {
            **PROFILES[3].given,
            "StandbyRegion": _STANDBY_REGION,
            "StandbyOriginDomainName": "origin-standby.scoreboard.example.com",
            "StandbyOriginHostedZoneId": "Z0123456789ABCDEFGHIJ",
        },
    ),
    Profile(
        "standby of prod",
        "prod",
        {**PROFILES[3].given, **_SOURCES, "RegionRole": "standby"},
        region=_STANDBY_REGION,
    ),
    Profile("standby of prod, promoted", "prod", {**PROFILES[3].given, **_SOURCES}, region=_STANDBY_REGION),
    Profile("prod in three zones", "prod", {**PROFILES[3].given, "AvailabilityZoneCount": "3"}),
    Profile("prod with certificates and a firewall of its own", "prod", {**PROFILES[3].given, **_OWN_EDGE}),
    Profile("dev with a domain", "dev", {**PROFILES[3].given}),
)
"""Other ways through the conditions, for the references."""
BOOTSTRAP: Final = Profile(
    "bootstrap",
    "bootstrap",
    {"GitHubRepository": "example/scoreboard", "HostedZoneId": "Z0123456789ABCDEFGHIJ"},
    BOOTSTRAP_TEMPLATE,
)
"""What comes before all: a template of its own."""
BOOTSTRAP_OF_DEV: Final = Profile(
    "bootstrap for dev alone", "bootstrap", {"GitHubRepository": "example/scoreboard"}, BOOTSTRAP_TEMPLATE
)
ALL: Final = (*PROFILES, *VARIANTS, BOOTSTRAP, BOOTSTRAP_OF_DEV)


def parameter_overrides(configuration: dict[str, Any], section: str) -> dict[str, str]:
    """Return what a section of samconfig.toml sets."""
    written = deploy_parameters(configuration, section).get("parameter_overrides", [])
    items = (
        shlex.split(written) if isinstance(written, str) else [part for item in written for part in shlex.split(item)]
    )
    return dict(item.split("=", 1) for item in items)


def deploy_parameters(configuration: dict[str, Any], section: str) -> dict[str, Any]:
    """Return a section's parameters of `sam deploy`."""
    found = configuration.get(section, {}).get("deploy", {}).get("parameters", {})
    assert isinstance(found, dict)
    return found
