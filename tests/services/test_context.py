"""What a model is told of a path keeps to the order that OpenAI asks of calls and their outputs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.domain.compaction import record_of, seal_compaction
from antiphon.domain.inputs import InputItem, parse_item
from antiphon.services.runs.context import Message, chat_messages

PICTURE = "data:image/png;base64,AAAA"


def call(identifier: str, **more: Any) -> dict[str, Any]:
    return {"type": "function_call", "call_id": identifier, "name": "f", "arguments": "{}", **more}


def output(identifier: str, said: Any) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": identifier, "output": said}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def path(*items: dict[str, Any]) -> list[InputItem]:
    return [parse_item(item, "input") for item in items]


def told(*items: dict[str, Any]) -> list[tuple[Any, ...]]:
    """The messages, each as its role and what it says or calls."""
    return [
        ("calls", *(one["id"] for one in message["tool_calls"]))
        if "tool_calls" in message
        else (message["role"], message["content"])
        for message in chat_messages(path(*items))
    ]


def require_order(messages: list[Message]) -> None:
    """Fail unless every call is answered once, by the messages right behind it, and nothing else is."""
    waiting: list[str] = []
    for message in messages:
        if message["role"] == "tool":
            assert message["tool_call_id"] in waiting
            waiting.remove(message["tool_call_id"])
        else:
            assert not waiting
            waiting = [one["id"] for one in message.get("tool_calls", ())]
            assert len(set(waiting)) == len(waiting)
    assert not waiting


SAYINGS = st.sampled_from(["x", [{"type": "input_image", "image_url": PICTURE}], [{"type": "odd"}], []])
ITEMS = st.one_of(
    st.builds(call, st.sampled_from("abc"), status=st.sampled_from(["completed", "incomplete"])),
    st.builds(output, st.sampled_from("abcd"), SAYINGS),
    st.sampled_from(
        [
            user("u"), {"role": "assistant", "content": "a"}, {"type": "reasoning"}, {"type": "odd_thing"},
            {"type": "compaction", "encrypted_content": seal_compaction("before")},
        ]
    ),
)  # fmt: skip


@given(st.lists(ITEMS, max_size=14))
@settings(max_examples=500, deadline=None)
def test_any_order_of_items_becomes_one_that_providers_take(items: list[dict[str, Any]]) -> None:
    messages = chat_messages(path(*items))
    require_order(messages)
    plain = [item for item in items if item.get("role") or item.get("type") == "compaction"]
    others = [one for one in messages if one["role"] != "tool" and one["content"] is not None]
    shown = [one for one in others if isinstance(one["content"], list)]
    assert len(others) - len(shown) == len(plain)


def test_a_late_output_stands_behind_its_call() -> None:
    late = told(user("u"), call("a"), user("meanwhile"), output("a", "found"))
    assert late == [("user", "u"), ("calls", "a"), ("tool", "found"), ("user", "meanwhile")]


def test_the_last_of_several_outputs_counts() -> None:
    doubled = told(call("a"), output("a", "first"), user("no"), output("a", "second"), user("go on"))
    assert doubled == [("calls", "a"), ("tool", "second"), ("user", "no"), ("user", "go on")]


def test_calls_of_one_answer_stay_together() -> None:
    parallel = told(call("a"), {"type": "reasoning"}, call("b"), output("b", "2"), output("a", "1"))
    assert parallel == [("calls", "a", "b"), ("tool", "1"), ("tool", "2")]
    in_turn = told(call("a"), output("a", "1"), call("b"), output("b", "2"))
    assert in_turn == [("calls", "a"), ("tool", "1"), ("calls", "b"), ("tool", "2")]


def test_an_id_that_is_used_again_means_the_latest_call() -> None:
    twice = told(call("a"), output("a", "old"), user("u"), call("a"), output("a", "new"))
    assert twice == [("calls", "a"), ("tool", "old"), ("user", "u"), ("calls", "a"), ("tool", "new")]


@pytest.mark.parametrize("status", ["completed", "incomplete"])
def test_calls_without_outputs_and_outputs_without_calls_are_left_out(status: str) -> None:
    assert told(output("a", "early"), call("a", status=status), user("u"), output("z", "x")) == [
        ("user", "u")
    ]
    assert told(call("a"), call("b"), output("b", "2")) == [("calls", "b"), ("tool", "2")]


def test_a_picture_that_a_tool_gives_is_shown_behind_all_outputs() -> None:
    picture = {"type": "input_image", "image_url": PICTURE, "detail": "low"}
    said = [{"type": "input_text", "text": "look:"}, picture]
    _, first, second, shown, _ = chat_messages(
        path(call("a"), call("b"), output("a", said), output("b", "2"), user("u"))
    )
    assert first["content"] == "look:\n[attached: 1, shown in the next message of the user]"
    assert second["content"] == "2" and shown["role"] == "user"
    assert shown["content"][0] == {"type": "text", "text": "[attached to the output of a]"}
    assert shown["content"][1:] == [{"type": "image_url", "image_url": {"url": PICTURE, "detail": "low"}}]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_image", "file_id": "file-gone"}, {"type": "odd"}, {"type": "odd", "text": 5},
        {"type": "input_file", "file_id": "file-gone", "filename": "a.bin"},
    ],
)  # fmt: skip
def test_what_cannot_be_shown_of_an_output_is_told_in_words(part: dict[str, Any]) -> None:
    ((_, said),) = told(call("a"), output("a", [part]))[1:]
    assert said.startswith("[attached: ") and ("a.bin" in said or "filename" not in part)


def test_a_compaction_is_a_record_that_the_user_gives_and_one_of_others_is_nothing() -> None:
    """A request cannot bring one of others; older servers stored them, and imports do."""
    made, foreign = (
        InputItem(type="compaction", payload={"type": "compaction", "encrypted_content": content})
        for content in (seal_compaction("assistant: before"), "gAAAAABfoo_bar")
    )
    assert chat_messages([made, foreign, *path(user("u"))]) == [
        {"role": "user", "content": record_of("assistant: before")}, {"role": "user", "content": "u"},
    ]  # fmt: skip


@pytest.mark.parametrize("role", ["user", "assistant", "system"])
@pytest.mark.parametrize("part", [{"type": "odd"}, {"type": "input_audio", "input_audio": {"data": "AAAA"}}])
def test_a_part_of_a_stored_message_is_never_left_out_unsaid(role: str, part: dict[str, Any]) -> None:
    content = [{"type": "input_text", "text": ""}, part]
    stored = InputItem(type="message", role=role, payload={"role": role, "content": content})
    ((_, said),) = [(one["role"], one["content"]) for one in chat_messages([stored])]
    is_known = part["type"] != "odd" and role != "assistant"
    assert said == ([part] if is_known else "[attached: something that cannot be shown]")


def test_texts_of_one_message_stand_on_lines_of_their_own_but_for_an_answers() -> None:
    def parts(kind: str, *texts: str) -> list[dict[str, Any]]:
        return [{"type": kind, "text": text} for text in texts]

    refusal = {"type": "refusal", "refusal": "no"}
    assert told(
        {"role": "user", "content": parts("input_text", "one", "", "two")},
        {"role": "system", "content": parts("input_text", "be kind", "be brief")},
        {"role": "assistant", "content": [*parts("output_text", "he", "llo"), refusal]},
    ) == [("user", "one\ntwo"), ("system", "be kind\nbe brief"), ("assistant", "hello\nno")]
