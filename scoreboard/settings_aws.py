"""Settings that stand in AWS: Parameter Store at the start, Secrets Manager at the start and for as long as one runs.

A process reads its secrets itself and reads them again, so that a rotation needs no restart. No value of a secret
appears in a message.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar
from urllib.parse import quote

from scoreboard import config_values as values
from scoreboard.config import Settings, environment, weakness
from scoreboard.errors import ConfigError

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_ssm import SSMClient

    from scoreboard.auth import Keyring

RETRY_S: Final = 30.0
"""How long what was read last is used without another attempt, after one that failed."""
LEAST_AGE_S: Final = 10.0
"""A secret that was read so lately is not read again because a login was refused: while a server is away, every attempt
to connect would ask."""

_NAMES: Final = frozenset(setting.name.upper() for setting in fields(Settings))
_log = logging.getLogger(__name__)

Fields = Mapping[str, Any]
T = TypeVar("T")


class Unreadable(Exception):
    """A secret or a path cannot be read, or is not what it should be; the text says why, and holds no value."""


def load_settings(environ: Mapping[str, str] | None = None, *, checks_tokens: bool = True) -> Settings:
    """Read the settings of the environment and of what it points to in AWS.

    What the environment sets comes before Parameter Store; a secret that is given by its ARN comes before both.

    Args:
        environ: The variables, by default those of the process.
        checks_tokens: Whether the process needs the signing keys; else they are not read, even where they are given.

    Raises:
        ConfigError: Lists everything that is wrong.
    """
    variables = environment(environ)
    problems: list[str] = []
    path = _named(variables, "CONFIG_PARAMETER_PATH", values.parameter_path)
    if path:
        try:
            variables = _parameters(path) | variables
        except Unreadable as error:
            problems.append(f"CONFIG_PARAMETER_PATH is {path}: it {error}")
    source = _SecretSource(attempts=3)
    for name, read in {
        "DATABASE_SECRET_ARN": _database_variables,
        "REDIS_SECRET_ARN": _redis_variables,
        **({"JWT_SECRET_ARN": _jwt_variables} if checks_tokens else {}),
    }.items():
        arn = _named(variables, name, values.secret_arn)
        if not arn:
            continue
        try:
            variables |= read(source.read(arn))
        except Unreadable as error:
            problems.append(f"{name} is {arn}: it {error}")
    if problems:
        raise ConfigError(problems)
    return Settings.from_env(variables, checks_tokens=checks_tokens)


def _named(variables: Mapping[str, str], name: str, parse: Callable[[str], str]) -> str:
    """Return what a variable names; nothing where it is wrong, of which `Settings` says so."""
    try:
        return parse(variables.get(name, ""))
    except ValueError:
        return ""


class LiveSecrets:
    """The secrets of this process as they are now; without ARNs, those of the settings for ever.

    For any thread. A call may wait for AWS for a few seconds, never longer; while AWS fails, the last value stays.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        loaded: bool = False,
        attempts: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take settings; `loaded` says that they come from `load_settings`: what they hold then counts as just read.

        `attempts` is for who has nothing to go on with when one fails, and time for more.
        """
        self._settings = settings
        self._clock = clock
        self._source = _SecretSource(attempts=attempts)
        interval_s = settings.secrets_refresh_interval / 1000

        def entry(arn: str, make: Callable[[Fields], T], of_settings: T | None) -> _Entry[T]:
            known = of_settings if loaded or not arn else None
            return _Entry(arn, make, interval_s, known, due=clock() + interval_s if arn else float("inf"))

        credentials = (settings.redis_username, settings.redis_password)
        keys = (settings.jwt_secret, settings.jwt_secret_previous, settings.jwt_secret_next)
        self._database = entry(settings.database_secret_arn, _database_url, settings.database_url)
        self._owner = entry(settings.database_owner_secret_arn, _database_url, None)
        self._redis = entry(settings.redis_secret_arn, _redis_credentials, credentials)
        self._keyring = entry(settings.jwt_secret_arn, self._read_keyring, self._ring(*keys) if keys[0] else None)

    def database_url(self) -> str:
        """Return where PostgreSQL is, and as whom to log in."""
        return self._current(self._database)

    def owner_database_url(self) -> str:
        """Return the same for the owner of the tables. Raises `ConfigError` where there is no such secret."""
        return self._current(self._owner)

    def redis_credentials(self) -> tuple[str, str]:
        """Return user and password of Redis, each perhaps empty."""
        return self._current(self._redis)

    def keyring(self) -> Keyring:
        """Return the keys of tokens. Raises `ConfigError` where there are none."""
        return self._current(self._keyring)

    def expire(self) -> None:
        """Have the secrets read again before the next login, as one was refused."""
        now = self._clock()
        for entry in (self._database, self._owner, self._redis):
            if entry.arn and now - entry.tried_at >= LEAST_AGE_S:
                entry.due = now

    def _current(self, entry: _Entry[T]) -> T:
        known = entry.value
        if known is None:
            with entry.lock:
                return self._read(entry) if entry.value is None else entry.value
        # Who finds another one reading goes on with what is known.
        if self._clock() >= entry.due and entry.lock.acquire(blocking=False):
            try:
                return self._read(entry)
            finally:
                entry.lock.release()
        return known

    def _read(self, entry: _Entry[T]) -> T:
        if not entry.arn:
            raise ConfigError(["a secret is asked for of which neither the value nor the ARN is set"])
        entry.tried_at = self._clock()
        try:
            entry.value = value = entry.make(self._source.read(entry.arn))
        except Unreadable as error:
            return self._kept(entry, error)
        entry.due = self._clock() + entry.interval_s
        if entry.failing:
            _log.info("the secret %s is read again", entry.arn)
        entry.failing = False
        return value

    def _kept(self, entry: _Entry[T], error: Unreadable) -> T:
        if entry.value is None:
            raise ConfigError([f"the secret {entry.arn} {error}"]) from error
        entry.due = self._clock() + min(RETRY_S, entry.interval_s)
        if not entry.failing:
            _log.warning("the secret %s %s; what was read before is used", entry.arn, error)
        entry.failing = True
        return entry.value

    def _read_keyring(self, secret: Fields) -> Keyring:
        keys = _jwt_variables(secret)
        for name, key in keys.items() if self._settings.is_production else ():
            if key and (why := weakness(key)):
                raise Unreadable(f"makes a {name} that {why}")
        return self._ring(*keys.values())

    def _ring(self, current: str, previous: str, upcoming: str) -> Keyring:
        from scoreboard.auth import Keyring  # the worker checks no tokens, and does not wait for their library

        return Keyring.of(
            current, previous, upcoming, issuer=self._settings.jwt_issuer, audience=self._settings.jwt_audience
        )


@dataclass(slots=True)
class _Entry(Generic[T]):
    """One secret: what is made of it, and when it is to be read again."""

    arn: str
    make: Callable[[Fields], T]
    interval_s: float
    value: T | None = field(repr=False)
    due: float
    tried_at: float = float("-inf")
    failing: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)


class _SecretSource:
    """Secrets Manager, in the region that an ARN names; its waits are short."""

    def __init__(self, *, attempts: int) -> None:
        self._attempts = attempts
        self._clients: dict[str, SecretsManagerClient] = {}
        self._lock = threading.Lock()

    def read(self, arn: str) -> Fields:
        """Return the fields of a secret. Raises `Unreadable`."""
        answer = _called(lambda: self._client(arn.split(":")[3]).get_secret_value(SecretId=arn))
        try:
            secret = json.loads(answer.get("SecretString", ""))
        except ValueError:
            secret = None
        if not isinstance(secret, dict):
            raise Unreadable("is not a JSON object")
        return secret

    def _client(self, region: str) -> SecretsManagerClient:
        import boto3  # half a second that only those who have secrets there pay

        with self._lock:  # making a client is not for several threads at once
            if region not in self._clients:
                config = _client_config(self._attempts)
                self._clients[region] = boto3.client("secretsmanager", region_name=region, config=config)
            return self._clients[region]


def _client_config(attempts: int) -> Any:
    from botocore.config import Config

    return Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": attempts, "mode": "standard"})


def _called(call: Callable[[], T]) -> T:
    """Return what AWS answers; its error by its code, as its message may be long and name whom not."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return call()
    except ClientError as error:
        raise Unreadable(f"cannot be read ({error.response['Error']['Code']})") from error
    except BotoCoreError as error:
        raise Unreadable(f"cannot be read ({type(error).__name__})") from error


