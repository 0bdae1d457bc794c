"""What administrators see and do on the page, and that nobody else gets there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.e2e.server_process import ServerProcess, running
from tests.web.browser import PHONE, Tab, tab
from tests.web.views import (
    ACCOUNTS,
    ADMINISTRATION,
    PASSWORD,
    ROOT,
    UNAUTHENTICATED,
    accounts,
    api,
    choose,
    logged_in,
    pick,
    require_accessible,
    token_of,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that wants everybody to log in."""
    with running(tmp_path_factory.mktemp("admin"), ACCOUNTS) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def admin(browser: Browser, url: str) -> AsyncIterator[Tab]:
    """The administrator's browser."""
    async with logged_in(browser, url, *ROOT) as page:
        yield page


async def at(page: Tab, section: str) -> None:
    await page.page.goto(f"{page.url}#/admin/{section}")
    await page.page.wait_for_selector(".sections [aria-current=page]")
    await page.page.wait_for_load_state("networkidle")


async def test_every_section_can_be_used_by_everybody_in_light_and_dark(admin: Tab) -> None:
    await admin.choose("echo")
    await admin.say("to be counted")
    for section in ADMINISTRATION:
        await at(admin, section)
        await require_accessible(admin)
        await admin.picture(f"admin-{section}")
        await admin.page.set_viewport_size(PHONE)
        assert await admin.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), section
        await admin.page.set_viewport_size({"width": 1280, "height": 800})


async def test_ninety_days_of_use_are_asked_for_in_one_go(admin: Tab) -> None:
    await admin.choose("echo")
    await admin.say("to be counted")
    await at(admin, "usage")
    asked: list[str] = []
    admin.page.on(
        "request", lambda one: asked.append(urlsplit(one.url).path) if "/v1/admin" in one.url else None
    )
    await admin.page.select_option("select", label="90 days")
    await expect(admin.page.locator("section[aria-busy=false] figure").first).to_be_visible()
    assert sorted(asked) == ["/v1/admin/ratings", "/v1/admin/usage", "/v1/admin/usage/series"]
    counted = await admin.page.locator("tbody tr", has_text=ROOT[0]).locator("td").nth(1).inner_text()
    answers = admin.page.locator("figure", has_text="Answers")
    await expect(answers).to_contain_text(counted)


async def test_an_account_is_made_changed_shut_out_and_deleted(admin: Tab) -> None:
    await at(admin, "groups")
    await admin.page.get_by_label("Name of the group").fill("crew")
    await admin.page.get_by_role("button", name="Make it").click()
    await expect(admin.page.locator("tbody tr")).to_contain_text("crew")
    await at(admin, "users")
    await admin.page.get_by_role("button", name="New account").click()
    await admin.page.fill("dialog [name=name]", "nia")
    await admin.page.fill("dialog [name=password]", PASSWORD)
    await admin.page.select_option("dialog [name=group]", label="crew")
    await require_accessible(admin)
    await admin.page.get_by_role("button", name="Make it").click()
    row = admin.page.locator("tr", has_text="nia")
    await expect(row).to_contain_text("crew")
    await pick(admin, "More about nia", "Make an administrator")
    await expect(row).to_contain_text("administrator")
    await pick(admin, "More about nia", "New password")
    await admin.page.fill("dialog [name=password]", PASSWORD + "!")
    await admin.page.get_by_role("button", name="Set it").click()
    await expect(admin.page.locator(".notice")).to_contain_text("nia has a new password")
    assert await token_of(admin.url, "nia", PASSWORD + "!")
    await pick(admin, "More about nia", "Disable")
    await expect(row).to_contain_text("disabled")
    async with api(admin.url) as client:
        refused = await client.post("/token", json={"username": "nia", "password": PASSWORD + "!"})
        assert refused.status_code == 401
    await pick(admin, "More about nia", "Delete")
    await admin.page.locator("dialog").get_by_role("button", name="Delete").click()
    await expect(row).to_have_count(0)
    await at(admin, "audit")
    await admin.page.get_by_label("What was done").fill("user.delete")
    await admin.page.get_by_role("button", name="Show").click()
    await expect(admin.page.locator("tbody tr")).to_have_count(1)


async def test_the_last_administrator_is_not_shut_out_and_the_page_says_why(admin: Tab) -> None:
    admin.expected.append("status of 409")
    await at(admin, "users")
    await admin.page.locator("tr", has_text=ROOT[0]).get_by_label("More about").click()
    await choose(admin, "Make a user")
    await expect(admin.page.get_by_role("alert")).to_contain_text("administrator")


async def test_limits_invites_and_settings_hold(browser: Browser, admin: Tab) -> None:
    await at(admin, "limits")
    await admin.page.fill("[name=amount]", "5000")
    await admin.page.select_option("[name=metric]", "tokens")
    await admin.page.get_by_role("button", name="Set it").click()
    await expect(admin.page.locator("tbody tr")).to_contain_text("5,000")
    await at(admin, "settings")
    await admin.page.select_option("[name=signup]", "invite")
    await admin.page.get_by_role("button", name="Save").click()
    await expect(admin.page.locator(".notice")).to_contain_text("It holds")
    await at(admin, "invites")
    await admin.page.get_by_role("button", name="Invite", exact=True).click()
    invite = await admin.page.locator(".shown-once code").inner_text()
    async with tab(browser, admin.url) as ivy:
        ivy.expected.append(UNAUTHENTICATED)
        await ivy.page.goto(admin.url)
        await ivy.page.get_by_text("Make an account").click()
        await expect(ivy.page.get_by_label("Invite")).to_have_value("")
        await ivy.page.goto(invite)
        await ivy.page.get_by_label("Name").fill("ivy")
        await ivy.page.get_by_label("Password").fill(PASSWORD)
        await require_accessible(ivy)
        await ivy.picture("signup")
        await ivy.page.get_by_role("button", name="Sign up").click()
        await ivy.page.wait_for_selector(".footer .composer-input")
    async with api(admin.url, await token_of(admin.url, "ivy", PASSWORD)) as client:
        (limit,) = (await client.get("/v1/usage/limits")).json()["data"]
        assert (limit["metric"], limit["amount"]) == ("tokens", 5000)
    await at(admin, "limits")
    await admin.page.get_by_label("Delete the limit of tokens a day").click()
    await expect(admin.page.get_by_text("Nothing is limited.")).to_be_visible()


async def test_what_goes_on_is_seen_while_it_does(admin: Tab) -> None:
    await admin.choose("slow")
    await admin.write("go on tokens=400 delay_ms=20")
    await admin.page.get_by_text("word5 ").wait_for()
    await at(admin, "now")
    await expect(admin.page.locator(".plot", has_text="Answers being made").locator("strong")).to_have_text(
        "1"
    )
    await expect(admin.page.locator("tr", has_text="scripted/echo")).to_be_visible()
    await at(admin, "providers")
    await pick(admin, "More about scripted", "Ask whether it answers")
    await expect(admin.page.locator(".notice")).to_contain_text("scripted")


async def test_nobody_else_gets_there(browser: Browser, url: str) -> None:
    await accounts(url, "uma")
    async with logged_in(browser, url, "uma") as page:
        await page.page.get_by_label("Account and settings").or_(page.page.locator(".oneself")).first.click()
        await expect(page.page.get_by_role("menuitem", name="Settings")).to_be_visible()
        await expect(page.page.get_by_role("menuitem", name="Administration")).to_have_count(0)
        await page.page.goto(f"{url}#/admin/users")
        await expect(page.page.get_by_text("This is for administrators.")).to_be_visible()
