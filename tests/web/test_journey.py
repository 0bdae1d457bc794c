"""A person opens the address and talks: asks, edits, tries again, compares, deletes, by mouse and by keys."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, Route, expect

from tests.web.browser import PHONE, Tab, tab
from tests.web.views import edit, pick_of_open

pytestmark = pytest.mark.asyncio(loop_scope="session")

COPIED = "(text) => navigator.clipboard.readText().then((copied) => copied === text)"
MARKDOWN = """# First

| a | b |
|---|--:|
| 1 | 22 |

```python
def f(x):
    return x + 1  # add
```

Euler: $e^{i\\pi}+1=0$ and

$$\\int_0^1 x^2\\,dx = \\frac{1}{3}$$

It costs $5 and $6.

- one
- two [link](https://example.org) ![pic](https://example.org/x.png)"""


async def test_without_a_model_the_page_says_what_answers_and_how_to_connect_a_real_one(page: Tab) -> None:
    text = await page.page.locator(".first-run").inner_text()
    assert text.count(". ") == 1 and "offline model" in text and "GROQ_API_KEY" in text
    await page.say("The lights of the harbour are green.")
    await page.say("What colour are the lights of the harbour?")
    await expect(page.page.locator(".answer").last).to_contain_text("lights of the harbour are green")
    await page.picture("offline")


async def test_an_answer_is_set_as_it_was_written(page: Tab) -> None:
    await page.choose("echo")
    await page.say(MARKDOWN)
    answer = page.page.locator(".answer")
    await expect(answer.locator("h1")).to_have_text("First")
    await expect(answer.locator("td[align=right]")).to_have_text("22")
    await expect(answer.locator("pre .hljs-keyword").first).to_have_text("def")
    await expect(answer.locator("math")).to_have_count(2)
    await expect(answer.locator("math[display=block]")).to_have_count(1)
    await expect(answer).to_contain_text("It costs $5 and $6.")
    await expect(answer.locator("img")).to_have_count(0)
    await expect(answer.locator("a").first).to_have_attribute("rel", "noopener noreferrer nofollow")
    await expect(answer.locator(".spent")).to_contain_text("tokens")
    await page.picture("markdown")


async def test_code_and_answers_are_copied(browser: Browser, url: str) -> None:
    async with tab(browser, url, permissions=["clipboard-read", "clipboard-write"]) as page:
        await page.open()
        await page.choose("echo")
        await page.say("```js\nlet a = 1;\n```")
        await page.page.click("figure.code button")
        await page.page.wait_for_function(COPIED, arg="let a = 1;")
        await page.page.click(".answer [aria-label=Copy]")
        await page.page.wait_for_function(COPIED, arg="```js\nlet a = 1;\n```")


async def test_an_edit_and_another_answer_are_siblings_that_one_goes_between(page: Tab) -> None:
    await page.choose("echo")
    await page.say("first question")
    await edit(page, "second question")
    await expect(page.page.locator(".siblings")).to_have_text(["2/2"])
    for part in (".bubble", ".answer-body"):
        await expect(page.page.locator(part)).to_have_text(["second question"])
    await page.settled()
    await page.page.click("[aria-label='Previous alternative']")
    await expect(page.page.locator(".bubble")).to_have_text("first question")
    await expect(page.page.locator(".siblings")).to_have_text("1/2")
    await page.settled()
    await page.page.click("[aria-label='Answer again']")
    await page.page.click("text=With text")
    await expect(page.page.locator(".answer .siblings")).to_have_text("2/2")
    await page.settled()
    await expect(page.page.locator(".answer").first).to_contain_text("quick brown fox")
    await page.page.reload()
    await expect(page.page.locator(".answer .siblings")).to_have_text("2/2")
    await expect(page.page.locator(".said .siblings")).to_have_text("1/2")
    await page.picture("siblings")


async def test_several_models_answer_side_by_side_and_one_of_them_goes_on(page: Tab) -> None:
    await page.choose("echo", "text", "reasoning")
    await page.say("to all of you")
    await expect(page.page.locator(".fan-column")).to_have_count(3)
    await page.picture("side-by-side")
    await page.page.locator(".fan-column", has_text="text").get_by_text("Go on from this one").first.click()
    await page.settled()
    await page.choose("echo")
    await page.say("and now")
    await expect(page.page.locator(".bubble").last).to_have_text("and now")
    await page.page.reload()
    await page.page.wait_for_selector(".siblings")
    await expect(page.page.locator(".answer").first).to_contain_text("quick brown fox")


async def test_an_answer_can_be_stopped_and_what_was_said_stays(page: Tab) -> None:
    await page.choose("slow")
    await page.write("go on tokens=2000 delay_ms=20")
    await page.page.wait_for_selector("text=word5 ")
    await page.page.keyboard.press("Escape")
    await page.settled()
    await expect(page.page.locator(".answer")).to_contain_text("Stopped.")
    await page.page.reload()
    await expect(page.page.locator(".answer")).to_contain_text("word5")


async def test_a_model_that_fails_is_told_of_and_can_be_tried_again(page: Tab) -> None:
    page.expected.append("Failed to load resource")
    await page.choose("fail-after")
    await page.say("try tokens=3")
    await expect(page.page.locator(".ending.problem")).to_be_visible()
    await page.page.click("[aria-label='Answer again']")
    await page.page.click("text=With text")
    await expect(page.page.locator(".answer")).to_contain_text("quick brown fox")


async def test_a_question_that_was_refused_is_asked_again_and_stands_once(page: Tab) -> None:
    page.expected.append("Failed to load resource")
    refusal = {"error": {"message": "Too many.", "type": "rate_limit_error", "param": None, "code": None}}

    async def refuse(route: Route) -> None:
        await route.fulfill(status=429, json=refusal)

    await page.page.route("**/v1/responses", refuse, times=1)
    await page.choose("echo")
    await page.write("once only")
    await expect(page.page.locator(".ending.problem")).to_contain_text("Too many.")
    await page.picture("refused")
    await page.page.click("[aria-label='Answer again']")
    await page.page.click("text=Try again")
    await expect(page.page.locator(".answer-body")).to_have_text("once only")
    await page.settled()
    await page.page.reload()
    await expect(page.page.locator(".answer-body")).to_have_text("once only")
    await expect(page.page.locator(".bubble")).to_have_text(["once only"])


async def test_a_chat_can_be_forgotten_after_a_day_or_kept_after_all(page: Tab) -> None:
    await page.choose("echo")
    forget = page.page.get_by_label("Forget this chat after a day")
    await forget.check()
    async with page.page.expect_request("**/v1/conversations") as made:
        await page.say("just for today")
    assert (await made.value).post_data_json == {"expires_after": {"seconds": 86_400}}
    await expect(page.page.locator(".ends")).to_contain_text("forgotten on")
    await pick_of_open(page, "Keep for good")
    await expect(page.page.locator(".ends")).to_have_count(0)
    await page.page.reload()
    await expect(page.page.locator(".bubble")).to_have_text("just for today")
    await expect(page.page.locator(".ends")).to_have_count(0)
    await page.page.click(".top [aria-label='New chat']")
    await expect(forget).not_to_be_checked()


async def test_conversations_are_renamed_and_deleted(page: Tab) -> None:
    await page.choose("echo")
    await page.say("About to go")
    entry = page.page.locator(".entry.open")
    await expect(entry.locator("a")).to_have_text("About to go")
    await entry.hover()
    await entry.locator(".menu > button").click()
    await page.page.get_by_role("menuitem", name="Rename").click()
    await page.page.keyboard.type("Gone soon")
    await page.page.keyboard.press("Enter")
    await expect(entry.locator("a")).to_have_text("Gone soon")
    await expect(page.page.locator(".top-title")).to_have_text("Gone soon")
    await entry.locator(".menu > button").click()
    await page.page.get_by_role("menuitem", name="Delete").click()
    await page.picture("delete")
    await page.page.locator("dialog").get_by_role("button", name="Delete").click()
    await expect(page.page.get_by_text("Gone soon")).to_have_count(0)
    await expect(page.page.locator(".welcome")).to_be_visible()


async def test_chats_are_kept_in_folders(page: Tab) -> None:
    await page.choose("echo")
    folder, entries = page.page.locator("button.folder"), page.page.locator(".entry")
    for number in (1, 2):
        await page.page.goto(page.url + "#/")
        await page.say(f"for the garden {number}")
        await pick_of_open(page, "Folder")
        await page.page.get_by_label("Folder", exact=True).fill("Garden")
        await page.page.keyboard.press("Enter")
        await expect(folder).to_have_text(f"Garden {number}")
        await expect(folder).to_have_attribute("aria-expanded", "true")
    await page.page.goto(page.url + "#/")
    await page.page.reload()
    await expect(folder).to_have_attribute("aria-expanded", "false")
    await expect(page.page.get_by_text("for the garden")).to_have_count(0)
    await folder.click()
    await expect(entries.filter(has_text="for the garden")).to_have_count(2)
    await page.picture("folders")
    await entries.filter(has_text="for the garden 1").locator("a").click()
    await expect(page.page.locator(".bubble")).to_have_text("for the garden 1")
    await pick_of_open(page, "Folder")
    await page.page.get_by_role("button", name="Take it out").click()
    await expect(folder).to_have_text("Garden 1")
    await entries.filter(has_text="for the garden 2").locator("a").click()
    await expect(page.page.locator(".bubble")).to_have_text("for the garden 2")
    await pick_of_open(page, "Delete")
    await page.page.locator("dialog").get_by_role("button", name="Delete").click()
    await expect(folder).to_have_count(0)


async def test_everything_is_reached_by_keys(page: Tab) -> None:
    keys = page.page.keyboard
    await keys.type("by keys")
    await keys.press("Enter")
    await page.settled()
    await keys.press("Control+Shift+O")
    await page.page.wait_for_selector(".welcome")
    await keys.press("Control+Shift+S")
    await expect(page.page.locator(".sidebar")).to_have_count(0)
    await keys.press("Control+Shift+S")
    await keys.press("Control+/")
    await expect(page.page.get_by_role("heading", name="Keyboard")).to_be_visible()
    await page.page.go_back()
    await page.page.locator(".entry > a").first.focus()
    await keys.press("Enter")
    await page.page.wait_for_selector(".answer")
    for _ in range(90):
        await keys.press("Tab")
        name = await page.page.evaluate("document.activeElement.getAttribute('aria-label')")
        if name == "Answer again":
            break
    await keys.press("Enter")
    await keys.press("ArrowDown")
    await expect(page.page.locator("[role=menuitem]:focus")).to_be_visible()
    await keys.press("Escape")
    await expect(page.page.locator("[aria-label='Answer again']:focus")).to_be_visible()


async def test_on_a_phone_nothing_is_wider_than_the_screen(browser: Browser, url: str) -> None:
    async with tab(browser, url, viewport=PHONE, has_touch=True, is_mobile=True) as page:
        await page.open()
        await expect(page.page.locator(".sidebar")).to_have_count(0)
        await page.picture("phone-empty")
        await page.choose("echo")
        await page.say(MARKDOWN + "\n\n" + "a-very-long-word" * 20)
        await page.picture("phone")
        assert await page.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert await page.page.evaluate("document.querySelector('.viewport').scrollWidth <= innerWidth")
        await page.page.click("[aria-label='Show conversations']")
        await page.picture("phone-conversations")
        await page.page.locator(".entry > a").first.click()
        await expect(page.page.locator(".sidebar")).to_have_count(0)
