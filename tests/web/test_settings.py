"""What belongs to oneself: the account, password, keys, sessions, what one used, and taking it along."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from tests.domain.exports import ROOT, exported, node
from tests.e2e.server_process import ServerProcess, running
from tests.web.browser import PHONE, Tab, tab
from tests.web.test_documents import PIXEL, give
from tests.web.views import (
    ACCOUNTS,
    PASSWORD,
    SETTINGS,
    accounts,
    api,
    choose,
    logged_in,
    pick_of_open,
    require_accessible,
    token_of,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")

LIMITS = "requests/minute=600,tokens/day=100000"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that wants everybody to log in, and limits them."""
    with running(tmp_path_factory.mktemp("settings"), {**ACCOUNTS, "DEFAULT_LIMITS": LIMITS}) as started:
        yield started


async def test_every_section_can_be_used_by_everybody_in_light_and_dark(browser: Browser, url: str) -> None:
    await accounts(url, "eve")
    async with logged_in(browser, url, "eve") as page:
        await page.choose("echo")
        await page.say("to be counted")
        for section in SETTINGS:
            await page.page.goto(f"{url}#/settings/{section}")
            await expect(page.page.locator("[aria-current=page]").last).to_be_visible()
            await page.page.wait_for_load_state("networkidle")
            await require_accessible(page)
            await page.picture(f"settings-{section}")
            await page.page.set_viewport_size(PHONE)
            assert await page.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), section
            await page.page.set_viewport_size({"width": 1280, "height": 800})
        await page.page.goto(f"{url}#/settings/usage")
        await expect(page.page.get_by_text("of 100,000")).to_be_visible()
        await expect(page.page.locator("tr", has_text="scripted/echo").locator("td").nth(1)).to_have_text("1")


async def test_a_key_is_shown_once_works_and_ends(browser: Browser, url: str) -> None:
    await accounts(url, "kay")
    async with logged_in(browser, url, "kay") as page:
        await page.page.goto(f"{url}#/settings/keys")
        await page.page.get_by_label("Name of the key").fill("ci")
        await page.page.get_by_label("write").uncheck()
        await page.page.get_by_role("button", name="Make a key").click()
        key = await page.page.locator(".shown-once code").inner_text()
        async with api(url, key) as client:
            assert (await client.get("/v1/auth/me")).json()["scopes"] == ["read"]
            await page.page.get_by_label("Revoke ci").click()
            await expect(page.page.get_by_text("No keys yet.")).to_be_visible()
            assert (await client.get("/v1/auth/me")).status_code == 401


async def test_the_form_of_keys_fits_a_narrow_phone(browser: Browser, url: str) -> None:
    await accounts(url, "kim")
    async with logged_in(browser, url, "kim") as page:
        await page.page.set_viewport_size({"width": 375, "height": 667})
        await page.page.goto(f"{url}#/settings/keys")
        for part in ("input[name=name]", "select", "button"):
            box = await page.page.locator(f".inline-form > {part}").bounding_box()
            assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= 375, part
            assert box["width"] > 60, part
        assert await page.page.locator(".view").evaluate("view => view.scrollWidth <= view.clientWidth")


async def test_how_one_wants_to_be_answered_is_sent_along_wherever_one_logs_in(
    browser: Browser, url: str
) -> None:
    await accounts(url, "max")
    said = "Answer like a sailor."
    async with logged_in(browser, url, "max") as page:
        await page.page.goto(f"{url}#/settings/answers")
        await page.page.get_by_label("What every answer should heed").fill(said)
        await page.page.get_by_label("Temperature").fill("0.3")
        await page.page.get_by_role("button", name="Save").click()
        await expect(page.page.locator(".notice")).to_contain_text("in all your chats")
    async with logged_in(browser, url, "max") as other:
        await other.choose("echo")
        async with other.page.expect_request("**/v1/responses") as asked:
            await other.say("ahoy")
        sent = (await asked.value).post_data_json
        assert (sent["instructions"], sent["temperature"]) == (said, 0.3)
        assert "max_output_tokens" not in sent
        async with other.page.expect_request("**/regenerate") as again:
            await other.page.click("[aria-label='Answer again']")
            await other.page.click("text=Try again")
        assert (await again.value).post_data_json["instructions"] == said
        await other.settled()
        await other.page.goto(f"{url}#/settings/answers")
        await expect(other.page.get_by_label("What every answer should heed")).to_have_value(said)
        await other.page.get_by_label("What every answer should heed").fill("")
        await other.page.get_by_label("Longest answer").fill("64")
        await other.page.get_by_role("button", name="Save").click()
        await expect(other.page.locator(".notice")).to_contain_text("in all your chats")
        await other.page.goto(f"{url}#/")
        async with other.page.expect_request("**/v1/responses") as asked:
            await other.say("and now")
        sent = (await asked.value).post_data_json
        assert (sent["temperature"], sent["max_output_tokens"]) == (0.3, 64)
        assert "instructions" not in sent


