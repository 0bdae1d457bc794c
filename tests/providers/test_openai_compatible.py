"""Any OpenAI-compatible server, in good health or not, becomes events and one kind of error."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from antiphon.domain.errors import ProviderError
from antiphon.ports.model_provider import (
    Finish,
    ModelRequest,
    ProviderEvent,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    UsageReport,
)
from antiphon.providers.http_client import HttpClient
from antiphon.providers.openai_compatible import OpenAICompatible
from antiphon.providers.provider_errors import retry_after
from antiphon.providers.specs import ProviderSpec
from tests.harness.upstream import Upstream
from tests.providers.raw_server import Peer, Play, answer, chunk, chunked, serving

KEY = "sk-canary-0123456789abcdef"
OK = b'data: {"choices":[{"index":0,"delta":{"content":"ok"},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    made = HttpClient()
    yield made
    await made.close()


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as running:
        yield running


def provider(http: HttpClient, base_url: str, **fields: Any) -> OpenAICompatible:
    return OpenAICompatible(ProviderSpec(name="up", base_url=base_url, **{"api_key": KEY, **fields}), http)


def ask(model: str = "m", said: str = "hi", **params: Any) -> ModelRequest:
    return ModelRequest(model=model, messages=[{"role": "user", "content": said}], params=params)


Read = tuple[list[ProviderEvent], ProviderError | None]


async def read(made: OpenAICompatible, request: ModelRequest) -> Read:
    events: list[ProviderEvent] = []
    try:
        async for batch in made.stream(request):
            assert batch
            events += batch
    except ProviderError as error:
        assert KEY not in str(error) and "canary" not in repr(error)
        return events, error
    return events, None


def text_of(events: list[ProviderEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


@pytest.mark.parametrize(
    "model",
    ["n5", "n5-burst", "n5-split-bytes", "n5-malformed-crlf", "n5-malformed-cr", "n5-malformed-nodone",
     "n5-malformed-twodone", "n5-malformed-comments", "n5-malformed-nospace"],
)  # fmt: skip
async def test_every_healthy_stream_says_the_same(http: HttpClient, upstream: Upstream, model: str) -> None:
    events, error = await read(provider(http, upstream.base_url), ask(model))
    assert error is None
    assert text_of(events) == "w0~w1~w2~w3~w4~".replace("~", text_of(events)[2])
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
    made = provider(http, upstream.base_url, idle_seconds=0.3)
    events, error = await read(made, ask(model))
    assert error is not None and word in error.message and error.code == "server_error"
    assert not any(isinstance(e, Finish | UsageReport) for e in events)
    assert tokens is None or sum(isinstance(e, TextDelta) and bool(e.text) for e in events) == tokens
    assert error.retryable == (not events)
    assert time.perf_counter() - began < 1.5


async def test_a_web_page_is_not_an_answer(http: HttpClient, upstream: Upstream) -> None:
    events, error = await read(provider(http, upstream.base_url), ask("malformed-html"))
    assert events == [] and error is not None and "web page" in error.message and not error.retryable


@pytest.mark.parametrize(
    ("status", "code", "retryable"),
    [
        (301, "server_error", False),
        (400, "invalid_prompt", False),
        (401, "server_error", False),
        (402, "server_error", False),
        (403, "server_error", False),
        (404, "server_error", False),
        (408, "server_error", True),
        (413, "invalid_prompt", False),
        (422, "invalid_prompt", False),
        (429, "rate_limit_exceeded", True),
        (500, "server_error", True),
        (503, "server_error", True),
        (599, "server_error", True),
    ],
)
async def test_statuses(
    http: HttpClient, upstream: Upstream, status: int, code: str, retryable: bool
) -> None:
    events, error = await read(provider(http, upstream.base_url), ask(f"status-{status}"))
    assert events == [] and error is not None
    assert (error.code, error.retryable, error.status) == (code, retryable, status)
    assert "up" in error.message and upstream.stats()["calls"] == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500])
@pytest.mark.parametrize("echo", [KEY, f"Bearer {KEY}", KEY[:12], KEY[-10:], json.dumps({"a": [KEY]})])
async def test_the_key_is_never_echoed(http: HttpClient, status: int, echo: str) -> None:
    body = json.dumps({"error": {"message": f"wrong key {echo}", "type": "x"}}).encode()

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(answer(body, status=b"%d No" % status))

    async with serving(play) as server:
        made = provider(http, server.url)
        _, error = await read(made, ask())
        assert error is not None
        for shown in (str(error), repr(error), error.message, repr(made)):
            assert KEY[:12] not in shown and KEY[-10:] not in shown


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


async def test_a_provider_that_knows_no_stream_options_is_remembered(http: HttpClient) -> None:
    bodies: list[dict[str, Any]] = []

    async def play(peer: Peer) -> None:
        while request := await peer.request():
            bodies.append(json.loads(request.partition(b"\r\n\r\n")[2]))
            if "stream_options" in bodies[-1]:
                refusal = b'{"error":{"message":"Unrecognized request argument: stream_options"}}'
                await peer.say(answer(refusal, status=b"400 Bad Request"))
            else:
                await peer.say(chunked(OK, DONE))

    async with serving(play) as server:
        made = provider(http, server.url)
        for _ in range(2):
            events, error = await read(made, ask())
            assert error is None and text_of(events) == "ok"
        assert ["stream_options" in body for body in bodies] == [True, False, False]
        assert server.accepted == 1


async def test_a_prompt_that_speaks_of_stream_options_changes_nothing(http: HttpClient) -> None:
    bodies: list[bytes] = []

    async def play(peer: Peer) -> None:
        while request := await peer.request():
            bodies.append(request)
            await peer.say(answer(b'{"error":{"message":"no: stream_options"}}', status=b"400 Bad Request"))

    async with serving(play) as server:
        made = provider(http, server.url)
        for _ in range(2):
            _, error = await read(made, ask())
            assert error is not None and error.code == "invalid_prompt"
        assert [b"stream_options" in body for body in bodies] == [True, False, True, False]


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


async def test_an_error_with_status_200(http: HttpClient) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(answer(b'{"error":{"message":"overloaded","code":503}}'))

    async with serving(play) as server:
        events, error = await read(provider(http, server.url), ask())
    assert events == [] and error is not None and error.retryable and "overloaded" in error.message


async def test_a_missing_model_is_told_with_a_hint(http: HttpClient) -> None:
    for status, code in ((b"404 Not Found", "model_not_found"), (b"400 Bad Request", "model_decommissioned")):

        async def play(peer: Peer, status: bytes = status, code: str = code) -> None:
            await peer.request()
            body = json.dumps({"error": {"message": "gone", "code": code}}).encode()
            await peer.say(answer(body, status=status))

        async with serving(play) as server:
            _, error = await read(provider(http, server.url, model_hint="Set GROQ_MODEL_NAME."), ask("old"))
        assert error is not None and error.code == "server_error" and not error.retryable
        assert "no model 'old'" in error.message and "GROQ_MODEL_NAME" in error.message


async def test_no_credit_is_not_worth_another_attempt(http: HttpClient) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        body = b'{"error":{"message":"pay","code":"insufficient_quota"}}'
        await peer.say(answer(body, status=b"429 Too Many Requests"))

    async with serving(play) as server:
        _, error = await read(provider(http, server.url), ask())
    assert error is not None and error.code == "rate_limit_exceeded" and not error.retryable


async def test_retry_after_is_kept(http: HttpClient, upstream: Upstream) -> None:
    _, error = await read(provider(http, upstream.base_url), ask("status-429-retryafter7"))
    assert error is not None and error.retry_after_seconds == 7


def test_every_form_of_retry_after() -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    later = format_datetime(now + timedelta(seconds=90), usegmt=True)
    skewed = {"retry-after": later, "date": format_datetime(now + timedelta(seconds=80), usegmt=True)}
    assert retry_after(skewed) == 10
    assert 85 < (retry_after({"retry-after": later}) or 0) < 91
    assert retry_after({"retry-after": "1.5"}) == 1.5
    assert retry_after({"retry-after-ms": "250", "retry-after": "9"}) == 0.25
    assert retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0
    assert retry_after({"retry-after": "9" * 400}) == 86400
    for nonsense in ("", "soon", "-5", "nan", "Wed, 99 Foo 2015"):
        assert retry_after({"retry-after": nonsense}) is None
    assert retry_after({}) is None


async def test_closing_the_iterator_closes_the_call_at_once(http: HttpClient, upstream: Upstream) -> None:
    stream = provider(http, upstream.base_url).stream(ask("paced-n1000-i10"))
    async for _ in stream:
        break
    await stream.aclose()  # type: ignore[attr-defined]
    await asyncio.sleep(0.05)
    assert upstream.stats()["open_connections"] == 0


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


async def test_a_server_that_lingers_after_done_delays_nothing(http: HttpClient) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(chunked(OK, DONE, last=False))
        await peer.gone()

    async with serving(play) as server:
        began = time.perf_counter()
        events, error = await read(provider(http, server.url), ask())
        assert error is None and text_of(events) == "ok" and time.perf_counter() - began < 0.5


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
