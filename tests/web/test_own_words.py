"""What one does with an answer: says it otherwise, has it read aloud, takes it to paper."""

from __future__ import annotations

import io

import pytest
from playwright.async_api import Browser, expect
from pypdf import PdfReader

from tests.web.browser import Tab, tab
from tests.web.views import require_accessible

pytestmark = pytest.mark.asyncio(loop_scope="session")

VOICES = """
const heard = (window.__heard = []);
const voice = (name, lang, localService) => ({ name, lang, localService, default: false });
let found = [];
const synthesis = new EventTarget();
Object.assign(synthesis, {
    getVoices: () => found,
    speak: (words) => heard.push(words),
    cancel: () => heard.at(-1)?.dispatchEvent(new Event("end")),
});
Object.defineProperty(window, "speechSynthesis", { value: synthesis });
window.SpeechSynthesisUtterance = class extends EventTarget {
    constructor(text) { super(); this.text = text; }
};
window.__comes = (...voices) => {
    found = voices.map((one) => voice(...one));
    synthesis.dispatchEvent(new Event("voiceschanged"));
};
"""
"""A browser's voices; Debian's Chromium has none."""
READ = "[aria-label='Read aloud']"


async def test_an_answer_is_said_otherwise_beside_what_the_model_said(page: Tab) -> None:
    await page.choose("reasoning")
    await page.say("question")
    answer = page.page.locator(".answer")
    model = await answer.locator(".answer-body .markdown").last.inner_text()
    await page.page.click("[aria-label='Edit answer']")
    await page.page.fill(".edit .composer-input", "words of **mine**")
    await require_accessible(page)
    await page.page.click("text=Save beside it")
    await expect(page.page.locator(".siblings")).to_have_text(["2/2"])
    await expect(answer.locator("strong")).to_have_text("mine")
    await expect(answer.locator("details")).to_have_count(0)
    await page.settled()
    await page.choose("echo")
    await page.say("and then")
    await expect(answer).to_have_count(2)
    await page.page.reload()
    await expect(answer.first.locator("strong")).to_have_text("mine")
    await page.page.click("[aria-label='Previous alternative']")
    await expect(answer).to_have_count(1)
    await expect(answer).to_contain_text(model)


async def test_two_tabs_see_an_answer_that_one_says_otherwise(browser: Browser, page: Tab) -> None:
    await page.choose("echo")
    await page.say("to be changed")
    async with tab(browser, page.page.url) as other:
        await other.page.goto(other.url)
        await expect(other.page.locator(".answer")).to_contain_text("to be changed")
        await other.page.wait_for_selector(".thread:not([data-busy])")
        await page.page.click("[aria-label='Edit answer']")
        await page.page.fill(".edit .composer-input", "changed")
        await page.page.keyboard.press("Enter")
        for one in (page, other):
            await expect(one.page.locator(".answer-body")).to_have_text(["changed"])
            await expect(one.page.locator(".siblings")).to_have_text(["2/2"])


async def test_an_answer_is_read_aloud_by_voices_of_this_computer_only(browser: Browser, url: str) -> None:
    async with tab(browser, url, locale="de-DE") as page:
        await page.page.add_init_script(VOICES)
        await page.open()
        await page.choose("echo")
        await page.say("# Hear\n\n- *this* [link](https://example.org)\n\n```js\nnot = this\n```\n")
        await page.page.evaluate("__comes(['far', 'de-DE', false])")
        await expect(page.page.locator(READ)).to_have_count(0)
        await page.page.evaluate(
            "__comes(['far', 'de-DE', false], ['en', 'en-US', true], ['de', 'de_DE', true])"
        )
        await page.page.click(READ)
        assert await page.page.evaluate("[__heard[0].text, __heard[0].voice.name]") == [
            "Hear\n\nthis link",
            "de",
        ]
        await page.page.click("[aria-label='Stop reading aloud']")
        await page.page.click(READ)
        await page.page.evaluate("__heard[1].dispatchEvent(new Event('end'))")
        await expect(page.page.locator(READ)).to_be_visible()


async def test_a_chat_goes_to_paper_whole_and_without_what_one_presses(page: Tab) -> None:
    await page.choose("echo")
    long = "\n\n".join(f"paragraph {number} of many" for number in range(120))
    await page.say(long)
    paper = PdfReader(io.BytesIO(await page.page.pdf()))
    text = "\n".join(one.extract_text() for one in paper.pages)
    for number in (1, 60, 119):
        assert text.count(f"paragraph {number} of many") == 2, "as it was said, and as it was answered"
    assert len(paper.pages) > 3
    assert "New chat" not in text and "tokens" not in text


async def test_an_answer_is_called_good_in_every_tab_and_that_is_taken_back(
    browser: Browser, page: Tab
) -> None:
    await page.choose("echo")
    await page.say("how was this?")
    good, bad = (f"[aria-label='{word} answer']" for word in ("Good", "Bad"))
    async with tab(browser, page.page.url) as other:
        await other.page.goto(other.url)
        tabs = (page, other)
        for press, states in (
            (good, "true false"),
            (bad, "false true"),
            (bad, "false false"),
            (good, "true false"),
        ):
            await page.page.click(press)
            for one in tabs:
                for button, state in zip((good, bad), states.split(), strict=True):
                    await expect(one.page.locator(button)).to_have_attribute("aria-pressed", state)
        await other.page.reload()
        await expect(other.page.locator(good)).to_have_attribute("aria-pressed", "true")
        await require_accessible(other)
        await other.page.goto(f"{page.url}#/admin/usage")
        row = other.page.get_by_label("Ratings").locator("tbody tr")
        await expect(row.locator("td")).to_have_text(["scripted/echo", "1", "0"])
