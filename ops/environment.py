"""The environment of a local stack's parts: what the user set, completed by what is embedded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from ops.listening import reachable
from ops.queue_setup import REGION, QueueAddresses

_SEEN_AS_LOCALHOST = ("127.0.0.1", "0.0.0.0", "::", "localhost")  # noqa: S104 - compared with, not listened on
_EMBEDDED = {"postgres": "DATABASE_URL", "redis": "REDIS_HOST", "queue": "SQS_QUEUE_URL"}


@dataclass(frozen=True)
class Plan:
    """What runs embedded and where.

    Attributes:
        environ: What every part gets.
        ports: The port of each embedded part; a part that is missing is somebody else's.
        api_port: Where the page is.
    """

    environ: Mapping[str, str]
    ports: Mapping[str, int]
    api_port: int

    @property
    def api_url(self) -> str:
        """Where programs reach the API: on the very address that it listens on."""
        return f"http://{reachable(self._host)}:{self.api_port}"

    @property
    def page_url(self) -> str:
        """Where people reach it."""
        return f"http://localhost:{self.api_port}" if self._host in _SEEN_AS_LOCALHOST else self.api_url

    @property
    def _host(self) -> str:
        return self.environ.get("HOST") or "127.0.0.1"

    @property
    def queue(self) -> QueueAddresses | None:
        """The addresses of the embedded queue."""
        return QueueAddresses.at(self.ports["queue"]) if "queue" in self.ports else None

    def address(self, part: str) -> str:
        """The URL to connect to a part with."""
        if part == "api":
            return self.page_url
        if part == "postgres":
            return self.environ["DATABASE_URL"]
        if part == "redis":
            return _redis_url(self.environ)
        return self.environ["SQS_QUEUE_URL"]


def embedded_parts(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The parts that no variable points elsewhere."""
    return tuple(part for part, variable in _EMBEDDED.items() if not environ.get(variable))


def local_defaults(environ: Mapping[str, str], secret: str) -> dict[str, str]:
    """What the user set over the settings that are right on one machine."""
    given = {name: value for name, value in environ.items() if value}
    port = given.get("PORT", "3000")
    return {
        "APP_ENV": "development",
        "HOST": "127.0.0.1",
        "PORT": port,
        "CORS_ORIGIN": f"http://localhost:{port}",
        "JWT_SECRET": secret,
        # Everyone who watches does so from one address here.
        "SSE_MAX_CLIENTS_PER_ADDRESS": "100000",
        **given,
    }


def with_embedded(environ: Mapping[str, str], ports: Mapping[str, int]) -> dict[str, str]:
    """The environment with the addresses of the embedded parts."""
    complete = dict(environ)
    if "postgres" in ports:
        complete["DATABASE_URL"] = f"postgresql://scoreboard@127.0.0.1:{ports['postgres']}/scoreboard"
    if "redis" in ports:
        complete |= {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(ports["redis"])}
        for name in ("REDIS_PASSWORD", "REDIS_TLS_ENABLED"):  # of another Redis
            complete.pop(name, None)
    if "queue" in ports:
        queue = QueueAddresses.at(ports["queue"])
        complete |= {
            "SQS_QUEUE_URL": queue.url,
            "SQS_DEAD_LETTER_QUEUE_URL": queue.dead_letters,
            "AWS_ENDPOINT_URL_SQS": queue.endpoint,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            # The emulator takes any; what must not happen is that a real account's are looked for.
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
            complete.pop(name, None)
    return complete


def _redis_url(environ: Mapping[str, str]) -> str:
    scheme = "rediss" if environ.get("REDIS_TLS_ENABLED", "").lower() in ("true", "1") else "redis"
    password = environ.get("REDIS_PASSWORD", "")
    credentials = f":{quote(password, safe='')}@" if password else ""
    host, port = environ["REDIS_HOST"], environ.get("REDIS_PORT") or "6379"
    return f"{scheme}://{credentials}{host}:{port}/{environ.get('REDIS_DB') or 0}"
