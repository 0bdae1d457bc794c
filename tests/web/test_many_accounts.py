"""Where there are more accounts than a page of their list holds, each of them can be chosen and is named."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.async_api import Browser, expect

from tests.e2e.server_process import ServerProcess, running
from tests.web.views import ACCOUNTS, ROOT, accounts, logged_in

pytestmark = pytest.mark.asyncio(loop_scope="session")

MANY = 104
"""With the administrator's more than the largest page, which is of 100."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that wants everybody to log in."""
    with running(tmp_path_factory.mktemp("many"), ACCOUNTS) as started:
        yield started


async def test_the_oldest_of_many_accounts_is_limited_and_named_in_the_log(
    browser: Browser, url: str
) -> None:
    await accounts(url, "eldest", *(f"person-{number}" for number in range(MANY)))
    async with logged_in(browser, url, *ROOT) as page:
        await page.page.goto(f"{url}#/admin/limits")
        await page.page.locator("[name=scope]").select_option(label="eldest")
        await page.page.locator("[name=amount]").fill("5")
        await page.page.get_by_role("button", name="Set it").click()
        row = page.page.get_by_label("Limits").locator("tbody tr")
        await expect(row.locator("td").first).to_have_text("eldest")
        await page.page.reload()
        await expect(row.locator("td").first).to_have_text("eldest")
        await page.page.goto(f"{url}#/admin/audit")
        await page.page.locator("[name=actor_id]").select_option(label=f"by {ROOT[0]}")
        await page.page.get_by_role("button", name="Show").click()
        who = page.page.get_by_label("Audit log").locator("tbody tr td:nth-child(2)")
        await expect(who.first).to_have_text(ROOT[0])
