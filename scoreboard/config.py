"""Settings: the only reader of the environment. Frozen, checked as a whole, secrets masked. Pure."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from scoreboard import config_values as values
from scoreboard.errors import ConfigError

APP_ENVS: Final = ("development", "staging", "production", "test")
DEVELOPMENT_SECRET: Final = "dev-secret-key-not-for-production"  # noqa: S105 - the guide's example, refused in production
MIN_SECRET_BYTES: Final = 32
"""RFC 7518, 3.2: a key of HS256 has at least the size of the hash."""


def _setting(default: Any, parse: Callable[[str], Any] = str, *, secret: bool = False, about: str = "") -> Any:
    metadata = {"parse": parse, "default": default, "secret": secret, "about": about}
    return field(metadata=metadata, repr=not secret)


def environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the variables that are set and not empty, by default those of the process."""
    source = os.environ if environ is None else environ
    return {name: text.strip() for name, text in source.items() if text.strip()}


def weakness(secret: str) -> str | None:
    """Return why production refuses a signing key, None where it does not."""
    if secret == DEVELOPMENT_SECRET:
        return "is the development secret"
    if len(secret.encode()) < MIN_SECRET_BYTES:
        return f"is shorter than {MIN_SECRET_BYTES} bytes"
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting, named as its environment variable in lower case. Times are milliseconds unless said otherwise."""

    app_env: str = _setting(
        "development",
        values.choice(*APP_ENVS),
        about="Which rules apply: production refuses what is only for development.",
    )
    app_name: str = _setting("scoreboard-api", about="Name in logs and metrics.")
    app_version: str = _setting("0.1.0", about="Version shown by /health and in logs.")
    host: str = _setting("127.0.0.1", values.host_name, about="Address to listen on; 0.0.0.0 for every one.")
    port: int = _setting("3000", values.PORT_NUMBER, about="Port to listen on.")
    api_base_path: str = _setting("/api", values.api_path, about="Where the API begins.")
    log_level: str = _setting("info", values.log_level, about="debug, info, warning or error.")
    log_format: str = _setting("json", values.choice("json", "text"), about="json for log queries, text for people.")

    database_url: str = _setting(
        "postgresql://scoreboard@localhost:5432/scoreboard",
        values.database_url,
        secret=True,
        about="PostgreSQL, the truth.",
    )
    database_secret_arn: str = _setting(
        "", values.optional(values.secret_arn), about="Secret that DATABASE_URL is made from."
    )
    database_owner_secret_arn: str = _setting(
        "", values.optional(values.secret_arn), about="Secret of the owner of the tables, for migrations."
    )
    database_pool_min: int = _setting("5", values.integer(1, 1000), about="Connections an API process keeps open.")
    database_pool_max: int = _setting("20", values.integer(1, 1000), about="Connections an API process opens at most.")
    database_idle_timeout: int = _setting(
        "30000", values.MILLISECONDS, about="After how long a connection above the minimum is closed."
    )

    redis_host: str = _setting("localhost", values.host_name, about="Redis, the ranking index.")
    redis_port: int = _setting("6379", values.PORT_NUMBER, about="Port of Redis.")
    redis_username: str = _setting("", about="User of Redis, empty for the default one.")
    redis_password: str = _setting("", secret=True, about="Password of Redis, empty for none.")
    redis_secret_arn: str = _setting(
        "", values.optional(values.secret_arn), about="Secret that REDIS_USERNAME and REDIS_PASSWORD come from."
    )
    redis_tls_enabled: bool = _setting("false", values.flag, about="Whether to speak TLS with Redis.")
    redis_db: int = _setting("0", values.integer(0, 15), about="Number of the Redis database.")
    redis_pool_max: int = _setting(
        "50", values.integer(1, 10_000), about="Connections to Redis a process opens at most; more callers wait."
    )
    redis_key_leaderboard: str = _setting("leaderboard:top10", about="Prefix of the keys of boards.")
    redis_key_score_prefix: str = _setting("score:", about="Prefix of the keys of accepted submissions.")
    redis_key_rate_limit_prefix: str = _setting("ratelimit:", about="Prefix of the keys of the rate limit.")

    sqs_queue_url: str = _setting(
        "http://localhost:4566/000000000000/scoreboard-scores",
        values.queue_url,
        about="The queue of accepted scores.",
    )
    sqs_dead_letter_queue_url: str = _setting(
        "", values.optional(values.queue_url), about="The queue of messages that could not be applied."
    )
    alerts_topic_arn: str = _setting(
        "", values.optional(values.topic_arn), about="Topic that people on call are told through."
    )

    jwt_secret: str = _setting("", secret=True, about="Key that signs tokens, HS256.")
    jwt_secret_previous: str = _setting("", secret=True, about="The key before, still accepted during a rotation.")
    jwt_secret_next: str = _setting(
        "", secret=True, about="The key to come, accepted before anything is signed with it."
    )
    jwt_secret_arn: str = _setting("", values.optional(values.secret_arn), about="Secret that these keys come from.")
    jwt_expiry: int = _setting("24h", values.duration, about="Life of a token: 900s, 15m, 24h, 7d.")
    jwt_algorithm: str = _setting("HS256", values.choice("HS256"), about="Fixed: a token cannot choose.")
    jwt_issuer: str = _setting("scoreboard", about="Required claim iss.")
    jwt_audience: str = _setting("scoreboard-api", about="Required claim aud.")

    rate_limit_window_ms: int = _setting("60000", values.MILLISECONDS, about="Length of the moving window.")
    rate_limit_max_requests: int = _setting(
        "10", values.integer(1, 10**9), about="Scores of one user in any such window."
    )
    idempotency_window_ms: int = _setting(
        "3600000",
        values.MILLISECONDS,
        about="How long a replay gets its answer from Redis. The effect is guarded for as long as the event is kept.",
    )
    cors_origin: tuple[str, ...] = _setting(
        "http://localhost:3000", values.origin_list, about="Origins that may call from a browser, separated by commas."
    )
    cors_credentials: bool = _setting("true", values.flag, about="Whether such calls may carry credentials.")
    trusted_proxy_hops: int = _setting(
        "0", values.integer(0, 5), about="How many proxies in front append to X-Forwarded-For; 0 trusts none."
    )

    sse_heartbeat_interval: int = _setting("15000", values.MILLISECONDS, about="Time between heartbeats on a stream.")
    sse_message_timeout: int = _setting(
        "5000", values.MILLISECONDS, about="After how long a client that cannot be written to is cut."
    )
    sse_max_clients_per_instance: int = _setting(
        "10000", values.integer(1, 1_000_000), about="Streams a process holds."
    )
    sse_max_clients_per_address: int = _setting(
        "100", values.integer(1, 1_000_000), about="Streams of one client address."
    )
    sse_max_clients_per_user: int = _setting(
        "10", values.integer(1, 1_000_000), about="Streams of one token's subject."
    )
    sse_max_age: int = _setting(
        "3600000", values.MILLISECONDS, about="After how long, less up to a fifth, a stream is asked to reconnect."
    )

    cloudwatch_enabled: bool = _setting("false", values.flag, about="Whether the API logs its metrics for CloudWatch.")
    cloudwatch_namespace: str = _setting("Scoreboard/API", about="Namespace of the metrics.")

    config_parameter_path: str = _setting(
        "",
        values.optional(values.parameter_path),
        about="Where in Parameter Store settings stand that are not set here.",
    )
    secrets_refresh_interval: int = _setting(
        "300000", values.MILLISECONDS, about="After how long a secret is read again."
    )
    event_retention_days: int = _setting(
        "400", values.integer(30, 36_500), about="After how many days an applied event is deleted."
    )

    request_timeout: int = _setting("30000", values.MILLISECONDS, about="After how long any other request is given up.")
    shutdown_grace_period: int = _setting(
        "30000", values.MILLISECONDS, about="After how long a stopping process ends what is still open."
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
        source = environment(environ)
        taken: dict[str, Any] = {}
        problems: list[str] = []
        unread: set[str] = set()
        for setting in fields(cls):
            name = setting.name.upper()
            text = source.get(name, "") or setting.metadata["default"]
            try:
                taken[setting.name] = setting.metadata["parse"](text)
            except ValueError as error:
                shown = "a secret" if setting.metadata["secret"] else repr(text[:80])
                problems.append(f"{name} is {shown}: it {error}")
                taken[setting.name] = setting.metadata["parse"](setting.metadata["default"])
                unread.add(setting.name)
        settings = cls(**taken)
        problems.extend(settings._contradictions(checks_tokens, unread))
        if problems:
            raise ConfigError(problems)
        return settings

    def _contradictions(self, checks_tokens: bool, unread: set[str]) -> list[str]:
        problems = []
        pool = {"database_pool_min", "database_pool_max"}
        if self.database_pool_min > self.database_pool_max and not pool & unread:
            problems.append("DATABASE_POOL_MIN is larger than DATABASE_POOL_MAX")
        problems.extend(self._shared_keys())
        if checks_tokens and not self.jwt_secret:
            problems.append("JWT_SECRET is not set")
        if self.is_production:
            problems.extend(self._unsafe_secrets())
            if "*" in self.cors_origin:
                problems.append("CORS_ORIGIN is *: name the origins")
        elif "*" in self.cors_origin and self.cors_credentials:
            problems.append("CORS_ORIGIN is * while CORS_CREDENTIALS is true: browsers refuse that")
        return problems

    def _shared_keys(self) -> list[str]:
        """Whether two kinds of keys in Redis could be one and the same key."""
        problems = []
        score, rate, board = self.redis_key_score_prefix, self.redis_key_rate_limit_prefix, self.redis_key_leaderboard
        if score.startswith(rate) or rate.startswith(score):
            problems.append("REDIS_KEY_SCORE_PREFIX and REDIS_KEY_RATE_LIMIT_PREFIX begin alike: name different keys")
        for name, prefix in (("SCORE_PREFIX", score), ("RATE_LIMIT_PREFIX", rate)):
            if prefix.removesuffix(":") == board.removesuffix(":"):
                problems.append(f"REDIS_KEY_{name} is REDIS_KEY_LEADERBOARD: name different keys")
        return problems

    def _unsafe_secrets(self) -> list[str]:
        problems = []
        for name in ("jwt_secret", "jwt_secret_previous", "jwt_secret_next"):
            secret = getattr(self, name)
            if secret and (why := weakness(secret)):
                problems.append(f"{name.upper()} {why}")
        return problems

    @property
    def is_production(self) -> bool:
        """Whether the rules of production apply; staging is held to the same."""
        return self.app_env in ("production", "staging")
