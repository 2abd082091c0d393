"""The local event source on a real queue, with a handler in real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ops.home import CLONE
from ops.queue_setup import call
from tests.support.handlers import TRACE
from tests.support.parts import QueueServer
from tests.support.stack import until


class Source:
    """A queue with a dead-letter queue, and the poller on it."""

    def __init__(self, server: QueueServer, folder: Path) -> None:
        self.endpoint = server.endpoint
        self.dead_letters = server.create()
        arn = self._attributes(self.dead_letters)["QueueArn"]
        redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 2})
        self.url = server.create(VisibilityTimeout="1", RedrivePolicy=redrive)
        self.trace = folder / "trace"
        self.trace.touch()
        self.pids_file = folder / "pids.json"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, **environ: str) -> None:
        """Start the poller."""
        command = [sys.executable, "-m", "ops.poller", "--handler", "tests.support.handlers.obedient"]
        self.process = subprocess.Popen(
            [*command, "--pids-file", str(self.pids_file)],
            cwd=CLONE,
            env={
                **os.environ,
                TRACE: str(self.trace),
                "SQS_QUEUE_URL": self.url,
                "AWS_ENDPOINT_URL_SQS": self.endpoint,
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_ACCESS_KEY_ID": "test",
                "AWS_SECRET_ACCESS_KEY": "test",
                "WORKER_TIMEOUT_MS": "800",
                **environ,
            },
        )

    def send(self, *bodies: str) -> None:
        """Put messages into the queue."""
        for body in bodies:
            call(self.endpoint, "SendMessage", {"QueueUrl": self.url, "MessageBody": body})

    def deliveries(self) -> Counter[str]:
        """How often each message has reached the handler."""
        return Counter(line.split()[0] for line in self.trace.read_text().splitlines())

    def handlers(self) -> list[int]:
        """The handler's processes."""
        found: list[int] = json.loads(self.pids_file.read_text())["handlers"] if self.pids_file.exists() else []
        return found

    def is_empty(self) -> bool:
        """Whether nothing waits and nothing is in flight."""
        return self._count(self.url) == 0

    def dead(self) -> int:
        """How many messages have been given up."""
        return self._count(self.dead_letters)

    def stop(self) -> int:
        """End the poller in order."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(30)

    def _count(self, url: str) -> int:
        attributes = self._attributes(url)
        return int(attributes["ApproximateNumberOfMessages"]) + int(attributes["ApproximateNumberOfMessagesNotVisible"])

    def _attributes(self, url: str) -> dict[str, Any]:
        asked = {"QueueUrl": url, "AttributeNames": ["All"]}
        found: dict[str, Any] = call(self.endpoint, "GetQueueAttributes", asked)["Attributes"]
        return found


@pytest.fixture
def source(sqs: QueueServer, tmp_path: Path) -> Iterator[Source]:
    made = Source(sqs, tmp_path)
    yield made
    if made.process is not None:
        made.process.kill()
        made.process.wait()


def test_messages_are_delivered_once_in_batches_and_deleted(source: Source) -> None:
    source.send(*(f"m{number}" for number in range(40)))
    source.start(WORKER_CONCURRENCY="1", WORKER_BATCH_SIZE="25")

    until(source.is_empty)

    assert source.deliveries() == {f"m{number}": 1 for number in range(40)}
    sizes = {int(line.split()[2]) for line in source.trace.read_text().splitlines()}
    assert max(sizes) <= 25
    assert len({line.split()[1] for line in source.trace.read_text().splitlines()}) == 1, "the process stays warm"


def test_poison_ends_in_the_dead_letter_queue_and_its_neighbours_do_not_wait(source: Source) -> None:
    source.send("poison", "a", "b")
    source.start()

    until(lambda: source.dead() == 1 and source.is_empty())

    assert source.deliveries() == {"poison": 2, "a": 1, "b": 1}


@pytest.mark.parametrize("body", ["raise", "hang", "die"])
def test_a_failed_invocation_is_delivered_again_and_given_up_in_the_end(source: Source, body: str) -> None:
    source.send(body)
    source.start()

    until(lambda: source.dead() == 1)
    source.send("after")
    until(source.is_empty)

    assert source.deliveries()[body] == 2
    assert source.deliveries()["after"] == 1


def test_a_killed_handler_is_replaced_at_once_and_its_batch_comes_again(source: Source) -> None:
    source.start(WORKER_CONCURRENCY="1", WORKER_TIMEOUT_MS="60000")
    until(source.handlers)
    source.send("hang")
    until(lambda: source.deliveries()["hang"] == 1)
    (victim,) = source.handlers()

    os.kill(victim, signal.SIGKILL)

    until(lambda: source.handlers() not in ([], [victim]))
    until(lambda: source.deliveries()["hang"] == 2)


def test_a_poller_that_is_asked_to_stop_finishes_its_batch(source: Source) -> None:
    source.send("a", "b")
    source.start()
    until(lambda: source.deliveries()["a"] == 1)

    assert source.stop() == 0
    assert source.is_empty()


def test_wrong_settings_are_refused_before_anything_is_taken(source: Source) -> None:
    source.send("a")
    source.start(WORKER_BATCH_SIZE="none")
    assert source.process is not None

    assert source.process.wait(30) == 2
    assert not source.is_empty()
