"""No link breaks a tree, no value breaks a reader, and every kind tells a tree as it is."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.domain.chat_exports import book, branching, chatgpt, claude, librechat, open_webui, redis
from antiphon.domain.chat_exports.chats import (
    Attachment,
    Draft,
    Message,
    StoredFile,
    Text,
    chat_key,
    fingerprint,
    imported_model,
    named,
    payload_of,
    source_of,
    token_count,
)
from antiphon.domain.chat_exports.kinds import kind_of
from antiphon.domain.chat_exports.trees import TreeBuilder
from antiphon.domain.chat_exports.values import data_url, encoded, line, moment, text
from tests.domain.exports import ROOT, edges, exported, node, webui, words

# --- trees


def draft(what: str) -> Draft:
    return Draft(parts=(Text(what),))


def test_broken_links_lose_nothing() -> None:
    tree = TreeBuilder()
    for key, parent in (
        ("a", "b"),
        ("b", "a"),
        ("c", "nobody"),
        ("d", "d"),
        ("e", "b"),
        ("f", None),
        ("f", "a"),
    ):
        tree.add(key, parent, [draft(key)])
    messages, current = tree.build("nowhere")
    assert {one.key for one in messages} == set("abcdef") and current is not None
    assert {(one.parent, one.key) for one in messages} == {
        (None, "a"), ("a", "b"), ("b", "e"), (None, "c"), (None, "d"), (None, "f")}  # fmt: skip
    assert dict(one.rsplit(" (", 1) for one in tree.notes) == {
        "id twice, the first kept": "1)", "parent missing, begins a line of its own": "1)",
        "circle of parents, opened": "2)",
    }  # fmt: skip


def test_nodes_without_words_are_passed_over_and_a_current_one_stands_for_what_is_before() -> None:
    tree = TreeBuilder()
    for key, parent, says in (("a", None, 1), ("b", "a", 0), ("c", "b", 0), ("d", "c", 1), ("e", "a", 1)):
        tree.add(key, parent, [draft(key)] * says)
    messages, current = tree.build("c")
    assert {(one.parent, one.key) for one in messages} == {(None, "a"), ("a", "d"), ("a", "e")}
    assert current == "a"


def test_keys_of_parts_never_meet_those_of_others() -> None:
    tree = TreeBuilder()
    tree.add("a", None, [draft("1"), draft("2")])
    tree.add("a/1", "a", [draft("3")])
    messages, _ = tree.build()
    assert len({one.key for one in messages}) == 3
    assert [one.parent for one in messages] == [None, "a/1", "a"]


def test_a_line_of_a_hundred_thousand_is_no_deeper_than_others() -> None:
    tree = TreeBuilder()
    for number in range(100_000):
        tree.add(str(number), str(number - 1) if number else None, [draft("x")])
    messages, current = tree.build()
    assert len(messages) == 100_000 and current == "99999"


PARENTS = st.lists(st.integers(0, 1 << 30), min_size=1, max_size=40)


def _trees(seeds: list[int]) -> dict[str, str | None]:
    """A tree of as many messages, by their parents."""
    return {f"m{n}": f"m{seed % n}" if n and seed % (n + 1) else None for n, seed in enumerate(seeds)}


@settings(max_examples=60, deadline=None)
@given(PARENTS, st.randoms(use_true_random=False))
def test_trees_come_through_every_kind_as_they_are(seeds: list[int], chance: random.Random) -> None:
    parents = _trees(seeds)
    order = list(parents)
    chance.shuffle(order)
    wanted = {(parent, key) for key, parent in parents.items()}
    current = chance.choice(order)
    gpt = chatgpt.chat(
        exported(
            ROOT, *(node(key, parents[key] or "root", "user", key) for key in order), current_node=current
        ),
        {},
    )
    web = open_webui.chat(
        webui({key: {"parentId": parents[key], "role": "user", "content": key} for key in order}, current)
    )
    said = [
        {"uuid": key, "sender": "human", "text": key, "parent_message_uuid": parents[key] or ""}
        for key in order
    ]
    anthropic = claude.chat({"uuid": "c", "chat_messages": said, "current_leaf_message_uuid": current})
    flat = [{"messageId": key, "parentMessageId": parents[key] or librechat.ROOT, "isCreatedByUser": True,
             "text": key} for key in order]  # fmt: skip
    libre = librechat.chat({"conversationId": "c", "messages": flat})
    for chat in (gpt, web, anthropic, libre):
        assert edges(chat) == wanted and all(words(one) == one.key for one in chat.messages)
        seen: set[str | None] = {None}
        for one in chat.messages:
            assert one.parent in seen, "parents first"
            seen.add(one.key)
    assert gpt.current == web.current == anthropic.current == current


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["message", "content", "parts", "parent", "author", "role", "metadata", "attachments", "type", "text",
         "id", "files", "file", "data", "url", "name"]) | st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(JSON, JSON, st.text(max_size=3))
def test_values_of_any_type_are_read_without_a_word(value: Any, other: Any, key: str) -> None:
    chatgpt.chat({"mapping": {key: value, "x": {"message": value, "parent": other}}, "title": other}, {})
    claude.chat({"chat_messages": [value, {"content": [value], "sender": "human", "attachments": [other]}]})
    librechat.chat({"conversationId": other, "messages": [value, {"content": [value], "files": [other]}]})
    open_webui.chat(webui({key: value, "x": {"role": "user", "files": [value], "output": [other]}}, key))
    branching.chat_of(key, [{"chat_id": key, "qa_pairs": [value, {"question": other, "branches": [value]}]}])
    for document in ({"chat_history": value}, {"message": value, "session_id": other}):
        book.chat_of(book.document_group(document), [document])
    redis.chat(key, value)
    kind_of(value)


# --- values and items


@pytest.mark.parametrize(
    ("value", "us"),
    [
        (1_700_000_000, 1_700_000_000_000_000), (1_700_000_000.5, 1_700_000_000_500_000),
        (1_700_000_000_123, 1_700_000_000_123_000), (1_700_000_000_123_456, 1_700_000_000_123_456),
        ("2023-11-14T22:13:20Z", 1_700_000_000_000_000), ("2023-11-14T23:13:20+01:00", 1_700_000_000_000_000),
        ({"$date": "2023-11-14T22:13:20Z"}, 1_700_000_000_000_000),
        ({"$date": {"$numberLong": "1700000000123"}}, 1_700_000_000_123_000),
        *((bad, None) for bad in (None, True, 0, -5, float("nan"), float("inf"), 1e300, 10**400, "", "soon")),
        ([], None), ({}, None),
    ],
)  # fmt: skip
def test_times_of_all_kinds(value: Any, us: int | None) -> None:
    assert moment(value) == us


def test_texts_and_other_values() -> None:
    assert text("a\ud83d\ude00b\ud800") == "a😀b\ufffd" and text(7) == ""
    assert line(" a\nb\x00 ") == "a b" and line("\n") is None
    assert data_url("data:image/png;base64,AAEC") == b"\x00\x01\x02"
    assert data_url("data:,x") is None and data_url("data:image/png;base64,A") is None
    assert encoded({"a": 1 << 80}) and encoded("\ud800") and encoded(float("nan"))
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    assert encoded(deep) == "{}"
    assert (
        chat_key("a b") == "a b"
        and len(chat_key("ä")) == 64
        and chat_key(None, instead={"a": 1}) != chat_key(None)
    )
    assert named("file_1.dat", b"\x89PNG....") == ("file_1.png", True) and named("a.pdf", b"%PDF-1") == (
        "a.pdf",
        False,
    )
    assert named("file_2", b"RIFF....WEBP") == ("file_2.webp", True) and named("x.txt", b"hello") == (
        "x.txt",
        False,
    )


def test_items_say_where_they_came_from_and_what_models_are_not_shown_costs_nothing() -> None:
    parts = (Text("Hi"), Attachment(name="a.png", ref="r", is_image=True), Attachment(name="b", ref="lost"))
    message = Message(key="k", parent=None, created_us=1, draft=Draft(role="user", parts=parts))
    payload = payload_of("claude", message, {"r": StoredFile("file-1", "a.png", True)})
    assert payload["content"] == [
        {"type": "input_text", "text": "Hi"},
        {"type": "input_image", "file_id": "file-1", "filename": "a.png"},
        {"type": "input_file", "filename": "b"},
    ]
    assert source_of(payload) == ("k", fingerprint(message.draft)) and source_of({"imported": 7}) is None
    answer = Message(key="k", parent=None, created_us=1, draft=Draft(parts=(Text("x"),), model="gpt"))
    assert imported_model(json.dumps(payload_of("claude", answer, {}), separators=(",", ":"))) == "gpt"
    assert imported_model('{"content":"\\"imported\\":{"}') is None
    tool = Message(key="k", parent=None, created_us=1, draft=Draft(kind="tool", tool="t", asked="x" * 4000))
    assert token_count(payload_of("claude", tool, {})) == 1 < token_count(payload)
