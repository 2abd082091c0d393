"""The queue against moto, which knows SQS' own rules: what a batch may hold, and what an entry's failure looks like."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws

from scoreboard.event_queue_sqs import SqsEventQueue, sqs_client
from scoreboard.events import ScoreEvent


@pytest.fixture
def queue_url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name, value in {
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL_SQS", raising=False)
    with mock_aws():
        yield boto3.client("sqs").create_queue(QueueName="scores")["QueueUrl"]


def event(number: int) -> ScoreEvent:
    return ScoreEvent(
        event_id=uuid.UUID(int=number),
        board_id="global",
        user_id=f"user-{number}",
        value=1,
        accepted_at=1,
        submitted_by=f"user-{number}",
    )


async def test_what_was_acknowledged_is_in_the_queue_as_the_event_it_was(queue_url: str) -> None:
    client = sqs_client()
    queue = SqsEventQueue(queue_url, client)
    await queue.open()
    sent = {event(number) for number in range(25)}

    await asyncio.gather(*(queue.submit(one) for one in sent))
    await queue.close()

    received: set[ScoreEvent] = set()
    while messages := client.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10).get("Messages"):
        received |= {ScoreEvent.from_json(message["Body"]) for message in messages}
    assert received == sent
