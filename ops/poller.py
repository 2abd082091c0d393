"""The local event source: takes messages from the queue to the handler as Lambda's SQS mapping does.

Batches by size and window, several invocations side by side, partial failures (`batchItemFailures`), failure of a
whole batch, and the handler in processes that can be killed. What failed is left alone: the queue shows it again
after its visibility timeout, and moves it to the dead-letter queue after `maxReceiveCount` (the emulator does
so when it is next asked for messages).
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from ops.environments import ExecutionEnvironment, InvocationFailed
from ops.home import write_private
from ops.poller_settings import PollerSettings
from scoreboard.errors import ConfigError

DEFAULT_HANDLER = "workers.score_events.handler"
MOST_AT_ONCE = 10
"""What SQS gives or deletes in one call."""
_LONG_POLL_S = 1
_BACKOFF_START_S = 0.1
_BACKOFF_CAP_S = 5.0
_SLOW_S = 1.0

log = logging.getLogger("poller")
Message = dict[str, Any]


def to_event(messages: Sequence[Message], queue_arn: str) -> dict[str, Any]:
    """The event that Lambda would make of these messages."""
    return {
        "Records": [
            {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": message.get("Attributes", {}),
                "messageAttributes": {
                    name: {
                        "stringValue": value.get("StringValue"),
                        "stringListValues": [],
                        "binaryListValues": [],
                        "dataType": value["DataType"],
                    }
                    for name, value in message.get("MessageAttributes", {}).items()
                },
                "md5OfBody": message["MD5OfBody"],
                "eventSource": "aws:sqs",
                "eventSourceARN": queue_arn,
                "awsRegion": queue_arn.split(":")[3],
            }
            for message in messages
        ]
    }


def failed_ids(result: Any, sent: Sequence[str]) -> set[str]:
    """The messages that the handler did not get done, by Lambda's rules for `ReportBatchItemFailures`.

    Raises:
        InvocationFailed: The answer is not one, or names a message that was not in the batch: all have failed.
    """
    failures = [] if result is None else result.get("batchItemFailures") or [] if isinstance(result, dict) else result
    if not isinstance(failures, list):
        raise InvocationFailed(f"malformed answer: {result!r:.200}")
    names = {item.get("itemIdentifier") if isinstance(item, dict) else None for item in failures}
    if not names <= set(sent):
        raise InvocationFailed(f"malformed batchItemFailures: {failures!r:.200}")
    return {str(name) for name in names}


class Queue:
    """The queue, as far as the event source uses it. Threads may share one."""

    def __init__(self, url: str) -> None:
        config = Config(connect_timeout=2, read_timeout=10, retries={"total_max_attempts": 1}, max_pool_connections=50)
        self._client = boto3.client("sqs", config=config)
        self._url = url
        self._arn: str | None = None

    @property
    def arn(self) -> str:
        """The queue's ARN, asked for once."""
        if self._arn is None:
            answer = self._client.get_queue_attributes(QueueUrl=self._url, AttributeNames=["QueueArn"])
            self._arn = answer["Attributes"]["QueueArn"]
        return self._arn

    def take(self, most: int, wait_s: int) -> list[Message]:
        """Receive up to `most` (at most 10) messages."""
        answer = self._client.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=min(most, MOST_AT_ONCE),
            WaitTimeSeconds=wait_s,
            AttributeNames=["All"],
            MessageAttributeNames=["All"],
        )
        messages: list[Message] = answer.get("Messages", [])  # type: ignore[assignment]
        return messages

    def delete(self, messages: Sequence[Message]) -> None:
        """Delete messages; one that cannot be deleted comes again, which is harmless."""
        for start in range(0, len(messages), MOST_AT_ONCE):
            entries = [
                {"Id": str(index), "ReceiptHandle": message["ReceiptHandle"]}
                for index, message in enumerate(messages[start : start + MOST_AT_ONCE])
            ]
            self._client.delete_message_batch(QueueUrl=self._url, Entries=entries)  # type: ignore[arg-type]


