"""The access string of the deployed Redis user, on a real server: all that the application does, and nothing else."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

import pytest
import redis
import yaml

from scoreboard.alert_memory_redis import RedisAlertMemory
from scoreboard.boards import GLOBAL, Board, SortOrder
from scoreboard.config import Settings
from scoreboard.connections_redis import async_redis_client, redis_client
from scoreboard.ports import AdmissionOutcome, RankSize
from scoreboard.rank_writer_redis import RedisRankWriter
from scoreboard.ranking import Cursor
from scoreboard.score_store_postgres import PostgresScoreStore
from scoreboard.service import rebuild_board, sweep_board
from scoreboard.submission_gate_redis import BlockingSubmissionGate, GateRules, RedisSubmissionGate
from tests.support import parts
from tests.support.index import opened_index, standing
from tests.support.model import event

ROOT = Path(__file__).resolve().parents[2]
CONNECTION = {"ping", "subscribe", "unsubscribe", "evalsha", "script|load", "client|setinfo"}
"""What clients send besides our scripts."""
DIRECT = {"exists", "hmget", "hset", "pexpire"}
ASCENDING = Board(board_id="race", sort_order=SortOrder.ASC)


class _Template(yaml.SafeLoader):
    """Reads a template without looking at its functions."""


_Template.add_multi_constructor("!", lambda _loader, _suffix, _node: None)


def access_string() -> str:
    """What the template gives the application's user."""
    strings = [
        resource["Properties"]["AccessString"]
        for path in sorted((ROOT / "sam").glob("*.yaml"))
        if "AWS::ElastiCache::User\n" in path.read_text()
        for resource in yaml.load(path.read_text(), _Template)["Resources"].values()  # noqa: S506 - a safe loader
        if resource["Type"] == "AWS::ElastiCache::User"
    ]
    (of_application,) = [text for text in strings if text.startswith("on ")]
    return str(of_application)


def granted() -> set[str]:
    return {word[1:] for word in access_string().split() if word.startswith("+")}


@pytest.fixture
def limited(own_valkey: parts.RedisServer) -> Iterator[Settings]:
    """Settings of the deployed names, whose user has the deployed rights; nothing may have been refused in the end."""
    with redis.Redis(port=own_valkey.port, decode_responses=True) as admin:
        admin.execute_command("ACL", "SETUSER", "scoreboard-app", ">of the test", *access_string().split())
        yield parts.settings(
            REDIS_HOST="127.0.0.1",
            REDIS_PORT=str(own_valkey.port),
            REDIS_USERNAME="scoreboard-app",
            REDIS_PASSWORD="of the test",
        )


@pytest.fixture
def refusals(limited: Settings) -> Iterator[list[Any]]:
    """What the server has refused, filled in when a test has ended."""
    found: list[Any] = []
    yield found
    with redis.Redis(port=limited.redis_port, decode_responses=True) as admin:
        found.extend(cast("list[Any]", admin.acl_log()))
    assert found == []


def test_the_commands_of_our_scripts_are_granted_and_no_other() -> None:
    text = "\n".join(path.read_text() for path in (ROOT / "scoreboard" / "lua").glob("*.lua"))
    calls = re.findall(r"redis\.call\(([^,]+),", text)
    called = {name.lower() for call in calls for name in re.findall(r"'([A-Z]+)'", call)}
    called |= {name.lower() for name in re.findall(r"redis\.call\('([A-Z]+)'\)", text)}
    assert len(called) > 20
    assert granted() == called | CONNECTION | DIRECT


async def test_submissions_are_decided(limited: Settings, refusals: list[Any]) -> None:
    rules = GateRules.of(limited)
    client = async_redis_client(limited)
    with redis_client(limited) as blocking:
        for gate in (RedisSubmissionGate(client, rules), BlockingSubmissionGate(blocking, rules)):
            submitter, event_id = f"ada-{type(gate).__name__}", uuid.uuid4()
            outcomes = []
            for _ in range(2):
                admission = await gate.admit(submitter=submitter, user_id="ada", event_id=event_id, body_hash="h")
                outcomes.append(admission.outcome)
                await gate.acknowledge(submitter=submitter, event_id=event_id)
            assert outcomes == [AdmissionOutcome.ADMITTED, AdmissionOutcome.REPLAY]
            assert await gate.is_known(submitter=submitter, event_id=event_id)
    await client.aclose()


