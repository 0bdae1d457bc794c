"""Exports of other chat applications become one form: nothing that was said is lost."""

from __future__ import annotations

import json
from typing import Any

import pytest

from antiphon.domain.chat_exports import (
    antiphon,
    book,
    branching,
    chatgpt,
    claude,
    librechat,
    open_webui,
    redis,
)
from antiphon.domain.chat_exports.chats import Attachment, Text
from antiphon.domain.chat_exports.kinds import kind_of
from tests.domain.exports import ROOT, edges, exported, node, of_key, told, webui, words

# --- ChatGPT


def test_chatgpt_keeps_branches_times_models_and_the_line_in_view() -> None:
    value = exported(
        ROOT,
        node("u1", "root", "user", "Why?", time=1_700_000_001),
        node("a1", "u1", "assistant", "Because.", time=1_700_000_002, metadata={"model_slug": "gpt-4o"}),
        node("a2", "u1", "assistant", "I do not know.", time=1_700_000_003),
        node("u2", "a1", "user", "I see.", time=1_700_000_004),
        current_node="a1", default_model_slug="gpt-5", is_archived=True, is_starred=True,
    )  # fmt: skip
    chat = chatgpt.chat(value, {})
    assert (chat.key, chat.title, chat.created_us) == ("c1", "A talk", 1_700_000_000_250_000)
    assert chat.updated_us == 1_700_000_100_000_000 and chat.archived and chat.pinned
    assert edges(chat) == {(None, "u1"), ("u1", "a1"), ("u1", "a2"), ("a1", "u2")}
    assert chat.current == "a1"
    assert [of_key(chat, key).draft.model for key in ("u1", "a1", "a2")] == [None, "gpt-4o", "gpt-5"]
    assert of_key(chat, "a2").created_us == 1_700_000_003_000_000


def test_chatgpt_leaves_out_what_was_hidden_and_keeps_what_follows_it() -> None:
    hidden = {"is_visually_hidden_from_conversation": True}
    profile = {"content_type": "user_editable_context", "user_profile": "secret", "user_instructions": "x"}
    recap = {"content_type": "reasoning_recap", "content": "Thought for 5s"}
    value = exported(
        ROOT,
        node("s", "root", "system", "", metadata=hidden),
        node("p", "s", "user", content=profile),
        node("u1", "p", "user", "Hello"),
        node("r", "u1", "assistant", content=recap),
        node("a1", "r", "assistant", "Hi"),
    )  # fmt: skip
    chat = chatgpt.chat(value, {})
    assert told(chat) == [("user", "Hello"), ("assistant", "Hi")]
    assert edges(chat) == {(None, "u1"), ("u1", "a1")}
    assert "hidden message left out (2)" in chat.notes and "secret" not in str(chat)


def test_chatgpt_tells_thoughts_code_tools_and_pictures_apart() -> None:
    thoughts = {"content_type": "thoughts", "thoughts": [{"summary": "Plan", "content": "First this."}]}
    code = {"content_type": "code", "language": "python", "text": "print(1)"}
    picture = {"content_type": "multimodal_text", "parts": [{
        "content_type": "image_asset_pointer", "asset_pointer": "file-service://file-Abc1"}]}  # fmt: skip
    value = exported(
        ROOT,
        node("t", "root", "assistant", content=thoughts),
        node("c", "t", "assistant", content=code, recipient="python"),
        node("o", "c", "tool", content={"content_type": "execution_output", "text": "1"}, name="python"),
        node("i", "o", "tool", content=picture, name="dalle.text2im"),
        node("k", "i", "assistant", content=code),
    )  # fmt: skip
    chat = chatgpt.chat(value, {})
    assert told(chat) == [
        ("reasoning", "Plan\n\nFirst this."), ("tool", ""), ("tool", "1"), ("assistant", ""),
        ("assistant", "```python\nprint(1)\n```"),
    ]  # fmt: skip
    assert (of_key(chat, "c").draft.tool, of_key(chat, "c").draft.asked) == ("python", "print(1)")
    assert of_key(chat, "i").draft.attachments == (
        Attachment(name="file-Abc1", ref="file-Abc1", is_image=True),
    )


