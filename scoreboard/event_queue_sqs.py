"""The queue on SQS: concurrent submissions share requests.

SQS takes ten messages a request at the price of one. So a submission waits up to `LINGER_S` for others, and each learns
what became of its own entry. boto3 blocks, so requests run in a few threads; what waits for one is bounded, and when
the waiting room is full a submission is refused at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from scoreboard.errors import QueueUnavailable
from scoreboard.events import ScoreEvent

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

BATCH: Final = 10
LINGER_S: Final = 0.005
WAITING_ROOM: Final = 2_000
SENDERS: Final = 8
SUBMIT_TIMEOUT_S: Final = 1.8
"""From the call to the acknowledgement; a caller is promised an answer within two seconds."""


@dataclass(slots=True)
class _Waiting:
    event: ScoreEvent
    done: asyncio.Future[None]


def sqs_client(*, read_timeout_s: float = 1.5) -> SQSClient:
    """Return a client whose waits are short; region, credentials and endpoint are boto3's own variables.

    No retries of its own: the submitter retries with the same key, and would by then have given up.
    """
    import boto3  # half a second that only those who need a queue pay
    from botocore.config import Config

    config = Config(
        connect_timeout=0.8,
        read_timeout=read_timeout_s,
        retries={"total_max_attempts": 1, "mode": "standard"},
        max_pool_connections=SENDERS,
        tcp_keepalive=True,
    )
    return boto3.client("sqs", config=config)


class SqsEventQueue:
    """`EventQueue` on SQS."""

    def __init__(self, queue_url: str, client: SQSClient | None = None) -> None:
        self._queue_url = queue_url
        self._client = client
        self._threads = ThreadPoolExecutor(SENDERS, thread_name_prefix="sqs")
        self._slots = asyncio.Semaphore(SENDERS)
        self._waiting: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._full_batch = asyncio.Event()
        self._sending: set[asyncio.Task[None]] = set()
        self._sender: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def depth(self) -> int:
        """How many submissions wait for a request."""
        return len(self._waiting)

    async def open(self) -> None:
        """Make the client, in a thread as its import takes a while, and begin to send."""
        if self._client is None:
            loop = asyncio.get_running_loop()
            self._client = await loop.run_in_executor(self._threads, sqs_client)
        self._sender = asyncio.create_task(self._send_forever())

    async def submit(self, event: ScoreEvent) -> None:
        """Return once the queue has acknowledged this very event.

        Raises:
            QueueUnavailable: It did not in time, refused it, is not open, or the waiting room is full.
        """
        if self._sender is None or self._closed or len(self._waiting) >= WAITING_ROOM:
            raise QueueUnavailable(retry_after_s=1)
        waiting = _Waiting(event, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._arrived.set()
        if len(self._waiting) >= BATCH:
            self._full_batch.set()
        try:
            async with asyncio.timeout(SUBMIT_TIMEOUT_S):
                await waiting.done
        except TimeoutError as error:
            raise QueueUnavailable(retry_after_s=1) from error

    async def ping(self) -> bool:
        """Whether the queue answers."""
        loop = asyncio.get_running_loop()
        ask = partial(self._ready_client.get_queue_attributes, QueueUrl=self._queue_url, AttributeNames=["QueueArn"])
        try:
            return "Attributes" in await loop.run_in_executor(self._threads, ask)
        except Exception as error:  # botocore's errors have no common root
            raise QueueUnavailable from error

    async def close(self) -> None:
        """Send what waits, then refuse."""
        self._closed = True
        while self._waiting or self._sending:
            self._full_batch.set()
            await asyncio.wait(
                [*self._sending, asyncio.create_task(asyncio.sleep(LINGER_S))], return_when=asyncio.FIRST_COMPLETED
            )
        if self._sender:
            self._sender.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)

    @property
    def _ready_client(self) -> SQSClient:
        if self._client is None:
            raise QueueUnavailable("The queue is not open yet.", retry_after_s=1)
        return self._client

    async def _send_forever(self) -> None:
        while True:
            await self._arrived.wait()
            if len(self._waiting) < BATCH and not self._closed:
                self._full_batch.clear()
                try:
                    async with asyncio.timeout(LINGER_S):
                        await self._full_batch.wait()
                except TimeoutError:
                    pass
            await self._slots.acquire()
            batch = self._next_batch()
            if not self._waiting:
                self._arrived.clear()
            if not batch:
                self._slots.release()
                continue
            task = asyncio.create_task(self._send(batch))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    def _next_batch(self) -> list[_Waiting]:
        """Take up to ten whose submitters still wait."""
        batch: list[_Waiting] = []
        while self._waiting and len(batch) < BATCH:
            waiting = self._waiting.popleft()
            if not waiting.done.done():
                batch.append(waiting)
        return batch

    async def _send(self, batch: Sequence[_Waiting]) -> None:
        entries = [{"Id": str(index), "MessageBody": item.event.to_json()} for index, item in enumerate(batch)]
        loop = asyncio.get_running_loop()
        send: partial[Any] = partial(
            self._ready_client.send_message_batch,
            QueueUrl=self._queue_url,
            Entries=entries,  # type: ignore[arg-type]
        )
        try:
            answer = await loop.run_in_executor(self._threads, send)
            acknowledged = {entry["Id"] for entry in answer.get("Successful", ())}
        except Exception:  # botocore's errors have no common root, and each of them means: not acknowledged
            acknowledged = set()
        finally:
            self._slots.release()
        for index, item in enumerate(batch):
            if item.done.done():
                continue
            if str(index) in acknowledged:
                item.done.set_result(None)
            else:
                item.done.set_exception(QueueUnavailable(retry_after_s=1))


class BlockingEventQueue:
    """`EventQueue` for a process that serves one request at a time: it blocks, and never suspends."""

    def __init__(self, queue_url: str, client: SQSClient) -> None:
        """Take a client whose calls end in time."""
        self._queue_url = queue_url
        self._client = client

    async def submit(self, event: ScoreEvent) -> None:
        """Return once the queue has acknowledged this very event. Raises `QueueUnavailable`."""
        try:
            self._client.send_message(QueueUrl=self._queue_url, MessageBody=event.to_json())
        except Exception as error:  # botocore's errors have no common root, and each of them means: not acknowledged
            raise QueueUnavailable(retry_after_s=1) from error

    async def ping(self) -> bool:
        """Whether the queue answers."""
        try:
            self._client.get_queue_attributes(QueueUrl=self._queue_url, AttributeNames=["QueueArn"])
        except Exception as error:  # botocore's errors have no common root
            raise QueueUnavailable from error
        return True

    async def close(self) -> None:
        """Nothing waits here."""
