"""The gate: rate limit and idempotency in one step, exact for any number of processes, on Redis' clock alone."""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import redis.asyncio

from ops.home import CLONE
from scoreboard.config import Settings
from scoreboard.connections_redis import ScriptCaller, async_redis_client
from scoreboard.errors import LimiterUnavailable, Unavailable
from scoreboard.ports import Admission, AdmissionOutcome
from scoreboard.submission_gate_redis import GateRules, RedisSubmissionGate
from tests.support import parts

GENEROUS_S = 30.0
HOUR_MS = 3_600_000
LIMIT = 10

Gate = Callable[..., RedisSubmissionGate]


def _gate(client: redis.asyncio.Redis, settings: Settings, **changes: int) -> RedisSubmissionGate:
    values = {"window_ms": 60_000, "limit": LIMIT, "idempotency_ms": HOUR_MS, **changes}
    return RedisSubmissionGate(client, replace(GateRules.of(settings), **values))


@pytest.fixture
def gate(redis_async: redis.asyncio.Redis, redis_settings: Settings) -> RedisSubmissionGate:
    """With the limits of the guide."""
    return _gate(redis_async, redis_settings)


async def _admit(
    gate: RedisSubmissionGate,
    user_id: str = "ada",
    *,
    submitter: str | None = None,
    event_id: uuid.UUID | None = None,
    body: str = "body",
) -> Admission:
    return await gate.admit(
        submitter=submitter or user_id, user_id=user_id, event_id=event_id or uuid.uuid4(), body_hash=body
    )


async def _outcomes(gate: RedisSubmissionGate, count: int, user_id: str = "ada") -> list[AdmissionOutcome]:
    return [each.outcome for each in await asyncio.gather(*(_admit(gate, user_id) for _ in range(count)))]


async def test_the_limit_is_counted_down_and_then_refuses(gate: RedisSubmissionGate) -> None:
    admissions = [await _admit(gate) for _ in range(LIMIT)]
    assert [each.outcome for each in admissions] == [AdmissionOutcome.ADMITTED] * LIMIT
    assert [each.remaining for each in admissions] == list(range(LIMIT - 1, -1, -1))
    assert [each.reset_ms for each in admissions[:-1]] == [0] * (LIMIT - 1)
    times = [each.accepted_at for each in admissions]
    assert times == sorted(times)
    refused = await _admit(gate)
    assert (refused.outcome, refused.remaining) == (AdmissionOutcome.LIMITED, 0)
    assert 0 < refused.reset_ms <= 60_000


async def test_a_hundred_at_once_admit_exactly_the_limit(gate: RedisSubmissionGate) -> None:
    outcomes = await _outcomes(gate, 100)
    assert outcomes.count(AdmissionOutcome.ADMITTED) == LIMIT
    assert outcomes.count(AdmissionOutcome.LIMITED) == 100 - LIMIT


_PROCESS = """
import asyncio, json, sys, time, uuid
offset = float(sys.argv[4])
really = time.time
time.time = lambda: really() + offset
from tests.integration.test_submission_gate import _gate, _outcomes
from scoreboard.connections_redis import async_redis_client
from tests.support import parts

async def main():
    settings = parts.settings(
        REDIS_HOST="127.0.0.1", REDIS_PORT=sys.argv[1],
        REDIS_KEY_SCORE_PREFIX=sys.argv[2], REDIS_KEY_RATE_LIMIT_PREFIX=sys.argv[3],
    )
    client = async_redis_client(settings)
    gate = _gate(client, settings)
    await client.ping()
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(await _outcomes(gate, 50)))
    await client.aclose()

asyncio.run(main())
"""