def test_chatgpt_names_attachments_by_message_or_by_the_list_of_names() -> None:
    parts = [{"content_type": "image_asset_pointer", "asset_pointer": "sediment://file_00a1#file_00a1#p_0.jpg"},
             {"content_type": "audio_transcription", "text": "spoken words"},
             {"content_type": "real_time_user_audio_video_asset_pointer",
              "audio_asset_pointer": {"asset_pointer": "sediment://file_00b2"}}, "and text"]  # fmt: skip
    attachments = [{"id": "file_00a1", "name": "cat.jpg", "mime_type": "image/jpeg"},
                   {"id": "file-pdf", "name": "plan.pdf", "mime_type": "application/pdf"}]  # fmt: skip
    value = exported(ROOT, node("u1", "root", "user", *parts, metadata={"attachments": attachments}))
    (message,) = chatgpt.chat(value, {"file_00b2.dat": "voice.wav"}).messages
    assert words(message) == "spoken words\nand text"
    assert message.draft.attachments == (
        Attachment(name="cat.jpg", ref="file_00a1", is_image=True),
        Attachment(name="file_00b2", ref="file_00b2", listed="voice.wav"),
        Attachment(name="plan.pdf", ref="file-pdf"),
    )


def test_chatgpt_citations_become_links() -> None:
    mark, other = "\ue200cite\ue202turn0search1\ue201", "\ue200navlist\ue202x\ue201"
    references = [{"matched_text": mark, "alt": "([site](https://a.example))"}]
    metadata = {"content_references": references}
    said = f"So it is.{mark} Really.{other}"
    value = exported(ROOT, node("a1", "root", "assistant", said, metadata=metadata))
    assert told(chatgpt.chat(value, {})) == [("assistant", "So it is. ([site](https://a.example)) Really.")]


# --- Claude


def test_antiphon_keeps_thoughts_tools_pictures_and_the_line_in_view() -> None:
    def item(key: str, parent: str | None, **fields: Any) -> dict[str, Any]:
        place = {"parent_id": parent, "created_at": 1_700_000_000, "response": {"model": "a/b"}}
        return {"id": key, "antiphon": place, **fields}

    picture = {"type": "input_image", "image_url": "data:image/png;base64,aGk="}
    named = {"type": "input_file", "file_id": "file-1", "filename": "plan.pdf"}
    value = {
        "object": "conversation.export", "format": 1,
        "conversation": {"id": "conv_1", "title": "T", "created_at": 1_700_000_000, "archived": True},
        "branches": [
            {"active": False, "head_item_id": "item_5"}, {"active": True, "head_item_id": "item_6"},
        ],
        "items": [
            item("msg_1", None, type="message", role="user",
                 content=[{"type": "input_text", "text": "look"}, picture, named]),
            item("rs_2", "msg_1", type="reasoning", summary=[{"type": "summary_text", "text": "hm"}]),
            item("fc_3", "rs_2", type="function_call", name="find", arguments="{}", call_id="c"),
            item("fco_4", "fc_3", type="function_call_output", call_id="c", output="it"),
            item("msg_5", "fco_4", type="message", content=[{"type": "output_text", "text": "a"}]),
            item("msg_6", "fco_4", type="message", role="assistant", content="b"),
            item("fs_7", "msg_6", type="file_search_call", queries=["x"]),
            item("fco_8", "msg_6", type="function_call_output", call_id="none", output="it"),
        ],
    }  # fmt: skip
    assert kind_of(value) == "antiphon" and kind_of({**value, "format": 2}) is None
    chat = antiphon.chat(value)
    assert [(one.key, one.parent, one.draft.kind) for one in chat.messages] == [
        ("1", None, "message"), ("2", "1", "reasoning"), ("3", "2", "tool"), ("5", "3", "message"),
        ("6", "3", "message"), ("7", "6", "item"),
    ]  # fmt: skip
    first, thought, tool, *_ = (one.draft for one in chat.messages)
    assert [one.content for one in first.attachments] == [b"hi", None]
    assert (first.attachments[1].ref, first.attachments[1].name) == ("file-1", "plan.pdf")
    assert (thought.parts, tool.tool, tool.parts, tool.model) == ((Text("hm"),), "find", (Text("it"),), "a/b")
    assert (chat.current, chat.archived, chat.key) == ("6", True, "conv_1")
    assert chat.notes == ("function_call_output left out (1)",)


