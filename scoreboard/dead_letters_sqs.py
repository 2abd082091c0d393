"""Dead letters on SQS. It cannot show a message without handing it out, so each is held for a while and put back."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Final

from botocore.exceptions import BotoCoreError, ClientError

from scoreboard.errors import QueueUnavailable
from scoreboard.ports import DeadLetter

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

BATCH: Final = 10
HOLD_S: Final = 120
"""Longer than a look or a redrive takes, so that none is taken twice; then it comes back by itself."""
WAIT_S: Final = 1
"""To be asked by long polling, as short polling asks only some of the queue's servers."""


class SqsDeadLetters:
    """`DeadLetters` on a queue of dead letters and the queue that they come from."""

    def __init__(self, dead_letter_url: str, queue_url: str | None, make_client: Callable[[], SQSClient]) -> None:
        """Take how to make a client: it is made when it is first needed, as its driver takes long to load.

        Who only looks names no queue to send to.
        """
        self._dead_letter_url = dead_letter_url
        self._queue_url = queue_url
        self._client = cache(make_client)

    def take(self, most: int) -> Sequence[DeadLetter]:
        """Hold up to `most` messages, at most ten; none when there are no more that nobody holds."""
        with _queue_errors():
            answer = self._client().receive_message(
                QueueUrl=self._dead_letter_url,
                MaxNumberOfMessages=min(most, BATCH),
                VisibilityTimeout=HOLD_S,
                WaitTimeSeconds=WAIT_S,
                AttributeNames=["SentTimestamp"],
            )
        return [
            DeadLetter(
                message_id=message["MessageId"],
                receipt=message["ReceiptHandle"],
                body=message["Body"],
                sent_at=int(message.get("Attributes", {}).get("SentTimestamp", 0)),
            )
            for message in answer.get("Messages", [])
        ]

    def put_back(self, letters: Sequence[DeadLetter]) -> None:
        """Let go of messages; best effort, as they come back by themselves after a while.

        It ends at the first call that fails: a hundred calls that each wait for a queue that hangs take ten minutes.
        """
        with contextlib.suppress(BotoCoreError, ClientError):
            for chunk in _chunks(letters):
                self._client().change_message_visibility_batch(
                    QueueUrl=self._dead_letter_url,
                    Entries=[
                        {"Id": str(at), "ReceiptHandle": letter.receipt, "VisibilityTimeout": 0}
                        for at, letter in enumerate(chunk)
                    ],
                )

    def redrive(self, letters: Sequence[DeadLetter]) -> Sequence[DeadLetter]:
        """Send messages to the score queue, then remove those here that it has acknowledged, which are returned."""
        if self._queue_url is None:
            raise QueueUnavailable("There is no queue to send dead letters to.")
        sent: list[DeadLetter] = []
        for chunk in _chunks(letters):
            with _queue_errors():
                answer = self._client().send_message_batch(
                    QueueUrl=self._queue_url,
                    Entries=[{"Id": str(at), "MessageBody": letter.body} for at, letter in enumerate(chunk)],
                )
            acknowledged = [chunk[int(entry["Id"])] for entry in answer.get("Successful", [])]
            self._remove(acknowledged)
            sent.extend(acknowledged)
        return sent

    def _remove(self, letters: Sequence[DeadLetter]) -> None:
        """Remove messages that are in the score queue now; one that stays is sent again some day, without effect."""
        if not letters:
            return
        with contextlib.suppress(BotoCoreError, ClientError):
            self._client().delete_message_batch(
                QueueUrl=self._dead_letter_url,
                Entries=[{"Id": str(at), "ReceiptHandle": letter.receipt} for at, letter in enumerate(letters)],
            )


@contextmanager
def _queue_errors() -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise QueueUnavailable("The queue of dead letters, or the score queue, does not answer.") from error


def _chunks(letters: Sequence[DeadLetter]) -> Iterator[Sequence[DeadLetter]]:
    return (letters[start : start + BATCH] for start in range(0, len(letters), BATCH))