async def test_several_processes_whose_clocks_are_wrong_admit_exactly_the_limit(
    valkey: parts.RedisServer, redis_settings: Settings
) -> None:
    arguments = (
        str(valkey.port),
        redis_settings.redis_key_score_prefix,
        redis_settings.redis_key_rate_limit_prefix,
    )
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            *("-c", _PROCESS, *arguments, str(offset_s)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=CLONE,
        )
        for offset_s in (-300, 0, 300)
    ]
    for process in processes:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
    answers = await asyncio.gather(*(process.communicate(b"go\n") for process in processes))
    outcomes = [outcome for output, _ in answers for outcome in json.loads(output)]
    assert len(outcomes) == 150
    assert outcomes.count("admitted") == LIMIT


async def test_scripts_that_the_server_has_forgotten_are_loaded_again(
    gate: RedisSubmissionGate, redis_async: redis.asyncio.Redis
) -> None:
    await _admit(gate)
    await redis_async.script_flush()
    assert (await _outcomes(gate, 50)).count(AdmissionOutcome.ADMITTED) == LIMIT - 1


async def test_who_gives_up_before_being_asked_for_is_not_counted(own_valkey: parts.RedisServer) -> None:
    async with _client(own_valkey.settings()) as client:
        gate = _gate(client, own_valkey.settings())
        await _admit(gate)
        with own_valkey.part.paused():
            under_way = asyncio.create_task(_admit(gate))
            await asyncio.sleep(0.1)
            behind = [asyncio.create_task(_admit(gate, "bob")) for _ in range(5)]
            await asyncio.sleep(0)
            for each in behind:
                each.cancel()
            await asyncio.wait([under_way, *behind])
            assert isinstance(under_way.exception(), LimiterUnavailable)
            await asyncio.sleep(0.1)
        assert (await _admit(gate, "bob")).remaining == LIMIT - 1


async def test_more_than_the_waiting_room_holds_fail_closed_at_once(own_valkey: parts.RedisServer) -> None:
    async with _client(own_valkey.settings()) as client:
        gate = _gate(client, own_valkey.settings())
        await _admit(gate)
        with own_valkey.part.paused():
            waiting = [asyncio.create_task(_admit(gate)) for _ in range(ScriptCaller.MOST_WAITING + 10)]
            refused, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            assert {type(each.exception()) for each in refused} == {LimiterUnavailable}
            assert len(refused) < len(waiting)
            await asyncio.gather(*waiting, return_exceptions=True)


async def test_users_do_not_use_up_each_others_limit(gate: RedisSubmissionGate) -> None:
    for user_id in ("ada", "bob", "a:b", "a"):
        assert (await _outcomes(gate, 11, user_id)).count(AdmissionOutcome.ADMITTED) == LIMIT


async def test_a_server_has_a_limit_for_each_user_it_scores_for(gate: RedisSubmissionGate) -> None:
    for user_id in ("ada", "bob"):
        answers = [await _admit(gate, user_id, submitter="game") for _ in range(11)]
        assert [each.outcome for each in answers].count(AdmissionOutcome.ADMITTED) == LIMIT
    assert (await _admit(gate, "ada")).outcome is AdmissionOutcome.ADMITTED


async def test_in_any_window_as_it_moves_no_more_than_the_limit_is_admitted(
    redis_async: redis.asyncio.Redis, redis_settings: Settings
) -> None:
    window_us, limit = 200_000, 5
    gate = _gate(redis_async, redis_settings, window_ms=200, limit=limit)
    times: list[int] = []
    refused = 0
    while len(times) < 6 * limit:
        admission = await _admit(gate)
        if admission.outcome is AdmissionOutcome.ADMITTED:
            times.append(admission.accepted_at)
        else:
            refused += 1
            await asyncio.sleep(0.003)
    assert refused
    for first, after_the_limit in zip(times, times[limit:], strict=False):
        assert after_the_limit - first >= window_us


async def test_after_the_time_it_names_one_more_is_admitted(
    redis_async: redis.asyncio.Redis, redis_settings: Settings
) -> None:
    gate = _gate(redis_async, redis_settings, window_ms=150, limit=1)
    assert (await _admit(gate)).outcome is AdmissionOutcome.ADMITTED
    refused = await _admit(gate)
    assert refused.outcome is AdmissionOutcome.LIMITED
    await asyncio.sleep(refused.reset_ms / 1000)
    assert (await _admit(gate)).outcome is AdmissionOutcome.ADMITTED


