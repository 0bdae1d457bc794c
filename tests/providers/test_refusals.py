"""Whatever a provider refuses becomes one kind of error, without a word of our credentials."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from antiphon.providers.http_client import HttpClient
from antiphon.providers.provider_errors import retry_after
from tests.harness.upstream import Upstream
from tests.providers.asking import DONE, KEY, OK, ask, provider, read, text_of
from tests.providers.raw_server import Peer, answer, chunked, serving


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
