"""The values of settings: how each text is read, and refused with a reason. Pure.

Every parser returns the value, or raises a `ValueError` whose text goes on after "it".
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Final
from urllib.parse import unquote, urlsplit

_NUMBER: Final = re.compile(r"-?[0-9]{1,18}")
_DURATION: Final = re.compile(r"([0-9]{1,9})\s*([smhd]?)")
_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_OWN_PATHS: Final = ("/docs", "/health", "/metrics", "/static")
_HOST_NAME: Final = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")
# As libpq divides it: user and password end at the first @, whatever they contain.
_DATABASE_URL: Final = re.compile(r"postgres(?:ql)?://(?:[^@/]*@)?(?P<servers>[^/?]*)(?:/[^?]*)?(?:\?(?P<query>.*))?")
_SERVER: Final = re.compile(r"(?:\[(?P<ipv6>[^\]]*)\]|(?P<host>[^:]*))(?::(?P<port>.*))?")
_ARN: Final = r"arn:aws(?:-[a-z]+)*:{service}:[a-z0-9-]+:[0-9]{{12}}:{resource}"
_SECRET_ARN: Final = re.compile(_ARN.format(service="secretsmanager", resource=r"secret:[\w/+=.@!-]+"))
_TOPIC_ARN: Final = re.compile(_ARN.format(service="sns", resource=r"[\w.-]+"))
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


def integer(low: int, high: int) -> Callable[[str], int]:
    """Return the parser of a whole number within bounds."""

    def parse(text: str) -> int:
        if not _NUMBER.fullmatch(text):
            raise ValueError(f"must be a whole number from {low} to {high}")
        value = int(text)
        if not low <= value <= high:
            raise ValueError(f"must be from {low} to {high}")
        return value

    return parse


PORT_NUMBER: Final = integer(1, 65535)
MILLISECONDS: Final = integer(1, 86_400_000)


def flag(text: str) -> bool:
    """Return what a flag says."""
    lowered = text.lower()
    if lowered not in ("true", "false", "1", "0"):
        raise ValueError("must be true or false")
    return lowered in ("true", "1")


def choice(*choices: str) -> Callable[[str], str]:
    """Return the parser of one of some words."""

    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return text

    return parse


def duration(text: str) -> int:
    """Return the seconds of a duration."""
    match = _DURATION.fullmatch(text.strip())
    if not match or int(match[1]) == 0:
        raise ValueError("must be a duration such as 900s, 15m, 24h or 7d")
    return int(match[1]) * _UNITS[match[2]]


def api_path(text: str) -> str:
    """Return the path, where nothing else is served."""
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


def host_name(text: str) -> str:
    """Return the name or address of a host."""
    if not _is_ip_address(text) and not _HOST_NAME.fullmatch(text):
        raise ValueError("must be a host name or an IP address, without a port")
    return text


def database_url(text: str) -> str:
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
            host_name(host)
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


def queue_url(text: str) -> str:
    """Return the URL of a queue."""
    try:
        parts = urlsplit(text)
        right = parts.scheme in ("http", "https") and parts.port != 0
        host_name(parts.hostname or "")
    except ValueError:  # also: a port that is none
        right = False
    if not right or not parts.path.strip("/") or re.search(r"\s", text):
        raise ValueError("must be the http(s):// URL of a queue: with a host, and with the queue as its path")
    return text


def origin_list(text: str) -> tuple[str, ...]:
    """Return the origins."""
    origins = tuple(part.strip().rstrip("/") for part in text.split(",") if part.strip())
    bad = [origin for origin in origins if origin != "*" and not re.fullmatch(r"https?://[^/\s]+", origin)]
    if bad or not origins:
        raise ValueError("must be origins such as https://scoreboard.example.com, separated by commas, or *")
    return origins


def log_level(text: str) -> str:
    """Return the level in upper case."""
    return choice("DEBUG", "INFO", "WARNING", "ERROR")(text.upper())


def optional(parse: Callable[[str], str]) -> Callable[[str], str]:
    """Return a parser that lets a text be empty."""

    def parse_if_any(text: str) -> str:
        return parse(text) if text else ""

    return parse_if_any


def secret_arn(text: str) -> str:
    """Return the ARN of a secret in Secrets Manager."""
    if not _SECRET_ARN.fullmatch(text):
        raise ValueError("must be the ARN of a secret: arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME")
    return text


def topic_arn(text: str) -> str:
    """Return the ARN of a topic in SNS."""
    if not _TOPIC_ARN.fullmatch(text):
        raise ValueError("must be the ARN of a topic: arn:aws:sns:REGION:ACCOUNT:NAME")
    return text


def parameter_path(text: str) -> str:
    """Return a path in Parameter Store, with a slash at its end."""
    if not re.fullmatch(r"(/[A-Za-z0-9_.-]+)+/?", text):
        raise ValueError("must be a path in Parameter Store such as /scoreboard/prod/")
    return text.rstrip("/") + "/"