def test_claude_keeps_order_parents_thoughts_tools_and_attachments() -> None:
    value = {
        "uuid": "c", "name": "Plans", "created_at": "2025-03-01T10:00:00.5Z",
        "updated_at": "2025-03-02T10:00:00Z",
        "current_leaf_message_uuid": "m3",
        "chat_messages": [
            {"uuid": "m1", "sender": "human", "text": "See this", "created_at": "2025-03-01T10:00:01Z",
             "parent_message_uuid": "00000000-0000-4000-8000-000000000000",
             "content": [{"type": "text", "text": "See this"}],
             "attachments": [{"file_name": "", "extracted_content": "pasted"}, {"file_name": "x.bin"}],
             "files": [{"file_name": "pic.png", "file_uuid": "f1"}],
             "files_v2": [{"file_name": "pic.png", "file_uuid": "f1"}]},
            {"uuid": "m2", "sender": "assistant", "text": "", "parent_message_uuid": "m1", "content": [
                {"type": "thinking", "thinking": "hm"},
                {"type": "tool_use", "id": "t1", "name": "search", "input": {"q": 1}},
                {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "found"}]},
                {"type": "text", "text": "Done."}]},
            {"uuid": "m3", "sender": "assistant", "text": "Another", "parent_message_uuid": "m1"},
        ],
    }  # fmt: skip
    chat = claude.chat(value)
    assert told(chat) == [
        ("user", "See this\n[pasted text]\npasted"), ("reasoning", "hm"), ("tool", "found"),
        ("assistant", "Done."), ("assistant", "Another"),
    ]  # fmt: skip
    assert [one.parent for one in chat.messages] == [None, "m1", "m2/1", "m2/2", "m1"]
    assert chat.current == "m3" and chat.title == "Plans" and chat.created_us == 1_740_823_200_500_000
    assert [one.name for one in chat.messages[0].draft.attachments] == ["x.bin", "pic.png"]
    assert (chat.messages[2].draft.tool, chat.messages[2].draft.asked) == ("search", '{"q":1}')


def test_claude_without_parents_is_one_line() -> None:
    said = [{"uuid": f"m{n}", "sender": ("human", "assistant")[n % 2], "text": f"t{n}"} for n in range(4)]
    chat = claude.chat({"uuid": "c", "name": "", "chat_messages": said})
    assert edges(chat) == {(None, "m0"), ("m0", "m1"), ("m1", "m2"), ("m2", "m3")}
    assert chat.title is None and chat.current == "m3"


# --- LibreChat


def test_librechat_nested_and_flat_are_the_same() -> None:
    def message(key: str, parent: str, users: bool, **more: Any) -> dict[str, Any]:
        return {
            "messageId": key,
            "parentMessageId": parent,
            "isCreatedByUser": users,
            "conversationId": "c",
            **more,
        }

    content = [{"type": "think", "think": "hm"}, {"type": "text", "text": {"value": "Answer"}},
               {"type": "tool_call", "tool_call": {"name": "calc", "args": "{}", "output": "2"}}]  # fmt: skip
    flat = [
        message("u", librechat.ROOT, True, text="Ask", createdAt="2024-04-09T14:32:05.230Z", files=[
            {"filename": "a.pdf", "file_id": "f", "type": "application/pdf"}]),
        message("a", "u", False, content=content, model="gpt-4o", createdAt="2024-04-09T14:32:06Z"),
        message("b", "u", False, text="Other", createdAt="2024-04-09T14:32:07Z"),
    ]  # fmt: skip
    nested = [flat[0] | {"children": [flat[1] | {"children": []}, flat[2] | {"children": []}]}]
    head = {"conversationId": "c", "title": "T", "options": {"model": "gpt-3.5"}, "endpoint": "openAI"}
    one = librechat.chat(head | {"messages": flat})
    assert one == librechat.chat(head | {"recursive": True, "messagesTree": nested})
    assert one == librechat.chat_of([*reversed(flat), {**head, "createdAt": None, "model": "gpt-3.5"}])
    assert told(one) == [("user", "Ask"), ("reasoning", "hm"), ("assistant", "Answer"), ("tool", "2"),
                         ("assistant", "Other")]  # fmt: skip
    assert one.created_us == 1_712_673_125_230_000
    assert [found.draft.model for found in one.messages] == [None, "gpt-4o", "gpt-4o", "gpt-4o", "gpt-3.5"]
    assert of_key(one, "u").draft.attachments == (Attachment(name="a.pdf", ref="f"),)