@pytest.mark.parametrize("board", [GLOBAL, ASCENDING], ids=lambda board: board.board_id)
async def test_a_board_is_written_and_read_in_every_way(limited: Settings, refusals: list[Any], board: Board) -> None:
    with redis_client(limited) as client:
        writer = RedisRankWriter(client, limited.redis_key_leaderboard)
        token = writer.begin_rebuild(board.board_id)
        writer.apply(board, [standing(name, 5, at=1_790_000_000_000_000 + at) for at, name in enumerate("abcdef")])
        assert writer.complete_rebuild(board.board_id, token, 1)
        writer.apply(board, [standing("a", 7, version=2)])
        writer.set_watermark(board.board_id, 2)
        assert writer.state(board.board_id).watermark == 2
        assert writer.size(board.board_id) == RankSize(6, 6)
        assert writer.acquire_sweep("me", 1000)
        assert not writer.acquire_sweep("you", 1000)
        assert writer.acquire_reconciliation("me", 1000)
    async with opened_index(limited) as index:
        assert await index.ping()
        page = await index.top(board, 2)
        assert page is not None
        assert page.next is not None
        following = await index.top(board, 10, Cursor.decode(page.next))
        assert following is not None
        assert len(following.entries) == 4
        assert await index.around(board, "a", 1)
        assert await index.users(board, ["a", "b", "nobody"])
        assert await index.user(board, "a")
        assert (await index.versions([board.board_id]))[board.board_id] is not None


async def test_changes_are_heard(limited: Settings, refusals: list[Any]) -> None:
    with redis_client(limited) as client:
        writer = RedisRankWriter(client, limited.redis_key_leaderboard)
        async with opened_index(limited) as index, aclosing(cast("Any", index.changes())) as changes:
            assert await anext(changes) is None
            assert await anext(changes) is None  # a second without news, and a ping
            writer.apply(GLOBAL, [standing()])
            heard = [await anext(changes) for _ in range(3)]
    assert "global" in heard


def test_the_sweeper_rebuilds_and_repairs(limited: Settings, refusals: list[Any], store: PostgresScoreStore) -> None:
    with redis_client(limited) as client:
        writer = RedisRankWriter(client, limited.redis_key_leaderboard)
        store.apply([event("ada"), event("bob")], timeout_ms=5000)
        assert rebuild_board(GLOBAL, store=store, writer=writer)
        store.apply([event("cy")], timeout_ms=5000)
        assert sweep_board(GLOBAL, store=store, writer=writer, watermark=writer.state("global").watermark) == 1


def test_alerts_are_remembered(limited: Settings, refusals: list[Any]) -> None:
    with redis_client(limited) as client:
        memory = RedisAlertMemory(client, limited.redis_key_leaderboard)
        memory.remember(["one"])
        assert memory.unknown(["one", "two"]) == ["two"]


@pytest.mark.parametrize(
    "command",
    [
        "FLUSHALL",
        "FLUSHDB",
        "CONFIG GET *",
        "CONFIG SET maxmemory 1",
        "KEYS *",
        "SCAN 0",
        "ACL LIST",
        "CLIENT LIST",
        "MONITOR",
        "SHUTDOWN",
        "SCRIPT FLUSH",
        "FUNCTION LIST",
        "REPLICAOF NO ONE",
        "DEL leaderboard:top10:sweeper",
        "GET foreign",
        "SET foreign 1",
        "GET leaderboard:top100",
        "HSET scores:x a 1",
        "SUBSCRIBE other",
        "PUBLISH leaderboard:top10:other x",
        "PSUBSCRIBE *",
        "EVAL return(1) 0",
    ],
)
def test_whatever_the_application_does_not_do_is_refused(limited: Settings, command: str) -> None:
    with redis_client(limited) as client, pytest.raises(redis.exceptions.NoPermissionError):
        client.execute_command(*command.split())


def test_a_script_cannot_reach_foreign_keys_either(limited: Settings) -> None:
    with redis_client(limited) as client:
        digest = client.script_load("return redis.call('GET', 'foreign')")
        with pytest.raises(redis.exceptions.ResponseError, match="ACL failure in script"):
            client.evalsha(digest, 0)


def test_nobody_gets_in_without_the_password(limited: Settings) -> None:
    for user, password in (("scoreboard-app", "wrong"), ("scoreboard-app", "")):
        wrong = parts.settings(
            REDIS_HOST="127.0.0.1", REDIS_PORT=str(limited.redis_port), REDIS_USERNAME=user, REDIS_PASSWORD=password
        )
        with redis_client(wrong) as client, pytest.raises(redis.exceptions.AuthenticationError):
            client.ping()
