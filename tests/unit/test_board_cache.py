"""The boards of a process without a background, and the driver of what never suspends."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from chalicelib.board_cache import KEEP_S, RETRY_S, BoardCache
from chalicelib.edge import completed
from scoreboard.boards import GLOBAL, Board
from scoreboard.errors import BoardUnavailable, Unavailable, UnknownBoard
from tests.support.secrets import Clock

RACE = Board(board_id="race")


class Truth:
    """Boards that can be away."""

    def __init__(self) -> None:
        self.boards: Sequence[Board] = [GLOBAL, RACE]
        self.away = False
        self.asked = 0

    def read(self) -> Sequence[Board]:
        self.asked += 1
        if self.away:
            raise Unavailable
        return self.boards


@pytest.fixture
def truth() -> Truth:
    return Truth()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(truth: Truth, clock: Clock) -> BoardCache:
    return BoardCache(truth.read, clock=clock)


def test_boards_are_read_once_in_a_while(cache: BoardCache, truth: Truth, clock: Clock) -> None:
    assert cache.get("race") == RACE
    truth.boards = [Board(board_id="race", max_change=5)]
    assert cache.get("race") == RACE
    clock.now += KEEP_S
    assert cache.get("race").max_change == 5
    assert cache.get("global") == GLOBAL
    assert truth.asked == 2


def test_what_is_known_stays_while_the_truth_is_away(cache: BoardCache, truth: Truth, clock: Clock) -> None:
    cache.get("race")
    truth.away = True
    clock.now += KEEP_S
    assert cache.get("race") == RACE
    with pytest.raises(UnknownBoard):
        cache.get("another")
    assert truth.asked == 2
    clock.now += RETRY_S
    cache.get("race")
    assert truth.asked == 3


def test_who_starts_without_the_truth_knows_the_default_board_only(
    cache: BoardCache, truth: Truth, clock: Clock
) -> None:
    truth.away = True
    assert cache.get("global") == GLOBAL
    with pytest.raises(BoardUnavailable):
        cache.get("race")
    with pytest.raises(UnknownBoard):
        cache.get("No Name")
    assert truth.asked == 1
    truth.away = False
    clock.now += RETRY_S
    assert cache.get("race") == RACE


async def _answer() -> int:
    return 7


async def _suspends() -> None:
    await asyncio.sleep(0)


async def _fails() -> None:
    raise Unavailable("away")


def test_what_never_suspends_is_run_to_its_end() -> None:
    assert completed(_answer()) == 7
    with pytest.raises(Unavailable, match="away"):
        completed(_fails())
    with pytest.raises(RuntimeError, match="suspends"):
        completed(_suspends())
