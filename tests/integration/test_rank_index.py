"""The index in Redis: absolute values and versions, never a part of a board, the same order as PostgreSQL."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from scoreboard.boards import GLOBAL, Board, Operator, SortOrder
from scoreboard.errors import UnknownUser
from scoreboard.rank_reader_redis import RedisRankReader
from scoreboard.rank_writer_redis import RedisRankWriter
from scoreboard.ranking import Cursor
from scoreboard.score_reader_postgres import PostgresScoreReader
from scoreboard.score_store_postgres import PostgresScoreStore
from scoreboard.service import rebuild_board
from scoreboard.standings import BoardVersion, Entry, Snapshot
from tests.support.index import complete, scores, standing, top
from tests.support.model import START_US, USERS, board, event, random_events


async def test_a_board_nobody_rebuilt_is_not_read(index: RedisRankReader, writer: RedisRankWriter) -> None:
    writer.apply(GLOBAL, [standing()])
    assert await index.top(GLOBAL, 10) is None
    assert await index.around(GLOBAL, "ada", 1) is None
    assert await index.users(GLOBAL, ["ada"]) is None
    assert await index.user(GLOBAL, "ada") is None
    assert await index.versions(["global"]) == {"global": None}
    assert not writer.state("global").complete


async def test_an_empty_board_that_is_complete_is_read_as_empty(
    index: RedisRankReader, writer: RedisRankWriter
) -> None:
    complete(writer, GLOBAL)
    snapshot = await top(index, GLOBAL)
    assert (snapshot.total, snapshot.entries, snapshot.next) == (0, (), None)
    users = await index.users(GLOBAL, ["ada"])
    assert users is not None
    assert users.entries == ()
    with pytest.raises(UnknownUser):
        await index.user(GLOBAL, "ada")
    with pytest.raises(UnknownUser):
        await index.around(GLOBAL, "ada", 3)


@pytest.mark.parametrize("seed", range(5))
async def test_the_newest_version_wins_however_writes_are_shuffled_and_repeated(
    index: RedisRankReader, writer: RedisRankWriter, seed: int
) -> None:
    rng = random.Random(seed)
    complete(writer, GLOBAL)
    history = [
        standing(user_id, rng.randint(-5, 5), version, START_US + rng.randint(0, 9))
        for user_id in USERS
        for version in range(1, 8)
    ]
    writes = [*history, *rng.choices(history, k=30)]
    rng.shuffle(writes)
    while writes:
        size = rng.randint(1, 12)
        before = (await top(index, GLOBAL)).version
        changed = writer.apply(GLOBAL, writes[:size])
        after = (await top(index, GLOBAL)).version
        assert after == BoardVersion(before.epoch, before.version + (1 if changed else 0))
        writes = writes[size:]
    newest = {each.user_id: each.score for each in history if each.version == 7}
    snapshot = await top(index, GLOBAL)
    assert scores(snapshot) == newest
    assert snapshot.total == len(newest)
    assert writer.apply(GLOBAL, history) == 0


async def test_a_large_write_is_split_and_counts_everyone(index: RedisRankReader, writer: RedisRankWriter) -> None:
    complete(writer, GLOBAL)
    assert writer.apply(GLOBAL, [standing(f"user{n}", n) for n in range(1201)]) == 1201
    assert (await top(index, GLOBAL)).total == 1201


@pytest.mark.parametrize("order", SortOrder)
@pytest.mark.parametrize("score", [2**53 - 1, -(2**53) + 1, 0, 2**53 - 2])
async def test_scores_are_exact_up_to_their_bounds(
    index: RedisRankReader, writer: RedisRankWriter, order: SortOrder, score: int
) -> None:
    rules = board(order=order)
    complete(writer, rules, [standing("ada", score), standing("bob", score, at=START_US + 1)])
    first = (await top(index, rules, 1)).next
    assert first is not None
    assert Cursor.decode(first).score == score
    page = await index.top(rules, 5, Cursor.decode(first))
    assert page is not None
    assert page.entries == (Entry(2, "bob", score, START_US + 1),)


@dataclass(frozen=True)
class _Both:
    index: RedisRankReader
    truth: PostgresScoreReader

    async def same(self, snapshots: Sequence[Snapshot | None]) -> Snapshot:
        first, second = snapshots
        assert first is not None
        assert second is not None
        assert _body(first) == _body(second)
        return first

    async def top(self, rules: Board, limit: int, after: Cursor | None = None) -> Snapshot:
        return await self.same([await each.top(rules, limit, after) for each in (self.index, self.truth)])

    async def around(self, rules: Board, user_id: str, radius: int) -> Snapshot:
        return await self.same([await each.around(rules, user_id, radius) for each in (self.index, self.truth)])

    async def users(self, rules: Board, user_ids: Sequence[str]) -> Snapshot:
        return await self.same([await each.users(rules, user_ids) for each in (self.index, self.truth)])


def _body(snapshot: Snapshot) -> bytes:
    """The bytes a client gets, but for the version: each room has its own epochs."""
    return Snapshot(snapshot.board_id, BoardVersion("", 0), snapshot.total, snapshot.entries, snapshot.next).to_json()


@pytest.fixture
def both(index: RedisRankReader, reader: PostgresScoreReader) -> _Both:
    return _Both(index, reader)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("order", SortOrder)
async def test_index_and_truth_answer_every_question_with_the_same_bytes(
    store: PostgresScoreStore, writer: RedisRankWriter, both: _Both, order: SortOrder, seed: int
) -> None:
    rng = random.Random(f"{order}{seed}")
    rules = board(rng.choice(list(Operator)), order)
    store.create_board(rules)
    users = [*USERS, *(f"user{n}" for n in range(25))]
    store.apply(random_events(rng, rules.board_id, 120, users), timeout_ms=10_000)
    assert rebuild_board(rules, store=store, writer=writer)
    everyone = (await both.top(rules, 100)).entries
    present = [entry.user_id for entry in everyone]
    for limit in (1, 2, 7, len(everyone), 100):
        await both.top(rules, limit)
    for user_id in (*present[:4], *present[-4:], rng.choice(present)):
        for radius in (0, 1, 5, 100):
            around = await both.around(rules, user_id, radius)
            assert user_id in [entry.user_id for entry in around.entries]
    asked = [*rng.sample(present, 6), "nobody", present[0], present[0]]
    found = await both.users(rules, asked)
    assert [entry.user_id for entry in found.entries] == [each for each in present if each in set(asked)]
    await both.users(rules, [])
    for user_id in present[:5]:
        one, other = await both.index.user(rules, user_id), await both.truth.user(rules, user_id)
        assert one is not None
        assert (one.entry, one.total, one.percentile) == (other.entry, other.total, other.percentile)
    for entry in everyone:  # a place just after anyone, and after someone who was there once
        await both.top(rules, 5, Cursor(entry.score, entry.reached_at, entry.user_id))
        await both.top(rules, 5, Cursor(entry.score, entry.reached_at + rng.randint(-1, 1), rng.choice("aZ_z~m")))


@pytest.mark.parametrize("order", SortOrder)
async def test_pages_by_cursor_show_everyone_once(
    store: PostgresScoreStore, writer: RedisRankWriter, both: _Both, order: SortOrder
) -> None:
    rules = board(order=order)
    store.create_board(rules)
    users = [f"{name}{n}" for name in ("u", "U", "_") for n in range(15)]
    store.apply(random_events(random.Random(3), rules.board_id, 150, users), timeout_ms=10_000)
    assert rebuild_board(rules, store=store, writer=writer)
    everyone = (await both.top(rules, 100)).entries
    for size in (1, 7, len(everyone) - 1, len(everyone)):
        seen: list[Entry] = []
        cursor: Cursor | None = None
        while True:
            page = await both.top(rules, size, cursor)
            seen += page.entries
            if page.next is None:
                break
            cursor = Cursor.decode(page.next)
        assert tuple(seen) == everyone


@pytest.mark.parametrize("order", SortOrder)
async def test_a_cursor_stays_where_it_is_when_its_user_moves(
    store: PostgresScoreStore, writer: RedisRankWriter, both: _Both, order: SortOrder
) -> None:
    rules = board(order=order)
    store.create_board(rules)
    users = [f"user{n:02}" for n in range(20)]
    store.apply([event(user, 5, board_id=rules.board_id) for user in users], timeout_ms=10_000)
    assert rebuild_board(rules, store=store, writer=writer)
    first = await both.top(rules, 8)
    assert first.next is not None
    cursor = Cursor.decode(first.next)
    rest = [entry.user_id for entry in (await both.top(rules, 100, cursor)).entries]
    moved = first.entries[-1].user_id
    for value, shown in ((50, order is SortOrder.ASC), (-100, order is SortOrder.DESC)):
        store.apply([event(moved, value, board_id=rules.board_id)], timeout_ms=10_000)
        writer.apply(rules, store.standings_of(rules.board_id, [moved]))
        after = [entry.user_id for entry in (await both.top(rules, 100, cursor)).entries]
        assert after == ([*rest, moved] if shown else rest)


async def test_the_truth_answers_for_those_it_does_not_know(reader: PostgresScoreReader) -> None:
    with pytest.raises(UnknownUser):
        await reader.user(GLOBAL, "nobody")
    with pytest.raises(UnknownUser):
        await reader.around(GLOBAL, "nobody", 3)
    assert (await reader.users(GLOBAL, ["nobody"])).entries == ()
    assert (await reader.top(GLOBAL, 3)).entries == ()