# --- Open WebUI


def test_open_webui_keeps_models_side_by_side_and_files() -> None:
    png = "data:image/png;base64,iVBORw0KGgo="
    files = [{"type": "image", "url": png}, {"type": "file", "name": "a.pdf", "id": "f", "file": {
        "data": {"content": "text of it"}}}]  # fmt: skip
    value = webui({
        "u": {"id": "u", "parentId": None, "role": "user", "content": "Hi", "timestamp": 1_700_000_001,
              "files": files},
        "a": {"parentId": "u", "role": "assistant", "content": "One", "model": "m1"},
        "b": {"parentId": "u", "role": "assistant", "content": "Two"},
    }, "b", archived=True, pinned=True)  # fmt: skip
    chat = open_webui.chat(value)
    assert edges(chat) == {(None, "u"), ("u", "a"), ("u", "b")} and chat.current == "b"
    assert [one.draft.model for one in chat.messages] == [None, "m1", "llama3"]
    assert chat.archived and chat.pinned and chat.created_us == 1_700_000_000_000_000
    picture, document = chat.messages[0].draft.attachments
    assert picture.content == b"\x89PNG\r\n\x1a\n" and picture.is_image
    assert (document.name, document.content) == ("a.pdf.txt", b"text of it")
    assert open_webui.chat(value["chat"] | {"id": "w"}).messages == chat.messages


@pytest.mark.parametrize("way", ["folded", "output"])
def test_open_webui_tells_thoughts_and_tools(way: str) -> None:
    folded = ('<details type="reasoning" done="true"><summary>Thought</summary>\n'
              '&gt; 15 * 17\n</details>'
              '<details type="tool_calls" name="calc"><summary>Ran</summary>255</details>'
              "It is 255.")  # fmt: skip
    output = [{"type": "reasoning", "content": [{"text": "15 * 17"}]},
              {"type": "function_call", "call_id": "x", "name": "calc", "arguments": "{}"},
              {"type": "function_call_output", "call_id": "x", "output": [{"text": "255"}]},
              {"type": "message", "content": [{"type": "output_text", "text": "It is 255."}]}]  # fmt: skip
    message = {"parentId": None, "role": "assistant", "content": folded}
    chat = open_webui.chat(webui({"a": message | ({"output": output} if way == "output" else {})}, "a"))
    assert told(chat) == [("reasoning", "15 * 17"), ("tool", "255"), ("assistant", "It is 255.")]
    assert chat.messages[1].draft.tool == "calc"


# --- older servers


def pair(question: str, response: str, *branches: str) -> dict[str, Any]:
    return {"question": question, "response": response, "response_id": question, "branches": list(branches),
            "timestamp": "2024-05-01T10:00:00"}  # fmt: skip


@pytest.mark.parametrize("repeats", [False, True], ids=["own pairs only", "repeats its ancestors"])
def test_branching_chats_are_one_tree(repeats: bool) -> None:
    first = pair("q1", "r1", "b1", "lost")
    root = {"chat_id": "c", "qa_pairs": [first, pair("q2", "r2")]}
    below = {"chat_id": "b2", "qa_pairs": [pair("q5", "r5")]}
    branch = {
        "chat_id": "b1",
        "qa_pairs": [*([first] if repeats else []), pair("q3", "r3", "b2"), pair("q4", "")],
    }
    chat = branching.chat_of("c", [below, branch, root])
    texts = {one.key: words(one) for one in chat.messages}
    assert {(texts.get(one.parent or ""), texts[one.key]) for one in chat.messages} == {
        (None, "q1"), ("q1", "r1"), ("r1", "q2"), ("q2", "r2"), ("r1", "q3"), ("q3", "r3"), ("r3", "q4"),
        ("r3", "q5"), ("q5", "r5"),
    }  # fmt: skip
    assert texts[chat.current or ""] == "r2", "the chat's own line is the one in view"
    assert "branch without a document (1)" in chat.notes


