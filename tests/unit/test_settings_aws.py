"""Settings that stand in AWS, against moto: read at the start, read again, kept while AWS fails, never shown."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from psycopg.conninfo import conninfo_to_dict

from scoreboard.auth import issue_token, verify_token
from scoreboard.config import DEVELOPMENT_SECRET, Settings
from scoreboard.errors import ConfigError, InvalidToken
from scoreboard.settings_aws import LEAST_AGE_S, RETRY_S, LiveSecrets, _SecretSource, load_settings
from tests.support.secrets import REGION, Clock, Vault, vault

KEY, OLD_KEY, NEW_KEY = "c" * 32, "p" * 32, "n" * 32
DATABASE = {
    "engine": "postgres",
    "host": "db.internal",
    "port": 5432,
    "username": "app",
    "password": "p@ss/w%rd ?#",
    "dbname": "scoreboard",
}
REDIS = {"username": "scoreboard", "password": "hunter-redis", "user_id": "scoreboard-prod"}
JWT = {"current": KEY, "previous": "", "next": NEW_KEY}
NOWHERE = f"arn:aws:secretsmanager:{REGION}:123456789012:secret:nothing-AbCdEf"


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Vault]:
    with vault(monkeypatch) as account:
        yield account


@pytest.fixture
def environ(aws: Vault) -> dict[str, str]:
    return {
        "APP_ENV": "production",
        "CORS_ORIGIN": "https://scoreboard.example.com",
        "DATABASE_SECRET_ARN": aws.secret("database", DATABASE),
        "REDIS_SECRET_ARN": aws.secret("redis", REDIS),
        "JWT_SECRET_ARN": aws.secret("jwt", JWT),
        "SECRETS_REFRESH_INTERVAL": "60000",
    }


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ARNs that were asked for."""
    asked: list[str] = []
    read = _SecretSource.read

    def counting(self: _SecretSource, arn: str) -> object:
        asked.append(arn)
        return read(self, arn)

    monkeypatch.setattr(_SecretSource, "read", counting)
    return asked


def problems(environ: dict[str, str], *, checks_tokens: bool = True) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load_settings(environ, checks_tokens=checks_tokens)
    assert "hunter" not in str(caught.value)
    return caught.value.problems


# At the start


def test_the_secrets_become_settings(environ: dict[str, str]) -> None:
    settings = load_settings(environ)
    assert conninfo_to_dict(settings.database_url) == {
        "host": "db.internal",
        "port": "5432",
        "user": "app",
        "password": "p@ss/w%rd ?#",
        "dbname": "scoreboard",
        "sslmode": "require",
    }
    assert (settings.redis_username, settings.redis_password) == ("scoreboard", "hunter-redis")
    assert (settings.jwt_secret, settings.jwt_secret_previous, settings.jwt_secret_next) == (KEY, "", NEW_KEY)
    assert "hunter" not in repr(settings)


def test_the_mode_of_encryption_can_be_named(aws: Vault, environ: dict[str, str]) -> None:
    aws.change(environ["DATABASE_SECRET_ARN"], {**DATABASE, "sslmode": "disable", "host": "::1", "port": "5433"})
    url = load_settings(environ).database_url
    assert url.endswith("@[::1]:5433/scoreboard?sslmode=disable")


