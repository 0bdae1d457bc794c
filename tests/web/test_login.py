"""Where credentials are required the page asks for them, keeps the session in a cookie, and forgets it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from tests.e2e.server_process import ServerProcess, running
from tests.harness.people import SECRET_KEY
from tests.web.browser import executable, tab

pytestmark = pytest.mark.asyncio(loop_scope="session")

NAME, PASSWORD = "ada", "a long and secret word"
REFUSED = "Failed to load resource"


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[ServerProcess]:
    executable()
    settings = {
        "AUTH_REQUIRED": "true", "SECRET_KEY": SECRET_KEY, "LIST_SCRIPTED_MODELS": "true",
        "DEFAULT_ADMIN_USERNAME": NAME, "DEFAULT_ADMIN_PASSWORD": PASSWORD,
    }  # fmt: skip
    with running(tmp_path, settings) as started:
        yield started


async def test_one_logs_in_stays_in_and_logs_out(browser: Browser, closed: ServerProcess) -> None:
    async with tab(browser, f"http://127.0.0.1:{closed.port}/") as page:
        page.expected.append(REFUSED)
        await page.page.goto(page.url)
        await page.page.get_by_label("Name or e-mail address").fill(NAME)
        await page.page.get_by_label("Password").fill("wrong " + PASSWORD)
        await page.page.get_by_role("button", name="Log in").click()
        await expect(page.page.get_by_role("alert")).to_be_visible()
        await page.picture("login")
        assert await page.axe() == []
        await page.page.get_by_label("Password").fill(PASSWORD)
        await page.page.get_by_role("button", name="Log in").click()
        await page.page.wait_for_selector(".footer .composer-input")
        await page.choose("echo")
        await page.say("only for me")
        await page.page.reload()
        await expect(page.page.locator(".bubble")).to_have_text("only for me")
        cookies = {one["name"]: one for one in await page.page.context.cookies()}
        assert cookies["__Host-antiphon"]["httpOnly"] and cookies["__Host-antiphon"]["secure"]
        assert await page.page.evaluate("JSON.stringify({...localStorage, ...sessionStorage})") == (
            '{"antiphon.model":"[\\"scripted/echo\\"]"}'
        )
        await page.page.click(".oneself")
        await page.page.get_by_role("menuitem", name="Log out").click()
        await page.page.get_by_label("Password").wait_for()
        await expect(page.page.get_by_text("only for me")).to_have_count(0)
        await page.page.reload()
        await page.page.get_by_label("Password").wait_for()


async def test_a_session_that_is_ended_elsewhere_leads_back_to_the_login(
    browser: Browser, closed: ServerProcess
) -> None:
    async with tab(browser, f"http://127.0.0.1:{closed.port}/") as page:
        page.expected.append(REFUSED)
        await page.page.goto(page.url)
        await page.page.get_by_label("Name or e-mail address").fill(NAME)
        await page.page.get_by_label("Password").fill(PASSWORD)
        await page.page.get_by_role("button", name="Log in").click()
        await page.page.wait_for_selector(".footer .composer-input")
        await page.page.context.clear_cookies()
        await page.write("who am I")
        await page.page.get_by_label("Password").wait_for()
