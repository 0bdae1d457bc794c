"""What tools were asked and returned comes in with its exports, and what an answer cites as links."""

from __future__ import annotations

import html
import json
from typing import Any

import pytest

from antiphon.domain.chat_exports import chatgpt, claude, librechat, open_webui
from antiphon.domain.chat_exports.chats import Attachment, Chat
from antiphon.domain.chat_exports.links import link
from tests.domain.exports import ROOT, exported, node, told, webui, words


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


# --- Claude


def claudes(*content: dict[str, Any], **fields: Any) -> Chat:
    message = {"uuid": "m", "sender": "assistant", "content": list(content), **fields}
    return claude.chat({"uuid": "c", "name": "", "chat_messages": [message]})


def cites(url: Any, end: Any) -> dict[str, Any]:
    return {"start_index": 0, "end_index": end, "details": {"type": "web_search_citation", "url": url}}


def test_claude_keeps_where_a_tool_found_something_and_links_what_cites_it() -> None:
    page = {"type": "knowledge", "title": "Sky", "url": "https://e.org/sky", "text": "the sky is blue"}
    document = {"type": "rag_reference", "uri": "1L8z", "extras": {"title": "Plan", "uri": "1L8z"}}
    found = [page, document, {"type": "local_resource", "name": "out.csv"}, {"type": "text", "text": " two"},
             {"type": "image", "source": {}}]  # fmt: skip
    citations = [cites("https://e.org/sky", 10), cites("https://n.org", 8), cites("https://e.org/sky", 99),
                 cites("a file", 3), cites("https://e.org/sky", None), 7]  # fmt: skip
    chat = claudes(
        {"type": "tool_use", "name": "web_search", "input": {}},
        {"type": "tool_result", "name": "web_search", "content": found},
        {"type": "text", "text": "It is blue now.", "citations": citations},
    )
    assert told(chat) == [
        ("tool", "Sky\nhttps://e.org/sky\nthe sky is blue\nPlan\nout.csv\n two"),
        ("assistant", "It is blue ([Sky](https://e.org/sky), [n.org](https://n.org)) now. ([Sky](https://e.org/sky))"),
    ]  # fmt: skip
    assert chat.notes == ("block of type image left out (1)",)


def test_claude_keeps_the_words_of_any_block_and_tells_of_the_others() -> None:
    chat = claudes(
        {"type": "voice_note", "title": "Voice", "text": "spoken"}, {"type": "flag", "flag": "x"},
        {"type": "token_budget"}, {"type": "thinking", "thinking": ""},
        {"type": "tool_result", "name": "lost", "content": "x"}, text="spoken",
    )  # fmt: skip
    assert told(chat) == [("assistant", "spoken")]
    assert chat.notes == (
        "block of type flag left out (1)",
        "result of a tool that was not used left out (1)",
    )


# --- LibreChat


def search(call: str, turn: int, *links: str) -> dict[str, Any]:
    """What lies beside an answer of a search of the web."""
    found = [{"title": f"T{number}", "link": to} for number, to in enumerate(links)]
    return {
        "type": "web_search",
        "toolCallId": call,
        "name": "web_search_ab",
        "web_search": {
            "turn": turn,
            "organic": found,
            "topStories": [{"title": "N", "link": "https://n.org"}],
        },
    }


def libre(**fields: Any) -> Chat:
    message = {"messageId": "a", "parentMessageId": librechat.ROOT, "isCreatedByUser": False, **fields}
    return librechat.chat({"conversationId": "c", "messages": [message]})


@pytest.mark.parametrize(
    "marks", ["\ue200 \ue201 \ue202", r"\ue200 \ue201 \ue202"], ids=["as they are", "escaped"]
)
def test_librechat_links_what_is_cited_and_keeps_what_searches_found(marks: str) -> None:
    begin, end, mark = marks.split()
    words = f"Sky {mark}turn0search1, news{begin}{mark}turn1news0{mark}turn7search0{end}, {mark}turn2file0."
    call = {"id": "c1", "name": "web_search", "args": "{}", "output": "two"}
    content = [{"type": "tool_call", "tool_call": call}, {"type": "text", "text": words}]
    file_search = {"type": "file_search", "toolCallId": "c3", "file_search": {
        "turn": 2, "sources": [{"fileId": "f", "fileName": "plan.pdf"}]}}  # fmt: skip
    file = {"filename": "out.csv", "filepath": "/x/out.csv"}
    searches = [search("c1", 0, "https://e.org/0", "https://e.org/1"), search("c2", 1), file_search]
    chat = libre(content=content, attachments=[*searches, {"type": "ui_resources"}, file])
    assert told(chat)[0] == (
        "tool", "two\nT0\nhttps://e.org/0\nT1\nhttps://e.org/1\nN\nhttps://n.org"
    )  # fmt: skip
    assert told(chat)[1] == (
        "assistant",
        "Sky ([T1](https://e.org/1)), news ([N](https://n.org)), (plan.pdf)."
        "\n[1] [N](https://n.org)\n[2] plan.pdf",
    )
    assert [one.name for one in chat.messages[1].draft.attachments] == ["out.csv"]
    assert chat.notes == ("attachment of type ui_resources left out (1)",)


