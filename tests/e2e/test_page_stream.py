"""`scoreboard.js` in a real browser, against a server that misbehaves on request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from tests.support.browser import ConsoleLog, open_browser
from tests.support.scripted_server import ScriptedServer, event, frame, scripted_server, snapshot

pytestmark = pytest.mark.asyncio(loop_scope="module")

# A page that does nothing of its own: it only carries the module and what a test records.
HARNESS = """async ({ jitter, ...options }) => {
  const module = await import("/static/scoreboard.js");
  window.seen = { states: [], snapshots: [], presence: [] };
  window.stream = new module.ScoreboardStream({ random: () => jitter, ...options });
  stream.on("state", (change) => seen.states.push(change));
  stream.on("snapshot", ({ snapshot: { board, epoch, version }, previous }) =>
    seen.snapshots.push([board, epoch, version, previous?.version ?? null]));
  stream.on("presence", (presence) => seen.presence.push(presence.streams));
}"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with open_browser() as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def server() -> AsyncIterator[ScriptedServer]:
    async with scripted_server() as scripted:
        yield scripted


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, server: ScriptedServer) -> AsyncIterator[Page]:
    log = ConsoleLog()
    # The policy is for the page; here it would stop playwright from evaluating what a test waits for.
    page = await browser.new_page(bypass_csp=True)
    log.attach(page)
    await page.goto(f"{server.url}/static/icon.svg")
    yield page
    await page.close()
    assert log.script == []


async def open_stream(page: Page, *, jitter: float = 0, **options: Any) -> None:
    await page.evaluate(HARNESS, {"jitter": jitter, **options})


async def states(page: Page) -> list[tuple[str, str]]:
    return [(change["state"], change["reason"]) for change in await page.evaluate("seen.states")]


async def until(condition: Callable[[], bool], timeout_s: float = 30) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in another process
            await asyncio.sleep(0.02)


async def until_state(page: Page, state: str) -> None:
    await page.wait_for_function("(state) => stream.state === state", arg=state)


async def test_the_wait_between_attempts_is_random_below_a_bound_that_doubles_up_to_30_seconds(page: Page) -> None:
    longest, shortest = await page.evaluate(
        """async () => {
          const { backoffDelay } = await import("/static/scoreboard.js");
          const attempts = [0, 1, 2, 3, 4, 5, 6, 50, 5000];
          return [attempts.map((n) => backoffDelay(n, () => 1)), attempts.map((n) => backoffDelay(n, () => 0))];
        }"""
    )
    assert longest == [1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000, 30000]
    assert shortest == [0] * 9


async def test_a_bye_is_obeyed_never_early_and_a_nonsensical_one_does_not_silence_the_screen(page: Page) -> None:
    waits = await page.evaluate(
        """async () => {
          const { byeDelay } = await import("/static/scoreboard.js");
          const asked = [[4000, 0], [4000, 1], [0, 1], [-5, 1], [1e12, 0], [Number.NaN, 0]];
          return asked.map(([ms, jitter]) => byeDelay(ms, () => jitter));
        }"""
    )
    assert waits == [4000, 5000, 0, 0, 300_000, 1000]


async def test_the_difference_of_two_frames_names_who_moved_came_and_went(page: Page) -> None:
    diff = await page.evaluate(
        """async ([before, after]) => {
          const { diffSnapshots } = await import("/static/scoreboard.js");
          const diff = diffSnapshots(before, after);
          return { ...diff, changed: Object.fromEntries(diff.changed) };
        }""",
        [snapshot({"ada": 10, "bob": 8, "cyd": 5, "dan": 1}), snapshot({"bob": 12, "ada": 10, "cyd": 5, "eve": 3}, 2)],
    )
    assert diff["changed"] == {"bob": {"score": 4, "rank": 1}, "ada": {"score": 0, "rank": -1}}
    assert (diff["entered"], diff["left"], diff["leaderChanged"]) == (["eve"], ["dan"], True)


async def test_the_first_frame_changes_no_leader(page: Page) -> None:
    changed = await page.evaluate(
        "async (first) => (await import('/static/scoreboard.js')).diffSnapshots(null, first).leaderChanged",
        snapshot({"ada": 1}),
    )
    assert changed is False


async def test_frames_and_presence_arrive_and_the_request_names_board_and_limit(
    page: Page, server: ScriptedServer
) -> None:
    server.opening = [frame(snapshot({"ada": 1}, 7)), event("presence", {"streams": 3})]
    await open_stream(page, boards=["global", "speedrun"], limit=25)
    await page.wait_for_function("seen.presence.length === 1")
    await server.send(frame(snapshot({"ada": 2}, 8)), frame(snapshot({"bob": 2}, 2, board="speedrun")))
    await page.wait_for_function("seen.snapshots.length === 3")
    assert await page.evaluate("seen.snapshots") == [
        ["global", "e1", 7, None],
        ["global", "e1", 8, 7],
        ["speedrun", "e1", 2, None],
    ]
    assert await page.evaluate("[stream.latest().version, stream.latest('speedrun').version]") == [8, 2]
    assert await page.evaluate("seen.presence") == [3]
    assert await states(page) == [("live", "open")]
    assert server.asked == [{"board": ["global", "speedrun"], "limit": ["25"]}]


