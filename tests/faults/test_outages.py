"""A part that hangs for long costs time and nothing else.

FAULTS_OUTAGE_S makes the outage longer; the default is more than five visibility timeouts of the queue, after which it
would give up on a message that it shows at an even pace.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator

import boto3
import pytest

from tests.support.stack import LocalStack, local_stack, open_folder, until

OUTAGE_S = float(os.environ.get("FAULTS_OUTAGE_S") or 30)


@pytest.fixture
def stack() -> Iterator[LocalStack]:
    with open_folder() as folder, local_stack(folder / "home") as running:
        yield running


def family(pid: int) -> list[int]:
    """A process and its children."""
    listed = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    pairs = [tuple(map(int, line.split())) for line in listed.splitlines()]
    return [pid, *(child for child, parent in pairs if parent == pid)]


def signal_all(pids: list[int], how: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, how)


def dead_letters(stack: LocalStack) -> int:
    queue = stack.status()["queue"]
    client = boto3.client(
        "sqs",
        endpoint_url=queue["endpoint"],
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
    )
    answer = client.get_queue_attributes(QueueUrl=queue["dlq"], AttributeNames=["ApproximateNumberOfMessages"])
    return int(answer["Attributes"]["ApproximateNumberOfMessages"])


@pytest.mark.timeout(600)
def test_scores_accepted_while_postgresql_hangs_count_afterwards_and_none_becomes_a_dead_letter(
    stack: LocalStack,
) -> None:
    stack.post_score("ada", 1)
    until(lambda: stack.score_of("ada") == 1)
    hung = family(stack.status()["postgres"]["pid"])
    accepted = 1

    signal_all(hung, signal.SIGSTOP)
    try:
        ends = time.monotonic() + OUTAGE_S
        while time.monotonic() < ends:
            assert stack.post_score("ada", 1)["status"] == "queued"
            accepted += 1
            time.sleep(0.5)
    finally:
        signal_all(hung, signal.SIGCONT)

    until(lambda: stack.score_of("ada") == accepted, seconds=300, what="not every accepted score counts")
    assert dead_letters(stack) == 0