def test_without_arns_and_path_boto3_is_not_even_imported() -> None:
    program = (
        "import sys; from scoreboard.settings_aws import LiveSecrets, load_settings;"
        "s = LiveSecrets(load_settings({'JWT_SECRET': 'x', 'REDIS_PASSWORD': 'y'}), loaded=True);"
        "assert s.database_url().startswith('postgresql://scoreboard@localhost');"
        "assert s.redis_credentials() == ('', 'y'); assert s.keyring().secrets == ('x',); s.expire();"
        "assert s.redis_credentials() == ('', 'y');"
        "assert not {'boto3', 'botocore'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_worker_neither_reads_the_keys_nor_loads_their_library() -> None:
    program = "import sys, scoreboard.settings_aws; assert not {'jwt', 'boto3'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_who_checks_no_tokens_does_not_read_the_keys(environ: dict[str, str]) -> None:
    settings = load_settings({**environ, "JWT_SECRET_ARN": NOWHERE}, checks_tokens=False)
    assert settings.jwt_secret == ""


def test_everything_that_cannot_be_read_is_named_with_the_code_of_aws(environ: dict[str, str]) -> None:
    wrong = {name: NOWHERE for name in environ if name.endswith("_ARN")}
    found = problems({**environ, **wrong})
    assert [problem.split()[0] for problem in found] == list(wrong)
    assert all(NOWHERE in problem and "(ResourceNotFoundException)" in problem for problem in found)


def test_an_arn_that_is_none_is_named_as_such_and_not_asked_for(environ: dict[str, str]) -> None:
    (problem,) = problems({**environ, "REDIS_SECRET_ARN": "scoreboard/redis"})
    assert problem.startswith("REDIS_SECRET_ARN is 'scoreboard/redis': it must be the ARN of a secret")


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("DATABASE_SECRET_ARN", "hunter2", "is not a JSON object"),
        ("DATABASE_SECRET_ARN", '["hunter2"]', "is not a JSON object"),
        ("DATABASE_SECRET_ARN", {**DATABASE, "host": ""}, "lacks the field host"),
        ("DATABASE_SECRET_ARN", {**DATABASE, "password": None}, "has a field password that is no text"),
        ("DATABASE_SECRET_ARN", {**DATABASE, "port": True}, "has a field port that is no text"),
        ("DATABASE_SECRET_ARN", {**DATABASE, "port": 0}, "makes a URL that has a port that is not a number"),
        ("DATABASE_SECRET_ARN", {**DATABASE, "host": "hunter@x"}, "makes a URL that"),
        ("DATABASE_SECRET_ARN", {**DATABASE, "sslmode": "hunter"}, "makes a URL that has a parameter sslmode"),
        ("REDIS_SECRET_ARN", {"username": "hunter"}, "lacks the field password"),
        ("REDIS_SECRET_ARN", {"password": "hunter"}, "lacks the field username"),
        ("JWT_SECRET_ARN", {"next": "hunter" * 8}, "lacks the field current"),
        ("JWT_SECRET_ARN", {"current": KEY, "previous": 7.5}, "has a field previous that is no text"),
    ],
)
def test_a_secret_of_another_shape_is_refused_by_its_arn_and_not_shown(
    aws: Vault, environ: dict[str, str], name: str, value: object, reason: str
) -> None:
    aws.change(environ[name], value)
    (problem,) = problems(environ)
    assert problem.startswith(f"{name} is {environ[name]}: it {reason}")


@pytest.mark.parametrize("field", ["current", "previous", "next"])
@pytest.mark.parametrize("weak", ["short", DEVELOPMENT_SECRET])
def test_production_refuses_a_weak_key_that_comes_from_a_secret(
    aws: Vault, environ: dict[str, str], field: str, weak: str
) -> None:
    aws.change(environ["JWT_SECRET_ARN"], {**JWT, field: weak})
    (problem,) = problems(environ)
    assert problem.startswith("JWT_SECRET")
    assert problem.endswith(("is shorter than 32 bytes", "is the development secret"))
    load_settings({**environ, "APP_ENV": "development"})


# Parameter Store


def test_parameters_are_settings_by_their_whole_name_or_the_last_part(aws: Vault, environ: dict[str, str]) -> None:
    for name, value in {
        "app/version": "9.9.9",
        "app/log-level": "warning",
        "redis/host": "cache.internal",
        "nested/deep/rate-limit-max-requests": "7",
        "app/unknown": "x",
    }.items():
        aws.parameter(f"/scoreboard/prod/{name}", value)
    aws.parameter("/scoreboard/production/app/port", "1")
    settings = load_settings({**environ, "CONFIG_PARAMETER_PATH": "/scoreboard/prod"})
    assert (settings.app_version, settings.log_level) == ("9.9.9", "WARNING")
    assert (settings.redis_host, settings.host, settings.port) == ("cache.internal", "127.0.0.1", 3000)
    assert settings.rate_limit_max_requests == 7


def test_more_parameters_than_a_page_holds_are_all_read(aws: Vault, environ: dict[str, str]) -> None:
    for number in range(25):
        aws.parameter(f"/many/a{number:02}/unknown", "x")
    aws.parameter("/many/z/port", "3999")
    assert load_settings({**environ, "CONFIG_PARAMETER_PATH": "/many/"}).port == 3999