BOOK = [
    (
        {"session_id": "s", "chat_history": [{"user_input": "a"}, {"response": "b"}]},
        ["user a", "assistant b"],
    ),
    ({"user_id": "s", "message": "a", "session_id": "s", "created_at": "2024-01-01"}, ["user a"]),
    ({"user_id": "s", "chat_history": ["a", "b"]}, ["user a", "user b"]),
    ({"user_id": "s", "conversation": [{"text": "a", "timestamp": "2024-01-01"}]}, ["user a"]),
    ({"text": "a", "user_id": "s"}, ["user a"]),
    ({"session_id": "s", "chat_history": "a\nb\n"}, ["assistant a\nb\n"]),
    ({"session_id": "s", "chat_message": "a", "response": "b"}, ["user a", "assistant b"]),
    ({"session_id": "s", "message": "a", "response": "b"}, ["user a", "assistant b"]),
    ({"user_id": "s", "conversation_history": "a", "created_at": "2024-01-01"}, ["user a"]),
    ({"session_id": "s", "user_input": "a", "response": "b", "timestamp": "2024"}, ["user a", "assistant b"]),
    ({"_id": "s", "history": [{"message": "a", "timestamp": 1_700_000_000}]}, ["user a"]),
    ({"session_id": "s", "chat_history": [{"message": "a", "response": "b"}]}, ["user a", "assistant b"]),
    ({"username": "s", "message": "a", "session_id": None}, ["user a"]),
    ({"id": "s", "users": [], "messages": [{"text": "a", "user_id": "1"}], "created_at": 1}, ["user a"]),
]


@pytest.mark.parametrize(("document", "said"), BOOK)
def test_documents_of_the_book_are_known_by_their_keys(document: dict[str, Any], said: list[str]) -> None:
    assert kind_of(document) == "book" and book.document_group(document) == "s"
    assert [f"{role} {what}" for role, what in told(book.chat_of("s", [document]))] == said


def test_histories_of_a_redis() -> None:
    said = [{"role": "user", "content": "a"}, {"type": "ai", "data": {"content": "b"}}]
    for value in (said, json.dumps(said), [json.dumps(one) for one in said]):
        chat = redis.chat("session:abc", value)
        assert chat is not None and told(chat) == [("user", "a"), ("assistant", "b")]
        assert chat.session == chat.key == "abc"
    newest = [{"type": "ai", "data": {"content": "b"}}, {"type": "human", "data": {"content": "a"}}]
    chat = redis.chat("message_store:abc", [json.dumps(one) for one in newest])
    assert chat is not None and (told(chat), chat.session) == ([("user", "a"), ("assistant", "b")], "abc")
    chat = redis.chat("session:abc", [*said, {"role": "tool", "content": "c"}, {"role": "user"}])
    assert chat is not None and told(chat) == [("user", "a"), ("assistant", "b")]
    assert chat.notes == ("message without words or of an unknown role left out (2)",)
    assert redis.chat("x", 7) is None and redis.chat("session:", said) is None


def test_kinds_are_told_by_content() -> None:
    said = [{"role": "user", "content": "a"}]
    assert kind_of(exported(ROOT)) == "chatgpt"
    assert kind_of({"uuid": "x", "name": "", "chat_messages": []}) == "claude"
    assert kind_of({"conversationId": "x", "messages": [{"messageId": "m"}]}) == "librechat"
    assert kind_of({"conversationId": "x", "messageId": "y", "text": ""}) == "librechat"
    assert kind_of(webui({}, "")) == "open-webui"
    assert kind_of({"chat_id": "x", "qa_pairs": []}) == "branching"
    assert kind_of({"key": "x", "value": said}) == "redis"
    for other in (None, 7, "x", [], {}, {"a": 1}, {"mapping": []}, {"name": "x", "email": "y"}):
        assert kind_of(other) is None
