"""The use cases on real parts: submitting, reading with and without an index, asking what became of an event."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import redis.asyncio

from scoreboard.auth import WRITE, WRITE_ANY, Principal
from scoreboard.boards import GLOBAL, Board, Operator, Writers
from scoreboard.config import Settings
from scoreboard.connections_redis import async_redis_client
from scoreboard.errors import (
    DeltaOutOfRange,
    Forbidden,
    IdempotencyConflict,
    InvalidField,
    LimiterUnavailable,
    QueueUnavailable,
    UnknownEvent,
)
from scoreboard.event_queue_sqs import SqsEventQueue
from scoreboard.rank_writer_redis import RedisRankWriter
from scoreboard.score_reader_postgres import PostgresScoreReader
from scoreboard.score_store_postgres import PostgresScoreStore
from scoreboard.service import (
    EventState,
    OverLimit,
    Receipt,
    Submission,
    apply_events,
    event_state,
    submit_score,
)
from scoreboard.submission_gate_redis import GateRules, RedisSubmissionGate
from tests.support import parts
from tests.support.model import event

ADA = Principal("ada", frozenset({WRITE}), 2**31)
BOB = Principal("bob", frozenset({WRITE}), 2**31)
GAME = Principal("game", frozenset({WRITE, WRITE_ANY}), 2**31)


class _Submitter:
    """`submit_score` with its parts, and what reached the queue."""

    def __init__(self, gate: RedisSubmissionGate, queue: SqsEventQueue, queue_url: str) -> None:
        self.gate = gate
        self.queue = queue
        self._url = queue_url

    async def submit(
        self,
        value: int = 5,
        *,
        principal: Principal = ADA,
        key: str | None = None,
        board: Board = GLOBAL,
        user_id: str | None = None,
    ) -> Receipt:
        return await submit_score(
            Submission(board.board_id, value, user_id),
            principal=principal,
            idempotency_key=key,
            board=board,
            gate=self.gate,
            queue=self.queue,
        )

    def messages(self) -> list[str]:
        """The bodies that wait in the queue."""
        client = self.queue._ready_client
        found: list[str] = []
        while got := client.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10).get("Messages"):
            found += [message["Body"] for message in got]
        return found


@pytest.fixture
def gate(redis_async: redis.asyncio.Redis, redis_settings: Settings) -> RedisSubmissionGate:
    rules = replace(GateRules.of(redis_settings), window_ms=60_000, limit=3, idempotency_ms=60_000)
    return RedisSubmissionGate(redis_async, rules)


@pytest.fixture
async def submitter(gate: RedisSubmissionGate, queue_url: str) -> AsyncIterator[_Submitter]:
    queue = SqsEventQueue(queue_url)
    await queue.open()
    yield _Submitter(gate, queue, queue_url)
    await queue.close()


# Submitting


async def test_a_submission_is_on_the_queue_before_it_is_answered(submitter: _Submitter) -> None:
    receipt = await submitter.submit(7)
    assert not receipt.replayed
    (body,) = submitter.messages()
    sent = event("ada", 7, at=receipt.admission.accepted_at, event_id=receipt.event_id)
    assert body == sent.to_json()


async def test_the_same_key_gives_the_same_event_and_is_sent_once(submitter: _Submitter) -> None:
    first = await submitter.submit(key="one")
    again = await submitter.submit(key="one")
    other = await submitter.submit(key="two")
    assert (first.replayed, again.replayed, other.replayed) == (False, True, False)
    assert first.event_id == again.event_id != other.event_id
    assert len(submitter.messages()) == 2


async def test_the_same_key_of_another_submitter_is_another_event(submitter: _Submitter) -> None:
    mine = await submitter.submit(key="one")
    theirs = await submitter.submit(key="one", principal=BOB)
    assert mine.event_id != theirs.event_id


async def test_the_same_key_for_another_body_is_a_conflict(submitter: _Submitter) -> None:
    await submitter.submit(5, key="one")
    with pytest.raises(IdempotencyConflict):
        await submitter.submit(6, key="one")
    assert len(submitter.messages()) == 1


async def test_the_same_key_on_a_score_for_another_user_is_a_conflict(submitter: _Submitter) -> None:
    await submitter.submit(principal=GAME, user_id="ada", key="one")
    with pytest.raises(IdempotencyConflict):
        await submitter.submit(principal=GAME, user_id="bob", key="one")


async def test_a_key_whose_message_never_reached_the_queue_is_sent_again_for_free(
    submitter: _Submitter, gate: RedisSubmissionGate, queue_url: str
) -> None:
    closed = _Submitter(gate, SqsEventQueue(queue_url), queue_url)
    with pytest.raises(QueueUnavailable):
        await closed.submit(key="one")
    receipt = await submitter.submit(key="one")
    assert not receipt.replayed
    assert receipt.admission.remaining == 2
    assert len(submitter.messages()) == 1
    assert (await submitter.submit(key="one")).replayed


async def test_above_the_limit_the_answer_says_when_to_come_back(submitter: _Submitter) -> None:
    for _ in range(3):
        await submitter.submit()
    with pytest.raises(OverLimit) as caught:
        await submitter.submit()
    assert caught.value.code == "RATE_LIMITED"
    assert caught.value.retry_after_s is not None
    assert 0 < caught.value.retry_after_s <= 60
    assert len(submitter.messages()) == 3


async def test_a_limiter_that_is_away_lets_nothing_through(submitter: _Submitter) -> None:
    nowhere = parts.settings(REDIS_HOST="127.0.0.1", REDIS_PORT="9")
    client = async_redis_client(nowhere)
    submitter.gate = RedisSubmissionGate(client, GateRules.of(nowhere))
    with pytest.raises(LimiterUnavailable):
        await submitter.submit()
    assert submitter.messages() == []
    await client.aclose()
    await client.connection_pool.disconnect()


@pytest.mark.parametrize("value", [0, -1, 1001, 2**53])
async def test_a_change_outside_the_rules_is_refused_and_costs_nothing(submitter: _Submitter, value: int) -> None:
    with pytest.raises(DeltaOutOfRange):
        await submitter.submit(value)
    assert (await submitter.submit()).admission.remaining == 2


async def test_a_player_scores_only_for_itself(submitter: _Submitter) -> None:
    with pytest.raises(Forbidden):
        await submitter.submit(user_id="bob")
    await submitter.submit(user_id="ada")


async def test_a_server_says_whose_score_it_is(submitter: _Submitter) -> None:
    with pytest.raises(InvalidField):
        await submitter.submit(principal=GAME)
    for name in ("", "a b", "é", "x" * 65, "a\n"):
        with pytest.raises(InvalidField):
            await submitter.submit(principal=GAME, user_id=name)
    await submitter.submit(principal=GAME, user_id="eve")
    (body,) = submitter.messages()
    assert '"user_id":"eve"' in body
    assert '"submitted_by":"game"' in body


async def test_only_servers_score_on_a_board_of_servers(submitter: _Submitter) -> None:
    rules = Board(board_id="ranked", operator=Operator.SET, writers=Writers.SERVER)
    with pytest.raises(Forbidden):
        await submitter.submit(board=rules)
    await submitter.submit(board=rules, principal=GAME, user_id="ada")


async def test_a_token_without_the_scope_submits_nothing(submitter: _Submitter) -> None:
    with pytest.raises(Forbidden):
        await submitter.submit(principal=Principal("ada", frozenset(), 2**31))


# What became of it


async def test_an_event_is_queued_then_applied_for_those_it_concerns(
    submitter: _Submitter, store: PostgresScoreStore, reader: PostgresScoreReader, writer: RedisRankWriter
) -> None:
    receipt = await submitter.submit(principal=GAME, user_id="ada")

    async def state(principal: Principal) -> EventState:
        return await event_state(receipt.event_id, principal=principal, reader=reader, gate=submitter.gate)

    assert (await state(GAME)).status == "queued"
    for other in (ADA, BOB):
        with pytest.raises(UnknownEvent):
            await state(other)
    apply_events(submitter.messages(), store=store, writer=writer, timeout_ms=10_000)
    assert await state(GAME) == await state(ADA) == EventState(receipt.event_id, "applied")
    with pytest.raises(UnknownEvent):
        await state(BOB)


async def test_an_event_that_was_rejected_says_why(
    store: PostgresScoreStore, reader: PostgresScoreReader, gate: RedisSubmissionGate
) -> None:
    bad = event("ada")
    store.reject({bad: "because"})
    state = await event_state(bad.event_id, principal=ADA, reader=reader, gate=gate)
    assert (state.status, state.reason) == ("rejected", "because")
    with pytest.raises(UnknownEvent):
        await event_state(uuid.uuid4(), principal=ADA, reader=reader, gate=gate)
