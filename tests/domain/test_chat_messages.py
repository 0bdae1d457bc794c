"""Path hashes: equal histories of one owner are equal, everything else is not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.domain.chat_messages import chain_hash, check_messages, items_of, path_hashes
from antiphon.domain.errors import InvalidRequest
from antiphon.domain.items import text_of

OWNER = "a" * 32
DETERMINISTIC = settings(derandomize=True, deadline=None, max_examples=200)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
messages = st.lists(
    st.one_of(
        st.fixed_dictionaries(
            {"role": st.sampled_from(["user", "system", "developer", "assistant"]), "content": texts}
        ),
        st.fixed_dictionaries(
            {"role": st.just("tool"), "tool_call_id": st.sampled_from("xyz"), "content": texts}
        ),
    ),
    min_size=1,
    max_size=6,
)


def hashes(history: list[dict[str, Any]], owner: str = OWNER) -> tuple[bytes, ...]:
    return path_hashes(owner, items_of(history))


@DETERMINISTIC
@given(messages)
def test_there_is_one_hash_an_item_and_a_prefix_has_a_prefix_of_the_hashes(
    history: list[dict[str, Any]],
) -> None:
    whole = hashes(history)
    assert len(whole) == len(items_of(history))
    for length in range(1, len(history)):
        part = hashes(history[:length])
        assert part == whole[: len(part)]


@DETERMINISTIC
@given(messages, messages)
def test_different_histories_end_in_different_hashes(
    one: list[dict[str, Any]], two: list[dict[str, Any]]
) -> None:
    same = [item.payload for item in items_of(one)] == [item.payload for item in items_of(two)]
    assert (hashes(one)[-1] == hashes(two)[-1]) == same


@DETERMINISTIC
@given(messages)
def test_two_owners_never_share_a_hash(history: list[dict[str, Any]]) -> None:
    assert not set(hashes(history)) & set(hashes(history, "b" * 32))


def test_a_change_anywhere_changes_every_hash_behind_it() -> None:
    history = [{"role": "user", "content": f"m{n}"} for n in range(5)]
    changed = [*history[:2], {"role": "user", "content": "other"}, *history[3:]]
    pairs = list(zip(hashes(history), hashes(changed), strict=True))
    assert [one == two for one, two in pairs] == [True, True, False, False, False]


def test_where_one_message_ends_and_the_next_begins_counts() -> None:
    def user(*said: str) -> list[dict[str, Any]]:
        return [{"role": "user", "content": text} for text in said]

    assert hashes(user("ab", "c"))[-1] != hashes(user("a", "bc"))[-1]
    assert hashes(user("a", ""))[-1] != hashes(user("a"))[-1]


def test_a_string_and_one_text_part_are_the_same_content() -> None:
    parts = [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]
    assert hashes(parts) == hashes([{"role": "user", "content": "hi"}])


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}},
        {"type": "thing", "of": "tomorrow"},
    ],
)
def test_parts_of_every_kind_are_told_apart_by_their_content(part: dict[str, Any]) -> None:
    with_part = [{"role": "user", "content": [{"type": "text", "text": "hi"}, part]}]
    without = [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]
    changed = [{"role": "user", "content": [{"type": "text", "text": "hi"}, _changed(part)]}]
    assert len({hashes(history)[-1] for history in (with_part, without, changed)}) == 3


def _changed(part: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _changed(value) if isinstance(value, dict) else f"{value}B" if name != "type" else value
        for name, value in part.items()
    }


def test_a_calls_id_name_and_arguments_all_count() -> None:
    def call(identifier: str, name: str, arguments: str) -> list[dict[str, Any]]:
        function = {"name": name, "arguments": arguments}
        return [
            {
                "role": "assistant",
                "tool_calls": [{"id": identifier, "type": "function", "function": function}],
            }
        ]

    found = {
        hashes(call(*one))[-1]
        for one in (("a", "f", "{}"), ("b", "f", "{}"), ("a", "g", "{}"), ("a", "f", "[]"))
    }
    assert len(found) == 4


def test_an_assistant_message_with_text_and_calls_is_the_text_and_then_the_calls() -> None:
    calls = [
        {"id": f"c{n}", "type": "function", "function": {"name": "f", "arguments": "{}"}} for n in range(2)
    ]
    items = items_of([{"role": "assistant", "content": "text", "tool_calls": calls}])
    assert [item.type for item in items] == ["message", "function_call", "function_call"]


def test_a_refusal_is_kept_wherever_it_stands_and_is_that_of_the_answer_it_came_with() -> None:
    text, refusal = {"type": "text", "text": "p1"}, {"type": "refusal", "refusal": "r"}
    resent: list[dict[str, Any]] = [
        {"role": "assistant", "content": [text, refusal]},
        {"role": "assistant", "content": "p1", "refusal": "r"},
        {"role": "assistant", "content": [text, refusal], "refusal": "r"},
    ]
    answer = {"role": "assistant", "content": [{"type": "output_text", "text": "p1"}, refusal]}
    (item,) = items_of(resent[:1])
    assert [(part["type"], text_of({"content": [part]})) for part in item.payload["content"]] == [
        ("output_text", "p1"), ("refusal", "r"),
    ]  # fmt: skip
    assert {hashes([one])[-1] for one in resent} == {chain_hash(OWNER, b"", "message", answer)}
    assert hashes([{"role": "assistant", "refusal": "r"}]) != hashes([{"role": "assistant", "content": "r"}])


def test_a_call_from_before_there_were_tools_is_joined_to_its_output_by_the_functions_name() -> None:
    history = [
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "found"},
    ]
    call, output = items_of(history)
    assert (call.type, output.type) == ("function_call", "function_call_output")
    assert (call.payload["name"], call.payload["arguments"], call.payload["call_id"]) == ("f", "{}", "f")
    assert (output.payload["call_id"], output.payload["output"]) == ("f", "found")


def test_a_tool_says_one_text_as_a_string_or_in_a_list_and_everything_else_part_by_part() -> None:
    def tool(content: Any) -> dict[str, Any]:
        return {"role": "tool", "tool_call_id": "x", "content": content}

    text, picture = {"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "data:,x"}}
    assert hashes([tool([text])]) == hashes([tool("a")]) and hashes([tool([])]) == hashes([tool("")])
    (item,) = items_of([tool([text, text, picture])])
    assert [part["type"] for part in item.payload["output"]] == ["input_text", "input_text", "input_image"]


@pytest.mark.parametrize(
    ("history", "param"),
    [
        ([], "messages"),
        (["text"], "messages[0]"),
        ([{"content": "x"}], "messages[0].role"),
        ([{"role": "king", "content": "x"}], "messages[0].role"),
        ([{"role": "user"}], "messages[0].content"),
        ([{"role": "user", "content": "x"}, {"role": "user", "content": 5}], "messages[1].content"),
        ([{"role": "user", "content": [{"text": "no type"}]}], "messages[0].content"),
        ([{"role": ["user"], "content": "x"}], "messages[0].role"),
    ],
)
def test_what_cannot_be_messages_is_refused_and_the_field_named(history: list[Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check_messages(history)
    assert refused.value.param == param


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "tool_calls": ["no object"]},
        {"role": "assistant", "tool_calls": "no list"},
        {"role": "assistant", "tool_calls": 5},
        {"role": "assistant", "tool_calls": [{"id": "x"}]},
        {"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]},
        {"role": "assistant", "function_call": "f"},
        {"role": "assistant", "function_call": {"arguments": "{}"}},
        {"role": "assistant", "content": [{"type": "text", "text": 5}]},
        {"role": "assistant", "content": [{"type": "refusal"}]},
        {"role": "tool", "tool_call_id": "x", "content": [{"type": "text", "text": 5}]},
        {"role": "tool", "tool_call_id": 5, "content": "x"},
        {"role": "user", "content": [{"type": "text"}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": 5}}]},
    ],
)
def test_messages_that_cannot_be_stored_are_refused_and_are_never_a_fault(message: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        check_messages([message])
        items_of([message])
