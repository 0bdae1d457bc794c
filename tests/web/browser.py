"""A real Chromium on the page of a real server, watched for everything that must not happen."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, BrowserContext, Page, Request, async_playwright, expect

from antiphon.api import page as served
from scripts.project_files import ROOT

ARTEFACTS = ROOT / "tests" / "web" / "artefacts"
AXE = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"
NAMES = (
    "chromium-headless-shell", "chromium", "chromium-browser", "google-chrome-stable", "google-chrome"
)  # fmt: skip
"""The first draws no window that nobody sees, which spares the tests a quarter of their processor time."""
WIDE = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 780}
PATIENCE_MS = 20_000
expect.set_options(timeout=PATIENCE_MS)

_WATCH = """
window.__violations = [];
document.addEventListener("securitypolicyviolation", (event) =>
    window.__violations.push(event.violatedDirective + " " + event.blockedURI + " " + event.sample));
"""


def executable() -> str:
    """Where the browser is; skips the test, saying so, where there is none or no page to look at."""
    named = os.environ.get("CHROMIUM")
    found = named or next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium here (apt-get install chromium, or CHROMIUM=its path)")
    if not served.is_built():
        pytest.skip("the chat page was not built (make page)")
    return found


@asynccontextmanager
async def launched() -> AsyncIterator[Browser]:
    """The browser, ended with the block."""
    path = executable()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage", "--no-proxy-server"]
        )
        try:
            yield browser
        finally:
            await browser.close()


@dataclass
class Tab:
    """One tab on a server's page.

    `refused` are words of console messages that a test expects; everything else of kind error fails it.
    """

    page: Page
    url: str
    touch: bool = False
    said: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Note errors, and requests to anywhere but the server."""
        self.page.on("console", lambda one: self.said.append(one.text) if one.type == "error" else None)
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", self._request)
        self.page.set_default_timeout(PATIENCE_MS)

    def _request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("blob", "data", "about") and parts.netloc != urlsplit(self.url).netloc:
            self.elsewhere.append(request.url)

    async def require_quiet(self) -> None:
        """Nothing broke the content policy, no script failed, nothing was asked of another server."""
        assert await self.page.evaluate("window.__violations") == []
        assert self.elsewhere == []
        unexpected = [one for one in self.said if not any(word in one for word in self.expected)]
        assert unexpected == []

    async def open(self, where: str = "") -> None:
        """Load the page, and wait until one can write."""
        await self.page.goto(self.url + where)
        await self.page.wait_for_selector(".footer .composer-input")

    async def choose(self, *models: str) -> None:
        """Choose who answers; several are ticked."""
        await self.page.click(".model-button")
        await self.row(models[0]).locator("[role=menuitemradio]").click()
        for model in models[1:]:
            if not await self.page.locator(".menu-list").count():
                await self.page.click(".model-button")
            await self.row(model).locator("[role=menuitemcheckbox]").click()
        await self.page.keyboard.press("Escape")

    def row(self, model: str) -> Any:
        """The line of a model in the list."""
        return self.page.locator(".model-row", has=self.page.get_by_text(model, exact=True))

    async def write(self, text: str) -> None:
        """Write and send."""
        await self.page.fill(".footer .composer-input", text)
        await (self.page.click("[aria-label=Send]") if self.touch else self.page.keyboard.press("Enter"))

    async def say(self, text: str) -> None:
        """Write, send, and wait until every answer is done."""
        before = await self.page.locator(".said").count()
        await self.write(text)
        await self.page.wait_for_function(
            "n => document.querySelectorAll('.said').length > n || document.querySelector('.fan')", arg=before
        )
        await self.settled()

    async def settled(self) -> None:
        """Wait until nothing is being answered and the tree is known."""
        await self.page.wait_for_selector(".send[aria-label=Send]")
        await self.page.wait_for_selector(".thread:not([data-busy])")

    async def texts(self, selector: str = ".message") -> list[str]:
        """The texts of all that a selector finds."""
        return [text.strip() for text in await self.page.locator(selector).all_inner_texts()]

    async def picture(self, name: str) -> None:
        """Keep a screenshot as an artefact."""
        ARTEFACTS.mkdir(exist_ok=True)
        await self.page.screenshot(path=ARTEFACTS / f"{name}.png")

    async def axe(self, *rules: str) -> list[str]:
        """What the rules of accessibility find wrong: all of them, or those that are named."""
        if not AXE.is_file():
            pytest.skip("axe-core is not installed (make page-if-possible)")
        if not await self.page.evaluate("Boolean(window.axe)"):
            await self.page.evaluate(AXE.read_text())
        options = {"resultTypes": ["violations"], **({"runOnly": rules} if rules else {})}
        found = await self.page.evaluate("(options) => axe.run(document, options)", options)
        return [f"{one['id']}: {node['html'][:200]}" for one in found["violations"] for node in one["nodes"]]


@asynccontextmanager
async def tab(browser: Browser, url: str, **context: Any) -> AsyncIterator[Tab]:
    """A tab in a fresh profile, which must have been quiet when the block ends."""
    options = {"viewport": WIDE, "reduced_motion": "reduce", **context}
    profile: BrowserContext = await browser.new_context(**options)
    await profile.add_init_script(_WATCH)
    made = Tab(await profile.new_page(), url, touch=bool(context.get("has_touch")))
    made.watch()
    try:
        yield made
        await made.require_quiet()
    finally:
        await profile.close()


def artefact(name: str) -> Path:
    """Where something a test made is kept."""
    ARTEFACTS.mkdir(exist_ok=True)
    return ARTEFACTS / name
