"""Environment variables: what a program reads it is given, and what it is given it reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from scoreboard.config import APP_ENVS
from tests.aws.checks.encryption import environments
from tests.aws.findings import Finding, check
from tests.aws.model import Model
from tests.aws.programs import program_of
from tests.aws.reads import SETTINGS, needs
from tests.aws.values import plain

SAME_EVERYWHERE: Final = frozenset(
    {
        *("API_BASE_PATH", "CORS_CREDENTIALS", "DATABASE_IDLE_TIMEOUT", "IDEMPOTENCY_WINDOW_MS", "JWT_ALGORITHM"),
        *("JWT_AUDIENCE", "JWT_EXPIRY", "JWT_ISSUER", "LOG_FORMAT", "RATE_LIMIT_MAX_REQUESTS", "RATE_LIMIT_WINDOW_MS"),
        *("REDIS_DB", "REDIS_KEY_LEADERBOARD", "REDIS_KEY_RATE_LIMIT_PREFIX", "REDIS_KEY_SCORE_PREFIX"),
        *("REDIS_POOL_MAX", "REQUEST_TIMEOUT", "SECRETS_REFRESH_INTERVAL", "SHUTDOWN_GRACE_PERIOD"),
        *("SSE_HEARTBEAT_INTERVAL", "SSE_MAX_AGE", "SSE_MAX_CLIENTS_PER_ADDRESS", "SSE_MAX_CLIENTS_PER_INSTANCE"),
        *("SSE_MAX_CLIENTS_PER_USER", "SSE_MESSAGE_TIMEOUT"),
    }
)
"""Settings whose default is right wherever the system runs: a program may read them without being given them."""
OF_POWERTOOLS: Final = frozenset(
    {"POWERTOOLS_LOG_LEVEL", "POWERTOOLS_METRICS_NAMESPACE", "POWERTOOLS_SERVICE_NAME", "POWERTOOLS_TRACE_DISABLED"}
)
OF_RUNTIME: Final = frozenset({"AWS_STS_REGIONAL_ENDPOINTS", "AWS_LAMBDA_LOG_LEVEL"})
"""What the SDK and Lambda read themselves."""
ENVIRONMENTS: Final = {"local": "test", "dev": "development", "staging": "staging", "prod": "production"}


@check("every program is given what it reads")
def what_is_read_is_given(model: Model) -> Iterator[Finding]:
    for resource, variables in environments(model):
        entries = program_of(resource)
        if not entries:
            continue  # said by the check of handlers
        for name in sorted(needs(*entries).variables - variables.keys() - SAME_EVERYWHERE):
            yield Finding(resource.where, f"reads {name}, and is not given it")


@check("every program reads what it is given")
def what_is_given_is_read(model: Model) -> Iterator[Finding]:
    for resource, variables in environments(model):
        entries = program_of(resource)
        if not entries:
            continue
        needed = needs(*entries)
        allowed = (
            needed.variables
            | needed.fallbacks
            | OF_RUNTIME
            | (OF_POWERTOOLS if needed.uses_powertools else frozenset())
        )
        for name in sorted(variables.keys() - allowed):
            yield Finding(resource.where, f"is given {name}, and does not read it")


@check("every program knows which environment it is in")
def environments_are_named(model: Model) -> Iterator[Finding]:
    expected = ENVIRONMENTS.get(model.profile.section, "")
    assert expected in ("", *APP_ENVS)
    for resource, variables in environments(model):
        if "APP_ENV" in variables and variables["APP_ENV"] != expected:
            yield Finding(resource.where, f"APP_ENV is {plain(variables['APP_ENV'])}, not {expected}")


@check("the named lists of variables name settings that exist", about_files=True)
def lists_are_current(model: Model) -> Iterator[Finding]:
    for name in sorted(SAME_EVERYWHERE - {setting.upper() for setting in SETTINGS}):
        yield Finding("tests/aws/checks/environment.py", f"{name} is no setting")