def test_librechat_leaves_words_that_cite_nothing_as_they_are() -> None:
    assert told(libre(text="the marker \\ue202 and turn0search0")) == [
        ("assistant", "the marker \\ue202 and turn0search0")
    ]


# --- ChatGPT


def test_chatgpt_keeps_the_pictures_that_code_drew() -> None:
    drawn = {"aggregate_result": {"messages": [
        {"message_type": "image", "image_url": "file-service://file-B2"}, {"image_url": "https://e.org/x.png"},
        {"message_type": "stream", "image_url": None}, 7,
    ]}}  # fmt: skip
    silent = {"content_type": "execution_output", "text": ""}
    loud = {"content_type": "execution_output", "text": "[<Line2D>]"}
    value = exported(
        ROOT, node("o", "root", "tool", content=silent, name="python", metadata=drawn),
        node("p", "o", "tool", content=loud, name="python", metadata=drawn),
    )  # fmt: skip
    chat = chatgpt.chat(value, {"file-B2.dat": "plot.png"})
    assert told(chat) == [("assistant", ""), ("tool", "[<Line2D>]"), ("assistant", "")]
    picture = Attachment(name="file-B2", ref="file-B2", listed="plot.png", is_image=True)
    assert [one.draft.attachments for one in chat.messages] == [(picture,), (), (picture,)]


def said(words: str, **metadata: Any) -> str:
    ((_, text),) = told(
        chatgpt.chat(exported(ROOT, node("a", "root", "assistant", words, metadata=metadata)), {})
    )
    return text


def test_chatgpt_links_older_citations_where_the_export_says_what_they_lead_to() -> None:
    words = "Blue【3†source】, green 【4:0†a】, red【5†b】."

    def cited(mark: str, by: int = 0, **about: Any) -> dict[str, Any]:
        start = words.index(mark) + by
        return {"start_ix": start, "end_ix": start + len(mark), "metadata": about}

    citations = [cited("【3†source】", url="https://e.org/3", title="T"), cited("【4:0†a】", -1, url="https://e.org/4"),
                 cited("【5†b】", name="plan.pdf"), {"start_ix": None}, 7]  # fmt: skip
    assert said(words, citations=citations) == (
        "Blue ([T](https://e.org/3)), green ([e.org](https://e.org/4)), red【5†b】."
    )
    mark, other = ":contentReference[oaicite:0]{index=0}", ":contentReference[oaicite:1]{index=1}"
    references = [{"matched_text": mark, "alt": "([w](https://e.org/w))"}, {"matched_text": " ", "alt": "x"},
                  {"matched_text": "【6†L1】", "items": [{"url": "https://e.org/6"}]}]  # fmt: skip
    assert said(f"Water {mark} is wet{mark}, {other}【6†L1】", content_references=references) == (
        f"Water ([w](https://e.org/w)) is wet ([w](https://e.org/w)), {other} ([e.org](https://e.org/6))"
    )


@pytest.mark.parametrize(
    ("content", "output"),
    [
        ({"content_type": "tether_quote", "url": "https://e.org/a", "title": "A", "text": "words"},
         "A\nhttps://e.org/a\nwords"),
        ({"content_type": "sonic_webpage", "url": "https://e.org/b", "title": "B", "snippet": "s"},
         "B\nhttps://e.org/b\ns"),
        ({"content_type": "tether_browsing_display", "result": " listing"}, " listing"),
        ({"content_type": "tether_quote", "url": "a file", "title": "A"}, "A"),
    ],
)  # fmt: skip
def test_chatgpt_tells_where_a_tool_found_something(content: dict[str, Any], output: str) -> None:
    value = exported(ROOT, node("t", "root", "tool", content=content, name="browser"))
    assert told(chatgpt.chat(value, {})) == [("tool", output)]


@pytest.mark.parametrize(
    ("fields", "pinned"),
    [({"pinned_time": 1_767_225_700.5}, True), ({"is_starred": True}, True), ({"pinned_time": None}, False)],
)
def test_chatgpt_pins_what_was_pinned(fields: dict[str, Any], pinned: bool) -> None:
    assert chatgpt.chat(exported(ROOT, node("u", "root", "user", "x"), **fields), {}).pinned is pinned
