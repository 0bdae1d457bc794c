"""A text that grows looks like one that was there at once, and costs by what comes, not by what is there."""

# ruff: noqa: E501 - each text stands by itself

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.web.browser import Tab, tab
from tests.web.hostile import PAYLOADS
from tests.web.prefixes import served
from tests.web.test_pace import SECTION

pytestmark = pytest.mark.asyncio(loop_scope="session")

TEXTS = {
    "a bit of all": SECTION.format(number=1) * 2,
    "a list that becomes loose": "1. one\n2. two\n   - within\n     more\n\n3. three\n\n   a paragraph\n4. four\n\nend",
    "tasks": "- [ ] to do\n- [x] done\n- [ ] `code`\n",
    "lists of two kinds": "- a\n- b\n\n1. a\n2. b\n\n* c\n+ d\n\n7. seven\n8. eight\n",
    "a table in a list": "- one\n\n  | a | b |\n  |---|---|\n  | 1 | 2 |\n  | 3 | 4 |\n\n- ```py\n  x = 1\n  ```\n- end",
    "a table that is none at first": "| a | b |\n|---|:-:|\n| 1 | **2** |\n| 3 | `4` | 5 |\n| 6\n\nafter\n\n| c |\n|---|\n",
    "code": "```python\ndef f():\n    return `1`\n```\ntext\n~~~\nno language\n\n~~~\n\n    by blanks\n\n    more\n",
    "links named later": "- [one][1]\n- [two][1]\n\n[1]: https://example.org\n\n- [three][1]\n",
    "formulas": "- $a$ and $b$\n- \\[x\n\\]\n\n$$y$$\n\n> - $q$\n> - r\n",
}
LONG = {
    "a list": ("".join(f"{n}. Point **{n}** with `code`, said at length\n" for n in range(1, 300)), 60),
    "a table": ("| a | b |\n|---|--:|\n" + "".join(f"| {n} | {n * n} |\n" for n in range(300)), 60),
    "code": ("```python\n" + "".join(f"x_{n} = {n}  # as it is\n" for n in range(300)), 5),
}
TAIL = 40


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def growing(browser: Browser, bench: str) -> AsyncIterator[Tab]:
    """A tab with the page's Markdown and nothing else."""
    async with tab(browser, bench) as page:
        page.expected.append("404")  # the browser asks for an icon
        await page.page.goto(bench)
        await page.page.wait_for_function("'nodesFor' in window")
        yield page


@pytest.fixture(scope="module")
def bench(prefixes: Path) -> Iterator[str]:
    """Where that page is."""
    with served(prefixes, with_policy=True) as found:
        yield found


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
async def test_every_beginning_looks_as_if_it_had_been_there_at_once(growing: Tab, text: str) -> None:
    for step in (1, 7):
        assert await growing.page.evaluate("([text, step]) => grownOtherwise(text, step)", [text, step]) == []


async def test_hostile_texts_too(growing: Tab) -> None:
    for text in PAYLOADS:
        assert await growing.page.evaluate("(text) => grownOtherwise(text, 3)", text) == [], text


@pytest.mark.parametrize("text,most", LONG.values(), ids=LONG)
async def test_what_comes_last_leaves_all_before_it_alone(growing: Tab, text: str, most: int) -> None:
    made = await growing.page.evaluate("([text, tail]) => nodesFor(text, tail)", [text, TAIL])
    assert 0 <= made <= TAIL * most / 4, made
