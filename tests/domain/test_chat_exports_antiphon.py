"""What a person took along from an Antiphon comes in whole; what cannot is told."""

from __future__ import annotations

from typing import Any

import pytest

from antiphon.domain.chat_exports import antiphon
from antiphon.domain.chat_exports.chats import Chat, fingerprint, payload_of, token_count
from tests.domain.exports import told


def chat(*items: dict[str, Any], **head: Any) -> Chat:
    value = {"object": "conversation.export", "format": 1, "conversation": {"id": "conv_1", **head}}
    placed = [{"id": f"item_{number}", "antiphon": {}, **one} for number, one in enumerate(items)]
    return antiphon.chat({**value, "items": placed})


@pytest.mark.parametrize(
    "payload",
    [
        {"type": "web_search_call", "action": {"query": "x", "sources": [{"url": "https://e.org"}]}},
        {"type": "file_search_call", "queries": ["x"], "results": None},
        {"type": "compaction", "encrypted_content": "c2hvcnQ="}, {"type": "odd", "deep": [{"a": 1.5}]},
    ],
)  # fmt: skip
def test_items_of_other_types_stay_as_they_are(payload: dict[str, Any]) -> None:
    found = chat({**payload, "status": "incomplete"})
    (message,) = found.messages
    kept = payload_of("antiphon", message, {})
    source = kept.pop("imported")
    assert kept == payload and (source["from"], source["id"], found.notes) == ("antiphon", "0", ())
    assert message.draft.status == "incomplete"
    assert (token_count(kept) > 1) is (payload["type"] == "compaction"), (
        "models are shown nothing else of them"
    )
    other = chat({**payload, "more": 1}).messages[0]
    assert payload_of("antiphon", other, {})["imported"]["hash"] != source["hash"]


@pytest.mark.parametrize(
    "payload",
    [
        {"type": "function_call", "name": "f"}, {"type": "compaction"}, {"type": "item_reference"},
        {"type": ""}, {"type": "x" * 65}, {"type": 7}, {"type": "odd", "value": "\ud800"},
    ],
)  # fmt: skip
def test_what_could_not_be_stored_or_shown_is_told(payload: dict[str, Any]) -> None:
    found = chat(payload)
    assert found.messages == () and len(found.notes) == 1 and "left out (1)" in found.notes[0]


def test_who_said_a_message_in_a_room_stays() -> None:
    words = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hello"}]}
    found = chat({**words, "antiphon": {"user_id": "Ann"}}, {**words, "antiphon": {"user_id": 7}}, words)
    kept = [payload_of("antiphon", one, {}).get("antiphon") for one in found.messages]
    assert kept == [{"user_id": "Ann"}, None, None]


@pytest.mark.parametrize(
    ("status", "kept"),
    [("incomplete", "incomplete"), ("in_progress", "incomplete"), (None, "completed"), ([], "completed")],
)
def test_what_broke_off_stays_broken_off(status: Any, kept: str) -> None:
    call = {"type": "function_call", "name": "f", "arguments": "{}"}
    items = [{"type": "message", "content": "half"}, {"type": "reasoning", "content": "hm"}, call]
    found = chat(*({**one, "status": status} for one in items))
    assert [one.draft.status for one in found.messages] == [kept] * 3


def test_what_tools_returned_in_parts_stays_and_other_parts_are_told() -> None:
    found = chat(
        {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "c"},
        {"type": "function_call_output", "call_id": "c",
         "output": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]},
        {"type": "message", "role": "user", "content": [{"type": "input_audio", "input_audio": {}},
                                                         {"type": "input_text", "text": ""}]},
        {"type": "message", "content": "x", "imported": {"model": "gpt-4o"}},
    )  # fmt: skip
    assert told(found) == [("tool", "a\nb"), ("assistant", "x")]
    assert found.messages[-1].draft.model == "gpt-4o"
    assert found.notes == ("part of type input_audio left out (1)",)


def test_the_name_of_a_file_that_was_lost_before_stays_and_makes_no_other_message() -> None:
    words = {"type": "input_text", "text": "see"}
    lost = {"type": "input_file", "filename": "plan.pdf"}
    (one,), (other,) = (
        chat({"type": "message", "role": "user", "content": content}).messages
        for content in ([words], [words, lost])
    )
    assert [file.name for file in other.draft.attachments] == ["plan.pdf"]
    assert fingerprint(one.draft) == fingerprint(other.draft)
    assert payload_of("antiphon", other, {})["content"][1] == lost


def test_metadata_stay_as_far_as_conversations_may_have_them() -> None:
    few = {"imported_from": "chatgpt", "imported_id": "c", "model": "gpt-4o", "topic": "garden"}
    assert chat(metadata=few).metadata == {"model": "gpt-4o", "topic": "garden"}
    many: dict[str, Any] = {f"k{number}": "v" for number in range(16)}
    found = chat(metadata={**many, "long": "x" * 513, "number": 7, "k" * 65: "v"})
    assert found.metadata == {f"k{number}": "v" for number in range(14)}
    assert found.notes == ("metadata left out (5)",)
    assert chat(metadata=[1]).metadata == {}