async def test_prompts_are_kept_and_come_where_one_writes(browser: Browser, url: str) -> None:
    await accounts(url, "pru")
    async with logged_in(browser, url, "pru") as page:
        await page.page.goto(f"{url}#/settings/prompts")
        for name, text in (("translate", "Into German:"), ("tidy up", "Tidy this\nup"), ("old one", "gone")):
            await page.page.locator("[name=name]").fill(name)
            await page.page.locator("[name=text]").fill(text)
            await page.page.get_by_role("button", name="Add the prompt").click()
            await expect(page.page.get_by_label(f"Change {name}")).to_be_visible()
        await page.page.get_by_label("Delete old one").click()
        await expect(page.page.locator("tbody tr")).to_have_count(2)
        await page.page.get_by_label("Change translate").click()
        await page.page.locator("[name=text]").fill("Into French:")
        await page.page.get_by_role("button", name="Save").click()
        await expect(page.page.locator("tbody tr", has_text="Into French:")).to_be_visible()
        await require_accessible(page)
    async with logged_in(browser, url, "pru") as other:
        box, options = other.page.locator(".footer .composer-input"), other.page.locator("[role=option]")
        await other.choose("echo")
        await box.press_sequentially("/")
        await expect(options).to_have_text(["/tidy upTidy this up", "/translateInto French:"])
        await require_accessible(other)
        await box.press_sequentially("t")
        await box.press("ArrowDown")
        await box.press("Enter")
        await expect(box).to_have_value("Into French: ")
        await box.press_sequentially("water")
        await box.press("Enter")
        await expect(other.page.locator(".bubble")).to_have_text("Into French: water")
        await other.settled()
        await other.say("/nothing like it")
        await box.press_sequentially("/tidy")
        await expect(options).to_have_count(1)
        await box.press("Escape")
        await expect(options).to_have_count(0)
        await expect(box).to_have_value("/tidy")
        await box.fill("/up")
        await options.click()
        await expect(box).to_have_value("Tidy this\nup ")


async def test_prompts_of_two_devices_stand_beside_each_other_and_nobody_else_sees_them(
    browser: Browser, url: str
) -> None:
    await accounts(url, "ivo", "jan")

    async def keep(page: Tab, name: str) -> None:
        await page.page.locator("[name=name]").fill(name)
        await page.page.locator("[name=text]").fill(f"text of {name}")
        await page.page.get_by_role("button", name="Add the prompt").click()
        await expect(page.page.get_by_label(f"Change {name}")).to_be_visible()

    async with logged_in(browser, url, "ivo") as one, logged_in(browser, url, "ivo") as two:
        for page in (one, two):
            await page.page.evaluate("location.hash = '#/settings/prompts'")
        await keep(one, "first")
        await keep(two, "second")
        await expect(two.page.locator("tbody tr")).to_have_count(2)
        await two.page.route("**/v1/auth/preferences", lambda route: route.abort())
        two.expected.append("net::ERR")
        await two.page.locator(".oneself").click()
        await choose(two, "Log out")
        await two.page.fill("[name=username]", "jan")
        await two.page.fill("[name=password]", PASSWORD)
        await two.page.keyboard.press("Enter")
        await expect(two.page.locator(".footer .composer-input")).to_be_visible()
        await two.page.evaluate("location.hash = '#/settings/prompts'")
        await expect(two.page.get_by_role("button", name="Add the prompt")).to_be_visible()
        await expect(two.page.locator("tbody tr")).to_have_count(0)


async def test_ones_files_are_listed_had_again_and_erased(browser: Browser, url: str) -> None:
    await accounts(url, "fay")
    async with logged_in(browser, url, "fay") as page:
        await page.page.goto(f"{url}#/settings/files")
        await expect(page.page.get_by_text("No files yet.")).to_be_visible()
        await page.page.goto(f"{url}#/")
        await give(page, "pixel.png", "image/png", PIXEL, "drop")
        await page.choose("echo")
        await page.say("look at this")
        await page.page.goto(f"{url}#/settings/files")
        row = page.page.locator("tbody tr")
        await expect(row).to_contain_text("pixel.png")
        await require_accessible(page)
        async with page.page.expect_download() as coming:
            await page.page.get_by_label("Download pixel.png").click()
        assert (await (await coming.value).path()).read_bytes() == PIXEL
        await page.page.get_by_label("Delete pixel.png").click()
        await page.page.locator("dialog").get_by_role("button", name="Delete").click()
        await expect(page.page.get_by_text("No files yet.")).to_be_visible()


async def test_a_new_password_ends_the_other_sessions_and_this_one_goes_on(
    browser: Browser, url: str
) -> None:
    await accounts(url, "pat")
    async with logged_in(browser, url, "pat") as page, logged_in(browser, url, "pat") as other:
        await page.page.goto(f"{url}#/settings/sessions")
        await expect(page.page.locator("tbody tr")).to_have_count(2)
        await page.page.goto(f"{url}#/settings/password")
        for name, text in (
            ("current_password", PASSWORD),
            ("new_password", PASSWORD + "!"),
            ("again", "other"),
        ):
            await page.page.fill(f"[name={name}]", text)
        await page.page.get_by_role("button", name="Change it").click()
        await expect(page.page.get_by_role("alert")).to_contain_text("twice, differently")
        await page.page.fill("[name=again]", PASSWORD + "!")
        await page.page.get_by_role("button", name="Change it").click()
        await expect(page.page.locator(".notice")).to_contain_text("The password is changed")
        await page.page.goto(f"{url}#/settings/sessions")
        await expect(page.page.locator("tbody tr")).to_have_count(1)
        await other.page.reload()
        await expect(other.page.locator("[name=password]")).to_be_visible()


