"""What cannot be worked on for now rests longer each time, on a real queue."""

from __future__ import annotations

import time

import pytest

from scoreboard.event_queue_sqs import sqs_client
from scoreboard.redelivery_sqs import SqsRedelivery, rest_s


@pytest.mark.parametrize(
    ("receive_count", "rest"), [(0, 3), (1, 3), (2, 9), (3, 27), (4, 81), (5, 243), (6, 729), (7, 900), (10**6, 900)]
)
def test_a_message_rests_three_times_longer_after_each_receipt(receive_count: int, rest: int) -> None:
    assert rest_s(receive_count) == rest


def test_what_is_put_off_stays_away_beyond_the_queues_own_time(queue_url: str) -> None:
    client = sqs_client()
    for body in ("put off", "left alone"):
        client.send_message(QueueUrl=queue_url, MessageBody=body)
    taken = client.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10, VisibilityTimeout=1)["Messages"]
    handle = next(message["ReceiptHandle"] for message in taken if message["Body"] == "put off")

    SqsRedelivery(queue_url, lambda: client).put_off([(handle, 4)], within_s=30)

    time.sleep(1.5)
    again = client.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=2)["Messages"]
    assert [message["Body"] for message in again] == ["left alone"]


def test_a_queue_that_is_away_changes_nothing_and_raises_nothing() -> None:
    def away() -> None:
        from botocore.exceptions import NoRegionError

        raise NoRegionError

    SqsRedelivery("http://127.0.0.1:9/0/q", away).put_off([("handle", 1)], within_s=1)  # type: ignore[arg-type]
