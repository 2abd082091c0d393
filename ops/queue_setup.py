"""The queues on the SQS emulator: made at every start of it, because it remembers messages, not queues.

Spoken to over plain HTTP without a signature, which the emulator does not check: boto3 would cost half of the
time that a start may take.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

QUEUE = "scoreboard-scores"
DEAD_LETTERS = "scoreboard-scores-dlq"
VISIBILITY_S = 4
MAX_RECEIVES = 5
REGION = "us-east-1"
ACCOUNT = "000000000000"


@dataclass(frozen=True)
class QueueAddresses:
    """Where the queues of a stack are."""

    endpoint: str
    url: str
    dead_letters: str

    @classmethod
    def at(cls, port: int) -> QueueAddresses:
        """The addresses on an emulator at a port."""
        endpoint = f"http://127.0.0.1:{port}"
        return cls(endpoint, f"{endpoint}/{ACCOUNT}/{QUEUE}", f"{endpoint}/{ACCOUNT}/{DEAD_LETTERS}")


def call(endpoint: str, action: str, body: dict[str, Any], *, timeout_s: float = 2.0) -> dict[str, Any]:
    """One call of the emulator's SQS API. Raises `OSError` when it does not answer or refuses."""
    request = urllib.request.Request(  # noqa: S310 - http on loopback, built above
        endpoint,
        json.dumps(body).encode(),
        {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": f"AmazonSQS.{action}"},
    )
    with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310
        read: dict[str, Any] = json.loads(answer.read() or b"{}")
        return read


def ensure_queues(endpoint: str) -> None:
    """Make the queue and its dead-letter queue with the redrive policy, or leave them with what they hold."""
    _ensure(endpoint, DEAD_LETTERS, {"MessageRetentionPeriod": "1209600"})
    redrive = {
        "deadLetterTargetArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{DEAD_LETTERS}",
        "maxReceiveCount": MAX_RECEIVES,
    }
    attributes = {
        "VisibilityTimeout": str(VISIBILITY_S),
        "MessageRetentionPeriod": "1209600",
        "RedrivePolicy": json.dumps(redrive),
    }
    _ensure(endpoint, QUEUE, attributes)


def _ensure(endpoint: str, name: str, attributes: dict[str, str]) -> None:
    # Looked up first: one that exists with other attributes cannot be made again.
    try:
        url = call(endpoint, "GetQueueUrl", {"QueueName": name})["QueueUrl"]
    except urllib.error.HTTPError:
        call(endpoint, "CreateQueue", {"QueueName": name, "Attributes": attributes})
    else:
        call(endpoint, "SetQueueAttributes", {"QueueUrl": url, "Attributes": attributes})