def test_the_environment_comes_before_parameters_and_secrets_before_both(aws: Vault, environ: dict[str, str]) -> None:
    aws.parameter("/x/log-level", "warning")
    aws.parameter("/x/redis/password", "hunter-parameter")
    given = {**environ, "CONFIG_PARAMETER_PATH": "/x/", "LOG_LEVEL": "error", "REDIS_PASSWORD": "hunter-variable"}
    settings = load_settings(given)
    assert settings.log_level == "ERROR"
    assert settings.redis_password == "hunter-redis"
    assert load_settings({**given, "LOG_LEVEL": " "}).log_level == "WARNING"


def test_a_parameter_may_name_a_secret(aws: Vault, environ: dict[str, str]) -> None:
    aws.parameter("/x/redis/secret-arn", environ.pop("REDIS_SECRET_ARN"))
    assert load_settings({**environ, "CONFIG_PARAMETER_PATH": "/x/"}).redis_password == "hunter-redis"


def test_a_path_that_cannot_be_read_is_named_together_with_the_secrets(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSM", "http://127.0.0.1:9")
    found = problems({**environ, "CONFIG_PARAMETER_PATH": "/x/", "REDIS_SECRET_ARN": NOWHERE})
    assert found == (
        "CONFIG_PARAMETER_PATH is /x/: it cannot be read (EndpointConnectionError)",
        f"REDIS_SECRET_ARN is {NOWHERE}: it cannot be read (ResourceNotFoundException)",
    )


def test_settings_that_are_wrong_are_named_as_ever(environ: dict[str, str]) -> None:
    assert problems({**environ, "PORT": "x", "HOST": "a b"}) == (
        "HOST is 'a b': it must be a host name or an IP address, without a port",
        "PORT is 'x': it must be a whole number from 1 to 65535",
    )


# While a process lives


def live(environ: dict[str, str], clock: Clock) -> LiveSecrets:
    return LiveSecrets(load_settings(environ), loaded=True, clock=clock)


def test_what_was_loaded_counts_until_the_interval_has_passed(
    aws: Vault, environ: dict[str, str], reads: list[str]
) -> None:
    clock = Clock()
    secrets = live(environ, clock)
    reads.clear()
    aws.change(environ["REDIS_SECRET_ARN"], {**REDIS, "password": "second"})
    clock.now += 59
    assert secrets.redis_credentials() == ("scoreboard", "hunter-redis")
    assert reads == []
    clock.now += 1
    assert secrets.redis_credentials() == ("scoreboard", "second")
    assert secrets.redis_credentials() == ("scoreboard", "second")
    assert reads == [environ["REDIS_SECRET_ARN"]]


def test_settings_that_were_not_loaded_are_not_taken_for_the_secrets(environ: dict[str, str]) -> None:
    secrets = LiveSecrets(Settings.from_env(environ, checks_tokens=False))
    assert "db.internal" in secrets.database_url()
    assert secrets.redis_credentials() == ("scoreboard", "hunter-redis")
    assert secrets.keyring().secrets == (KEY, NEW_KEY)


def test_the_owner_has_a_secret_of_its_own(aws: Vault, environ: dict[str, str]) -> None:
    arn = aws.secret("owner", {**DATABASE, "username": "owner"})
    secrets = live({**environ, "DATABASE_OWNER_SECRET_ARN": arn}, Clock())
    assert conninfo_to_dict(secrets.owner_database_url())["user"] == "owner"
    assert conninfo_to_dict(secrets.database_url())["user"] == "app"
    with pytest.raises(ConfigError, match="neither the value nor the ARN"):
        live(environ, Clock()).owner_database_url()


def test_a_rotated_keyring_accepts_all_three_keys_and_signs_with_the_current(
    aws: Vault, environ: dict[str, str]
) -> None:
    clock = Clock()
    secrets = live(environ, clock)
    before = secrets.keyring()
    token = issue_token(before, user_id="ada", ttl_s=600)
    aws.change(environ["JWT_SECRET_ARN"], {"current": NEW_KEY, "previous": KEY, "next": "x" * 32})
    clock.now += 60
    after = secrets.keyring()
    assert after.secrets == (NEW_KEY, KEY, "x" * 32)
    assert verify_token(after, token).user_id == "ada"
    # Who has not read the new keyring yet knows the key that the others sign with already.
    assert verify_token(before, issue_token(after, user_id="bob", ttl_s=600)).user_id == "bob"
    aws.change(environ["JWT_SECRET_ARN"], {"current": "x" * 32, "previous": NEW_KEY, "next": "y" * 32})
    clock.now += 60
    with pytest.raises(InvalidToken):
        verify_token(secrets.keyring(), token)


@pytest.mark.parametrize("broken", [{"current": "short"}, {"current": KEY, "next": "short"}, {}, "hunter2"])
def test_a_broken_keyring_is_not_taken_and_the_log_says_so_once(
    aws: Vault, environ: dict[str, str], broken: object, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    secrets = live(environ, clock)
    aws.change(environ["JWT_SECRET_ARN"], broken)
    for _ in range(3):
        clock.now += 60
        assert secrets.keyring().secrets == (KEY, NEW_KEY)
    assert [record.levelname for record in caplog.records if record.name == "scoreboard.settings_aws"] == ["WARNING"]
    assert environ["JWT_SECRET_ARN"] in caplog.text
    assert "hunter" not in caplog.text


def test_while_aws_fails_the_last_value_stays_and_aws_is_asked_now_and_then(
    aws: Vault, environ: dict[str, str], reads: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    secrets = live(environ, clock)
    arn = environ["REDIS_SECRET_ARN"]
    aws.remove(arn)
    reads.clear()
    with caplog.at_level(logging.INFO, "scoreboard.settings_aws"):
        clock.now += 60
        for _ in range(10):
            assert secrets.redis_credentials() == ("scoreboard", "hunter-redis")
        assert reads == [arn]
        clock.now += RETRY_S
        assert secrets.redis_credentials() == ("scoreboard", "hunter-redis")
        assert reads == [arn, arn]
    assert [record.message for record in caplog.records if record.name == "scoreboard.settings_aws"] == [
        f"the secret {arn} cannot be read (ResourceNotFoundException); what was read before is used"
    ]


def test_after_a_refused_login_a_secret_is_read_at_once_but_not_at_every_attempt(
    aws: Vault, environ: dict[str, str], reads: list[str]
) -> None:
    clock = Clock()
    secrets = live(environ, clock)
    reads.clear()
    aws.change(environ["REDIS_SECRET_ARN"], {**REDIS, "password": "second"})
    secrets.expire()
    assert secrets.redis_credentials() == ("scoreboard", "second")
    aws.change(environ["REDIS_SECRET_ARN"], {**REDIS, "password": "third"})
    for _ in range(10):
        secrets.expire()
        assert secrets.redis_credentials() == ("scoreboard", "second")
    assert len(reads) == 1
    clock.now += LEAST_AGE_S
    secrets.expire()
    assert secrets.redis_credentials() == ("scoreboard", "third")


def test_a_secret_that_never_could_be_read_is_an_error_with_its_reason(environ: dict[str, str]) -> None:
    settings = Settings.from_env({**environ, "DATABASE_SECRET_ARN": NOWHERE}, checks_tokens=False)
    with pytest.raises(ConfigError, match=r"nothing-AbCdEf cannot be read \(ResourceNotFoundException\)"):
        LiveSecrets(settings).database_url()


def test_an_endpoint_that_hangs_is_given_up_and_the_last_value_stays(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    settings = load_settings(environ)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", f"http://127.0.0.1:{silent.getsockname()[1]}")
        secrets = LiveSecrets(settings, loaded=True, clock=clock)
        clock.now += 60
        assert secrets.redis_credentials() == ("scoreboard", "hunter-redis")
    assert "cannot be read (ReadTimeoutError)" in caplog.text


def test_while_one_thread_reads_the_others_go_on_with_what_is_known(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    secrets = live(environ, clock)
    begun, go_on = threading.Event(), threading.Event()

    def slow(_self: _SecretSource, _arn: str) -> dict[str, str]:
        begun.set()
        assert go_on.wait(30)
        return {"username": "late", "password": "late"}

    monkeypatch.setattr(_SecretSource, "read", slow)
    clock.now += 60
    reader = threading.Thread(target=secrets.redis_credentials)
    reader.start()
    assert begun.wait(30)
    assert secrets.redis_credentials() == ("scoreboard", "hunter-redis")
    go_on.set()
    reader.join(30)
    assert secrets.redis_credentials() == ("late", "late")
