"""What the page shows, and to whom: scripted frames, a real browser."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.support.browser import ConsoleLog, axe_violations, open_browser
from tests.support.scripted_server import ScriptedServer, event, frame, scripted_server, snapshot

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Remembers every animation that the page starts, without changing it.
RECORD_ANIMATIONS = """
window.animated = [];
const animate = Element.prototype.animate;
Element.prototype.animate = function (frames, options) {
  const moves = JSON.stringify(frames).includes("transform");
  const user = this.closest("tr").dataset.user;
  animated.push({ id: options.id ?? "", className: this.className, moves, said: `${user} ${this.textContent}` });
  return animate.call(this, frames, options);
};
"""
START = {"ada": 500, "bob": 400, "cyd": 300, "dan": 200}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with open_browser() as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def server() -> AsyncIterator[ScriptedServer]:
    async with scripted_server() as scripted:
        scripted.opening = [frame(snapshot(START)), event("presence", {"streams": 12})]
        yield scripted


@asynccontextmanager
async def opened(browser: Browser, url: str, **context: Any) -> AsyncIterator[Page]:
    """A page of its own session, that must end without a word on the console."""
    session = await browser.new_context(**context)
    log = ConsoleLog()
    page = await session.new_page()
    log.attach(page)
    await page.add_init_script(RECORD_ANIMATIONS)
    await page.goto(url)
    try:
        yield page
    finally:
        await session.close()
    assert log.script == []


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, server: ScriptedServer) -> AsyncIterator[Page]:
    async with opened(browser, server.url) as ready:
        await expect(ready.locator("#rows tr")).to_have_count(len(START))
        yield ready


async def names(page: Page) -> list[str]:
    return await page.locator("#rows .name").all_inner_texts()


async def test_a_score_that_rises_moves_its_row_and_shows_by_how_much(page: Page, server: ScriptedServer) -> None:
    await server.send(frame(snapshot({**START, "cyd": 437}, 2)))
    await expect(page.locator("#rows tr:nth-child(2) .name")).to_have_text("cyd")
    assert await names(page) == ["ada", "cyd", "bob", "dan"]
    animated = await page.evaluate("animated")
    assert len([one for one in animated if one["id"] == "flip"]) == 2
    # Read as it was shown: it is gone after two seconds.
    assert {one["said"] for one in animated if one["id"] != "flip"} == {"cyd +137", "cyd ▲1", "bob ▼1"}
    await expect(page.locator('[data-user="cyd"] .gain')).to_be_empty()


async def test_with_reduced_motion_nothing_travels(browser: Browser, server: ScriptedServer) -> None:
    async with opened(browser, server.url, reduced_motion="reduce") as page:
        await expect(page.locator("#rows tr")).to_have_count(4)
        await server.send(frame(snapshot({**START, "dan": 900}, 2)))
        await expect(page.locator("#rows tr:first-child .name")).to_have_text("dan")
        animated = await page.evaluate("animated")
        assert animated
        assert not [one for one in animated if one["moves"]]


async def test_a_storm_of_frames_is_painted_once_per_animation_frame(page: Page, server: ScriptedServer) -> None:
    await server.send(*(frame(snapshot({**START, "ada": 500 + n}, n)) for n in range(2, 502)))
    await expect(page.locator('[data-user="ada"] .points')).to_have_text("1,001")
    painted = [one for one in await page.evaluate("animated") if one["className"].startswith("gain")]
    assert len(painted) < 100


async def test_players_screens_lead_and_age_are_shown(page: Page) -> None:
    await expect(page.locator("#players")).to_have_text("4")
    await expect(page.locator("#screens")).to_have_text("12")
    await expect(page.locator("#lead")).to_have_text("100")
    await expect(page.locator("#pill")).to_have_text(re.compile(r"live\s*· \d+(\.\d)? s ago"))


async def test_a_restart_shows_draining_and_marks_the_board_as_not_fresh(page: Page, server: ScriptedServer) -> None:
    await server.send(event("bye", {"reason": "drain", "retry_ms": 1500}))
    await expect(page.locator("#pill-state")).to_have_text("draining")
    await expect(page.locator("#notice")).to_have_text("The server is restarting, back in a moment.")
    await expect(page.locator("#board")).to_have_attribute("data-stale", "")
    assert await names(page) == ["ada", "bob", "cyd", "dan"]
    await expect(page.locator("#pill-state")).to_have_text("live")
    await expect(page.locator("#notice")).to_be_hidden()
    await expect(page.locator("#board")).not_to_have_attribute("data-stale", "")


async def test_a_lost_connection_and_a_full_server_are_told_apart(page: Page, server: ScriptedServer) -> None:
    server.status = 503
    server.cut()
    await expect(page.locator("#pill-state")).to_have_text("reconnecting…")
    server.status, server.opening = 200, [event("bye", {"reason": "overload", "retry_ms": 20_000})]
    await expect(page.locator("#pill-state")).to_have_text("server full", timeout=30_000)
    await expect(page.locator("#notice")).to_contain_text("no room for another screen")


async def test_an_empty_board_says_how_to_score_and_fills_without_a_reload(
    browser: Browser, server: ScriptedServer
) -> None:
    server.opening = [frame(snapshot({}))]
    async with opened(browser, server.url, permissions=["clipboard-read", "clipboard-write"]) as page:
        await expect(page.get_by_role("heading", name="Nobody has scored yet.")).to_be_visible()
        await expect(page.locator("#curl")).to_contain_text(f"curl -X POST {server.url}/api/scores")
        await page.get_by_role("button", name="Copy").click()
        await expect(page.locator("#copy")).to_have_text("Copied")
        assert await page.evaluate("navigator.clipboard.readText()") == await page.locator("#curl").inner_text()
        await server.send(frame(snapshot({"ada": 42}, 2)))
        await expect(page.locator("#rows tr")).to_have_count(1)
        await expect(page.locator("#empty")).to_be_hidden()


async def test_a_player_on_the_board_is_highlighted_also_after_moving(browser: Browser, server: ScriptedServer) -> None:
    async with opened(browser, f"{server.url}/?me=dan") as page:
        await expect(page.locator('tr.me[data-user="dan"] .you')).to_be_visible()
        await server.send(frame(snapshot({**START, "dan": 450}, 2)))
        await expect(page.locator("#rows tr:nth-child(2)")).to_have_class(re.compile(r"\bme\b"))
        assert await page.locator("tr.me").count() == 1


async def test_a_player_below_the_board_is_shown_with_rank_and_an_unknown_one_is_said_to_be(
    page: Page, server: ScriptedServer
) -> None:
    server.known = [{"rank": 312, "user_id": "zoe", "name": "zoe", "score": 45, "reached_at": ""}]
    await page.get_by_label("Find me").fill("zoe")
    await page.keyboard.press("Enter")
    await expect(page.locator("#standing")).to_contain_text("zoe: 312 of 4")
    await expect(page.locator("#hint")).to_have_text("zoe is at rank 312 with 45 points.")
    assert page.url.endswith("?me=zoe")
    await page.get_by_label("Find me").fill("nobody")
    await page.get_by_role("button", name="Find").click()
    await expect(page.locator("#hint")).to_have_text("nobody has no score on this board yet.")
    await expect(page.locator("#standing")).to_be_hidden()


async def test_a_rank_below_the_board_follows_also_the_last_of_many_changes(
    browser: Browser, server: ScriptedServer
) -> None:
    async with opened(browser, f"{server.url}/?me=zoe") as page:
        await expect(page.locator("#rows tr")).to_have_count(4)
        await server.send(frame(snapshot({**START, "ada": 501}, 2)))
        await expect(page.locator('[data-user="ada"] .points')).to_have_text("501")
        server.known = [{"rank": 7, "user_id": "zoe", "name": "zoe", "score": 45, "reached_at": ""}]
        await expect(page.locator("#standing")).to_contain_text("zoe: 7 of 4", timeout=30_000)


async def test_an_unknown_board_is_not_streamed_and_the_known_ones_are_offered(
    browser: Browser, server: ScriptedServer
) -> None:
    async with opened(browser, f"{server.url}/?board=nope") as page:
        await expect(page.get_by_role("heading", name="There is no such board.")).to_be_visible()
        assert server.asked == []
        await page.get_by_role("link", name="speedrun").click()
        await expect(page.locator("#rows tr")).to_have_count(4)
        assert server.asked[0]["board"] == ["speedrun"]


async def test_what_players_call_themselves_stays_text(browser: Browser, server: ScriptedServer) -> None:
    nasty = '<img src=x onerror="alert(1)">'
    server.opening = [frame(snapshot({nasty: 5}))]
    async with opened(browser, server.url) as page:
        await expect(page.locator("#rows .name")).to_have_text(nasty)
        assert await page.locator("#rows img").count() == 0


async def test_the_theme_follows_the_system_until_one_is_chosen_which_is_remembered(
    browser: Browser, server: ScriptedServer
) -> None:
    async with opened(browser, server.url, color_scheme="dark") as page:
        html = page.locator("html")
        await expect(html).to_have_attribute("data-theme", "dark")
        dark = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        await page.get_by_role("button", name="Dark theme").click()
        await expect(html).to_have_attribute("data-theme", "light")
        await page.reload()
        await expect(html).to_have_attribute("data-theme", "light")
        assert await page.evaluate("getComputedStyle(document.body).backgroundColor") != dark


@pytest.mark.parametrize("width", [320, 360, 768, 1280])
async def test_no_width_scrolls_sideways_even_with_the_longest_names_and_scores(
    browser: Browser, server: ScriptedServer, width: int
) -> None:
    longest = {"m" * 64: 2**53 - 1, "w" * 64: 2**53 - 2, "i" * 64: -(2**53 - 1)}
    server.opening = [frame(snapshot(longest, total=123_456_789))]
    async with opened(browser, server.url, viewport={"width": width, "height": 740}) as page:
        await expect(page.locator("#rows tr")).to_have_count(3)
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        boxes = [await row.bounding_box() for row in await page.locator("#rows .points").all()]
        assert all(box and box["x"] >= 0 and box["x"] + box["width"] <= width for box in boxes)


async def test_the_keyboard_reaches_everything_and_focus_is_seen(page: Page) -> None:
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to the leaderboard")).to_be_focused()
    await expect(page.get_by_role("link", name="Skip to the leaderboard")).to_be_in_viewport()
    reached = []
    for _ in range(7):
        await page.keyboard.press("Tab")
        name, outline = await page.evaluate(
            """() => {
              const at = document.activeElement;
              return [at.id || at.textContent.trim(), getComputedStyle(at).outlineStyle];
            }"""
        )
        reached.append(name)
        assert outline != "none", name
    assert reached == ["Scoreboard", "API", "theme", "global", "speedrun", "me", "Find"]


async def test_the_skip_link_leads_to_the_board(page: Page) -> None:
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.locator("#board")).to_be_focused()


async def test_the_board_is_a_table_with_a_caption_for_those_who_listen(page: Page) -> None:
    table = page.get_by_role("table", name="Global leaderboard, the top 4 of 4 players")
    await expect(table.get_by_role("columnheader")).to_have_text(["#", "Player", "Score"])
    await expect(table.get_by_role("rowheader").locator(".name")).to_have_text(["ada", "bob", "cyd", "dan"])
    await expect(table.get_by_role("row")).to_have_count(5)


async def test_only_a_new_leader_is_announced(page: Page, server: ScriptedServer) -> None:
    announced = page.locator("#announce")
    await server.send(frame(snapshot({**START, "ada": 510, "dan": 250}, 2)))
    await expect(page.locator('[data-user="ada"] .points')).to_have_text("510")
    await expect(announced).to_be_empty()
    await server.send(frame(snapshot({**START, "bob": 600}, 3)))
    await expect(announced).to_have_text("bob takes the lead with 600 points.")


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_axe_finds_no_barrier(browser: Browser, server: ScriptedServer, theme: Any) -> None:
    async with opened(browser, f"{server.url}/?me=cyd", color_scheme=theme, reduced_motion="reduce") as page:
        await expect(page.locator("#rows tr")).to_have_count(4)
        assert await axe_violations(page) == []
