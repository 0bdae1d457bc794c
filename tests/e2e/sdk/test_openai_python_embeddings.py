"""The official Python SDK's embeddings, which asks for base64 unless told otherwise."""

from __future__ import annotations

import math

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from tests.e2e.sdk.launch import Server

MODEL = "scripted/embedding"


def test_vectors_are_floats_of_length_one_in_the_order_of_their_texts(client: OpenAI) -> None:
    made = client.embeddings.create(model=MODEL, input=["a text about rivers", "rivers"])
    assert made.model == MODEL and made.object == "list"
    assert [one.index for one in made.data] == [0, 1]
    assert all(math.hypot(*one.embedding) == pytest.approx(1.0, abs=1e-6) for one in made.data)
    assert (made.usage.prompt_tokens, made.usage.total_tokens) == (5, 5)
    alone = client.embeddings.create(model=MODEL, input="rivers")
    assert alone.data[0].embedding == made.data[1].embedding


def test_floats_and_base64_are_the_same_numbers(client: OpenAI) -> None:
    packed = client.embeddings.create(model=MODEL, input="a text").data[0].embedding
    plain = client.embeddings.create(model=MODEL, input="a text", encoding_format="float").data[0].embedding
    assert plain == pytest.approx(packed, abs=1e-7)


def test_dimensions_are_as_asked(client: OpenAI) -> None:
    made = client.embeddings.create(model=MODEL, input="a text", dimensions=64, user="someone")
    assert len(made.data[0].embedding) == 64


@pytest.mark.parametrize("given", ["", [], [1, 2, 3], [[1, 2]], ["a", ""]])
def test_input_that_is_none_is_a_bad_request(client: OpenAI, given: object) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.embeddings.create(model=MODEL, input=given)  # type: ignore[arg-type]
    assert refused.value.param == "input"


def test_an_unknown_model_is_a_typed_error(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        client.embeddings.create(model="nobody/nothing", input="x")
    assert refused.value.code == "model_not_found"


async def test_the_asynchronous_client_does_the_same(server: Server) -> None:
    async with AsyncOpenAI(base_url=server.base_url, api_key="sk-any", max_retries=0) as sdk:
        made = await sdk.embeddings.create(model=MODEL, input=["one", "two"])
    assert len(made.data) == 2
