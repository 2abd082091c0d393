"""The page on the real system: scores go in over HTTP, a browser looks on, and the API is restarted underneath it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.support.browser import ConsoleLog, axe_violations, open_browser
from tests.support.stack import LocalStack, local_stack

pytestmark = pytest.mark.asyncio(loop_scope="module")

# A page waits two to five seconds after a farewell, and a machine under load takes its time to start the API again.
PATIENCE_MS = 60_000


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    with local_stack(tmp_path_factory.mktemp("page") / "home") as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with open_browser() as opened:
        yield opened


@asynccontextmanager
async def opened(browser: Browser, url: str, **context: Any) -> AsyncIterator[tuple[Page, ConsoleLog]]:
    """A page, and what was said on its console; what scripts say there is a failure in itself."""
    session = await browser.new_context(**context)
    log = ConsoleLog()
    page = await session.new_page()
    log.attach(page)
    await page.goto(url)
    try:
        yield page, log
    finally:
        await session.close()
    assert log.script == []


async def submit(stack: LocalStack, user: str, delta: int) -> None:
    answer = await asyncio.to_thread(stack.post_score, user, delta)
    assert answer["status"] == "queued"


async def signal_api(stack: LocalStack, number: signal.Signals) -> None:
    status = await asyncio.to_thread(stack.status)
    os.kill(status["api"]["pid"], number)


def points(page: Page, user: str) -> Any:
    return page.locator(f'[data-user="{user}"] .points')


async def test_an_empty_board_fills_with_the_first_score(browser: Browser, stack: LocalStack) -> None:
    async with opened(browser, stack.url) as (page, log):
        await expect(page.get_by_role("heading", name="Nobody has scored yet.")).to_be_visible()
        await submit(stack, "first", 1)
        await expect(points(page, "first")).to_have_text("1", timeout=PATIENCE_MS)
        await expect(page.locator("#empty")).to_be_hidden()
    assert log.network == []


async def test_rows_appear_and_change_places_when_a_score_arrives(browser: Browser, stack: LocalStack) -> None:
    await submit(stack, "grace", 400)
    await submit(stack, "linus", 300)
    async with opened(browser, stack.url) as (page, log):
        await expect(points(page, "grace")).to_have_text("400", timeout=PATIENCE_MS)
        await expect(points(page, "linus")).to_have_text("300", timeout=PATIENCE_MS)
        await expect(page.locator("#rows tr:nth-child(1) .name")).to_have_text("grace")
        await submit(stack, "linus", 137)
        await expect(page.locator("#rows tr:nth-child(1) .name")).to_have_text("linus", timeout=PATIENCE_MS)
        await expect(points(page, "linus")).to_have_text("437")
        await expect(page.locator("#rows tr:nth-child(2) .name")).to_have_text("grace")
        await expect(page.locator("#announce")).to_have_text("linus takes the lead with 437 points.")
    assert log.network == []


async def test_every_screen_sees_how_many_there_are(browser: Browser, stack: LocalStack) -> None:
    async with opened(browser, stack.url) as (one, _), opened(browser, stack.url) as (two, _):
        await expect(one.locator("#screens")).to_have_text("2", timeout=PATIENCE_MS)
        await expect(two.locator("#screens")).to_have_text("2", timeout=PATIENCE_MS)


async def test_a_player_without_a_score_is_looked_up_without_an_error_on_the_console(
    browser: Browser, stack: LocalStack
) -> None:
    async with opened(browser, f"{stack.url}/?me=nobody") as (page, log):
        await expect(page.locator("#pill-state")).to_have_text("live")
        for user in ("nobody", "not a user id", "../../etc"):
            await page.get_by_label("Find me").fill(user)
            await page.keyboard.press("Enter")
            await expect(page.locator("#hint")).to_have_text(f"{user} has no score on this board yet.")
    assert log.network == []


async def test_a_player_below_the_board_is_found(browser: Browser, stack: LocalStack) -> None:
    await submit(stack, "top", 900)
    await submit(stack, "below", 2)
    async with opened(browser, f"{stack.url}/?limit=1&me=below") as (page, _):
        await expect(page.locator("#rows tr")).to_have_count(1)
        await expect(page.locator("#standing")).to_contain_text("2 points", timeout=PATIENCE_MS)


async def test_a_restart_of_the_api_is_survived_without_a_reload(browser: Browser, stack: LocalStack) -> None:
    async with opened(browser, stack.url) as (page, log):
        await submit(stack, "ada", 10)
        await expect(points(page, "ada")).to_have_text("10", timeout=PATIENCE_MS)
        await page.evaluate("window.never = 'reloaded'")
        await signal_api(stack, signal.SIGTERM)
        await expect(page.locator("#pill-state")).to_have_text("draining")
        await expect(page.locator("#notice")).to_have_text("The server is restarting, back in a moment.")
        await expect(points(page, "ada")).to_have_text("10")
        await expect(page.locator("#pill-state")).to_have_text("live", timeout=PATIENCE_MS)
        await submit(stack, "ada", 5)
        await expect(points(page, "ada")).to_have_text("15", timeout=PATIENCE_MS)
        assert await page.evaluate("window.never") == "reloaded"
    # The page keeps away for as long as the server asks, and the API is back before that: normally there is no line at
    # all. On a machine so slow that it is not, the browser itself notes the refused attempt; no page can prevent that.
    assert not [line for line in log.network if "net::ERR_CONNECTION_REFUSED" not in line]


async def test_an_api_that_is_killed_is_found_again_without_a_reload(browser: Browser, stack: LocalStack) -> None:
    async with opened(browser, stack.url) as (page, log):
        await expect(page.locator("#pill-state")).to_have_text("live")
        await page.evaluate("window.never = 'reloaded'")
        await signal_api(stack, signal.SIGKILL)
        await expect(page.locator("#pill-state")).to_have_text("reconnecting…")
        await expect(page.locator("#pill-state")).to_have_text("live", timeout=PATIENCE_MS)
        await submit(stack, "zoe", 7)
        await expect(points(page, "zoe")).to_have_text("7", timeout=PATIENCE_MS)
        assert await page.evaluate("window.never") == "reloaded"
    assert all("/api/leaderboard/stream" in line for line in log.network)


async def test_the_documentation_shows_every_call_of_the_description(browser: Browser, stack: LocalStack) -> None:
    described = await asyncio.to_thread(stack.get, "/openapi.json")
    calls = {
        f"{verb.upper()} {path}"
        for path, operations in described["paths"].items()
        for verb in operations
        if verb in ("get", "post", "put", "patch", "delete")
    }
    async with opened(browser, f"{stack.url}/docs", viewport={"width": 360, "height": 740}) as (page, log):
        await expect(page.locator(".call")).to_have_count(len(calls))
        headings = await page.locator(".call h3").all()
        shown = {re.sub(r"\s+", " ", " ".join(await one.locator(":scope > *").all_inner_texts())) for one in headings}
        assert shown == calls
        assert "POST /api/scores" in shown
        assert await page.evaluate("document.documentElement.scrollWidth") <= 360
    assert log.network == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/?me=grace", "/docs"])
async def test_axe_finds_no_barrier_on_the_real_pages(
    browser: Browser, stack: LocalStack, path: str, theme: Any
) -> None:
    async with opened(browser, stack.url + path, color_scheme=theme, reduced_motion="reduce") as (page, _):
        await expect(page.locator("main [aria-busy=true], main[aria-busy=true]")).to_have_count(0)
        assert await axe_violations(page) == []
