"""The official Python SDK against what a server must refuse: each refusal is a typed exception."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.e2e.sdk.vocabulary import (
    TEXT,
)


def test_an_unknown_model_is_a_typed_error(client: OpenAI) -> None:
    with pytest.raises((openai.NotFoundError, openai.BadRequestError)) as refused:
        client.responses.create(model="nobody/nothing", input="Hello")
    assert refused.value.code == "model_not_found"
    assert refused.value.param == "model"


def test_an_unknown_previous_response_is_a_typed_error(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model=TEXT, input="Hello", previous_response_id="resp_" + "0" * 32)
    assert refused.value.code == "previous_response_not_found"
    assert refused.value.param == "previous_response_id"
    assert refused.value.type == "invalid_request_error"


def test_two_kinds_of_history_at_once_are_refused(client: OpenAI) -> None:
    conversation = client.conversations.create()
    first = client.responses.create(model=TEXT, input="Hello")

    with pytest.raises(openai.BadRequestError):
        client.responses.create(
            model=TEXT, input="Hello", previous_response_id=first.id, conversation=conversation.id
        )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("input", 5),
        ("temperature", "hot"),
        ("metadata", {str(n): "x" for n in range(17)}),
        ("stream", "maybe"),
    ],
)
def test_a_wrong_field_is_named(client: OpenAI, field: str, value: Any) -> None:
    body = {"model": TEXT, "input": "Hello", field: value}
    with pytest.raises(openai.BadRequestError) as refused:
        client.post("/responses", body=body, cast_to=object)
    assert refused.value.type == "invalid_request_error"
    assert str(refused.value.param).split(".")[0].split("[")[0] == field


def test_a_foreign_and_an_invented_id_look_the_same(client: OpenAI) -> None:
    gone = client.responses.create(model=TEXT, input="Hello")
    client.responses.delete(gone.id)

    bodies = []
    for unknown in (gone.id, "resp_" + "0" * 32, "resp_not_an_id"):
        with pytest.raises(openai.NotFoundError) as missing:
            client.responses.retrieve(unknown)
        bodies.append({**missing.value.body, "message": missing.value.body["message"].replace(unknown, "ID")})
    assert bodies[0] == bodies[1] == bodies[2]


def test_an_idempotency_key_acts_once(client: OpenAI) -> None:
    headers = {"Idempotency-Key": "sdk-test-once"}
    first = client.responses.create(model=TEXT, input="Hello", extra_headers=headers)
    again = client.responses.create(model=TEXT, input="Hello", extra_headers=headers)
    assert again.model_dump() == first.model_dump()

    with pytest.raises(openai.UnprocessableEntityError):
        client.responses.create(model=TEXT, input="Something else", extra_headers=headers)
