"""Metrics for CloudWatch: one JSON object a line, only what is new, and names that alarms can rely on."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from api import emf
from api.counted import counted
from api.emf import COUNTS, EmbeddedMetrics
from api.logs import configure_logs
from api.metrics import Metrics
from tests.support.api_fakes import FakeApi, FakeRanks, api_settings, token

NAMES = {*COUNTS, "SseConnections", "RequestDuration"}


@pytest.fixture
def logs_as_before() -> Iterator[None]:
    """Whatever a test does to the loggers of the process is undone."""
    loggers = (logging.getLogger(), logging.getLogger(emf.LOGGER))
    before = [(logger.handlers, logger.level, logger.propagate) for logger in loggers]
    yield
    for logger, (handlers, level, propagate) in zip(loggers, before, strict=True):
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


def written(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [json.loads(record.getMessage()) for record in caplog.records if record.name == emf.LOGGER]


@pytest.fixture(autouse=True)
def heard(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, emf.LOGGER)


def test_a_line_is_what_cloudwatch_makes_metrics_of(caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics()
    lines = EmbeddedMetrics(metrics, api_settings(CLOUDWATCH_NAMESPACE="Scoreboard/Test", APP_NAME="api"))
    metrics.request_seconds.labels("/x").observe(0.5)
    lines.write()
    (line,) = written(caplog)
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert isinstance(line["_aws"]["Timestamp"], int)
    assert directive["Namespace"] == "Scoreboard/Test"
    assert directive["Dimensions"] == [["Service", "Environment"]]
    assert (line["Service"], line["Environment"]) == ("api", "test")
    assert {each["Name"] for each in directive["Metrics"]} == NAMES
    assert {each["Name"]: each["Unit"] for each in directive["Metrics"]}["RequestDuration"] == "Milliseconds"
    assert set(line) == {"_aws", "Service", "Environment", *NAMES}
    assert all(type(line[name]) in (int, float) for name in NAMES)


def test_a_line_tells_what_came_since_the_one_before(caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics()
    metrics.clients_cut.inc(100)
    lines = EmbeddedMetrics(metrics, api_settings())
    metrics.sse_connections.set(7)
    metrics.clients_cut.inc(2)
    for status in (200, 202, 404, 500, 503):
        metrics.count_request(method="GET", route="/x", status=status)
    for seconds in (0.010, 0.030):
        metrics.request_seconds.labels("/x").observe(seconds)
    metrics.streams_refused.labels("user").inc()
    metrics.streams_refused.labels("address").inc(2)
    lines.write()
    metrics.sse_connections.set(6)
    metrics.count_request(method="GET", route="/y", status=500)
    lines.write()
    first, second = written(caplog)
    assert {name: first[name] for name in NAMES} == {
        "SseConnections": 7,
        "Requests": 5,
        "ServerErrors": 2,
        "RequestDuration": 20.0,
        "ScoreUpdates": 0,
        "LeaderboardQueries": 0,
        "RedisOperations": 0,
        "StreamsRefused": 3,
        "ClientsCut": 2,
    }
    assert {name: second[name] for name in COUNTS} == dict.fromkeys(COUNTS, 0) | {"Requests": 1, "ServerErrors": 1}
    assert second["SseConnections"] == 6


def test_a_minute_without_requests_has_no_duration_and_the_last_line_no_streams(
    caplog: pytest.LogCaptureFixture,
) -> None:
    lines = EmbeddedMetrics(Metrics(), api_settings())
    lines.write(last=True)
    (line,) = written(caplog)
    named = {each["Name"] for each in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]}
    assert named == set(COUNTS)
    assert not {"RequestDuration", "SseConnections"} & set(line)


@pytest.mark.parametrize("log_format", ["json", "text"])
@pytest.mark.parametrize("level", ["info", "error"])
def test_the_line_stands_in_the_output_as_it_is_whatever_the_format_and_the_level(
    capsys: pytest.CaptureFixture[str], logs_as_before: None, log_format: str, level: str
) -> None:
    configure_logs(api_settings(LOG_FORMAT=log_format, LOG_LEVEL=level))
    EmbeddedMetrics(Metrics(), api_settings()).write()
    (line,) = capsys.readouterr().out.splitlines()
    assert "_aws" in json.loads(line)


async def test_the_api_counts_what_its_requests_do(caplog: pytest.LogCaptureFixture) -> None:
    fake = FakeApi(api_settings(CLOUDWATCH_ENABLED="true"))
    async with fake.build().test_app() as app:
        client = app.test_client()
        headers = {"Authorization": f"Bearer {token()}", "Content-Type": "application/json", "Idempotency-Key": "k"}
        for _ in range(2):
            assert (await client.post("/api/scores", data='{"delta":5}', headers=headers)).status_code == 202
        for path in ("/api/leaderboard", "/api/leaderboard/users/ada", "/api/boards"):
            assert (await client.get(path)).status_code == 200
    (line,) = written(caplog)
    assert line["Requests"] == 5
    assert line["ScoreUpdates"] == 1  # the other was a repetition
    assert line["LeaderboardQueries"] == 2
    assert line["RedisOperations"] >= 4  # two decisions, an acknowledgement, two reads; and the relay's


async def test_without_the_switch_nothing_is_written(caplog: pytest.LogCaptureFixture) -> None:
    async with FakeApi(api_settings()).build().test_app() as app:
        await app.test_client().get("/api/leaderboard")
    assert written(caplog) == []


async def test_a_counted_port_does_what_the_port_does() -> None:
    calls: list[str] = []
    port = FakeRanks()
    port.put("global", [("ada", 1)])
    ranks = counted(port, calls.append)
    assert await ranks.ping()
    assert await ranks.ping()
    assert set(await ranks.versions(["global"])) == {"global"}
    assert calls == ["ping", "ping", "versions"]