async def test_a_frame_that_goes_backwards_is_dropped_unless_the_epoch_is_new(
    page: Page, server: ScriptedServer
) -> None:
    await open_stream(page)
    await until(lambda: server.streams == 1)
    frames = [(5, "e1"), (4, "e1"), (5, "e1"), (6, "e1"), (1, "e2")]
    await server.send(*(frame(snapshot({"ada": n}, n, epoch=epoch)) for n, epoch in frames))
    await page.wait_for_function("seen.snapshots.at(-1)?.[1] === 'e2'")
    shown = [(epoch, version) for _, epoch, version, _ in await page.evaluate("seen.snapshots")]
    assert shown == [("e1", 5), ("e1", 5), ("e1", 6), ("e2", 1)]


async def test_it_comes_back_after_an_http_error_where_a_plain_eventsource_gives_up(
    page: Page, server: ScriptedServer
) -> None:
    server.status = 503
    await open_stream(page)
    await until(lambda: len(server.asked) >= 2)
    assert ("reconnecting", "http_503") in await states(page)
    server.status = 200
    await until_state(page, "live")


async def test_a_board_that_does_not_exist_is_not_asked_for_again(page: Page, server: ScriptedServer) -> None:
    server.status = 404
    await open_stream(page)
    await until_state(page, "closed")
    assert await states(page) == [("closed", "http_404")]
    assert len(server.asked) == 1


async def test_a_cut_connection_is_taken_up_again_where_it_was(page: Page, server: ScriptedServer) -> None:
    server.opening = [frame(snapshot({"ada": 1}, 41))]
    await open_stream(page)
    await until_state(page, "live")
    server.cut()
    await until(lambda: len(server.asked) == 2)
    await until_state(page, "live")
    assert server.asked[1]["last_event_id"] == ["e1:41"]
    assert await states(page) == [("live", "open"), ("reconnecting", "network"), ("live", "open")]


async def test_a_bye_before_a_restart_shows_draining_until_the_server_is_back(
    page: Page, server: ScriptedServer
) -> None:
    server.opening = [frame(snapshot({"ada": 1}, 9))]
    await open_stream(page)
    await until_state(page, "live")
    await server.send(event("bye", {"reason": "drain", "retry_ms": 700}))
    await until_state(page, "draining")
    await until_state(page, "live")
    changes = await page.evaluate("seen.states")
    assert [(one["state"], one["reason"]) for one in changes[1:]] == [("draining", "drain"), ("live", "open")]
    assert changes[1]["retryInMs"] == 700
    assert server.asked[1]["last_event_id"] == ["e1:9"]


async def test_a_full_server_is_never_called_live(page: Page, server: ScriptedServer) -> None:
    server.opening, server.close_after_opening = [event("bye", {"reason": "overload", "retry_ms": 50})], True
    await open_stream(page)
    await until(lambda: len(server.asked) >= 3)
    assert set(await states(page)) == {("reconnecting", "overload")}


async def test_a_connection_without_any_event_for_minutes_is_opened_anew(page: Page, server: ScriptedServer) -> None:
    await page.clock.install()
    server.opening = [frame(snapshot({"ada": 1}))]
    await open_stream(page)
    await until_state(page, "live")
    await page.clock.run_for(179_000)
    assert len(server.asked) == 1
    await page.clock.run_for(2_000)
    await until(lambda: len(server.asked) == 2)
    assert ("reconnecting", "quiet") in await states(page)


async def test_a_network_that_returns_ends_a_long_wait(page: Page, server: ScriptedServer) -> None:
    await page.clock.install()
    server.status = 0
    await open_stream(page, jitter=1)
    await page.wait_for_function("seen.states.length === 1")
    await page.clock.run_for(1000)
    await page.wait_for_function("seen.states.length === 2")
    await page.evaluate("dispatchEvent(new Event('online'))")
    changes = await page.evaluate("seen.states")
    assert [(change["reason"], change["retryInMs"]) for change in changes] == [
        ("network", 1000),
        ("network", 2000),
        ("network", 1000),
    ]
    server.status = 200
    await page.clock.run_for(1000)
    await until_state(page, "live")


async def test_a_full_server_is_not_pestered_because_a_network_returns(page: Page, server: ScriptedServer) -> None:
    server.opening, server.close_after_opening = [event("bye", {"reason": "overload", "retry_ms": 60_000})], True
    await open_stream(page)
    await page.wait_for_function("seen.states.length === 1")
    await page.evaluate("dispatchEvent(new Event('online'))")
    assert [change["retryInMs"] for change in await page.evaluate("seen.states")] == [60_000]


async def test_a_closed_stream_stays_closed(page: Page, server: ScriptedServer) -> None:
    await open_stream(page)
    await until(lambda: server.streams == 1)
    await page.evaluate("stream.close(); stream.close(); dispatchEvent(new Event('online'))")
    await until(lambda: server.streams == 0)
    assert (await states(page))[-1] == ("closed", "client")
    assert len(server.asked) == 1
