"""Settings: one message about everything that is wrong, nothing unsafe in production, no secret in a log."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, replace

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from scoreboard.config import DEVELOPMENT_SECRET, Settings
from scoreboard.errors import ConfigError

SECRET = "s" * 32
LEAST = {"JWT_SECRET": SECRET}
PRODUCTION = {**LEAST, "APP_ENV": "production", "CORS_ORIGIN": "https://scoreboard.example.com"}

WRONG = {
    "APP_ENV": "prod",
    "HOST": "localhost:3000",
    "PORT": "70000",
    "API_BASE_PATH": "api/",
    "LOG_LEVEL": "loud",
    "LOG_FORMAT": "xml",
    "DATABASE_URL": "mysql://somewhere:hunter2@host/db",
    "DATABASE_POOL_MIN": "none",
    "DATABASE_POOL_MAX": "0",
    "DATABASE_IDLE_TIMEOUT": "-1",
    "REDIS_HOST": "redis://cache",
    "REDIS_PORT": "0",
    "REDIS_TLS_ENABLED": "perhaps",
    "REDIS_SECRET_ARN": "scoreboard/redis",
    "DATABASE_SECRET_ARN": "arn:aws:ssm:eu-central-1:123456789012:parameter/x",
    "DATABASE_OWNER_SECRET_ARN": "arn:aws:secretsmanager:eu-central-1:123:secret:x",
    "JWT_SECRET_ARN": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:a b",
    "SQS_DEAD_LETTER_QUEUE_URL": "dead",
    "ALERTS_TOPIC_ARN": "arn:aws:sns:eu-central-1:123456789012",
    "CONFIG_PARAMETER_PATH": "scoreboard/prod/",
    "SECRETS_REFRESH_INTERVAL": "0",
    "EVENT_RETENTION_DAYS": "29",
    "CLOUDWATCH_ENABLED": "maybe",
    "REDIS_DB": "16",
    "REDIS_POOL_MAX": "1.5",
    "SQS_QUEUE_URL": "scores",
    "JWT_EXPIRY": "0h",
    "JWT_ALGORITHM": "none",
    "RATE_LIMIT_WINDOW_MS": "0",
    "RATE_LIMIT_MAX_REQUESTS": "",
    "IDEMPOTENCY_WINDOW_MS": "1e3",
    "CORS_ORIGIN": "scoreboard.example.com",
    "CORS_CREDENTIALS": "yes",
    "TRUSTED_PROXY_HOPS": "6",
    "SSE_HEARTBEAT_INTERVAL": "86400001",
    "SSE_MESSAGE_TIMEOUT": "NaN",
    "SSE_MAX_CLIENTS_PER_INSTANCE": "0",
    "SSE_MAX_CLIENTS_PER_ADDRESS": "-5",
    "SSE_MAX_CLIENTS_PER_USER": "many",
    "SSE_MAX_AGE": "0",
    "REQUEST_TIMEOUT": "9" * 5000,
    "SHUTDOWN_GRACE_PERIOD": "30s",
}


def _problems(environ: dict[str, str], *, checks_tokens: bool = True) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        Settings.from_env(environ, checks_tokens=checks_tokens)
    return caught.value.problems


def _named(problems: tuple[str, ...]) -> set[str]:
    return {problem.split()[0] for problem in problems}


def test_nothing_but_the_secret_has_to_be_set() -> None:
    settings = Settings.from_env(LEAST)
    assert settings.app_env == "development"
    assert settings.port == 3000
    assert settings.api_base_path == "/api"
    assert settings.rate_limit_max_requests == 10
    assert settings.jwt_expiry == 24 * 3600
    assert settings.sse_heartbeat_interval == 15_000
    assert settings.redis_key_leaderboard == "leaderboard:top10"


@pytest.mark.parametrize("name", WRONG)
def test_every_wrong_variable_is_named_with_its_value(name: str) -> None:
    if not WRONG[name]:
        return
    problems = _problems({**LEAST, name: WRONG[name]})
    assert _named(problems) == {name}
    assert len(problems) == 1


def test_all_that_is_wrong_is_said_at_once() -> None:
    wrong = {name: value for name, value in WRONG.items() if value}
    assert _named(_problems({**LEAST, **wrong})) == set(wrong)


def test_what_is_missing_is_said_together_with_what_is_wrong() -> None:
    assert _named(_problems({"PORT": "x", "CORS_ORIGIN": "*"})) == {"PORT", "JWT_SECRET", "CORS_ORIGIN"}
    assert _named(_problems({**PRODUCTION, "PORT": "x", "JWT_SECRET": "short"})) == {"PORT", "JWT_SECRET"}
    # A value that could not be read is not compared with others.
    assert _named(_problems({**LEAST, "DATABASE_POOL_MIN": "x", "DATABASE_POOL_MAX": "1"})) == {"DATABASE_POOL_MIN"}


def test_a_variable_that_is_empty_or_blank_counts_as_not_set() -> None:
    every = {setting.name.upper(): " " for setting in fields(Settings)}
    assert Settings.from_env({**every, **LEAST}) == Settings.from_env(LEAST)
    assert _named(_problems({"JWT_SECRET": ""})) == {"JWT_SECRET"}


def test_an_unknown_variable_is_ignored() -> None:
    assert Settings.from_env({**LEAST, "NODE_ENV": "production", "PRISMA_X": "1"}) == Settings.from_env(LEAST)


def test_the_environment_of_the_process_is_read_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWT_SECRET", SECRET)
    monkeypatch.setenv("PORT", "3456")
    assert Settings.from_env().port == 3456


@pytest.mark.parametrize("env", ["production", "staging"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("JWT_SECRET", DEVELOPMENT_SECRET),
        ("JWT_SECRET", "x" * 31),
        ("JWT_SECRET_PREVIOUS", DEVELOPMENT_SECRET),
        ("JWT_SECRET_PREVIOUS", "short"),
        ("JWT_SECRET_NEXT", DEVELOPMENT_SECRET),
        ("JWT_SECRET_NEXT", "short"),
        ("CORS_ORIGIN", "*"),
        ("CORS_ORIGIN", "https://scoreboard.example.com, *"),
    ],
)
def test_production_and_staging_refuse_what_is_for_development(env: str, name: str, value: str) -> None:
    assert _named(_problems({**PRODUCTION, "APP_ENV": env, "CORS_CREDENTIALS": "false", name: value})) == {name}


def test_production_runs_with_what_is_safe() -> None:
    settings = Settings.from_env({**PRODUCTION, "JWT_SECRET_PREVIOUS": "p" * 32})
    assert settings.is_production
    assert not Settings.from_env(LEAST).is_production


def test_a_secret_is_measured_in_bytes() -> None:
    assert Settings.from_env({**PRODUCTION, "JWT_SECRET": "é" * 16}).is_production


def test_development_may_use_the_example_secret_and_any_origin_without_credentials() -> None:
    Settings.from_env({"JWT_SECRET": DEVELOPMENT_SECRET, "CORS_ORIGIN": "*", "CORS_CREDENTIALS": "false"})
    assert _named(_problems({**LEAST, "CORS_ORIGIN": "*"})) == {"CORS_ORIGIN"}


def test_the_worker_needs_no_secret() -> None:
    assert Settings.from_env({}, checks_tokens=False).jwt_secret == ""
    assert Settings.from_env(
        {"APP_ENV": "production", **{k: v for k, v in PRODUCTION.items() if k != "JWT_SECRET"}}, checks_tokens=False
    ).is_production


def test_a_pool_has_room_for_its_minimum() -> None:
    assert _named(_problems({**LEAST, "DATABASE_POOL_MIN": "30"})) == {"DATABASE_POOL_MIN"}


def test_secrets_appear_neither_in_repr_nor_in_messages() -> None:
    secrets = {
        "JWT_SECRET": "secret-one-" * 4,
        "JWT_SECRET_PREVIOUS": "secret-two-" * 4,
        "JWT_SECRET_NEXT": "secret-five-" * 4,
        "REDIS_PASSWORD": "secret-three",
        "DATABASE_URL": "postgresql://u:secret-four@h/d",
    }
    settings = Settings.from_env(secrets)
    assert settings.redis_password == "secret-three"
    assert "secret-" not in repr(settings)
    assert "secret-" not in str(settings)
    with pytest.raises(ConfigError) as caught:
        Settings.from_env({"DATABASE_URL": "mysql://u:hunter2@h/d", "JWT_SECRET": "hunter3", "APP_ENV": "production"})
    assert "hunter" not in str(caught.value)


def test_a_long_value_is_cut_in_the_message() -> None:
    (problem,) = _problems({**LEAST, "PORT": "9" * 5000})
    assert len(problem) < 200


@pytest.mark.parametrize(
    ("text", "seconds"), [("900", 900), ("900s", 900), ("15m", 900), ("24h", 86_400), ("7d", 604_800), ("15 m", 900)]
)
def test_a_duration_is_read_in_its_unit(text: str, seconds: int) -> None:
    assert Settings.from_env({**LEAST, "JWT_EXPIRY": text}).jwt_expiry == seconds


@pytest.mark.parametrize("text", ["24 hours", "-1h", "1.5h", "h", "0", "1w"])
def test_anything_else_is_no_duration(text: str) -> None:
    assert _named(_problems({**LEAST, "JWT_EXPIRY": text})) == {"JWT_EXPIRY"}


def test_origins_are_separated_by_commas_and_lose_a_slash_at_the_end() -> None:
    settings = Settings.from_env({**LEAST, "CORS_ORIGIN": "https://a.example/ , http://localhost:3000"})
    assert settings.cors_origin == ("https://a.example", "http://localhost:3000")
    for bad in ("https://a.example/path", "ftp://a.example", ",", "https://"):
        assert _named(_problems({**LEAST, "CORS_ORIGIN": bad})) == {"CORS_ORIGIN"}


@pytest.mark.parametrize(
    ("text", "flag"), [("true", True), ("TRUE", True), ("1", True), ("false", False), ("0", False)]
)
def test_a_flag_is_true_or_false(text: str, flag: bool) -> None:
    assert Settings.from_env({**LEAST, "REDIS_TLS_ENABLED": text}).redis_tls_enabled is flag


@pytest.mark.parametrize("text", ["1_000", "+5", "٣", "5 5", "0x10"])
def test_a_number_is_written_in_digits(text: str) -> None:
    assert _named(_problems({**LEAST, "REDIS_POOL_MAX": text})) == {"REDIS_POOL_MAX"}


RIGHT_DATABASES = [
    "postgresql://localhost/db",
    "postgres://u:p@db.internal:5432/scoreboard?sslmode=verify-full&sslrootcert=/etc/ca.pem",
    "postgresql://u:p%40ss%2Fw%25@host",
    "postgresql://u:p?a#b:c@host/db?",
    "postgresql://[::1]:5433/db?connect_timeout=5&application_name=a%20b",
    "postgresql://one:5432,two/db?target_session_attrs=read-write",
    "postgresql://%2Frun%2Fpostgresql/db",
    "postgresql:///db?host=/run/postgresql&port=5433",
    "postgresql://u@/db?host=/run/postgresql",
    "postgresql://host/db?options=-c%20search_path%3Dpublic",
    "postgresql://host/db?ssl=true",
]
WRONG_DATABASES = [
    "postgresql://",
    "postgresql:///db",
    "postgresql://u:p@/db",
    "postgresql://u:p@/db?foo=bar",
    "postgresql://host/db?foo=bar",
    "postgresql://host/db?sslmode",
    "postgresql://host/db?sslmode=strict",
    "postgresql://host/db?ssl=false",
    "postgresql://host/db?connect_timeout=5s",
    "postgresql://host/db?options=-c%20a=b",
    "postgresql://host/db?port=x",
    "postgresql:///db?host=",
    "postgresql://localhost:notaport/db",
    "postgresql://localhost:0/db",
    "postgresql://localhost:65536/db",
    "postgresql://one,/db",
    "postgresql://[::1/db",
    "postgresql://[::1]x/db",
    "postgresql://[host]/db",
    "postgresql://u:p@ss@host/db",
    "postgresql://u:p/ss@host/db",
    "postgresql://u:100%@host/db",
    "postgresql://u:a b@host/db",
    "postgresql://host/db?schema=other",
]


@pytest.mark.parametrize("url", RIGHT_DATABASES)
def test_a_database_url_that_is_taken_is_one_for_the_client_library(url: str) -> None:
    taken = Settings.from_env({**LEAST, "DATABASE_URL": url}).database_url
    assert conninfo_to_dict(taken) == conninfo_to_dict(url)


@pytest.mark.parametrize("url", WRONG_DATABASES)
def test_a_database_url_that_could_not_work_is_refused_at_once(url: str) -> None:
    assert _named(_problems({**LEAST, "DATABASE_URL": url})) == {"DATABASE_URL"}


@pytest.mark.parametrize("name", ["no_such_parameter", "sslMode", "a%20b"])
def test_what_the_client_library_refuses_is_refused(name: str) -> None:
    url = f"postgresql://host/db?{name}=1"
    with pytest.raises(psycopg.ProgrammingError):
        conninfo_to_dict(url)
    assert _named(_problems({**LEAST, "DATABASE_URL": url})) == {"DATABASE_URL"}


@pytest.mark.parametrize(
    "query", ["?schema=public", "?schema=public&sslmode=require", "?sslmode=require&schema=public"]
)
def test_the_parameter_of_the_deployment_guide_is_left_out(query: str) -> None:
    url = Settings.from_env({**LEAST, "DATABASE_URL": f"postgresql://u:p@host:5432/db{query}"}).database_url
    assert url == "postgresql://u:p@host:5432/db" + ("?sslmode=require" if "sslmode" in query else "")


@pytest.mark.parametrize(
    "url",
    ["http://", "http:///queue", "https://host", "https://host/", "http://host:x/q", "http://host:0/q", "http://a b/q"],
)
def test_the_url_of_the_queue_has_a_host_and_a_path(url: str) -> None:
    assert _named(_problems({**LEAST, "SQS_QUEUE_URL": url})) == {"SQS_QUEUE_URL"}


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "::1", "fe80::1", "localhost", "my_host.internal.", "10.0.0.7"])  # noqa: S104
def test_a_host_is_a_name_or_an_address(host: str) -> None:
    assert Settings.from_env({**LEAST, "HOST": host}).host == host


@pytest.mark.parametrize("host", ["[::1]", "a b", "a..b", "x" * 64, "http://a", "*"])
def test_anything_else_is_no_host(host: str) -> None:
    assert _named(_problems({**LEAST, "HOST": host})) == {"HOST"}


@pytest.mark.parametrize("path", ["/static", "/docs/api", "/health", "/metrics", "/health/ready"])
def test_the_api_does_not_hide_what_else_is_served(path: str) -> None:
    assert _named(_problems({**LEAST, "API_BASE_PATH": path})) == {"API_BASE_PATH"}
    assert Settings.from_env({**LEAST, "API_BASE_PATH": f"/api{path}"}).api_base_path == f"/api{path}"


@pytest.mark.parametrize(
    ("score", "rate", "board", "named"),
    [
        ("a:", "a:", "b", "REDIS_KEY_SCORE_PREFIX"),
        ("a:", "a:b:", "b", "REDIS_KEY_SCORE_PREFIX"),
        ("a:b:", "a:", "b", "REDIS_KEY_SCORE_PREFIX"),
        ("a", "b", "a", "REDIS_KEY_SCORE_PREFIX"),
        ("a:", "b", "a", "REDIS_KEY_SCORE_PREFIX"),
        ("a:", "b", "b", "REDIS_KEY_RATE_LIMIT_PREFIX"),
    ],
)
def test_two_kinds_of_keys_in_redis_are_never_the_same(score: str, rate: str, board: str, named: str) -> None:
    names = {"REDIS_KEY_SCORE_PREFIX": score, "REDIS_KEY_RATE_LIMIT_PREFIX": rate, "REDIS_KEY_LEADERBOARD": board}
    assert _named(_problems({**LEAST, **names})) == {named}
    Settings.from_env({**LEAST, **names, "REDIS_KEY_SCORE_PREFIX": "x:", "REDIS_KEY_RATE_LIMIT_PREFIX": f"{board}:r:"})


@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:secretsmanager:eu-central-1:123456789012:secret:scoreboard/prod/database-AbCdEf",
        "arn:aws-us-gov:secretsmanager:us-gov-west-1:000000000000:secret:rds!db-1234",
    ],
)
def test_the_arn_of_a_secret_is_taken_in_any_partition(arn: str) -> None:
    assert Settings.from_env({**LEAST, "JWT_SECRET_ARN": arn}).jwt_secret_arn == arn


@pytest.mark.parametrize("path", ["/scoreboard/prod", "/scoreboard/prod/"])
def test_a_path_of_parameters_ends_with_a_slash(path: str) -> None:
    assert Settings.from_env({**LEAST, "CONFIG_PARAMETER_PATH": path}).config_parameter_path == "/scoreboard/prod/"


def test_settings_do_not_change() -> None:
    settings = Settings.from_env(LEAST)
    with pytest.raises(FrozenInstanceError):
        settings.port = 1  # type: ignore[misc]
    assert replace(settings, port=1).port == 1


def test_every_setting_is_described() -> None:
    for setting in fields(Settings):
        assert setting.metadata["about"].endswith("."), setting.name