def _parameters(path: str) -> dict[str, str]:
    """Return the settings that stand below a path, by the names of their variables."""
    import boto3

    def read() -> dict[str, str]:
        client: SSMClient = boto3.client("ssm", config=_client_config(3))
        pages = client.get_paginator("get_parameters_by_path").paginate(Path=path, Recursive=True, WithDecryption=True)
        return {each["Name"]: each["Value"] for page in pages for each in page["Parameters"]}

    found = {_variable(name.removeprefix(path)): text for name, text in _called(read).items()}
    return {name: text for name, text in found.items() if name in _NAMES}


def _variable(name: str) -> str:
    """Return the variable of a parameter: by its whole name below the path, else by the last part of it."""
    whole, last = (text.replace("/", "_").replace("-", "_").upper() for text in (name, name.rpartition("/")[2]))
    return whole if whole in _NAMES else last


def _database_url(secret: Fields) -> str:
    user, password, database = (quote(_text(secret, name), safe="") for name in ("username", "password", "dbname"))
    host = _text(secret, "host")
    address = f"[{host}]" if ":" in host else host
    sslmode = quote(str(secret.get("sslmode") or "require"), safe="")
    try:
        return values.database_url(
            f"postgresql://{user}:{password}@{address}:{_text(secret, 'port')}/{database}?sslmode={sslmode}"
        )
    except ValueError as error:
        raise Unreadable(f"makes a URL that {error}") from error


def _redis_credentials(secret: Fields) -> tuple[str, str]:
    return _text(secret, "username"), _text(secret, "password")


def _database_variables(secret: Fields) -> dict[str, str]:
    return {"DATABASE_URL": _database_url(secret)}


def _redis_variables(secret: Fields) -> dict[str, str]:
    return dict(zip(("REDIS_USERNAME", "REDIS_PASSWORD"), _redis_credentials(secret), strict=True))


def _jwt_variables(secret: Fields) -> dict[str, str]:
    return {
        "JWT_SECRET": _text(secret, "current"),
        "JWT_SECRET_PREVIOUS": _text(secret, "previous", required=False),
        "JWT_SECRET_NEXT": _text(secret, "next", required=False),
    }


def _text(secret: Fields, name: str, *, required: bool = True) -> str:
    value = secret.get(name, "")
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str):
        raise Unreadable(f"has a field {name} that is no text")
    if required and not text.strip():
        raise Unreadable(f"lacks the field {name}")
    return text