async def test_colours_are_chosen_and_kept(browser: Browser, url: str) -> None:
    await accounts(url, "lou")
    async with logged_in(browser, url, "lou") as page:
        await page.page.goto(f"{url}#/settings/appearance")
        await page.page.get_by_role("radio", name="Dark").check()
        await page.page.reload()
        await expect(page.page.get_by_role("radio", name="Dark")).to_be_checked()
        await expect(page.page.locator("html")).to_have_attribute("data-theme", "dark")


async def test_everything_of_ones_own_is_taken_along(browser: Browser, url: str, tmp_path: Path) -> None:
    await accounts(url, "tia")
    async with logged_in(browser, url, "tia") as page:
        await page.choose("echo")
        await page.say("something to keep")
        await page.page.goto(f"{url}#/settings/data")
        async with page.page.expect_download() as download:
            await page.page.get_by_text("for another server").click()
        kept = tmp_path / "kept.json"
        await (await download.value).save_as(kept)
        assert "something to keep" in json.dumps(json.loads(kept.read_text())["conversations"])


async def test_chats_from_elsewhere_are_brought_along_and_one_is_saved(
    browser: Browser, url: str, tmp_path: Path
) -> None:
    await accounts(url, "uma")
    talk = exported(
        ROOT, node("u1", "root", "user", "Where is the harbour?"), node("a1", "u1", "assistant", "South.")
    )
    given = tmp_path / "conversations.json"
    given.write_text(json.dumps([talk]))
    async with logged_in(browser, url, "uma") as page:
        page.expected.append("status of 400")
        await page.page.goto(f"{url}#/settings/data")
        chosen = page.page.get_by_label("Exported chats")
        told = page.page.locator("#main [role=status]")
        for words in ("1 new", "1 here already"):
            await chosen.set_input_files(given)
            await expect(told).to_contain_text(words)
        await chosen.set_input_files({"name": "x.json", "mimeType": "application/json", "buffer": b"[1]"})
        await expect(page.page.get_by_role("alert")).to_be_visible()
        await require_accessible(page)
        await page.page.goto(f"{url}#/settings/files")
        await expect(page.page.get_by_text("No files yet.")).to_be_visible()
        await page.page.locator(".entry a", has_text="A talk").click()
        await expect(page.page.locator(".answer")).to_contain_text("South.")
        async with page.page.expect_download() as coming:
            await pick_of_open(page, "Download")
        assert "Where is the harbour?" in (await (await coming.value).path()).read_text()


async def test_every_chat_of_ones_own_is_deleted_at_once_and_nothing_else(browser: Browser, url: str) -> None:
    await accounts(url, "dee", "gil")
    async with api(url, await token_of(url, "gil", PASSWORD)) as client:
        made = (await client.post("/v1/conversations", json={"title": "Of gil"})).json()["id"]
        shared = await client.post(
            f"/v1/conversations/{made}/members", json={"user": "dee", "role": "viewer"}
        )
        assert shared.is_success, shared.text
    async with api(url, await token_of(url, "dee", PASSWORD)) as client:
        for number in range(50):
            made = (await client.post("/v1/conversations", json={"title": f"Talk {number}"})).json()["id"]
            away = {"archived": number % 2 == 0}
            (await client.post(f"/v1/conversations/{made}", json=away)).raise_for_status()
        async with logged_in(browser, url, "dee") as page:
            page.expected.append("status of 404")  # the open chat's title was being read
            await page.choose("echo")
            await page.say("the one that is open")
            await page.page.evaluate("location.hash = '#/settings/data'")
            await page.page.get_by_role("button", name="Delete all chats").click()
            await page.page.locator("dialog").get_by_role("button", name="Delete all").click()
            await expect(page.page.locator("#main [role=status]")).to_have_text("51 deleted.")
            await expect(page.page.locator(".entry")).to_have_count(1)
            await expect(page.page.locator(".entry")).to_contain_text("Of gil")
            assert page.page.url.endswith("#/settings/data")
        assert (await client.get("/v1/conversations")).json()["data"] == []


async def test_an_open_server_shows_its_owner_no_login(browser: Browser, tmp_path: Path) -> None:
    with running(tmp_path, {"LIST_SCRIPTED_MODELS": "true"}) as started:
        async with tab(browser, f"http://127.0.0.1:{started.port}/") as page:
            await page.page.goto(f"{page.url}#/settings")
            await expect(page.page.get_by_text("asks nobody to log in")).to_be_visible()
            await expect(page.page.locator(".sections a")).to_have_count(7)