async def test_a_lower_limit_waits_until_enough_have_left_the_window(
    redis_async: redis.asyncio.Redis, redis_settings: Settings
) -> None:
    await _outcomes(_gate(redis_async, redis_settings), 3)
    await asyncio.sleep(0.05)
    last = await _admit(_gate(redis_async, redis_settings))
    refused = await _admit(_gate(redis_async, redis_settings, limit=1))
    assert refused.outcome is AdmissionOutcome.LIMITED
    # The fourth has to leave too, not only the first.
    waited_until = refused.accepted_at + refused.reset_ms * 1000
    assert waited_until >= last.accepted_at + 60_000_000


async def test_an_id_that_was_admitted_is_a_retry_until_it_is_acknowledged_and_then_a_replay(
    gate: RedisSubmissionGate,
) -> None:
    event_id = uuid.uuid4()
    first = await _admit(gate, event_id=event_id)
    again = await _admit(gate, event_id=event_id)
    assert again.outcome is AdmissionOutcome.RETRY
    await gate.acknowledge(submitter="ada", event_id=event_id)
    replay = await _admit(gate, event_id=event_id)
    assert replay.outcome is AdmissionOutcome.REPLAY
    assert {first.accepted_at, again.accepted_at, replay.accepted_at} == {first.accepted_at}
    assert {first.remaining, again.remaining, replay.remaining} == {LIMIT - 1}


async def test_another_body_under_the_same_id_is_a_conflict_acknowledged_or_not(gate: RedisSubmissionGate) -> None:
    event_id = uuid.uuid4()
    await _admit(gate, event_id=event_id)
    assert (await _admit(gate, event_id=event_id, body="other")).outcome is AdmissionOutcome.CONFLICT
    await gate.acknowledge(submitter="ada", event_id=event_id)
    assert (await _admit(gate, event_id=event_id, body="other")).outcome is AdmissionOutcome.CONFLICT
    assert (await _admit(gate, event_id=event_id)).outcome is AdmissionOutcome.REPLAY


async def test_replays_are_answered_above_the_limit_and_cost_nothing(gate: RedisSubmissionGate) -> None:
    event_id = uuid.uuid4()
    await _admit(gate, event_id=event_id)
    for _ in range(20):
        assert (await _admit(gate, event_id=event_id)).outcome is AdmissionOutcome.RETRY
    assert (await _outcomes(gate, 20)).count(AdmissionOutcome.ADMITTED) == LIMIT - 1
    replay = await _admit(gate, event_id=event_id)
    assert replay.outcome is AdmissionOutcome.RETRY
    assert replay.remaining == 0
    assert replay.reset_ms > 0


async def test_the_same_id_sent_a_hundred_times_at_once_is_admitted_once(gate: RedisSubmissionGate) -> None:
    event_id = uuid.uuid4()
    answers = await asyncio.gather(*(_admit(gate, event_id=event_id) for _ in range(100)))
    assert [each.outcome for each in answers].count(AdmissionOutcome.ADMITTED) == 1
    assert len({each.accepted_at for each in answers}) == 1


async def test_an_id_that_was_refused_is_not_remembered(gate: RedisSubmissionGate) -> None:
    event_id = uuid.uuid4()
    await _outcomes(gate, LIMIT)
    assert (await _admit(gate, event_id=event_id)).outcome is AdmissionOutcome.LIMITED
    assert not await gate.is_known(submitter="ada", event_id=event_id)


async def test_only_the_submitter_knows_an_event(gate: RedisSubmissionGate) -> None:
    event_id = uuid.uuid4()
    assert not await gate.is_known(submitter="ada", event_id=event_id)
    await _admit(gate, event_id=event_id)
    assert await gate.is_known(submitter="ada", event_id=event_id)
    assert not await gate.is_known(submitter="bob", event_id=event_id)


