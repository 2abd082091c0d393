"""Logs: what a client has sent stays within its line, in text as in JSON."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from api.logs import JsonFormatter, TextFormatter

FORGED = "/x\n12:00:00 ERROR   api: forged\r\x1b[31m\x00\u2028\u202e"


def record(message: str, *, failed: Exception | None = None) -> logging.LogRecord:
    made = logging.makeLogRecord({"name": "api.access", "levelname": "INFO", "msg": "GET %s 404", "args": (message,)})
    if failed is not None:
        try:
            raise failed
        except Exception:
            made.exc_info = sys.exc_info()
    return made


@pytest.mark.parametrize(
    "formatter", [TextFormatter(), JsonFormatter(service="api", version="1")], ids=["text", "json"]
)
def test_a_path_can_neither_forge_a_line_nor_steer_a_terminal(formatter: logging.Formatter) -> None:
    assert formatter.format(record(FORGED)).isprintable()


def test_a_text_for_people_stays_as_it_is_and_the_rest_is_escaped() -> None:
    assert TextFormatter().format(record("/scores/ä ☃")).endswith("INFO    api.access: GET /scores/ä ☃ 404")
    assert r"GET /x\n12:00:00 ERROR   api: forged\r\x1b[31m\x00\u2028\u202e 404" in TextFormatter().format(
        record(FORGED)
    )


def test_no_line_of_an_exception_looks_like_a_record() -> None:
    first, *lines = TextFormatter().format(record("/", failed=ValueError(FORGED))).split("\n")
    assert first.endswith("GET / 404")
    assert len(lines) > 3
    assert all(line.startswith("  ") and line.isprintable() for line in lines)


def test_json_keeps_the_text() -> None:
    line = JsonFormatter(service="api", version="1").format(record(FORGED))
    assert json.loads(line)["message"] == f"GET {FORGED} 404"
