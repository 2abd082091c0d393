"""The local event source against Lambda's rules."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from ops.environments import InvocationFailed
from ops.frames import receive, send
from ops.poller import Message, Poller, Queue, failed_ids, to_event
from ops.poller_settings import PollerSettings
from tests.support.handlers import TRACE


@pytest.mark.parametrize("answer", [None, {}, {"batchItemFailures": []}, {"batchItemFailures": None}])
def test_an_answer_without_failures_is_success(answer: Any) -> None:
    assert failed_ids(answer, ["a", "b"]) == set()


def test_the_named_messages_have_failed() -> None:
    assert failed_ids({"batchItemFailures": [{"itemIdentifier": "b"}]}, ["a", "b"]) == {"b"}


@pytest.mark.parametrize(
    "answer",
    [
        "ok",
        [1],
        {"batchItemFailures": "b"},
        {"batchItemFailures": [{"itemIdentifier": "unknown"}]},
        {"batchItemFailures": [{"itemIdentifier": ""}]},
        {"batchItemFailures": [{"itemIdentifier": None}]},
        {"batchItemFailures": [{"id": "a"}]},
        {"batchItemFailures": ["a"]},
    ],
)
def test_a_malformed_answer_fails_the_whole_batch(answer: Any) -> None:
    with pytest.raises(InvocationFailed):
        failed_ids(answer, ["a", "b"])


def test_an_event_has_the_shape_that_lambda_gives() -> None:
    message = {
        "MessageId": "id",
        "ReceiptHandle": "handle",
        "Body": "{}",
        "MD5OfBody": "md5",
        "Attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1"},
        "MessageAttributes": {"traceparent": {"DataType": "String", "StringValue": "00-1"}},
    }

    (record,) = to_event([message], "arn:aws:sqs:eu-west-1:1:q")["Records"]

    assert record == {
        "messageId": "id",
        "receiptHandle": "handle",
        "body": "{}",
        "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1"},
        "messageAttributes": {
            "traceparent": {
                "stringValue": "00-1",
                "stringListValues": [],
                "binaryListValues": [],
                "dataType": "String",
            }
        },
        "md5OfBody": "md5",
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:eu-west-1:1:q",
        "awsRegion": "eu-west-1",
    }


def test_messages_of_any_size_pass_the_pipe_whole() -> None:
    source, sink = os.pipe()
    message = {"body": "x" * 300_000}
    writer = threading.Thread(target=send, args=(sink, message))
    writer.start()

    assert receive(source, timeout_s=30) == message
    writer.join()
    os.close(sink)
    with pytest.raises(EOFError):
        receive(source)
    os.close(source)


def test_an_answer_that_does_not_come_is_a_timeout() -> None:
    source, sink = os.pipe()
    with pytest.raises(TimeoutError):
        receive(source, timeout_s=0.05)
    os.close(source)
    os.close(sink)


class FlakyQueue(Queue):
    """A queue in memory with one message, which fails in an unforeseen way the first time that it is asked."""

    def __init__(self, done: Callable[[], None]) -> None:
        self._arn = "arn:aws:sqs:eu-west-1:1:q"
        self._done = done
        self.asked = 0
        self.deleted: list[str] = []

    def take(self, most: int, wait_s: int) -> list[Message]:
        """Fail, then give the message, then nothing."""
        self.asked += 1
        if self.asked == 1:
            raise OSError("unforeseen")
        message = {"MessageId": "id", "ReceiptHandle": "handle", "Body": "{}", "MD5OfBody": "md5"}
        return [message] if self.asked == 2 else []

    def delete(self, messages: Sequence[Message]) -> None:
        """Note it, and let the test go on."""
        self.deleted += [message["MessageId"] for message in messages]
        self._done()


def test_a_slot_outlives_what_nobody_foresaw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(TRACE, str(tmp_path / "trace"))
    queue = FlakyQueue(lambda: poller.stopping.set())
    settings = PollerSettings(concurrency=1, window_ms=0, timeout_ms=30_000)
    # The file of the processes cannot be written either: its folder does not exist.
    poller = Poller(queue, "tests.support.handlers.obedient", settings, tmp_path / "missing" / "pids.json")

    poller.run()

    assert queue.deleted == ["id"]
    assert "unforeseen" in caplog.text
    assert "cannot write" in caplog.text
