"""The hub, with a reader that a test holds in its hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from api import hub as hub_module
from api.frames import Frame
from api.hub import Hub
from api.metrics import Metrics
from scoreboard.boards import GLOBAL, Board
from scoreboard.errors import BoardUnavailable
from scoreboard.standings import BoardVersion, Snapshot, entries_from
from tests.support.api_fakes import until

RACE = Board(board_id="race")


@dataclass(eq=False)
class Watcher:
    frames: list[Frame] = field(default_factory=list)

    def offer(self, frame: Frame) -> None:
        self.frames.append(frame)

    @property
    def versions(self) -> list[int]:
        return [frame.version.version for frame in self.frames]


@dataclass
class Source:
    """A board of which a test says the version; reads wait while `gate` is closed."""

    version: int = 1
    epoch: str = "e1"
    size: int = 5
    failing: bool = False
    reads: list[tuple[str, int]] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    async def top(self, board: Board, limit: int) -> Snapshot:
        self.reads.append((board.board_id, limit))
        version = BoardVersion(self.epoch, self.version)
        await self.gate.wait()
        if self.failing:
            raise BoardUnavailable
        entries = entries_from(1, [(f"u{number}", 100 - number, number) for number in range(self.size)])
        shown = entries[:limit]
        return Snapshot(board.board_id, version, self.size, shown, "next" if len(entries) > limit else None)


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
async def hub(source: Source, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hub]:
    monkeypatch.setattr(hub_module, "RETRY_S", 0.01)
    made = Hub(source.top, Metrics(), interval_s=0.01)
    yield made
    await made.close()


async def settle() -> None:
    """Let everything happen that would happen by itself within a few intervals."""
    await asyncio.sleep(0.05)


async def test_a_subscriber_gets_the_current_state_without_a_change(hub: Hub, source: Source) -> None:
    watcher = Watcher()
    hub.subscribe(GLOBAL, 3, watcher)
    await until(lambda: watcher.versions == [1])
    assert source.reads == [("global", 3)]


async def test_all_who_watch_a_board_share_one_read_and_one_frame(hub: Hub, source: Source) -> None:
    watchers = [Watcher() for _ in range(600)]
    for watcher in watchers:
        hub.subscribe(GLOBAL, 3, watcher)
    await until(lambda: all(watcher.frames for watcher in watchers))
    assert len(source.reads) == 1
    assert len({id(watcher.frames[0]) for watcher in watchers}) == 1


async def test_changes_during_a_read_cause_one_more_read_however_many(hub: Hub, source: Source) -> None:
    watcher = Watcher()
    hub.subscribe(GLOBAL, 3, watcher)
    await until(lambda: watcher.versions == [1])
    source.gate.clear()
    hub.changed("global")
    await until(lambda: len(source.reads) == 2)
    for version in range(2, 50):
        source.version = version
        hub.changed("global")
    source.gate.set()
    await until(lambda: watcher.versions == [1, 49])
    await settle()
    assert len(source.reads) == 3


async def test_changes_within_an_interval_are_read_together_at_its_end(source: Source) -> None:
    hub = Hub(source.top, Metrics(), interval_s=3600)
    watcher = Watcher()
    hub.subscribe(GLOBAL, 3, watcher)
    await until(lambda: watcher.versions == [1])
    source.version = 2
    hub.changed("global")
    await settle()
    assert len(source.reads) == 1
    await hub.close()


async def test_a_version_that_is_known_is_not_sent_again(hub: Hub, source: Source) -> None:
    watcher = Watcher()
    hub.subscribe(GLOBAL, 3, watcher)
    await until(lambda: watcher.versions == [1])
    hub.changed("global")
    await until(lambda: len(source.reads) == 2)
    await settle()
    assert watcher.versions == [1]


async def test_an_older_version_of_the_same_epoch_is_never_sent(hub: Hub, source: Source) -> None:
    watcher = Watcher()
    source.version = 9
    hub.subscribe(GLOBAL, 3, watcher)
    await until(lambda: watcher.versions == [9])
    source.version = 8
    hub.changed("global")
    await until(lambda: len(source.reads) == 2)
    source.version = 10
    hub.changed("global")
    await until(lambda: watcher.versions == [9, 10])


async def test_another_epoch_begins_anew_with_a_smaller_version(hub: Hub, source: Source) -> None:
    watcher = Watcher()
    source.version = 9
    hub.subscribe(GLOBAL, 3, watcher)
    await until(lambda: watcher.versions == [9])
    source.epoch, source.version = "e2", 1
    hub.changed("global")
    await until(lambda: watcher.versions == [9, 1])


async def test_a_late_subscriber_gets_what_is_known_at_once(hub: Hub, source: Source) -> None:
    hub.subscribe(GLOBAL, 3, early := Watcher())
    await until(lambda: bool(early.frames))
    hub.subscribe(GLOBAL, 2, late := Watcher())
    assert late.versions == [1]
    assert len(source.reads) == 1


async def test_a_larger_limit_is_read_and_then_serves_all(hub: Hub, source: Source) -> None:
    hub.subscribe(GLOBAL, 2, short := Watcher())
    await until(lambda: bool(short.frames))
    hub.subscribe(GLOBAL, 4, long := Watcher())
    await until(lambda: bool(long.frames))
    assert source.reads == [("global", 2), ("global", 4)]
    source.version = 2
    hub.changed("global")
    await until(lambda: short.versions == [1, 2] and long.versions == [1, 2])
    assert short.frames[1].data.count(b'"rank"') == 2
    assert long.frames[1].data.count(b'"rank"') == 4
    assert len(source.reads) == 3


async def test_nothing_is_read_while_nobody_watches(hub: Hub, source: Source) -> None:
    hub.changed("global")
    hub.subscribe(GLOBAL, 3, watcher := Watcher())
    await until(lambda: bool(watcher.frames))
    hub.unsubscribe("global", 3, watcher)
    await until(lambda: not hub.watched)
    hub.changed("global")
    await settle()
    assert len(source.reads) == 1


async def test_who_has_left_is_offered_nothing_and_may_leave_twice(hub: Hub, source: Source) -> None:
    hub.subscribe(GLOBAL, 3, gone := Watcher())
    hub.subscribe(GLOBAL, 3, there := Watcher())
    await until(lambda: there.versions == [1])
    hub.unsubscribe("global", 3, gone)
    hub.unsubscribe("global", 3, gone)
    source.version = 2
    hub.changed("global")
    await until(lambda: there.versions == [1, 2])
    assert gone.versions == [1]


async def test_boards_do_not_disturb_each_other(hub: Hub, source: Source) -> None:
    hub.subscribe(GLOBAL, 3, one := Watcher())
    hub.subscribe(RACE, 3, other := Watcher())
    await until(lambda: bool(one.frames) and bool(other.frames))
    source.version = 2
    hub.changed("race")
    await until(lambda: other.versions == [1, 2])
    assert one.versions == [1]


async def test_a_board_that_cannot_be_read_is_tried_again_and_the_last_frame_stays(hub: Hub, source: Source) -> None:
    hub.subscribe(GLOBAL, 3, watcher := Watcher())
    await until(lambda: watcher.versions == [1])
    source.failing, source.version = True, 2
    hub.changed("global")
    await until(lambda: len(source.reads) >= 4)
    hub.subscribe(GLOBAL, 3, late := Watcher())
    assert late.versions == [1]
    source.failing = False
    await until(lambda: watcher.versions == [1, 2] and late.versions == [1, 2])
