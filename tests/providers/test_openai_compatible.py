"""Any OpenAI-compatible server, in good health or not, becomes the same few events."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from antiphon.domain.errors import ProviderError
from antiphon.ports.model_provider import (
    Finish,
    ModelRequest,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    UsageReport,
)
from antiphon.providers import http_exchange
from antiphon.providers.http_client import HttpClient
from antiphon.providers.openai_compatible import OpenAICompatible
from antiphon.providers.specs import ProviderSpec
from tests.harness.tokens import plain_token
from tests.harness.upstream import Upstream
from tests.providers.asking import DONE, KEY, OK, ask, provider, read, text_of
from tests.providers.raw_server import Peer, Play, answer, chunk, chunked, serving
from tests.services.hand import until


@pytest.mark.parametrize(
    "model",
    ["n5", "n5-burst", "n5-split-bytes", "n5-malformed-crlf", "n5-malformed-cr", "n5-malformed-nodone",
     "n5-malformed-twodone", "n5-malformed-comments", "n5-malformed-nospace"],
)  # fmt: skip
async def test_every_healthy_stream_says_the_same(http: HttpClient, upstream: Upstream, model: str) -> None:
    events, error = await read(provider(http, upstream.base_url), ask(model))
    assert error is None
    assert text_of(events) == "".join(map(plain_token, range(5)))
    assert [e for e in events if isinstance(e, Finish)] == [Finish(0, "stop")]
    assert isinstance(events[-1], UsageReport) and events[-1].output_tokens == 5


async def test_reasoning_tools_and_wide_characters(http: HttpClient, upstream: Upstream) -> None:
    made = provider(http, upstream.base_url)
    events, _ = await read(made, ask("reasoning-n3-split-bytes"))
    assert sum(isinstance(e, ReasoningDelta) for e in events) == 4
    events, _ = await read(made, ask("tool-lookup-calls2"))
    calls = [e for e in events if isinstance(e, ToolCallDelta)]
    assert [(c.index, c.name) for c in calls if c.name] == [(0, "lookup"), (1, "lookup")]
    for index in (0, 1):
        json.loads("".join(c.arguments for c in calls if c.index == index))
    wide, _ = await read(made, ask("utf8-n8-split-bytes"))
    plain, _ = await read(made, ask("utf8-n8"))
    assert text_of(wide) == text_of(plain) and not text_of(wide).isascii()


async def test_a_nan_usage_is_none(http: HttpClient, upstream: Upstream) -> None:
    events, error = await read(provider(http, upstream.base_url), ask("n5-malformed-nan"))
    assert error is None and not any(isinstance(e, UsageReport) for e in events)


@pytest.mark.parametrize(
    ("model", "tokens", "word"),
    [
        ("n9-cut-at300", None, "upstream_connection_error"),
        ("n9-rst-after3", 3, "upstream_connection_error"),
        ("n9-halfclose-after3", 3, "upstream_connection_error"),
        ("n9-stall-after3", 3, "upstream_timeout"),
        ("n9-error-after3", 3, "scripted failure"),
        ("n9-malformed-longline", None, "upstream_protocol_error"),
        ("n9-malformed-json", None, "upstream_protocol_error"),
        ("n9-rst-after0", 0, "upstream_connection_error"),
        ("n9-stall-after0", 0, "upstream_timeout"),
        ("malformed-empty", 0, "upstream_protocol_error"),
    ],
)
async def test_what_was_said_before_a_fault_is_kept(
    http: HttpClient, upstream: Upstream, model: str, tokens: int | None, word: str
) -> None:
    began = time.perf_counter()
    made = provider(http, upstream.base_url, idle_seconds=1.0)
    events, error = await read(made, ask(model))
    assert error is not None and word in error.message and error.code == "server_error"
    assert not any(isinstance(e, Finish | UsageReport) for e in events)
    assert tokens is None or sum(isinstance(e, TextDelta) and bool(e.text) for e in events) == tokens
    assert error.retryable == (not events)
    assert time.perf_counter() - began < 10


async def test_the_key_and_the_headers_are_sent_where_they_belong(http: HttpClient) -> None:
    seen: list[bytes] = []

    async def play(peer: Peer) -> None:
        seen.append(await peer.request())
        await peer.say(chunked(OK, DONE))

    async with serving(play) as server:
        made = provider(http, server.url + "/v1/", extra_headers={"X-Org": "seven"})
        request = ModelRequest(
            model="m",
            messages=[{"role": "user", "content": "half \ud83d"}],
            params={"temperature": 0.5, "stream": False, "stream_options": {"x": 1}},
            extra_headers={"Authorization": "stolen", "x-request-id": "r1", "Host": "evil"},
        )
        events, error = await read(made, request)
    assert error is None and text_of(events) == "ok"
    head, _, body = seen[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/chat/completions HTTP/1.1\r\n")
    assert f"authorization: Bearer {KEY}".encode() in head and b"stolen" not in head and b"evil" not in head
    assert b"x-org: seven" in head and b"x-request-id: r1" in head
    assert json.loads(body) == {
        "model": "m",
        "messages": [{"role": "user", "content": "half \ufffd"}],
        "temperature": 0.5,
        "stream": True,
        "stream_options": {"x": 1, "include_usage": True},
    }


async def test_no_key_no_header(http: HttpClient, upstream: Upstream) -> None:
    await read(provider(http, upstream.base_url, api_key=None), ask("n1"))
    assert [r["authorization"] for r in upstream.stats()["requests"].values()] == [""]


async def test_a_whole_json_answer_to_a_streamed_request(http: HttpClient) -> None:
    body = {"choices": [{"message": {"content": "whole"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 2}}  # fmt: skip

    async def play(peer: Peer) -> None:
        while await peer.request():
            shown = b"\n " + json.dumps(body, indent=1).encode()
            await peer.say(answer(shown, b"Content-Type: application/json"))

    async with serving(play) as server:
        batches = [batch async for batch in provider(http, server.url).stream(ask())]
    assert batches == [[TextDelta(0, "whole"), Finish(0, "stop"), UsageReport(1, 2)]]


async def test_closing_the_iterator_closes_the_call_at_once(http: HttpClient, upstream: Upstream) -> None:
    stream = provider(http, upstream.base_url).stream(ask("paced-n1000-i10"))
    async for _ in stream:
        break
    await stream.aclose()  # type: ignore[attr-defined]
    await until(lambda: upstream.stats()["open_connections"] == 0)


async def test_a_consumer_that_does_not_ask_stops_the_reading(http: HttpClient) -> None:
    sent = 0

    async def play(peer: Peer) -> None:
        nonlocal sent
        await peer.request()
        await peer.say(chunked(last=False))
        event = b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % (b"x" * 30_000)
        for _ in range(1000):
            await peer.say(chunk(event))
            sent += 30_000
        await peer.say(chunk(OK), chunk(DONE), b"0\r\n\r\n")

    async with serving(play) as server:
        size = 0
        async for batch in provider(http, server.url).stream(ask()):
            if not size:
                await asyncio.sleep(0.3)
                assert sent < 15_000_000
            size += sum(len(e.text) for e in batch if isinstance(e, TextDelta))
        assert size == 30_000_002


async def test_a_finished_answer_outlives_the_connection(http: HttpClient) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(chunked(OK, last=False))
        await asyncio.sleep(0.02)
        peer.reset()

    async with serving(play) as server:
        events, error = await read(provider(http, server.url), ask())
    assert error is None and events == [TextDelta(0, "ok"), Finish(0, "stop")]


async def test_a_server_that_lingers_after_done_delays_nothing(
    http: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_exchange, "FINISH_SECONDS", 60.0)  # what waits for an end would be seen to

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(chunked(OK, DONE, last=False))
        await peer.gone()

    async with serving(play) as server:
        began = time.perf_counter()
        events, error = await read(provider(http, server.url), ask())
        assert error is None and text_of(events) == "ok" and time.perf_counter() - began < 5


async def test_cuts_at_every_byte_of_the_connection(http: HttpClient) -> None:
    whole = chunked(b'data: {"choices":[{"index":0,"delta":{"content":"n\xc3\xa9"}}]}\n\n', OK, DONE)

    async def play(peer: Peer) -> None:
        request = await peer.request()
        at = int(json.loads(request.partition(b"\r\n\r\n")[2])["model"])
        await peer.say(whole[:at])

    async with serving(play) as server:
        made = provider(http, server.url)
        for at in range(0, len(whole), 3):
            events, error = await read(made, ask(str(at)))
            assert "néok".startswith(text_of(events))
            assert (error is None) == any(isinstance(e, Finish) for e in events)


def listing(*ids: str) -> bytes:
    return json.dumps({"data": [{"id": i, "created": 5, "context_window": 4096} for i in ids]}).encode()


def lists(*bodies: bytes) -> Play:
    left = list(bodies)

    async def play(peer: Peer) -> None:
        while await peer.request():
            body = left.pop(0)
            await peer.say(answer(body) if body else answer(b"", status=b"500 No"))

    return play


async def test_the_list_is_fetched_kept_and_fetched_again(http: HttpClient) -> None:
    now = 100.0
    async with serving(lists(listing("a", "b/c"), b"", listing("d"))) as server:
        spec = ProviderSpec(name="up", base_url=server.url, api_key=KEY)
        made = OpenAICompatible(spec, http, monotonic=lambda: now)
        first, again = await asyncio.gather(made.models(), made.models())
        assert first == again
        assert [(i.id, i.provider, i.created, i.context_tokens) for i in first] == [
            ("up/a", "up", 5, 4096),
            ("up/b/c", "up", 5, 4096),
        ]
        now += 61
        assert [i.id for i in await made.models()] == ["up/a", "up/b/c"]  # the old one, since asking failed
        now += 5
        assert [i.id for i in await made.models()] == ["up/a", "up/b/c"]
        now += 6
        assert [i.id for i in await made.models()] == ["up/d"]


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"data":7}', b"[" * 100_000])
async def test_a_list_that_is_none_is_an_error(http: HttpClient, body: bytes) -> None:
    async with serving(lists(body)) as server:
        made = provider(http, server.url)
        for _ in range(2):  # the second time it is remembered
            with pytest.raises(ProviderError):
                await made.models()


async def test_check_asks_every_time(http: HttpClient) -> None:
    async with serving(lists(listing("a"), b"")) as server:
        made = provider(http, server.url, models=("x",))
        await made.check()
        with pytest.raises(ProviderError):
            await made.check()
