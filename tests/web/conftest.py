"""Fixtures of the page's tests: one browser for all, and a server for each module."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.e2e.server_process import ServerProcess, running
from tests.web.browser import Tab, executable, launched, tab
from tests.web.prefixes import build


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One Chromium for all of these tests."""
    async with launched() as found:
        yield found


@pytest.fixture(scope="session")
def prefixes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page that has nothing but the chat page's Markdown, built."""
    executable()
    target = tmp_path_factory.mktemp("prefixes")
    build(target)
    return target


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server of the module with the scripted models in its list."""
    with running(tmp_path_factory.mktemp("page"), {"LIST_SCRIPTED_MODELS": "true"}) as started:
        yield started


@pytest.fixture(scope="module")
def url(server: ServerProcess) -> str:
    """Where its page is."""
    return f"http://127.0.0.1:{server.port}/"


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser, url: str) -> AsyncIterator[Tab]:
    """A tab on the module's server."""
    async with tab(browser, url) as opened:
        await opened.open()
        yield opened
