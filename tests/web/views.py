"""What the tests of the views share: axe in both schemes, menus, edits, accounts, HTTP beside the page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

import httpx
from playwright.async_api import Browser

from tests.web.browser import Tab, tab

ROOT = ("root", "correct-horse-9")
PASSWORD = "battery-staple-7"
ACCOUNTS = {
    "AUTH_REQUIRED": "true",
    "SECRET_KEY": "0123456789abcdef" * 4,
    "DEFAULT_ADMIN_USERNAME": ROOT[0],
    "DEFAULT_ADMIN_PASSWORD": ROOT[1],
    "LIST_SCRIPTED_MODELS": "true",
}
SETTINGS = (
    "profile", "answers", "prompts", "appearance", "usage", "files", "data", "password", "keys", "sessions",
)  # fmt: skip
ADMINISTRATION = ("now", "usage", "users", "groups", "invites", "limits", "providers", "settings", "audit")
"""The sections of these views."""
UNAUTHENTICATED = "status of 401"
"""What the console says of the first question, who one is."""


PAINTED = """async () => {
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done, 50)));
    const lasting = (one) => Number.isFinite(one.effect?.getComputedTiming().endTime);
    const ending = document.getAnimations().filter(lasting);
    await Promise.all(ending.map((one) => one.finished.catch(() => undefined)));
}"""
"""Colours change in a moment, not at once."""


OF_COLOURS = ("color-contrast", "link-in-text-block")
"""The rules whose verdict another colour scheme can change; all of them take three times as long."""


async def require_accessible(page: Tab, *schemes: Literal["light", "dark"]) -> None:
    """No rule of accessibility is broken, in light and in dark unless some of them are named."""
    for again, scheme in enumerate(schemes or ("light", "dark")):
        await page.page.emulate_media(color_scheme=scheme)
        await page.page.evaluate(PAINTED)
        found = await page.axe(*OF_COLOURS if again else ())
        assert found == [], (scheme, found)
    await page.page.emulate_media(color_scheme="light")
    await page.page.evaluate(PAINTED)


async def pick(page: Tab, menu: str, item: str) -> None:
    """Open a menu by its name and choose in it."""
    await page.page.get_by_label(menu, exact=True).click()
    await choose(page, item)


async def pick_of_open(page: Tab, item: str) -> None:
    """Choose in the menu that the open conversation has in the list."""
    entry = page.page.locator(".entry.open")
    await entry.hover()
    await entry.locator(".menu > button").click()
    await choose(page, item)


async def choose(page: Tab, item: str) -> None:
    """Choose in the menu that is open."""
    await page.page.locator("[role^=menuitem]", has_text=item).first.click()


async def edit(page: Tab, text: str) -> None:
    """Ask something else in the place of the first question shown."""
    await page.page.hover(".said")  # its buttons are drawn under the mouse
    await page.page.click("[aria-label=Edit]")
    await page.page.fill(".edit .composer-input", text)
    await page.page.keyboard.press("Enter")


@asynccontextmanager
async def api(url: str, token: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
    """The server beside the page."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    async with httpx.AsyncClient(base_url=url, timeout=60, headers=headers, trust_env=False) as client:
        yield client


async def token_of(url: str, name: str, password: str) -> str:
    """Log in beside the page."""
    async with api(url) as client:
        found = (
            await client.post("/token", json={"username": name, "password": password})
        ).raise_for_status()
    return str(found.json()["access_token"])


async def accounts(url: str, *names: str) -> None:
    """Make accounts, which all have the same password."""
    async with api(url, await token_of(url, *ROOT)) as client:
        for name in names:
            body = {"name": name, "password": PASSWORD}
            (await client.post("/v1/admin/users", json=body)).raise_for_status()


@asynccontextmanager
async def logged_in(browser: Browser, url: str, name: str, password: str = PASSWORD) -> AsyncIterator[Tab]:
    """A tab in a fresh profile in which somebody has logged in."""
    async with tab(browser, url) as page:
        page.expected.append(UNAUTHENTICATED)
        await page.page.goto(url)
        await page.page.fill("[name=username]", name)
        await page.page.fill("[name=password]", password)
        await page.page.keyboard.press("Enter")
        await page.page.wait_for_selector(".footer .composer-input")
        yield page
