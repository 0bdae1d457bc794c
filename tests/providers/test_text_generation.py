"""Hugging Face's text generation, streamed or at once, becomes the same few events as any other answer."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from antiphon.domain.errors import ProviderError
from antiphon.ports.model_provider import Finish, ModelRequest, ProviderEvent, TextDelta, UsageReport
from antiphon.providers.http_client import HttpClient
from antiphon.providers.specs import from_toml, presets
from antiphon.providers.text_generation import TextGeneration, encode_request, prompt_of
from tests.e2e.server_process import running
from tests.e2e.wire import call
from tests.providers.asking import KEY, ask, text_of
from tests.providers.raw_server import Peer, answer, chunk, chunked, says, serving

MODEL = "mistralai/Mistral-7B-Instruct-v0.2"
HELLO = [{"role": "user", "content": "hi"}]


def event(text: str, *, special: bool = False, **fields: Any) -> bytes:
    told = {"token": {"id": 1, "text": text, "special": special}, "generated_text": None, **fields}
    return b"data:" + json.dumps(told).encode() + b"\n\n"


LAST = event(
    "</s>", special=True, generated_text="Hello there",
    details={"finish_reason": "eos_token", "generated_tokens": 3, "input_length": 7},
)  # fmt: skip
STREAMED = (event("Hello"), event(" there"), LAST)


def provider(http: HttpClient, url: str) -> TextGeneration:
    (spec,) = presets({"HF_TOKEN": KEY, "HF_BASE_URL": f"{url}/models/{MODEL}"})
    assert (spec.models, spec.default_model) == ((MODEL,), MODEL)
    return TextGeneration(spec, http)


async def read(
    made: TextGeneration, request: ModelRequest
) -> tuple[list[ProviderEvent], ProviderError | None]:
    events: list[ProviderEvent] = []
    try:
        async for batch in made.stream(request):
            assert batch
            events += batch
    except ProviderError as error:
        assert "canary" not in f"{error}{error!r}"
        return events, error
    return events, None


@pytest.mark.parametrize(
    "parts",
    [
        [chunked(*STREAMED)],
        [chunked(b"".join(STREAMED))],
        [chunked(*(bytes([one]) for one in b"".join(STREAMED)))],
        [chunked(*STREAMED, b"data: [DONE]\n\n")],
        [answer(b'[{"generated_text": "Hello there"}]')],
        [
            answer(
                b'\n{"generated_text": "Hello there", "details": {"generated_tokens": 3, "input_length": 7}}'
            )
        ],
    ],
    ids=["events", "one read", "byte by byte", "done", "list", "object"],
)
async def test_every_form_of_an_answer_says_the_same(http: HttpClient, parts: list[bytes]) -> None:
    async with serving(says(*parts)) as server:
        events, error = await read(
            provider(http, server.url), ask(MODEL, "hi", max_tokens=9, temperature=0.5)
        )
    assert error is None and text_of(events) == "Hello there"
    assert [one for one in events if isinstance(one, Finish)] == [Finish(0, "stop")]
    assert [one for one in events if isinstance(one, UsageReport)] in ([], [UsageReport(7, 3)])


async def test_what_is_sent_is_the_wire(http: HttpClient) -> None:
    seen: list[bytes] = []

    async def play(peer: Peer) -> None:
        seen.append(await peer.request())
        await peer.say(chunked(*STREAMED))

    async with serving(play) as server:
        await read(provider(http, server.url), ask(MODEL, "hi", max_tokens=9, temperature=0.5, stop="\n"))
    head, _, body = seen[0].partition(b"\r\n\r\n")
    assert head.startswith(f"POST /models/{MODEL} ".encode()) and f"Bearer {KEY}".encode() in head
    assert json.loads(body) == {
        "inputs": "<s>[INST] hi [/INST]",
        "parameters": {
            "temperature": 0.5, "max_new_tokens": 9, "stop": ["\n"],
            "return_full_text": False, "details": True,
        },
        "stream": True,
    }  # fmt: skip


async def test_an_answer_cut_at_its_length_says_so(http: HttpClient) -> None:
    cut = event("x", generated_text="x", details={"finish_reason": "length", "generated_tokens": 1})
    async with serving(says(chunked(cut))) as server:
        events, error = await read(provider(http, server.url), ask(MODEL))
    assert error is None and events == [TextDelta(0, "x"), Finish(0, "length")]


@pytest.mark.parametrize(
    ("parts", "code", "retryable"),
    [
        (
            [answer(b'{"error": "Model is loading", "estimated_time": 20}', status=b"503 X")],
            "server_error",
            True,
        ),
        ([answer(b'{"error": "bad"}', status=b"422 X")], "invalid_prompt", False),
        ([answer(b'{"error": "' + KEY.encode() + b'"}', status=b"400 X")], "invalid_prompt", False),
        ([answer(b'{"error": "too many"}', status=b"429 X")], "rate_limit_exceeded", True),
        ([answer(b"")], "server_error", True),
        ([answer(b"<html>")], "server_error", False),
        ([answer(b"nonsense")], "server_error", True),
        ([answer(b"[]")], "server_error", True),
        ([answer(b'[{"generated_text": 5}]')], "server_error", True),
        ([answer(b'{"error": "overloaded", "error_type": "overloaded"}')], "server_error", True),
        ([chunked(event("Hel"), event("lo"))], "server_error", True),
        ([chunked(event("Hel"), b'data:{"error":"gone"}\n\n')], "server_error", True),
        ([chunked(b"data:{}\n\n")], "server_error", True),
        ([chunked(event("Hel"), last=False) + chunk(b"data:")], "server_error", True),
    ],
)
async def test_whatever_goes_wrong_is_a_provider_error_of_the_closed_list(
    http: HttpClient, parts: list[bytes], code: str, retryable: bool
) -> None:
    async with serving(says(*parts, keep=False)) as server:
        _, error = await read(provider(http, server.url), ask(MODEL))
    assert error is not None and error.code == code
    assert error.retryable or not retryable or "connection" in error.message


@pytest.mark.parametrize(
    "params", [{"n": 2}, {"tools": [{}]}, {"response_format": {"type": "json_object"}}, {"logprobs": True}]
)
def test_what_the_wire_cannot_say_is_refused(params: dict[str, Any]) -> None:
    with pytest.raises(ProviderError, match="one text from text"):
        encode_request(ModelRequest(model="m", messages=list(HELLO), params=params), "p")
    picture = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]
    with pytest.raises(ProviderError, match="pictures"):
        encode_request(ModelRequest(model="m", messages=picture), "p")


def test_a_conversation_is_written_out_as_its_model_knows_it() -> None:
    messages = [
        {"role": "system", "content": "Be kind."}, {"role": "user", "content": "one"},
        {"role": "assistant", "content": "1"}, {"role": "user", "content": [{"type": "text", "text": "two"}]},
    ]  # fmt: skip
    assert prompt_of(messages, MODEL) == ("<s>[INST] Be kind.\n\none [/INST] 1</s>[INST] two [/INST]", [])
    assert prompt_of(messages, "gpt2") == (
        "Be kind.\nUser: one\nAssistant: 1\nUser: two\nAssistant:", ["\nUser:"]
    )  # fmt: skip
    zero = json.loads(
        encode_request(ModelRequest(model="m", messages=list(HELLO), params={"temperature": 0}), "p")
    )
    assert zero["parameters"]["do_sample"] is False and "temperature" not in zero["parameters"]


def test_an_address_says_by_its_end_which_wire_it_speaks() -> None:
    tables = {"own": {"base_url": "http://h/models/gpt2"}, "chat": {"base_url": "http://h/models/gpt2/v1"}}
    own, chat = from_toml(tables, {})
    assert (own.generated_model, own.models, own.default_model) == ("gpt2", ("gpt2",), "gpt2")
    assert (chat.generated_model, chat.models) == ("", ())
    assert [one.name for one in presets({"HF_BASE_URL": "http://h/models/x"})] == ["huggingface"]
    assert presets({"HF_BASE_URL": "http://h/v1"}) == []


async def test_it_is_healthy_while_its_address_answers(http: HttpClient) -> None:
    async with serving(says(answer(b"Method not allowed", status=b"405 X"))) as server:
        await provider(http, server.url).check()
    for status in (b"401 X", b"404 X", b"500 X"):
        async with serving(says(answer(b"{}", status=status))) as server:
            with pytest.raises(ProviderError):
                await provider(http, server.url).check()


async def test_the_redis_chat_services_call_is_answered_by_it_with_the_whole_history(tmp_path: Path) -> None:
    """As its `config.ini` says: the endpoint, its token and nothing else."""
    seen: list[Any] = []

    async def play(peer: Peer) -> None:
        while sent := await peer.request():
            if sent.startswith(b"POST"):
                seen.append(json.loads(sent.partition(b"\r\n\r\n")[2])["inputs"])
                await peer.say(answer(b'[{"generated_text": "I am fine."}]'))
            else:
                await peer.say(answer(b"{}"))

    async with serving(play) as upstream:
        url = f"{upstream.url}/models/{MODEL}"

        async def talk(port: int) -> list[dict[str, Any]]:
            said = [{"session_id": "s", "message": text} for text in ("How are you?", "And now?")]
            return [(await call(port, "POST", "/chat/", one)).json() for one in said]

        settings = {
            "HF_TOKEN": KEY,
            "HF_BASE_URL": url,
            "DEFAULT_MODEL": f"huggingface/{MODEL}",
            "DRAIN_SECONDS": "0",
        }
        context = running(tmp_path, settings)
        server = await asyncio.to_thread(context.__enter__)
        try:
            first, second = await talk(server.port)
        finally:
            await asyncio.to_thread(context.__exit__, None, None, None)
    assert first["response"] == second["response"] == "I am fine."
    assert (first["llm_provider"], first["model"]) == ("huggingface", MODEL)
    assert seen == [
        "<s>[INST] How are you? [/INST]",
        "<s>[INST] How are you? [/INST] I am fine.</s>[INST] And now? [/INST]",
    ]
