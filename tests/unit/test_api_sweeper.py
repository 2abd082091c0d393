"""The sweeper: one holder, every board, and no failure that ends it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from api import sweeper as sweeper_module
from api.metrics import Metrics
from api.sweeper import Sweeper
from scoreboard.boards import GLOBAL, Board
from scoreboard.errors import Unavailable
from scoreboard.ports import RankState
from scoreboard.standings import Standing

RACE = Board(board_id="race")
ROWS = [Standing("ada", 5, 1, 1), Standing("bob", 3, 1, 2)]


@dataclass
class Store:
    failing: Exception | None = None

    def boards(self) -> Sequence[Board]:
        if self.failing:
            raise self.failing
        return [GLOBAL, RACE]

    def watermark(self) -> int:
        return 100

    def standings_since(self, board_id: str, watermark: int) -> Iterator[Sequence[Standing]]:
        if watermark < 100:
            yield ROWS


@dataclass
class Writer:
    holder: str | None = None
    complete: set[str] = field(default_factory=lambda: {"global", "race"})
    written: list[tuple[str, str]] = field(default_factory=list)
    watermarks: dict[str, int] = field(default_factory=dict)
    rebuilt: list[str] = field(default_factory=list)

    def acquire_sweep(self, holder: str, ttl_ms: int) -> bool:
        self.holder = self.holder or holder
        return self.holder == holder

    def state(self, board_id: str) -> RankState:
        return RankState(board_id in self.complete, self.watermarks.get(board_id, 0))

    def apply(self, board: Board, standings: Sequence[Standing], *, announce: bool = True) -> int:
        self.written += [(board.board_id, standing.user_id) for standing in standings]
        return len(standings)

    def set_watermark(self, board_id: str, watermark: int) -> None:
        self.watermarks[board_id] = watermark

    def begin_rebuild(self, board_id: str) -> str:
        return "token"

    def complete_rebuild(self, board_id: str, token: str, watermark: int) -> bool:
        self.complete.add(board_id)
        self.rebuilt.append(board_id)
        return True


def sweeper(store: Any, writer: Any) -> tuple[Sweeper, Callable[[str], float]]:
    metrics = Metrics()
    made = Sweeper(store, writer, metrics)
    return made, lambda outcome: metrics.registry.get_sample_value("sweeps_total", {"outcome": outcome}) or 0


def test_every_board_is_brought_up_to_its_watermark() -> None:
    writer = Writer()
    made, count = sweeper(Store(), writer)
    made.sweep()
    assert writer.written == [(board, user) for board in ("global", "race") for user in ("ada", "bob")]
    assert writer.watermarks == {"global": 100, "race": 100}
    writer.written.clear()
    made.sweep()
    assert writer.written == []
    assert count("swept") == 4


def test_an_incomplete_board_is_built_anew_and_the_others_are_not() -> None:
    writer = Writer(complete={"race"})
    made, count = sweeper(Store(), writer)
    made.sweep()
    assert writer.rebuilt == ["global"]
    assert count("rebuilt") == 1
    assert count("swept") == 1


def test_only_one_process_sweeps() -> None:
    writer = Writer(holder="another")
    made, _ = sweeper(Store(), writer)
    made.sweep()
    assert writer.written == []


def test_a_watermark_that_the_truth_has_not_reached_means_another_truth_and_a_rebuild() -> None:
    writer = Writer(watermarks={"race": 101})

    sweeper(Store(), writer)[0].sweep()

    assert writer.rebuilt == ["race"]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeper_module, "INTERVAL_S", 0.01)


def wait(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(30_000):
        if condition():
            return
        pause.wait(0.001)
    raise AssertionError("it did not happen")


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("problem", [Unavailable(), RuntimeError("a bug")])
def test_failures_are_counted_and_the_next_sweep_succeeds(problem: Exception) -> None:
    store, writer = Store(failing=problem), Writer()
    made, count = sweeper(store, writer)
    made.start()
    wait(lambda: count("failed") >= 3)
    store.failing = None
    wait(lambda: count("swept") >= 2)
    made.stop(30)


def test_a_trigger_does_not_wait_for_the_next_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeper_module, "INTERVAL_S", 3600)
    writer = Writer()
    made, count = sweeper(Store(), writer)
    made.start()
    wait(lambda: count("swept") == 2)
    writer.complete.clear()
    made.trigger()
    wait(lambda: writer.rebuilt == ["global", "race"])
    made.stop(30)
    made.stop(30)