class Slot(threading.Thread):
    """One of the invocations that run side by side: collect, invoke, delete."""

    def __init__(self, number: int, queue: Queue, handler: str, settings: PollerSettings, pool: Poller) -> None:
        super().__init__(name=f"slot-{number}")
        self.environment = ExecutionEnvironment(handler, settings.timeout_ms)
        self._queue = queue
        self._settings = settings
        self._pool = pool
        self._failures = 0

    def run(self) -> None:
        """Work until the poller stops; the batch in hand is finished."""
        while not self._pool.stopping.is_set():
            try:
                if self.environment.ensure():
                    self._pool.note_processes()
                batch = self._collect()
                if batch:
                    self._process(batch)
            except InvocationFailed as problem:
                log.warning("%s: %s", self.name, problem)
                self._back_off()
            except (ClientError, BotoCoreError) as problem:
                log.warning("%s: the queue does not answer: %s", self.name, problem)
                self._back_off()
            except Exception:
                # A slot that ends would not be missed by anyone; what is in its batch comes again.
                log.exception("%s: unforeseen; going on with a new process", self.name)
                self.environment.discard()
                self._back_off()
        self.environment.discard()

    def _collect(self) -> list[Message]:
        """Wait for a first message, then until the batch is full or its window is over."""
        batch: list[Message] = []
        self._fill(batch, _LONG_POLL_S)
        if batch and len(batch) < self._settings.batch_size:
            self._pool.stopping.wait(self._settings.window_ms / 1000)
            self._fill(batch, 0)
        return batch

    def _fill(self, batch: list[Message], wait_s: int) -> None:
        """Take until the batch is full or the queue has, for now, no more."""
        while (room := self._settings.batch_size - len(batch)) > 0:
            more = self._queue.take(room, wait_s)
            batch += more
            if len(more) < min(room, MOST_AT_ONCE):
                return
            wait_s = 0

    def _process(self, batch: list[Message]) -> None:
        began = time.monotonic()
        result = self.environment.invoke(to_event(batch, self._queue.arn))
        failed = failed_ids(result, [message["MessageId"] for message in batch])
        if failed:
            log.warning("%s: %d of %d messages failed", self.name, len(failed), len(batch))
        if len(failed) == len(batch) and time.monotonic() - began > _SLOW_S:
            self._back_off()  # not poison, which fails at once: something that the handler waited for is away
            return
        self._failures = 0
        self._queue.delete([message for message in batch if message["MessageId"] not in failed])

    def _back_off(self) -> None:
        """Take less from the queue while nothing works, as Lambda does: each receipt counts towards the DLQ."""
        self._failures += 1
        self._pool.note_processes()
        self._pool.stopping.wait(min(_BACKOFF_START_S * 2**self._failures, _BACKOFF_CAP_S))


class Poller:
    """All slots of one event source."""

    def __init__(self, queue: Queue, handler: str, settings: PollerSettings, pids_file: Path | None) -> None:
        self.stopping = threading.Event()
        self._pids_file = pids_file
        self._noting = threading.Lock()
        self._slots = [Slot(number, queue, handler, settings, self) for number in range(settings.concurrency)]

    def run(self) -> None:
        """Work until `stopping` is set."""
        for slot in self._slots:
            slot.start()
        for slot in self._slots:
            slot.join()

    def note_processes(self) -> None:
        """Write down the processes, for `scoreboard status`."""
        if self._pids_file is None:
            return
        with self._noting:
            handlers = [pid for slot in self._slots if (pid := slot.environment.pid) is not None]
            try:
                write_private(self._pids_file, json.dumps({"poller": os.getpid(), "handlers": handlers}))
            except OSError as problem:  # a full disk keeps status from knowing, and must not keep scores from counting
                log.warning("cannot write %s: %s", self._pids_file, problem)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run an event source until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m ops.poller", description=__doc__)
    parser.add_argument("--handler", default=DEFAULT_HANDLER, help="MODULE.FUNCTION to invoke")
    parser.add_argument("--pids-file", type=Path, help="where to write which processes there are")
    given = parser.parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("botocore").setLevel(logging.WARNING)
    try:
        settings = PollerSettings.from_env(os.environ)
        if not os.environ.get("SQS_QUEUE_URL"):
            raise ConfigError(["SQS_QUEUE_URL is not set"])
    except ConfigError as problem:
        log.error("%s", problem)
        return 2
    poller = Poller(Queue(os.environ["SQS_QUEUE_URL"]), given.handler, settings, given.pids_file)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: poller.stopping.set())
    poller.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
