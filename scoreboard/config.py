"""Settings: the only reader of the environment. Frozen, checked as a whole, secrets masked. Pure."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from scoreboard.errors import ConfigError

APP_ENVS: Final = ("development", "staging", "production", "test")
DEVELOPMENT_SECRET: Final = "dev-secret-key-not-for-production"  # noqa: S105 - the guide's example, refused in production
MIN_SECRET_BYTES: Final = 32
"""RFC 7518, 3.2: a key of HS256 has at least the size of the hash."""

_NUMBER: Final = re.compile(r"-?[0-9]{1,18}")
_DURATION: Final = re.compile(r"([0-9]{1,9})\s*([smhd]?)")
_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_OWN_PATHS: Final = ("/docs", "/health", "/metrics", "/static")
_HOST_NAME: Final = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")
# As libpq divides it: user and password end at the first @, whatever they contain.
_DATABASE_URL: Final = re.compile(r"postgres(?:ql)?://(?:[^@/]*@)?(?P<servers>[^/?]*)(?:/[^?]*)?(?:\?(?P<query>.*))?")
_SERVER: Final = re.compile(r"(?:\[(?P<ipv6>[^\]]*)\]|(?P<host>[^:]*))(?::(?P<port>.*))?")
_DATABASE_CHOICES: Final = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "ssl": ("true",),
    "target_session_attrs": ("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
    "load_balance_hosts": ("disable", "random"),
    "channel_binding": ("disable", "prefer", "require"),
    "gssencmode": ("disable", "prefer", "require"),
}
_DATABASE_NUMBERS: Final = (
    *("connect_timeout", "tcp_user_timeout"),
    *("keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count"),
)
_DATABASE_PARAMETERS: Final = (
    *("host", "hostaddr", "port", "dbname", "user", "password", "passfile", "application_name", "options"),
    *("sslrootcert", "sslcert", "sslkey", "sslcrl", "sslsni", "sslnegotiation", "require_auth"),
    *_DATABASE_CHOICES,
    *_DATABASE_NUMBERS,
)


def _integer(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not _NUMBER.fullmatch(text):
            raise ValueError(f"must be a whole number from {low} to {high}")
        value = int(text)
        if not low <= value <= high:
            raise ValueError(f"must be from {low} to {high}")
        return value

    return parse


PORT_NUMBER: Final = _integer(1, 65535)
MILLISECONDS: Final = _integer(1, 86_400_000)


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
    if f"/{text.split('/')[1]}" in _OWN_PATHS:
        raise ValueError(f"must not begin with {', '.join(_OWN_PATHS)}: other things are there")
    return text


def _is_ip_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _host(text: str) -> str:
    if not _is_ip_address(text) and not _HOST_NAME.fullmatch(text):
        raise ValueError("must be a host name or an IP address, without a port")
    return text


def _database_url(text: str) -> str:
    """Take what the client library takes, so that it cannot fail on it later; the values are not shown.

    The guide's form too: `schema=public`, a parameter that only one client library knows, is the default.
    """
    parts = _DATABASE_URL.fullmatch(text)
    if not parts:
        raise ValueError("must be a postgresql:// URL")
    if re.search(r"\s|%(?![0-9A-Fa-f]{2})|%00", text):
        raise ValueError("has a blank or a % that is not written as %20 or %25")
    query = parts["query"] or ""
    address = text[: parts.start("query") - 1] if query else text.removesuffix("?")
    given = [part for part in query.split("&") if part and part != "schema=public"]
    names = {_database_parameter(part) for part in given}
    if parts["servers"] or not names & {"host", "hostaddr"}:
        for server in parts["servers"].split(","):
            _check_server(server)
    return f"{address}?{'&'.join(given)}" if given else address


def _check_server(text: str) -> None:
    server = _SERVER.fullmatch(text)
    if not server:
        raise ValueError("has a host in brackets that is followed by something else than a port")
    host = unquote(server["ipv6"] or server["host"] or "")
    if not host:
        raise ValueError("names no host")
    if server["ipv6"] is not None and not _is_ip_address(host):
        raise ValueError("has something else than an IPv6 address in brackets")
    if not host.startswith("/"):  # the folder of a Unix socket
        try:
            _host(host)
        except ValueError:
            raise ValueError("names a host that is neither a name nor an address") from None
    if server["port"]:
        _check_ports(server["port"])


def _check_ports(text: str) -> None:
    try:
        for port in text.split(","):
            PORT_NUMBER(port)
    except ValueError:
        raise ValueError("has a port that is not a number from 1 to 65535") from None


def _database_parameter(text: str) -> str:
    """Return the name of a parameter that is right."""
    name, separator, value = text.partition("=")
    if name == "schema":
        raise ValueError("names a schema other than public")
    if name not in _DATABASE_PARAMETERS:
        shown = name if re.fullmatch("[A-Za-z_]{1,40}", name) else "whose name is no word"
        raise ValueError(f"has a parameter that PostgreSQL's library does not know: {shown}")
    if not separator or "=" in value:
        raise ValueError(f"has the parameter {name} without a value, or with a = that is not written as %3D")
    value = unquote(value)
    if name in _DATABASE_CHOICES and value not in _DATABASE_CHOICES[name]:
        raise ValueError(f"has a parameter {name} that is none of {', '.join(_DATABASE_CHOICES[name])}")
    if name in _DATABASE_NUMBERS and not re.fullmatch("[0-9]{1,9}", value):
        raise ValueError(f"has a parameter {name} that is not a number")
    if name in ("host", "hostaddr") and not all(value.split(",")):
        raise ValueError("names no host")
    if name == "port":
        _check_ports(value)
    return name


def _queue_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        right = parts.scheme in ("http", "https") and parts.port != 0
        _host(parts.hostname or "")
    except ValueError:  # also: a port that is none
        right = False
    if not right or not parts.path.strip("/") or re.search(r"\s", text):
        raise ValueError("must be the http(s):// URL of a queue: with a host, and with the queue as its path")
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
    host: str = _setting("127.0.0.1", _host, about="Address to listen on; 0.0.0.0 for every one.")
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

    redis_host: str = _setting("localhost", _host, about="Redis, the ranking index.")
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
        _queue_url,
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
