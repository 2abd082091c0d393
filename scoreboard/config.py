"""Settings: the only reader of the environment. Frozen, checked as a whole, secrets masked. Pure."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from scoreboard.errors import ConfigError

APP_ENVS: Final = ("development", "staging", "production", "test")
DEVELOPMENT_SECRET: Final = "dev-secret-key-not-for-production"  # noqa: S105 - the guide's example, refused in production
MIN_SECRET_BYTES: Final = 32
"""RFC 7518, 3.2: a key of HS256 has at least the size of the hash."""

_NUMBER: Final = re.compile(r"-?[0-9]{1,18}")
_DURATION: Final = re.compile(r"([0-9]{1,9})\s*([smhd]?)")
_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def _integer(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not _NUMBER.fullmatch(text):
            raise ValueError(f"must be a whole number from {low} to {high}")
        value = int(text)
        if not low <= value <= high:
            raise ValueError(f"must be from {low} to {high}")
        return value

    return parse


def _flag(text: str) -> bool:
    lowered = text.lower()
    if lowered not in ("true", "false", "1", "0"):
        raise ValueError("must be true or false")
    return lowered in ("true", "1")


def _choice(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return text

    return parse


def _seconds(text: str) -> int:
    match = _DURATION.fullmatch(text.strip())
    if not match or int(match[1]) == 0:
        raise ValueError("must be a duration such as 900s, 15m, 24h or 7d")
    return int(match[1]) * _UNITS[match[2]]


def _path(text: str) -> str:
    if not re.fullmatch(r"(/[A-Za-z0-9_-]+)+", text):
        raise ValueError("must be a path such as /api")
    return text


def _database_url(text: str) -> str:
    """Take the guide's form too: `schema=public`, a parameter that only one client library knows, is the default."""
    if not text.startswith(("postgresql://", "postgres://")):
        raise ValueError("must be a postgresql:// URL")
    address, _, query = text.partition("?")
    parameters = [part for part in query.split("&") if part and part != "schema=public"]
    if any(part.startswith("schema=") for part in parameters):
        raise ValueError("names a schema other than public")
    return f"{address}?{'&'.join(parameters)}" if parameters else address


