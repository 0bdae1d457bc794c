"""axe-core finds nothing in any dialog, panel, menu or page, light and dark, on a desktop and on a phone."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from scripts.project_files import ROOT as PROJECT
from tests.e2e.server_process import ServerProcess, running
from tests.ports import free_port
from tests.web.browser import PHONE, WIDE, Tab, tab
from tests.web.test_documents import HANDBOOK, PIXEL, give
from tests.web.views import (
    ACCOUNTS,
    ADMINISTRATION,
    ROOT,
    SETTINGS,
    UNAUTHENTICATED,
    accounts,
    api,
    logged_in,
    require_accessible,
    token_of,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")

TOLD = """# A table

| one | two |
|---|---|
| `a` | $x^2$ |

```python
print("hello")
```

> A quote with [a link](https://example.org/) and a ~~lapse~~.

1. first
2. second
"""


@dataclass(frozen=True)
class Town:
    """What there is to look at, by id."""

    url: str
    talk: str
    branches: tuple[str, str]
    collection: str
    link: str
    broken: str


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that wants everybody to log in, with a provider that has a key and is not there."""
    gone = {"GROQ_API_KEY": "gsk-canary-0123456789", "GROQ_BASE_URL": f"http://127.0.0.1:{free_port()}/v1"}
    settings = {**ACCOUNTS, **gone, "SIGNUP": "open", "DEFAULT_MODEL": "offline/extractive"}
    with running(tmp_path_factory.mktemp("everywhere"), settings) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def town(url: str) -> Town:
    """Everything that dialogs and panels speak of, made beside the page."""
    await accounts(url, "ada", "ben")
    async with api(url, await token_of(url, *ROOT)) as client:
        collection = await documents(client)
        talk = (await post(client, "/v1/conversations", {"title": "Everything"}))["id"]
        path = f"/v1/conversations/{talk}"
        await client.put(f"{path}/vector_stores", json={"vector_store_ids": [collection]})
        await say(client, talk, "Who is the harbour master?", "offline/extractive")
        await say(client, talk, "think", "scripted/reasoning")
        await say(client, talk, "call them", "scripted/parallel")
        said = await say(client, talk, TOLD, "scripted/echo")
        await post(client, f"{path}/items/{said}/edit", {"content": "otherwise", "model": "scripted/echo"})
        await say(client, talk, "stop tokens=3", "scripted/fail-after")
        await post(client, f"{path}/members", {"user": "ben", "role": "viewer"})
        found = (await client.get(f"{path}/branches")).json()["data"]
        shared = await post(client, f"{path}/shares", {"expires_in": 86_400})
        await post(client, "/v1/admin/groups", {"name": "crew"})
        await post(client, "/v1/admin/invites", {})
        key = {"name": "ci"}
        await post(client, "/v1/api_keys", key)
        limit = {"scope": "everyone", "metric": "tokens", "period": "day", "amount": 1_000_000}
        await post(client, "/v1/admin/limits", limit)
        files = (await client.get(f"/v1/vector_stores/{collection}/files")).json()["data"]
    return Town(url, talk, (found[0]["id"], found[1]["id"]), collection, shared["token"], files[-1]["id"])


async def post(client: httpx.AsyncClient, path: str, body: Any) -> Any:
    return (await client.post(path, json=body)).raise_for_status().json()


async def say(client: httpx.AsyncClient, talk: str, text: str, model: str) -> str:
    """Have something answered; returns the id of what was said."""
    body = {"conversation": talk, "input": text, "model": model}
    answered = await post(client, "/v1/responses", body)
    return str(answered["antiphon"]["input_item_ids"][0])


async def documents(client: httpx.AsyncClient) -> str:
    """A collection with a file that can be read and one that cannot."""
    collection = str((await post(client, "/v1/vector_stores", {"name": "Harbour"}))["id"])
    path = f"/v1/vector_stores/{collection}/files"
    for name, content in (("handbook.md", HANDBOOK.encode()), ("broken.pdf", b"%PDF-1.4 nothing")):
        form = {"data": {"purpose": "user_data"}, "files": {"file": (name, content)}}
        made = (await client.post("/v1/files", **form)).raise_for_status().json()["id"]
        await post(client, path, {"file_id": made, "attributes": {"year": 2026}})
        while (await client.get(f"{path}/{made}")).json()["status"] == "in_progress":
            pass
    return collection


Open = Callable[[Tab, Town], Awaitable[None]]
"""Opens something on a fresh page at a place."""


async def nothing(page: Tab, town: Town) -> None:
    await page.page.wait_for_load_state("networkidle")


def shows(selector: str, open_it: Open | None = None) -> Open:
    """Open something, and wait until it is there: much is loaded when one asks for it."""

    async def work(page: Tab, town: Town) -> None:
        if open_it is not None:
            await open_it(page, town)
        await page.page.locator(selector).first.wait_for()

    return work


def click(*names: str, first: str = "") -> Open:
    """Click on what has these names, one after the other; before it, hover over `first`."""

    async def work(page: Tab, town: Town) -> None:
        if first:
            await page.page.locator(first).first.hover()
        for name in names:
            found = page.page.locator(f"[aria-label='{name}']").or_(
                page.page.locator(
                    "button, [role^=menuitem], summary", has_text=re.compile(f"^\\s*{name}\\s*$")
                )
            )
            await found.locator("visible=true").first.click()

    return work


async def show_list(page: Tab) -> None:
    await page.page.locator("main .top").wait_for()
    hidden = page.page.locator("[aria-label='Show conversations']")
    if await hidden.count():
        await hidden.click()


def of_chat(*names: str) -> Open:
    """Choose in the menu of the open chat, which a phone keeps behind a button."""

    async def work(page: Tab, town: Town) -> None:
        await page.page.locator(".said").first.wait_for()
        await show_list(page)
        await page.page.locator(".entry.open").hover()
        await page.page.locator(".entry.open .menu > button").click()
        await click(*names)(page, town)

    return work


async def account_menu(page: Tab, town: Town) -> None:
    await show_list(page)
    await page.page.locator(".oneself").click()


async def models(page: Tab, town: Town) -> None:
    await page.page.locator(".model-button").click()
    await page.page.locator(".model-row").first.wait_for()


async def cited(page: Tab, town: Town) -> None:
    await page.page.locator(".answer .cite").first.click()
    await expect(page.page.locator("dialog mark")).to_be_visible()


async def trace(page: Tab, town: Town) -> None:
    await page.page.get_by_label("How the sources were found").first.click()
    await expect(page.page.locator("dialog .trace")).to_be_visible()


async def larger(page: Tab, town: Town) -> None:
    await give(page, "pixel.png", "image/png", PIXEL, "paste")
    await page.say("a picture")
    await page.page.get_by_label("Show the picture larger").last.click()
    await expect(page.page.locator("dialog img")).to_be_visible()


async def unfolded(page: Tab, town: Town) -> None:
    await page.page.locator(".aside summary").nth(3).wait_for()
    for summary in await page.page.locator(".aside summary").all():
        await summary.click()


async def editing(page: Tab, town: Town) -> None:
    await page.page.locator(".said").last.hover()
    await page.page.get_by_label("Edit", exact=True).last.click()


async def editing_picture(page: Tab, town: Town) -> None:
    await give(page, "pixel.png", "image/png", PIXEL, "paste")
    await page.say("a picture")
    await editing(page, town)
    await page.page.locator(".edit .chip").wait_for()


async def branching(page: Tab, town: Town) -> None:
    await page.page.locator(".outline [role=treeitem]").last.click()
    await page.page.locator(".tree-card").wait_for()


async def new_branch(page: Tab, town: Town) -> None:
    await branching(page, town)
    await page.page.get_by_role("button", name="New branch from here").click()


async def deleting_branch(page: Tab, town: Town) -> None:
    await click("Branches.*")(page, town)
    await page.page.locator("[aria-label^='More about edit']").click()
    await page.page.locator("[role=menuitem]", has_text="Delete").click()


async def made_link(page: Tab, town: Town) -> None:
    await of_chat("Share")(page, town)
    await page.page.get_by_role("button", name="Make a link").click()
    await page.page.locator(".secret code").wait_for()


async def found_words(page: Tab, town: Town) -> None:
    await page.page.get_by_label("Words").fill("harbour")
    await page.page.keyboard.press("Enter")
    await page.page.locator(".hit").first.wait_for()


async def looked_up(page: Tab, town: Town) -> None:
    await page.page.get_by_label("What to look for").fill("harbour master")
    await page.page.keyboard.press("Enter")
    await page.page.locator(".passages li").first.wait_for()


async def refused(page: Tab, town: Town) -> None:
    page.expected.append("status of 404")
    await page.page.get_by_role("alert").first.wait_for()


CHAT: dict[str, tuple[str, Open]] = {
    "a new chat": ("", nothing),
    "the list of models": ("", models),
    "a chat": ("c/{talk}", nothing),
    "a chat with everything unfolded": ("c/{talk}", unfolded),
    "editing": ("c/{talk}", editing),
    "editing what has a picture": ("", editing_picture),
    "editing an answer": ("c/{talk}", click("Edit answer", first=".answer")),
    "answering again": ("c/{talk}", click("Answer again", first=".answer")),
    "the menu of a chat": ("c/{talk}", of_chat()),
    "the account's menu": ("", account_menu),
    "renaming": ("c/{talk}", of_chat("Rename")),
    "moving to a folder": ("c/{talk}", shows("dialog input", of_chat("Folder"))),
    "sharing": ("c/{talk}", shows("dialog input", of_chat("Share"))),
    "a link that was made": ("c/{talk}", made_link),
    "what may be done with a member": ("c/{talk}", of_chat("Share", "More about ben")),
    "collections of a chat": ("c/{talk}", shows("dialog [type=checkbox]", of_chat("Collections"))),
    "deleting a chat": ("c/{talk}", shows("dialog", of_chat("Delete"))),
    "a passage": ("c/{talk}", cited),
    "how sources were found": ("c/{talk}", trace),
    "a picture": ("", larger),
}
TREE: dict[str, tuple[str, Open]] = {
    "the tree": ("c/{talk}/tree", nothing),
    "a message of the tree": ("c/{talk}/tree", branching),
    "branches by name": ("c/{talk}/tree", click("Branches.*")),
    "a branch's menu": ("c/{talk}/tree", click("Branches.*", "More about main")),
    "deleting a branch": ("c/{talk}/tree", deleting_branch),
    "a new branch": ("c/{talk}/tree", new_branch),
    "two branches": ("c/{talk}/compare/{left}/{right}", shows(".compare-said")),
    "a chat that is not there": ("c/conv_00000000000000000000000000000000", refused),
}
COLLECTIONS: dict[str, tuple[str, Open]] = {
    "collections": ("collections", nothing),
    "a collection": ("collections/{collection}", nothing),
    "a search in a collection": ("collections/{collection}", looked_up),
    "renaming a collection": ("collections/{collection}", click("More about this collection", "Rename")),
    "deleting a collection": ("collections/{collection}", click("More about this collection", "Delete")),
    "a file's text": ("collections/{collection}", click("handbook.md")),
    "a file's attributes": ("collections/{collection}", click("More about handbook.md", "Attributes")),
    "deleting a file": ("collections/{collection}", click("More about handbook.md", "Delete the file")),
}
ONESELF: dict[str, tuple[str, Open]] = {
    "search": ("search", nothing),
    "what was found": ("search", found_words),
    "the keyboard": ("keyboard", nothing),
    **{f"settings: {one}": (f"settings/{one}", nothing) for one in SETTINGS},
    "deleting all chats": ("settings/data", click("Delete all chats")),
    "a key that was made": ("settings/keys", click("Make a key")),
}
ADMIN: dict[str, tuple[str, Open]] = {
    **{f"administration: {one}": (f"admin/{one}", nothing) for one in ADMINISTRATION},
    "a new account": ("admin/users", click("New account")),
    "what may be done with an account": ("admin/users", click("More about ada")),
    "an account's group": ("admin/users", click("More about ada", "Group")),
    "an account's new password": ("admin/users", click("More about ada", "New password")),
    "deleting an account": ("admin/users", click("More about ada", "Delete")),
    "an invite": ("admin/invites", click("Invite")),
    "a provider's key": ("admin/providers", click("More about groq", "Set its key")),
    "a shared chat": ("shared/{link}", shows("article")),
    "a link that leads nowhere": ("shared/ants_nothing", refused),
}
AREAS = {"chat": CHAT, "tree": TREE, "collections": COLLECTIONS, "oneself": ONESELF, "administration": ADMIN}
SEEN: dict[str, list[str]] = {}
"""Titles of the dialogs that were looked at, by area."""


def titles() -> list[str]:
    """What the titles of the page's dialogs begin with, as far as they stand in its source."""
    found: list[str] = []
    for path in (PROJECT / "web" / "src").rglob("*.tsx"):
        for plain, made in re.findall(
            r'<(?:Dialog|Confirm)\s+title=(?:"([^"]+)"|\{`([^`$]+))', path.read_text()
        ):
            found.append(plain or made)
    return found


async def look(page: Tab, town: Town, area: str, *schemes: Literal["light", "dark"]) -> dict[str, str]:
    """Go everywhere in an area; returns what is wrong, by place."""
    wrong: dict[str, str] = {}
    opened = True
    for name, (where, open_it) in AREAS[area].items():
        at = where.format(
            talk=town.talk, left=town.branches[0], right=town.branches[1], collection=town.collection,
            link=town.link,
        )  # fmt: skip
        if opened:
            await page.page.goto("about:blank")  # nothing that was opened stays open
        opened = open_it is not nothing
        await page.page.goto(f"{town.url}#/{at}")
        try:
            await open_it(page, town)
            SEEN.setdefault(area, []).extend(await page.texts("dialog h2"))
            await require_accessible(page, *schemes)
            overhang = await page.page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert overhang <= 0, f"{overhang} pixels too wide"
        except Exception as error:
            wrong[name] = str(error)[:600]
            await page.picture(f"wrong-{area}-{len(wrong)}")
    return wrong


@pytest.mark.parametrize("viewport", [WIDE, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("area", AREAS)
async def test_everything_can_be_used_by_everybody(
    browser: Browser, town: Town, area: str, viewport: dict[str, int]
) -> None:
    """Colours are those of the desktop on a phone, too, so dark is looked at once."""
    async with logged_in(browser, town.url, *ROOT) as page:
        await page.page.set_viewport_size(viewport)  # type: ignore[arg-type]
        page.page.set_default_timeout(15_000)
        wrong = await (look(page, town, area, "light") if viewport is PHONE else look(page, town, area))
    assert wrong == {}, "\n".join(f"{name}: {what}" for name, what in wrong.items())


async def test_no_dialog_was_left_out() -> None:
    if len(SEEN) < len(AREAS):
        pytest.skip("not all areas were looked at")
    seen = [title for found in SEEN.values() for title in found]
    assert [title for title in titles() if not any(one.startswith(title) for one in seen)] == []


@pytest.mark.parametrize("where", ["", "signup"])
async def test_so_can_the_way_in(browser: Browser, town: Town, where: str) -> None:
    for viewport in (WIDE, PHONE):
        async with tab(browser, town.url, viewport=viewport) as page:
            page.expected.append(UNAUTHENTICATED)
            await page.page.goto(f"{town.url}#/{where}")
            await page.page.locator("[name=username]").wait_for()
            await require_accessible(page)
