"""Answers to CloudFormation: one, always, and in time."""

from __future__ import annotations

import json
import threading
import urllib.error
from typing import Any

import pytest

from chalicelib import custom_resource
from chalicelib.custom_resource import answer, is_custom_resource
from scoreboard.errors import Unavailable


def _event(kind: str = "Create") -> dict[str, Any]:
    return {
        "RequestType": kind,
        "ResponseURL": "https://example.com/answer",
        "StackId": "stack",
        "RequestId": "request",
        "LogicalResourceId": "Migration",
    }


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What was answered."""
    answers: list[dict[str, Any]] = []
    monkeypatch.setattr(custom_resource, "_put", lambda _url, body: answers.append(json.loads(body)))
    return answers


def test_a_request_is_told_from_other_events() -> None:
    assert is_custom_resource(_event())
    assert not is_custom_resource({"phase": "pre"})


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Unavailable("PostgreSQL is\n away."), "PostgreSQL is away."),
        (ValueError("a secret"), "Unexpected error, see the function's log: ValueError."),
        (Unavailable("x" * 10_000), "x" * 1000),
    ],
)
def test_what_goes_wrong_is_the_reason_in_one_line(sent: list[dict[str, Any]], error: Exception, reason: str) -> None:
    def act(_kind: str) -> dict[str, str]:
        raise error

    answer(_event(), act, seconds_left=60)
    (told,) = sent
    assert (told["Status"], told["Reason"]) == ("FAILED", reason)
    assert len(json.dumps(told)) < 4096


def test_who_takes_too_long_is_answered_for_and_once(sent: list[dict[str, Any]]) -> None:
    answered = threading.Event()

    def act(_kind: str) -> dict[str, str]:
        while not sent:
            answered.wait(0.01)
        return {}

    told = answer(_event(), act, seconds_left=custom_resource.RESERVE_S + 0.05)
    assert (told["Status"], told["Reason"]) == ("FAILED", "It took longer than the function may run.")
    assert sent == [told]


def test_an_answer_that_does_not_arrive_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts: list[str] = []

    class Opened:
        def __enter__(self) -> None: ...
        def __exit__(self, *_: object) -> None: ...

    def urlopen(request: Any, timeout: float) -> Opened:
        attempts.append(request.get_method())
        if len(attempts) < 3:
            raise urllib.error.URLError("away")
        return Opened()

    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    assert answer(_event("Delete"), lambda _kind: {}, seconds_left=60)["Status"] == "SUCCESS"
    assert attempts == ["PUT"] * 3


def test_when_no_answer_arrives_lambda_is_to_call_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def urlopen(_request: Any, timeout: float) -> None:
        raise urllib.error.URLError("away")

    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    with pytest.raises(OSError, match="away"):
        answer(_event(), lambda _kind: {}, seconds_left=60)
