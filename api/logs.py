"""Logs: one JSON object a line, or text for people; each line with the request it belongs to."""

from __future__ import annotations

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final

from api.emf import LOGGER as METRICS_LOGGER
from scoreboard.config import Settings

request_id_of_context: ContextVar[str | None] = ContextVar("request_id", default=None)

_STANDARD: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "request_id"}


class JsonFormatter(logging.Formatter):
    """Writes a record with its extra fields as one line of JSON."""

    def __init__(self, *, service: str, version: str) -> None:
        super().__init__()
        self._constant = {"service": service, "version": version}

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **self._constant,
        }
        request_id = request_id_of_context.get()
        if request_id is not None:
            line["request_id"] = request_id
        line |= {name: value for name, value in vars(record).items() if name not in _STANDARD and value is not None}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class TextFormatter(logging.Formatter):
    """Writes a record as text. Whatever a client has sent stays within its line and cannot steer a terminal."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """Return the line."""
        return _printable(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802
        """Return the lines of an exception, set in so that none of them looks like a record."""
        return "\n".join(f"  {_printable(line)}" for line in super().formatException(ei).split("\n"))


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def configure_logs(settings: Settings) -> None:
    """Send the logs of this process to standard output."""
    handler = logging.StreamHandler(sys.stdout)
    if settings.log_format == "json":
        handler.setFormatter(JsonFormatter(service=settings.app_name, version=settings.app_version))
    else:
        handler.setFormatter(TextFormatter())
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    _log_metrics_as_they_are()
    for chatty in ("boto3", "botocore", "urllib3", "asyncio", "psycopg", "hypercorn.error"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLevelName(settings.log_level)))
    # It warns of each connection that it cannot make, again and again; who needs one says so once.
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)


def _log_metrics_as_they_are() -> None:
    """Write the lines of metrics without a frame around them, whatever the level: CloudWatch reads them, not people."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(message)s"))
    metrics = logging.getLogger(METRICS_LOGGER)
    metrics.handlers, metrics.propagate = [handler], False
    metrics.setLevel(logging.INFO)
