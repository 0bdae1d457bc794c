"""What tools were asked and returned comes in with its exports, and what an answer cites as links."""

from __future__ import annotations

import html
import json
from typing import Any

import pytest

from antiphon.domain.chat_exports import open_webui
from antiphon.domain.chat_exports.chats import Chat
from antiphon.domain.chat_exports.links import link
from tests.domain.exports import told, webui, words


def used(chat: Chat) -> list[tuple[str, str, str]]:
    """The tools of a chat: name, what it was asked, what it returned."""
    return [
        (one.draft.tool, one.draft.asked, words(one)) for one in chat.messages if one.draft.kind == "tool"
    ]


@pytest.mark.parametrize(
    ("title", "url", "shown"),
    [
        ("T", "https://e.org", "[T](https://e.org)"), (None, "https://e.org/a?b=1", "[e.org](https://e.org/a?b=1)"),
        ("a]b", "https://e.org/x_(y)", r"[a\]b](https://e.org/x_%28y%29)"), ("T", "javascript:alert(1)", "T"),
        ("T", "https://e.org/\nx", "T"), (None, "https://", ""), (7, None, ""),
    ],
)  # fmt: skip
def test_links_lead_into_the_web_and_nowhere_else(title: Any, url: Any, shown: str) -> None:
    assert link(title, url) == shown


# --- Open WebUI


def answered(content: str = "", **fields: Any) -> Chat:
    message = {"parentId": None, "role": "assistant", "content": content, **fields}
    return open_webui.chat(webui({"a": message}, "a"))


def attribute(value: Any) -> str:
    return html.escape(json.dumps(value))


def test_open_webui_reads_what_tools_were_asked_and_returned_out_of_the_text() -> None:
    asked = '{"city": "Lisbon", "what": "<b>\\"x\\"</b>"}'
    folded = (
        f'<details type="tool_calls" done="true" id="c" name="weather" arguments="{attribute(asked)}" '
        f'result="{attribute("21 > 20")}" files="" embeds="">\n<summary>Ran</summary>\n</details>\n'
        f'<details type="tool_calls" name="plain" arguments="{html.escape(asked)}" '
        f'result="{attribute({"c": 21})}">\n<summary>Ran</summary>\n</details>\n'
        f'<details type="code_interpreter" output="{attribute({"stdout": "42", "stderr": None})}">\n'
        '<summary>Analyzed</summary>\n```python\nprint(6 < 7 and "42")\n```\n</details>\n'
        '<details open><summary>mine</summary>stays</details>'
    )  # fmt: skip
    chat = answered(folded)
    assert used(chat) == [
        ("weather", asked, "21 > 20"), ("plain", asked, '{"c": 21}'),
        ("code_interpreter", 'print(6 < 7 and "42")', "42"),
    ]  # fmt: skip
    assert told(chat)[-1] == ("assistant", "<details open><summary>mine</summary>stays</details>")


def test_open_webui_keeps_every_step_of_an_answer_or_tells_of_it() -> None:
    ran = {
        "type": "open_webui:code_interpreter",
        "lang": "python",
        "code": "print(1)",
        "output": {"stdout": "1"},
    }
    output = [ran, {"type": "web_search_call", "id": "w", "action": {"query": "x"}}, {"type": "odd"},
              {"type": "function_call", "call_id": "f", "name": "draw", "arguments": {"a": 1}},
              {"type": "function_call_output", "call_id": "f", "output": [{"text": "done"}], "files": [{}]},
              {"type": "message", "content": [{"text": "There."}]}]  # fmt: skip
    chat = answered(output=output)
    assert used(chat) == [
        ("code_interpreter", "print(1)", "1"), ("web_search", '{"action":{"query":"x"}}', ""),
        ("draw", '{"a":1}', "done"),
    ]  # fmt: skip
    assert chat.notes == (
        "part of an answer of type odd left out (1)",
        "files that a tool returned left out (1)",
    )


def test_open_webui_lists_what_an_answer_cites_under_it() -> None:
    web = {
        "source": {"name": "s"},
        "document": ["a", "b", "c"],
        "metadata": [
            {"source": "https://e.org/1", "name": "One"},
            {"source": "https://e.org/2"},
            {"source": "https://e.org/1"},
        ],
    }
    file = {"source": {"id": "f1", "name": "plan.pdf"}, "document": ["d"], "metadata": []}  # fmt: skip
    chat = answered("Blue [1], green [3].", sources=[web, file, {"source": {}}])
    assert [part.text for part in chat.messages[0].draft.parts if hasattr(part, "text")] == [
        "Blue [1], green [3].",
        "[1] [One](https://e.org/1)\n[2] [s](https://e.org/2)\n[3] plan.pdf",
    ]


@pytest.mark.parametrize("one", ['<details type="reasoning">', '<details a="', "<details x>", "<details"])
def test_open_webui_reads_broken_folds_in_time_that_grows_with_them(one: str) -> None:
    """Two hundred thousand of them take a second or so; looked at pair by pair they would take hours."""
    (message,) = answered(one * 200_000 + "end").messages
    assert words(message).endswith("end")
