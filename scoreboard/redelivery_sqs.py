"""When SQS shows a message again that could not be worked on because a part is away.

Every receipt counts towards the dead-letter queue. At an even pace an outage of five visibility timeouts would send
good messages there; so each time the message rests longer. What is wrong in itself is not put off: it fails at the
queue's own pace.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Final

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

BATCH: Final = 10
FIRST_REST_S: Final = 3
GROWTH: Final = 3
LONGEST_REST_S: Final = 900


def rest_s(receive_count: int) -> int:
    """Return for how many seconds a message rests after its so-manyth receipt: 3, 9, 27, 81, up to 900."""
    return int(min(FIRST_REST_S * GROWTH ** (min(max(receive_count, 1), 10) - 1), LONGEST_REST_S))


class SqsRedelivery:
    """Puts off the redelivery of messages."""

    def __init__(self, queue_url: str, make_client: Callable[[], SQSClient]) -> None:
        """Take how to make a client: it is made when it is first needed, as its driver takes long to load."""
        self._queue_url = queue_url
        self._client = cache(make_client)

    def put_off(self, messages: Sequence[tuple[str, int]], *, within_s: float) -> None:
        """Let messages rest, each given by receipt handle and receive count.

        Best effort: one for which there is no time, or no answer, comes again after the queue's visibility timeout.
        """
        deadline = time.monotonic() + within_s
        for start in range(0, len(messages), BATCH):
            if time.monotonic() > deadline:
                return
            with contextlib.suppress(BotoCoreError, ClientError):
                self._client().change_message_visibility_batch(
                    QueueUrl=self._queue_url,
                    Entries=[
                        {"Id": str(at), "ReceiptHandle": handle, "VisibilityTimeout": rest_s(count)}
                        for at, (handle, count) in enumerate(messages[start : start + BATCH])
                    ],
                )
