"""After a load: read the scores in every place they can be seen in, until all agree."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import urlencode

import psycopg

from ops.client import Api
from ops.load_plan import Ledger, LoadPlan, Observed, Screen, Verdict, judge
from ops.terminal import OpsError
from scoreboard.boards import GLOBAL
from scoreboard.config import Settings
from scoreboard.connections_redis import async_redis_client
from scoreboard.errors import Unavailable
from scoreboard.rank_reader_redis import RedisRankReader

SCREEN_LINES = 100
_AGREE_WITHIN_S = 60.0
_USERS_AT_ONCE = 100
_SCORES = "SELECT user_id, score FROM standings WHERE board_id = %s AND user_id = ANY(%s)"
_TOP = """
SELECT user_id, score FROM standings WHERE board_id = %s ORDER BY score DESC, reached_at, user_id DESC LIMIT %s
"""
_EVENTS = "SELECT event_id::text FROM score_events WHERE board_id = %s AND user_id = ANY(%s)"

Top = list[tuple[str, int]]


@dataclass(frozen=True)
class Evidence:
    """What was read of a run.

    Attributes:
        observed: The users' scores in each place, the most trustworthy first.
        events: Ids of the users' events that had an effect; None where they cannot be read.
        top: The head of the whole board, which a screen has to show.
    """

    observed: list[Observed]
    events: set[str] | None
    top: Top


class StoresView:
    """PostgreSQL and Redis of the local stack, read directly."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._redis = async_redis_client(settings)
        self._reader = RedisRankReader(self._redis, settings.redis_key_leaderboard)

    async def __aenter__(self) -> StoresView:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._redis.aclose()

    async def look(self, users: Sequence[str]) -> Evidence:
        """Read both. Raises `OSError` while one is away or the board in Redis is not complete."""
        try:
            async with await psycopg.AsyncConnection.connect(
                self._settings.database_url, connect_timeout=3, autocommit=True
            ) as connection:
                scores = await _rows(connection, _SCORES, GLOBAL.board_id, list(users))
                events = await _rows(connection, _EVENTS, GLOBAL.board_id, list(users))
                head = await _rows(connection, _TOP, GLOBAL.board_id, SCREEN_LINES)
        except psycopg.OperationalError as problem:
            raise ConnectionError(str(problem)) from problem
        truth = Observed("PostgreSQL", {str(user): int(score) for user, score in scores})
        index = Observed("Redis", await self._index(users))
        top = [(str(user), int(score)) for user, score in head]
        return Evidence([truth, index], {str(row[0]) for row in events}, top)

    async def _index(self, users: Sequence[str]) -> dict[str, int]:
        scores: dict[str, int] = {}
        for part in _parts(users):
            try:
                found = await self._reader.users(GLOBAL, part)
            except Unavailable as problem:
                raise ConnectionError(str(problem)) from problem
            if found is None:
                raise ConnectionError("the board in Redis is not complete")
            scores |= {entry.user_id: entry.score for entry in found.entries}
        return scores


async def _rows(connection: psycopg.AsyncConnection[Any], query: str, *parameters: object) -> list[tuple[Any, ...]]:
    return await (await connection.execute(query.encode(), parameters)).fetchall()


async def look_at_api(api: Api, users: Sequence[str]) -> Evidence:
    """Read what the API shows. Raises `OSError` while it is away."""
    scores: dict[str, int] = {}
    connection = api.connect()
    try:
        for part in _parts(users):
            query = urlencode({"board": GLOBAL.board_id, "users": ",".join(part)}, safe=",")
            found = await connection.request("GET", f"{api.base_path}/leaderboard?{query}")
            scores |= dict(_entries(found.json()))
        head = await connection.request("GET", f"{api.base_path}/leaderboard?limit={SCREEN_LINES}")
        return Evidence([Observed("API", scores)], None, _entries(head.json()))
    except (KeyError, ValueError) as problem:
        raise ConnectionError("the leaderboard cannot be read") from problem
    finally:
        connection.close()


def _entries(page: Mapping[str, Any]) -> Top:
    return [(entry["user_id"], entry["score"]) for entry in page["entries"]]


async def settle(api: Api, plan: LoadPlan, ledger: Ledger, screen: Screen, *, stores: bool) -> Verdict:
    """Compare again and again until all places agree, or for a minute.

    Raises:
        OpsError: A place cannot be read even then.
    """
    expected = ledger.expected(plan.events)
    deadline = time.monotonic() + _AGREE_WITHIN_S
    async with AsyncExitStack() as stack:
        view = await stack.enter_async_context(StoresView(api.settings)) if stores else None
        while True:
            try:
                seen = await look_at_api(api, plan.users)
                if view is not None:
                    inside = await view.look(plan.users)
                    seen = Evidence([*inside.observed, *seen.observed], inside.events, inside.top)
            except OSError as problem:
                if time.monotonic() > deadline:
                    raise OpsError(f"Not everything can be read: {problem}") from problem
            else:
                verdict = _verdict(expected, ledger, screen, seen)
                if verdict.is_exact or time.monotonic() > deadline:
                    return verdict
            await asyncio.sleep(0.2)


def _verdict(expected: Mapping[str, int], ledger: Ledger, screen: Screen, seen: Evidence) -> Verdict:
    accepted = set(ledger.accepted.values())
    return judge(
        expected,
        seen.observed,
        lost=None if seen.events is None else len(accepted - seen.events),
        ghosts=0 if seen.events is None else len(seen.events - accepted),
        screen_agrees=screen.top == seen.top,
        backwards=screen.backwards,
    )


def _parts(users: Sequence[str]) -> list[Sequence[str]]:
    return [users[start : start + _USERS_AT_ONCE] for start in range(0, len(users), _USERS_AT_ONCE)]
