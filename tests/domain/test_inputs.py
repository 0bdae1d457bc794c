"""Input items: what is known is checked by name, what is not known is kept verbatim."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.domain import ids
from antiphon.domain.compaction import seal_compaction
from antiphon.domain.errors import InvalidRequest
from antiphon.domain.inputs import InputItem, new_item, parse_input, parse_item, require_answered_calls
from antiphon.domain.items import text_of
from tests.domain.hostile_runs import json_values, texts

DETERMINISTIC = settings(derandomize=True, deadline=None, max_examples=200)


def test_a_string_is_one_message_of_the_user() -> None:
    (item,) = parse_input("hello")
    assert (item.type, item.role, item.status) == ("message", "user", "completed")
    assert item.payload == {
        "type": "message",
        "role": "user",
        "content": [{"type": "input_text", "text": "hello"}],
    }


def test_nothing_is_no_items_and_an_empty_string_is_refused() -> None:
    assert parse_input(None) == []
    assert parse_input([]) == []
    with pytest.raises(InvalidRequest):
        parse_input("")


def test_an_assistants_text_becomes_output_text() -> None:
    item = parse_item({"role": "assistant", "content": "said"}, "input[0]")
    assert item.payload["content"] == [
        {"type": "output_text", "text": "said", "annotations": [], "logprobs": []}
    ]


@DETERMINISTIC
@given(st.dictionaries(texts, json_values, max_size=5))
def test_an_unknown_type_is_kept_verbatim_and_in_order(fields: dict[str, Any]) -> None:
    body = {name: value for name, value in fields.items() if name not in ("type", "id", "status")}
    sent = {"type": "thing_of_tomorrow", **body}
    stored = new_item(parse_item(sent, "input[0]"), 1)
    again = msgspec.json.decode(stored.payload)
    assert again == msgspec.json.decode(msgspec.json.encode(sent))
    assert list(again) == list(sent)


@pytest.mark.parametrize("status", ["searching", "failed", "calling"])
def test_an_unknown_types_own_status_is_kept(status: str) -> None:
    item = parse_item({"type": "web_search_call", "status": status, "action": {}}, "input[0]")
    assert item.status == status


def test_an_id_in_an_input_item_is_kept_in_the_payload_and_never_adopted() -> None:
    """Core specification §2: providers need it back."""
    item = parse_item(
        {"type": "reasoning", "id": "rs_theirs", "summary": [], "encrypted_content": "x"}, "input[0]"
    )
    stored = new_item(item, 1)
    assert msgspec.json.decode(stored.payload)["id"] == "rs_theirs"
    assert stored.id != "theirs"


def test_a_reference_names_an_item_with_or_without_its_type() -> None:
    made = ids.new_id(1)
    for body in ({"type": "item_reference", "id": f"msg_{made}"}, {"id": f"msg_{made}"}):
        assert parse_item(body, "input[0]").reference == made
    with pytest.raises(InvalidRequest) as refused:
        parse_item({"type": "item_reference", "id": "nonsense"}, "input[3]")
    assert refused.value.param == "input[3].id"


@pytest.mark.parametrize(
    ("item", "param"),
    [
        (5, "input[0]"),
        ({}, "input[0].type"),
        ({"type": ""}, "input[0].type"),
        ({"type": "x" * 65}, "input[0].type"),
        ({"type": ["message"]}, "input[0].type"),
        ({"role": "king", "content": "x"}, "input[0].role"),
        ({"role": "user"}, "input[0].content"),
        ({"role": "user", "content": 5}, "input[0].content"),
        ({"role": "user", "content": ["x"]}, "input[0].content[0]"),
        ({"role": "user", "content": [{"type": "input_text"}]}, "input[0].content[0].text"),
        ({"role": "assistant", "content": [{"type": "summary_text"}]}, "input[0].content[0].text"),
        ({"role": "user", "content": [{"type": "input_video"}]}, "input[0].content[0].type"),
        ({"role": "user", "content": [{"type": "input_text", "text": 5}]}, "input[0].content[0].text"),
        ({"role": "user", "content": [{"type": "input_image"}]}, "input[0].content[0].image_url"),
        (
            {"role": "user", "content": [{"type": "input_image", "file_id": 7}]},
            "input[0].content[0].file_id",
        ),
        ({"type": "function_call", "name": "f", "arguments": ""}, "input[0].call_id"),
        ({"type": "function_call", "call_id": "c", "name": "not a name", "arguments": ""}, "input[0].name"),
        ({"type": "function_call", "call_id": "c", "name": "f", "arguments": {}}, "input[0].arguments"),
        ({"type": "function_call_output", "call_id": "", "output": "x"}, "input[0].call_id"),
        ({"type": "function_call_output", "call_id": "c", "output": None}, "input[0].output"),
        ({"type": "reasoning", "summary": "x"}, "input[0].summary"),
        ({"type": "compaction"}, "input[0].encrypted_content"),
        ({"type": "compaction", "encrypted_content": ""}, "input[0].encrypted_content"),
        ({"type": "compaction", "encrypted_content": "gAAAAABfoo_bar"}, "input[0].encrypted_content"),
    ],
)
def test_what_is_wrong_is_refused_and_the_field_named(item: Any, param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_input([item])
    assert refused.value.param == param


@DETERMINISTIC
@given(json_values)
def test_no_value_makes_the_parser_fail(value: Any) -> None:
    for input_value in (value, [value], [{"type": "message", "role": "user", "content": value}]):
        try:
            items = parse_input(input_value)
        except InvalidRequest:
            continue
        for item in items:
            stored = new_item(item, 1)
            assert stored.token_count >= 1
            text_of(msgspec.json.decode(stored.payload))


@DETERMINISTIC
@given(st.sampled_from(["reasoning", "function_call_output", "web_search_call", "compaction"]), json_values)
def test_no_content_of_a_known_type_makes_the_token_estimate_fail(kind: str, value: Any) -> None:
    body = {
        "type": kind,
        "summary": value,
        "content": value,
        "output": value,
        "call_id": "c",
        "encrypted_content": seal_compaction("e"),
    }
    try:
        item = parse_item(body, "input[0]")
    except InvalidRequest:
        return
    assert new_item(item, 1).token_count >= 1


def test_an_output_needs_its_call_before_it() -> None:
    def call(identifier: str) -> InputItem:
        body = {"type": "function_call", "call_id": identifier, "name": "f", "arguments": "{}"}
        return parse_item(body, "input[0]")

    def output(identifier: str) -> InputItem:
        return parse_item({"type": "function_call_output", "call_id": identifier, "output": "x"}, "input[0]")

    require_answered_calls({"a"}, [output("a")])
    require_answered_calls(set(), [call("b"), output("b")])
    for items in ([output("c")], [output("c"), call("c")]):
        with pytest.raises(InvalidRequest):
            require_answered_calls({"a"}, items)
