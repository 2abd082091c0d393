"""The queue on SQS: each submission learns what became of its own message, and nothing waits without a limit."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from scoreboard import event_queue_sqs
from scoreboard.errors import QueueUnavailable
from scoreboard.event_queue_sqs import SENDERS, WAITING_ROOM, SqsEventQueue, sqs_client
from scoreboard.events import ScoreEvent
from tests.support import parts
from tests.support.model import event

GENEROUS_S = 60.0


class _Client:
    """boto3's client, whose sending a test may count, hold up, spoil or break."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.real: Any = sqs_client()
        self.sizes: list[int] = []
        self.gate = threading.Event()
        self.gate.set()
        self.spoil: Callable[[Mapping[str, Any]], bool] = lambda entry: False
        self.error: Exception | None = None

    def send_message_batch(self, *, QueueUrl: str, Entries: list[Mapping[str, Any]]) -> Any:  # noqa: N803 - boto3's
        self.sizes.append(len(Entries))
        assert self.gate.wait(GENEROUS_S)
        if self.error is not None:
            raise self.error
        spoiled = [each for each in Entries if self.spoil(each)]
        good = [each for each in Entries if each not in spoiled]
        answer = self.real.send_message_batch(QueueUrl=QueueUrl, Entries=good) if good else {}
        answer["Failed"] = [{"Id": each["Id"], "SenderFault": False, "Code": "InternalError"} for each in spoiled]
        return answer

    def get_queue_attributes(self, **arguments: Any) -> Any:
        return self.real.get_queue_attributes(**arguments)

    def received(self) -> Counter[uuid.UUID]:
        """Every message in the queue, by the id of its event."""
        found: Counter[uuid.UUID] = Counter()
        while messages := self.real.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10).get("Messages"):
            found.update(ScoreEvent.from_json(message["Body"]).event_id for message in messages)
        return found


@pytest.fixture
def client(queue_url: str) -> _Client:
    return _Client(queue_url)


@asynccontextmanager
async def _open(client: _Client) -> AsyncIterator[SqsEventQueue]:
    queue = SqsEventQueue(client.url, client)  # type: ignore[arg-type]
    await queue.open()
    try:
        yield queue
    finally:
        client.gate.set()
        await asyncio.wait_for(queue.close(), GENEROUS_S)


async def _submit_all(queue: SqsEventQueue, events: Iterable[ScoreEvent]) -> list[BaseException | None]:
    return await asyncio.gather(*(queue.submit(each) for each in events), return_exceptions=True)


async def test_a_hundred_at_once_share_ten_requests_and_each_is_sent_once(client: _Client) -> None:
    events = [event(f"user{n}") for n in range(100)]
    async with _open(client) as queue:
        assert await _submit_all(queue, events) == [None] * 100
        assert queue.depth == 0
    assert client.sizes == [10] * 10
    assert client.received() == Counter(each.event_id for each in events)


async def test_one_alone_is_sent_without_waiting_for_others(client: _Client) -> None:
    only = event()
    async with _open(client) as queue:
        await queue.submit(only)
        await queue.submit(only)
    assert client.sizes == [1, 1]
    assert client.received() == Counter({only.event_id: 2})


async def test_the_message_says_what_was_submitted(client: _Client) -> None:
    only = event("ada", 7)
    async with _open(client) as queue:
        await queue.submit(only)
    (message,) = client.real.receive_message(QueueUrl=client.url)["Messages"]
    assert ScoreEvent.from_json(message["Body"]) == only


async def test_an_entry_that_the_queue_refuses_fails_alone(client: _Client) -> None:
    events = [event(f"user{n}") for n in range(10)]
    client.spoil = lambda entry: bool(entry["Id"] == "3")
    async with _open(client) as queue:
        outcomes = await _submit_all(queue, events)
    assert [type(outcome) for outcome in outcomes] == [
        QueueUnavailable if at == 3 else type(None) for at in range(len(events))
    ]
    assert client.received() == Counter(each.event_id for at, each in enumerate(events) if at != 3)


async def test_an_error_of_the_client_fails_the_batch_and_not_the_next(client: _Client) -> None:
    client.error = OSError("the network is away")
    async with _open(client) as queue:
        assert {type(each) for each in await _submit_all(queue, [event() for _ in range(15)])} == {QueueUnavailable}
        client.error = None
        await queue.submit(event())


