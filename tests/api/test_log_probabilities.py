"""The log probabilities that a provider sends arrive on every surface in OpenAI's own shapes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import (
    Response,
    ResponseOutputMessage,
    ResponseTextDeltaEvent,
    ResponseTextDoneEvent,
)
from openai.types.responses.response_output_text import ResponseOutputText

from antiphon.bootstrap import SystemClock
from antiphon.providers.http_client import HttpClient
from antiphon.services.models import Models
from tests.api.client import Api, in_process
from tests.providers.asking import DONE, provider
from tests.providers.raw_server import RawServer, chunked, says, serving
from tests.services.world import open_world

MODEL = "up/m"


def token(text: str, **more: Any) -> dict[str, Any]:
    """A token as OpenAI sends it."""
    other = {"token": "Hi", "logprob": -2.5, "bytes": [72, 105]}
    return {"token": text, "logprob": -0.25, "bytes": list(text.encode()), "top_logprobs": [other], **more}


SAID = [token("Hel"), token("lo")]


def sent() -> bytes:
    pieces: list[Any] = [({"role": "assistant", "content": "", "refusal": None}, None)]
    pieces += [({"content": one["token"]}, {"content": [one], "refusal": None}) for one in SAID]
    chunks = [{"choices": [{"index": 0, "delta": said, "logprobs": found}]} for said, found in pieces]
    chunks.append({"choices": [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}]})
    return chunked(*(b"data: %b\n\n" % json.dumps(one).encode() for one in chunks), DONE)


@pytest.fixture
async def upstream() -> AsyncIterator[RawServer]:
    async with serving(says(sent())) as server:
        yield server


@pytest.fixture
async def asked(tmp_path: Path, upstream: RawServer) -> AsyncIterator[Api]:
    """The application before a provider that speaks over HTTP."""
    http = HttpClient()
    made = provider(http, upstream.url)
    world = await open_world(tmp_path / "data", models=Models({made.name: made}, clock=SystemClock()))
    async with in_process(world) as client:
        yield client
    await world.close()
    await http.close()


BODY = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}], "logprobs": True, "top_logprobs": 1}


@pytest.mark.parametrize("store", [True, False])
async def test_a_chat_completion_lists_its_tokens(asked: Api, store: bool) -> None:
    answer = await asked.post("/v1/chat/completions", {**BODY, "store": store})
    assert answer["choices"][0]["logprobs"] == {"content": SAID, "refusal": None}
    found = ChatCompletion.model_validate(answer).choices[0].logprobs
    assert found is not None and found.content is not None and found.content[1].top_logprobs[0].token == "Hi"
    if store:
        kept = await asked.get(f"/v1/chat/completions/{answer['id']}")
        assert kept["choices"][0]["logprobs"] == {"content": SAID, "refusal": None}


@pytest.mark.parametrize("store", [True, False])
async def test_a_streamed_one_brings_each_with_its_text(asked: Api, store: bool) -> None:
    body = {**BODY, "store": store, "stream": True}
    events = await asked.stream("POST", "/v1/chat/completions", body)
    chunks = [
        ChatCompletionChunk.model_validate(one.data).choices[0] for one in events if one.data != "[DONE]"
    ]
    told = [(one.delta.content, one.logprobs.content) for one in chunks if one.logprobs is not None]
    assert [(text, found[0].model_dump()) for text, found in told if found] == [
        ("Hel", SAID[0]),
        ("lo", SAID[1]),
    ]


async def test_a_response_has_them_in_its_events_and_in_what_is_stored(asked: Api) -> None:
    body = {"model": MODEL, "input": "hi", "include": ["message.output_text.logprobs"], "stream": True}
    events = await asked.stream("POST", "/v1/responses", body)
    deltas = [one.data for one in events if one.name == "response.output_text.delta"]
    assert [one["logprobs"] for one in deltas] == [[SAID[0]], [SAID[1]]]
    assert [ResponseTextDeltaEvent.model_validate(one).logprobs[0].token for one in deltas] == ["Hel", "lo"]
    (done,) = [one.data for one in events if one.name == "response.output_text.done"]
    assert done["logprobs"] == SAID and len(ResponseTextDoneEvent.model_validate(done).logprobs) == 2
    (part,) = [one.data["part"] for one in events if one.name == "response.content_part.done"]
    assert ResponseOutputText.model_validate(part).logprobs and part["logprobs"] == SAID
    ended = events[-1].data["response"]
    (message,) = Response.model_validate(ended).output
    assert isinstance(message, ResponseOutputMessage)
    stored = await asked.get(f"/v1/responses/{ended['id']}")
    assert stored["output"] == ended["output"] and stored["output"][0]["content"] == [part]
    replayed = await asked.stream("GET", f"/v1/responses/{ended['id']}?stream=true")
    assert [one.data for one in replayed] == [one.data for one in events]
