"""Logs: one JSON object a line, or text for people; each line with the request it belongs to."""

from __future__ import annotations

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final

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


def configure_logs(settings: Settings) -> None:
    """Send the logs of this process to standard output."""
    handler = logging.StreamHandler(sys.stdout)
    if settings.log_format == "json":
        handler.setFormatter(JsonFormatter(service=settings.app_name, version=settings.app_version))
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S"))
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    for chatty in ("boto3", "botocore", "urllib3", "asyncio", "psycopg", "hypercorn.error"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLevelName(settings.log_level)))
    # It warns of each connection that it cannot make, again and again; who needs one says so once.
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