def _http_url(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise ValueError("must be an http(s):// URL")
    return text


def _origins(text: str) -> tuple[str, ...]:
    origins = tuple(part.strip().rstrip("/") for part in text.split(",") if part.strip())
    bad = [origin for origin in origins if origin != "*" and not re.fullmatch(r"https?://[^/\s]+", origin)]
    if bad or not origins:
        raise ValueError("must be origins such as https://scoreboard.example.com, separated by commas, or *")
    return origins


def _upper(text: str) -> str:
    return _choice("DEBUG", "INFO", "WARNING", "ERROR")(text.upper())


def _setting(default: Any, parse: Callable[[str], Any] = str, *, secret: bool = False, about: str = "") -> Any:
    metadata = {"parse": parse, "default": default, "secret": secret, "about": about}
    return field(metadata=metadata, repr=not secret)


PORT_NUMBER: Final = _integer(1, 65535)
MILLISECONDS: Final = _integer(1, 86_400_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting, named as its environment variable in lower case. Times are milliseconds unless said otherwise."""

    app_env: str = _setting(
        "development",
        _choice(*APP_ENVS),
        about="Which rules apply: production refuses what is only for development.",
    )
    app_name: str = _setting("scoreboard-api", about="Name in logs and metrics.")
    app_version: str = _setting("0.1.0", about="Version shown by /health and in logs.")
    host: str = _setting("127.0.0.1", about="Address to listen on; 0.0.0.0 for every one.")
    port: int = _setting("3000", PORT_NUMBER, about="Port to listen on.")
    api_base_path: str = _setting("/api", _path, about="Where the API begins.")
    log_level: str = _setting("info", _upper, about="debug, info, warning or error.")
    log_format: str = _setting("json", _choice("json", "text"), about="json for log queries, text for people.")

    database_url: str = _setting(
        "postgresql://scoreboard@localhost:5432/scoreboard",
        _database_url,
        secret=True,
        about="PostgreSQL, the truth.",
    )
    database_pool_min: int = _setting("5", _integer(1, 1000), about="Connections an API process keeps open.")
    database_pool_max: int = _setting("20", _integer(1, 1000), about="Connections an API process opens at most.")
    database_idle_timeout: int = _setting(
        "30000", MILLISECONDS, about="After how long a connection above the minimum is closed."
    )

    redis_host: str = _setting("localhost", about="Redis, the ranking index.")
    redis_port: int = _setting("6379", PORT_NUMBER, about="Port of Redis.")
    redis_password: str = _setting("", secret=True, about="Password of Redis, empty for none.")
    redis_tls_enabled: bool = _setting("false", _flag, about="Whether to speak TLS with Redis.")
    redis_db: int = _setting("0", _integer(0, 15), about="Number of the Redis database.")
    redis_pool_max: int = _setting(
        "50", _integer(1, 10_000), about="Connections to Redis a process opens at most; more callers wait."
    )
    redis_key_leaderboard: str = _setting("leaderboard:top10", about="Prefix of the keys of boards.")
    redis_key_score_prefix: str = _setting("score:", about="Prefix of the keys of accepted submissions.")
    redis_key_rate_limit_prefix: str = _setting("ratelimit:", about="Prefix of the keys of the rate limit.")

    sqs_queue_url: str = _setting(
        "http://localhost:4566/000000000000/scoreboard-scores",
        _http_url,
        about="The queue of accepted scores.",
    )

    jwt_secret: str = _setting("", secret=True, about="Key that signs tokens, HS256.")
    jwt_secret_previous: str = _setting("", secret=True, about="The key before, still accepted during a rotation.")
    jwt_expiry: int = _setting("24h", _seconds, about="Life of a token: 900s, 15m, 24h, 7d.")
    jwt_algorithm: str = _setting("HS256", _choice("HS256"), about="Fixed: a token cannot choose.")
    jwt_issuer: str = _setting("scoreboard", about="Required claim iss.")
    jwt_audience: str = _setting("scoreboard-api", about="Required claim aud.")

    rate_limit_window_ms: int = _setting("60000", MILLISECONDS, about="Length of the moving window.")
    rate_limit_max_requests: int = _setting("10", _integer(1, 10**9), about="Scores of one user in any such window.")
    idempotency_window_ms: int = _setting(
        "3600000",
        MILLISECONDS,
        about="How long a replay gets its answer from Redis. The effect is guarded for ever.",
    )
    cors_origin: tuple[str, ...] = _setting(
        "http://localhost:3000", _origins, about="Origins that may call from a browser, separated by commas."
    )
    cors_credentials: bool = _setting("true", _flag, about="Whether such calls may carry credentials.")
    trusted_proxy_hops: int = _setting(
        "0", _integer(0, 5), about="How many proxies in front append to X-Forwarded-For; 0 trusts none."
    )

    sse_heartbeat_interval: int = _setting("15000", MILLISECONDS, about="Time between heartbeats on a stream.")
    sse_message_timeout: int = _setting(
        "5000", MILLISECONDS, about="After how long a client that cannot be written to is cut."
    )
    sse_max_clients_per_instance: int = _setting("10000", _integer(1, 1_000_000), about="Streams a process holds.")
    sse_max_clients_per_address: int = _setting("100", _integer(1, 1_000_000), about="Streams of one client address.")
    sse_max_clients_per_user: int = _setting("10", _integer(1, 1_000_000), about="Streams of one token's subject.")
    sse_max_age: int = _setting(
        "3600000", MILLISECONDS, about="After how long, less up to a fifth, a stream is asked to reconnect."
    )

    cloudwatch_namespace: str = _setting("Scoreboard/API", about="Namespace of the metrics.")

    request_timeout: int = _setting("30000", MILLISECONDS, about="After how long any other request is given up.")
    shutdown_grace_period: int = _setting(
        "30000", MILLISECONDS, about="After how long a stopping process ends what is still open."
    )

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, *, checks_tokens: bool = True) -> Settings:
        """Read the settings; an empty variable counts as not set, an unknown one is ignored.

        Args:
            environ: The variables, by default those of the process.
            checks_tokens: Whether the process needs the signing key. The worker does not, and is not given it.

        Raises:
            ConfigError: Lists everything that is wrong.
        """
        source = os.environ if environ is None else environ
        values: dict[str, Any] = {}
        problems: list[str] = []
        unread: set[str] = set()
        for setting in fields(cls):
            name = setting.name.upper()
            text = source.get(name, "").strip() or setting.metadata["default"]
            try:
                values[setting.name] = setting.metadata["parse"](text)
            except ValueError as error:
                shown = "a secret" if setting.metadata["secret"] else repr(text[:80])
                problems.append(f"{name} is {shown}: it {error}")
                values[setting.name] = setting.metadata["parse"](setting.metadata["default"])
                unread.add(setting.name)
        settings = cls(**values)
        problems.extend(settings._contradictions(checks_tokens, unread))
        if problems:
            raise ConfigError(problems)
        return settings

    def _contradictions(self, checks_tokens: bool, unread: set[str]) -> list[str]:
        problems = []
        pool = {"database_pool_min", "database_pool_max"}
        if self.database_pool_min > self.database_pool_max and not pool & unread:
            problems.append("DATABASE_POOL_MIN is larger than DATABASE_POOL_MAX")
        if checks_tokens and not self.jwt_secret:
            problems.append("JWT_SECRET is not set")
        if self.is_production:
            problems.extend(self._unsafe_secrets())
            if "*" in self.cors_origin:
                problems.append("CORS_ORIGIN is *: name the origins")
        elif "*" in self.cors_origin and self.cors_credentials:
            problems.append("CORS_ORIGIN is * while CORS_CREDENTIALS is true: browsers refuse that")
        return problems

    def _unsafe_secrets(self) -> list[str]:
        problems = []
        for name in ("jwt_secret", "jwt_secret_previous"):
            secret = getattr(self, name)
            if secret == DEVELOPMENT_SECRET:
                problems.append(f"{name.upper()} is the development secret")
            elif secret and len(secret.encode()) < MIN_SECRET_BYTES:
                problems.append(f"{name.upper()} is shorter than {MIN_SECRET_BYTES} bytes")
        return problems

    @property
    def is_production(self) -> bool:
        """Whether the rules of production apply; staging is held to the same."""
        return self.app_env in ("production", "staging")