async def test_a_full_waiting_room_refuses_at_once_and_takes_again_when_it_is_emptied(client: _Client) -> None:
    async with _open(client) as queue:
        client.gate.clear()
        in_hand = [asyncio.create_task(queue.submit(event())) for _ in range(SENDERS * 10)]
        await _until(lambda: len(client.sizes) == SENDERS)
        waiting = [asyncio.create_task(queue.submit(event())) for _ in range(WAITING_ROOM)]
        await asyncio.sleep(0)
        assert queue.depth == WAITING_ROOM
        with pytest.raises(QueueUnavailable) as caught:
            await queue.submit(event())
        assert caught.value.retry_after_s == 1
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        client.gate.set()
        await asyncio.gather(*in_hand)
        await queue.submit(event())
    assert sum(client.received().values()) == len(in_hand) + 1


async def test_a_submission_whose_client_has_gone_is_not_sent(client: _Client) -> None:
    async with _open(client) as queue:
        client.gate.clear()
        first = [asyncio.create_task(queue.submit(event())) for _ in range(SENDERS * 10)]
        await _until(lambda: len(client.sizes) == SENDERS)
        gone = [asyncio.create_task(queue.submit(event("gone"))) for _ in range(25)]
        stayed = asyncio.create_task(queue.submit(event("stayed")))
        await asyncio.sleep(0)
        for each in gone:
            each.cancel()
        await asyncio.gather(*gone, return_exceptions=True)
        client.gate.set()
        await asyncio.gather(*first, stayed)
    assert client.sizes == [10] * SENDERS + [1]


async def test_closing_sends_what_waits_and_then_refuses(client: _Client) -> None:
    events = [event() for _ in range(SENDERS * 10 + 25)]
    async with _open(client) as queue:
        client.gate.clear()
        submissions = [asyncio.create_task(queue.submit(each)) for each in events]
        await _until(lambda: len(client.sizes) == SENDERS)
        closing = asyncio.create_task(queue.close())
        await asyncio.sleep(0)
        with pytest.raises(QueueUnavailable):
            await queue.submit(event())
        client.gate.set()
        await closing
        assert await asyncio.gather(*submissions) == [None] * len(events)
        with pytest.raises(QueueUnavailable):
            await queue.submit(event())
    assert client.received() == Counter(each.event_id for each in events)


async def test_a_queue_that_was_never_opened_refuses_and_closes(queue_url: str) -> None:
    queue = SqsEventQueue(queue_url)
    with pytest.raises(QueueUnavailable):
        await queue.submit(event())
    with pytest.raises(QueueUnavailable):
        await queue.ping()
    await asyncio.wait_for(queue.close(), GENEROUS_S)


async def test_a_queue_that_does_not_exist_refuses(queue_url: str) -> None:
    queue = SqsEventQueue(f"{queue_url}-of-nobody")
    await queue.open()
    with pytest.raises(QueueUnavailable):
        await queue.submit(event())
    with pytest.raises(QueueUnavailable):
        await queue.ping()
    await queue.close()


async def test_an_emulator_that_hangs_or_is_gone_makes_every_submission_fail(
    monkeypatch: pytest.MonkeyPatch, queue_url: str
) -> None:
    with parts.queue_server() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", server.endpoint)
        queue = SqsEventQueue(server.create())
        await queue.open()
        await queue.submit(event())
        assert await queue.ping()
        with server.part.paused():
            outcomes = await asyncio.wait_for(_submit_all(queue, [event() for _ in range(30)]), GENEROUS_S)
            assert {type(each) for each in outcomes} == {QueueUnavailable}
        await _until_served(queue)
        server.part.kill()
        outcomes = await asyncio.wait_for(_submit_all(queue, [event() for _ in range(30)]), GENEROUS_S)
        assert {type(each) for each in outcomes} == {QueueUnavailable}
        with pytest.raises(QueueUnavailable):
            await queue.ping()
        await asyncio.wait_for(queue.close(), GENEROUS_S)


def test_a_submission_is_answered_within_the_two_seconds_that_are_promised(queue_url: str) -> None:
    assert event_queue_sqs.SUBMIT_TIMEOUT_S < 2
    # Nothing may hold a sender much longer: what is hung must not keep the senders from what is not.
    config: Any = sqs_client().meta.config
    assert config.read_timeout < event_queue_sqs.SUBMIT_TIMEOUT_S
    assert config.retries == {"total_max_attempts": 1, "mode": "standard"}


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(GENEROUS_S):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in a thread
            await asyncio.sleep(0.001)


async def _until_served(queue: SqsEventQueue) -> None:
    async with asyncio.timeout(GENEROUS_S):
        while True:
            try:
                await queue.submit(event())
            except QueueUnavailable:
                continue
            return