async def test_what_is_kept_goes_by_itself(
    gate: RedisSubmissionGate, redis_async: redis.asyncio.Redis, redis_settings: Settings
) -> None:
    event_id = uuid.uuid4()
    await _admit(gate, event_id=event_id)
    await gate.acknowledge(submitter="ada", event_id=event_id)
    lives = {
        key.removeprefix(redis_settings.redis_key_leaderboard): await redis_async.pttl(key)
        async for key in redis_async.scan_iter(f"{redis_settings.redis_key_leaderboard}*")
    }
    assert lives.keys() == {f":score:{{ada}}:{event_id}", ":rate:{ada}:ada"}
    assert 0 < lives[f":score:{{ada}}:{event_id}"] <= HOUR_MS
    assert 0 < lives[":rate:{ada}:ada"] <= 60_001


async def test_an_acknowledgement_that_comes_too_late_leaves_nothing_behind(
    gate: RedisSubmissionGate, redis_async: redis.asyncio.Redis, redis_settings: Settings
) -> None:
    await gate.acknowledge(submitter="ada", event_id=uuid.uuid4())
    assert not [key async for key in redis_async.scan_iter(f"{redis_settings.redis_key_leaderboard}*")]


async def test_a_clock_that_was_set_back_lets_no_more_through(
    gate: RedisSubmissionGate, redis_async: redis.asyncio.Redis, redis_settings: Settings
) -> None:
    seconds, microseconds = await redis_async.time()
    ahead = seconds * 1_000_000 + microseconds + 300_000_000
    times = f"{redis_settings.redis_key_rate_limit_prefix}{{ada}}:ada"
    await redis_async.rpush(times, *(str(ahead - n) for n in (2, 1, 0)))
    admissions = [await _admit(gate) for _ in range(20)]
    admitted = [each for each in admissions if each.outcome is AdmissionOutcome.ADMITTED]
    assert len(admitted) == LIMIT - 3
    assert {each.accepted_at for each in admitted} == {ahead}  # time stands still, it does not go back
    assert 0 < admissions[-1].reset_ms <= 60_000


async def test_a_server_that_is_gone_fails_closed(own_valkey: parts.RedisServer) -> None:
    async with _client(own_valkey.settings()) as client:
        gate = _gate(client, own_valkey.settings())
        await _admit(gate)
        own_valkey.part.kill()
        with pytest.raises(LimiterUnavailable) as caught:
            await asyncio.wait_for(_admit(gate), GENEROUS_S)
        assert caught.value.retry_after_s == 1
        assert caught.value.retryable
        with pytest.raises(Unavailable):
            await gate.is_known(submitter="ada", event_id=uuid.uuid4())
        await gate.acknowledge(submitter="ada", event_id=uuid.uuid4())  # best effort
        own_valkey.part.start()
        assert (await _admit(gate)).outcome is AdmissionOutcome.ADMITTED


async def test_a_server_that_hangs_fails_closed_for_everyone_who_waits(own_valkey: parts.RedisServer) -> None:
    async with _client(own_valkey.settings()) as client:
        gate = _gate(client, own_valkey.settings())
        await _admit(gate)
        with own_valkey.part.paused():
            answers = await asyncio.wait_for(
                asyncio.gather(*(_admit(gate) for _ in range(200)), return_exceptions=True), GENEROUS_S
            )
        assert {type(each) for each in answers} == {LimiterUnavailable}
        # What reached the server before it hung may count; what matters is that it serves again.
        assert (await _admit(gate, "bob")).outcome is AdmissionOutcome.ADMITTED


@asynccontextmanager
async def _client(settings: Settings) -> AsyncIterator[redis.asyncio.Redis]:
    client = async_redis_client(settings)
    try:
        yield client
    finally:
        await client.aclose()
        await client.connection_pool.disconnect()
