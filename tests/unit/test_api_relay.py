"""The relay: hints are passed on, silence and failures are survived, versions are compared."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection

import pytest

from api import relay as relay_module
from api.metrics import Metrics
from api.relay import Relay
from scoreboard.standings import BoardVersion
from tests.support.api_fakes import FakeRanks, until


class FakeHub:
    """Notes what it is told, and stays at the versions it is given."""

    def __init__(self) -> None:
        self.noticed: list[str] = []
        self.known: dict[str, BoardVersion] = {}
        self.watched: Collection[str] = ["global"]

    def changed(self, board_id: str) -> None:
        self.noticed.append(board_id)

    def version(self, board_id: str) -> BoardVersion | None:
        return self.known.get(board_id)


class Scene:
    def __init__(self) -> None:
        self.ranks = FakeRanks()
        self.hub = FakeHub()
        self.metrics = Metrics()
        self.incomplete = 0
        self.ranks.put("global", [("ada", 1)])
        self.hub.known["global"] = self.ranks.version("global")
        self.relay = Relay(
            self.ranks,
            self.hub,  # type: ignore[arg-type]
            self.metrics,
            board_ids=lambda: ["global", "race"],
            on_incomplete=self.note_incomplete,
        )

    def note_incomplete(self) -> None:
        self.incomplete += 1

    @property
    def reconnects(self) -> float:
        return self.metrics.registry.get_sample_value("relay_reconnects_total") or 0


@pytest.fixture
async def scene(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    monkeypatch.setattr(relay_module, "POLL_S", 0.01)
    monkeypatch.setattr(relay_module, "BACKOFF_S", (0.01,))
    made = Scene()
    task = asyncio.create_task(made.relay.run())
    await until(lambda: bool(made.ranks.listeners))
    yield made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert not made.ranks.listeners, "the subscription was not given back"


async def test_a_message_is_passed_on(scene: Scene) -> None:
    for listener in scene.ranks.listeners:
        listener.put_nowait("race")
    await until(lambda: scene.hub.noticed == ["race"])


async def test_a_change_without_a_message_is_seen_by_its_version(scene: Scene) -> None:
    scene.ranks.put("global", [("ada", 2)], announce=False)
    await until(lambda: "global" in scene.hub.noticed)


async def test_another_epoch_at_the_same_version_is_seen(scene: Scene) -> None:
    scene.ranks.epoch = "e2"
    await until(lambda: "global" in scene.hub.noticed)


async def test_what_is_current_is_not_read_again(scene: Scene) -> None:
    await asyncio.sleep(0.1)
    assert scene.hub.noticed == []


async def test_an_incomplete_index_is_reported_and_watched_boards_are_read_elsewhere(scene: Scene) -> None:
    scene.ranks.incomplete = True
    await until(lambda: scene.incomplete > 1 and len(scene.hub.noticed) > 1)


async def test_while_redis_is_away_boards_are_read_elsewhere_and_listening_begins_again(scene: Scene) -> None:
    scene.ranks.away = True
    for listener in scene.ranks.listeners:
        listener.put_nowait(None)
    await until(lambda: scene.reconnects >= 3 and "global" in scene.hub.noticed)
    scene.ranks.away = False
    await until(lambda: bool(scene.ranks.listeners))
    scene.hub.noticed.clear()
    for listener in scene.ranks.listeners:
        listener.put_nowait("race")
    await until(lambda: "race" in scene.hub.noticed)


async def test_a_subscription_that_says_nothing_at_all_is_replaced(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The fake says something once a second, as a subscription has to; this is less patience than that.
    monkeypatch.setattr(relay_module, "SILENCE_S", 0.05)
    await until(lambda: scene.reconnects >= 2)


async def test_a_failure_that_nobody_expected_does_not_end_it(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0

    async def broken(board_ids: object) -> dict[str, BoardVersion]:
        nonlocal calls
        calls += 1
        raise RuntimeError("a bug")

    monkeypatch.setattr(scene.ranks, "versions", broken)
    await until(lambda: calls > 3)
