"""Upstreams that stall, refuse, break off or talk nonsense: always a clear end, and what was said is kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.events import ERROR_CODES, events_of, require_gapless, require_terminal, stored_text, text_of
from tests.e2e.raw_upstream import (
    AUTHORIZATION,
    DONE,
    RawUpstream,
    finish_chunk,
    raw_upstream,
    sse,
    status,
    text_chunk,
)
from tests.e2e.server_process import CANARY, ServerProcess, running, upstream_settings
from tests.e2e.wire import Exchange, call, gather_limited, get
from tests.harness.tokens import expected_text
from tests.harness.upstream import Upstream

IMPATIENT = """
import functools
import antiphon.services.model_breaker as breaker
import antiphon.services.models as models
breaker.FAILURES_TO_OPEN = 10**9
models.Retrying = functools.partial(models.Retrying, first_pause_seconds=0.01)
"""
"""Hundreds of failures in a row are the purpose here, so nothing may be left alone or waited for long."""

SHOWN = 8
"""So many characters in a row of a key are the key."""


@pytest.fixture(scope="module")
def raw() -> Iterator[RawUpstream]:
    """An upstream that answers with given bytes."""
    with raw_upstream() as server:
        yield server


@pytest.fixture(scope="module")
def faulty(
    upstream: Upstream, raw: RawUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    """A server that loses patience after 4 s; its log must not show the key when all is over."""
    settings = upstream_settings(
        upstream, PROVIDER_IDLE_SECONDS="4", DRAIN_SECONDS="1", LOG_LEVEL="debug",
        VLLM_BASE_URL=raw.base_url, VLLM_API_KEY=CANARY,
    )  # fmt: skip
    with running(tmp_path_factory.mktemp("faulty"), settings, patch=IMPATIENT) as server:
        yield server
        require_no_key(server.log.encode(), "the log")
        assert "Traceback" not in server.log, server.log[server.log.index("Traceback") :][:3000]


def require_no_key(said: bytes | bytearray, where: str) -> None:
    """No run of the key's characters stands in what was said."""
    for at in range(len(CANARY) - SHOWN + 1):
        assert CANARY[at : at + SHOWN].encode() not in said, f"{where} shows {CANARY[at : at + SHOWN]}…"


async def ask(server: ServerProcess, model: str, name: str, *, stream: bool = True) -> dict[str, Any]:
    """Ask and return the response as it ended; stream, object and storage must agree."""
    body = {"model": model, "input": f"stream={name}", "stream": stream}
    answered = await call(server.port, "POST", "/v1/responses", body)
    return await checked(server, answered, stream=stream)


async def checked(server: ServerProcess, answered: Exchange, *, stream: bool) -> dict[str, Any]:
    """The response an answer ended with, after what holds for every answer was checked."""
    assert answered.status == 200, (answered.status, bytes(answered.body))
    assert answered.complete
    require_no_key(answered.body, "the answer")
    if stream:
        require_gapless(events_of(answered.body))
        response: dict[str, Any] = require_terminal(answered.body).data["response"]
        assert text_of(events_of(answered.body)) == stored_text(response)
    else:
        response = answered.json()
    stored = await get(server.port, f"/v1/responses/{response['id']}")
    assert stored == response
    assert response["status"] in ("completed", "failed", "incomplete"), response["status"]
    assert response["usage"] is not None
    if response["status"] == "failed":
        assert response["error"]["code"] in ERROR_CODES, response["error"]
        assert response["error"]["message"]
    return response


def require_failed(response: dict[str, Any], text: str, code: str = "server_error") -> None:
    """The answer failed with a reason, and exactly `text` was kept of it."""
    assert response["status"] == "failed", (response["status"], stored_text(response))
    assert response["error"]["code"] == code, response["error"]
    assert stored_text(response) == text
    assert all(item["status"] == "incomplete" for item in response["output"])


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("code", "calls", "error"),
    [
        (401, 1, "server_error"), (403, 1, "server_error"), (404, 1, "server_error"),
        (402, 1, "server_error"), (400, 1, "invalid_prompt"), (418, 1, "invalid_prompt"),
        (429, 3, "rate_limit_exceeded"), (500, 3, "server_error"), (503, 3, "server_error"),
        (302, 1, "server_error"),
    ],
)  # fmt: skip
async def test_refusals(
    faulty: ServerProcess, upstream: Upstream, code: int, calls: int, error: str, stream: bool
) -> None:
    name = f"status{code}{stream}"
    response = await ask(faulty, f"openai/status-{code}", name, stream=stream)
    require_failed(response, "", error)
    assert upstream.stats()["calls_by_stream"][name] == calls


async def test_a_long_retry_after_is_not_waited_for(faulty: ServerProcess, upstream: Upstream) -> None:
    response = await ask(faulty, "openai/status-429-retryafter3600", "patience")
    require_failed(response, "", "rate_limit_exceeded")
    assert upstream.stats()["calls_by_stream"]["patience"] == 1


@pytest.mark.parametrize(("failures", "calls"), [(1, 2), (2, 3), (3, 3)])
async def test_retries_before_the_first_token(
    faulty: ServerProcess, upstream: Upstream, failures: int, calls: int
) -> None:
    name = f"retry{failures}"
    response = await ask(faulty, f"openai/failfirst-{failures}-n5-hash", name)
    if failures < 3:
        assert response["status"] == "completed"
        assert stored_text(response) == expected_text(name, 5)
    else:
        require_failed(response, "")
    assert upstream.stats()["calls_by_stream"][name] == calls


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("tokens", [0, 1, 5])
@pytest.mark.parametrize("fault", ["stall", "error", "rst", "halfclose"])
async def test_breaking_off(
    faulty: ServerProcess, upstream: Upstream, fault: str, tokens: int, stream: bool
) -> None:
    name = f"{fault}{tokens}{stream}"
    response = await ask(faulty, f"openai/paced-i5-n20-hash-{fault}-after{tokens}", name, stream=stream)
    require_failed(response, expected_text(name, tokens))
    calls = upstream.stats()["calls_by_stream"][name]
    assert calls == 1 if tokens else 1 <= calls <= 3, "nothing is asked again once something was said"


@pytest.mark.parametrize("variant", ["crlf", "cr", "nodone", "twodone", "comments", "nospace", "nan"])
async def test_odd_but_readable(faulty: ServerProcess, upstream: Upstream, variant: str) -> None:
    name = f"odd{variant}"
    response = await ask(faulty, f"openai/malformed-{variant}-n8-hash", name)
    assert response["status"] == "completed"
    assert stored_text(response) == expected_text(name, 8)
    assert all(count >= 0 for key, count in response["usage"].items() if key.endswith("tokens"))
    assert upstream.stats()["calls_by_stream"][name] == 1


@pytest.mark.parametrize(("variant", "tokens"), [("json", 1), ("longline", 1), ("html", 0), ("empty", 0)])
async def test_nonsense(faulty: ServerProcess, upstream: Upstream, variant: str, tokens: int) -> None:
    name = f"nonsense{variant}"
    response = await ask(faulty, f"openai/malformed-{variant}-n8-hash", name)
    require_failed(response, expected_text(name, tokens))
    assert upstream.stats()["calls_by_stream"][name] <= (1 if tokens else 3)


@pytest.mark.parametrize("kind", ["hash", "utf8", "tool-lookup-calls3", "reasoning-r5-hash"])
async def test_one_byte_at_a_time(faulty: ServerProcess, kind: str) -> None:
    whole = await ask(faulty, f"openai/n9-{kind}", "bytes")
    split = await ask(faulty, f"openai/n9-{kind}-split-bytes", "bytes")
    assert whole["status"] == split["status"] == "completed"

    def said(response: dict[str, Any]) -> Any:
        return [(i["type"], i.get("content"), i.get("name"), i.get("arguments")) for i in response["output"]]

    assert said(split) == said(whole)


async def test_cut_at_every_byte(faulty: ServerProcess, raw: RawUpstream) -> None:
    pieces = [text_chunk(f"tökén{index} ") for index in range(3)]
    whole = b"".join(pieces) + finish_chunk() + DONE
    complete = len(whole) - len(DONE) - 2  # the finishing chunk counts without its blank line

    async def cut(at: int) -> None:
        raw.answers[f"cut{at}"] = sse(whole[:at])
        body = {"model": "vllm/any", "input": f"raw=cut{at}", "stream": at % 2 == 0}
        answered = await call(faulty.port, "POST", "/v1/responses", body)
        response = await checked(faulty, answered, stream=at % 2 == 0)
        kept = sum(1 for index in range(3) if at >= len(b"".join(pieces[: index + 1])) - 2)
        text = "".join(f"tökén{index} " for index in range(kept))
        if at >= complete:
            assert (response["status"], stored_text(response)) == ("completed", text), f"cut at {at}"
        else:
            require_failed(response, text)
        assert raw.calls[f"cut{at}"] <= (1 if kept else 3), f"cut at {at}: {raw.calls[f'cut{at}']} calls"

    await gather_limited([cut(at) for at in range(len(whole) + 1)])


async def test_a_wrong_byte_at_every_place(faulty: ServerProcess, raw: RawUpstream) -> None:
    pieces = [text_chunk(f"t{index} ") for index in range(3)]
    whole = b"".join(pieces) + finish_chunk() + DONE

    async def spoil(at: int, byte: bytes) -> None:
        name = f"spoil{at}x{byte.hex()}"
        raw.answers[name] = sse(whole[:at] + byte + whole[at + 1 :])
        body = {"model": "vllm/any", "input": f"raw={name}", "stream": True}
        response = await checked(faulty, await call(faulty.port, "POST", "/v1/responses", body), stream=True)
        before = sum(1 for index in range(3) if at >= len(b"".join(pieces[: index + 1])))
        assert stored_text(response).startswith("".join(f"t{index} " for index in range(before))), at
        assert raw.calls[name] <= (1 if before else 3)

    wrong = [b"\xff", b"\x00", b"\n", b"{"]
    await gather_limited([spoil(at, wrong[at % 4]) for at in range(len(whole))])


HOSTILE = {
    "echo400": status(400, b'{"error":{"message":"bad header authorization: {{authorization}}"}}'),
    "echo429": status(429, b'{"error":{"message":"slow down, {{authorization}}"}}'),
    "echo500": status(500, b'{"error":{"message":"{{authorization}} is cursed"}}'),
    "echo302": status(302, b"", b"location: /elsewhere?key={{authorization}}\r\n"),
    "echohtml": sse(b"<html>{{authorization}}</html>"),
    "echoevent": sse(
        text_chunk("a ") + b'data: {"error":{"message":"no: {{authorization}}","code":500}}\n\n'
    ),
    "echobroken": sse(text_chunk("a ") + b'data: {"choices": {{authorization}}\n\n'),
    "echoheader": b"HTTP/1.1 200 OK\r\nx-echo: {{authorization}}\r\nbroken header {{authorization}}\r\n\r\n",
    "notascii": status(500, "{{authorization}} – nö\u202e".encode()),
    "notjson": status(500, b"\xff\xfe{{authorization}}"),
    "deepjson": status(500, b"[" * 60_000),
    "deepevent": sse(b'data: {"choices":' + b"[" * 100_000 + b"\n\n"),
    "deeptools": sse(b'data: {"x":' + b'{"a":' * 50_000 + b"1" + b"}" * 50_000 + b',"choices":[]}\n\n'),
    "nothttp": b"SSH-2.0-OpenSSH_9.6\r\n",
    "badchunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n" + text_chunk("a "),
    "shortbody": b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n" + text_chunk("a "),
    "manyheaders": b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 5000 + b"\r\n" + text_chunk("a "),
    "hugeheader": b"HTTP/1.1 200 OK\r\nx: " + b"y" * 3_000_000 + b"\r\n\r\n",
    "badgzip": b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\nnot gzip at all",
    "unknownenc": b"HTTP/1.1 200 OK\r\ncontent-encoding: br\r\n\r\n\x8b\x02\x80",
    "wrongtypes": sse(b'data: {"choices":"text"}\n\n' + DONE),
    "hugeindex": sse(b'data: {"choices":[{"index":99999999,"delta":{"content":"a"}}]}\n\n' + DONE),
    "hugeint": sse(b'data: {"choices":[{"index":' + b"9" * 400 + b',"delta":{"content":"a"}}]}\n\n' + DONE),
    "hugetool": sse(
        b'data: {"choices":[{"index":0,"delta":{"tool_calls":'
        b'[{"index":2147483648,"function":{"name":"f"}}]}}]}\n\n'
    ),
    "onlydone": sse(DONE),
    "nothing": b"",
}


@pytest.mark.parametrize("name", sorted(HOSTILE))
async def test_hostile_answers(faulty: ServerProcess, raw: RawUpstream, name: str) -> None:
    raw.answers[name] = HOSTILE[name]
    assert AUTHORIZATION in HOSTILE[name] or not name.startswith("echo")
    body = {"model": "vllm/any", "input": f"raw={name}", "stream": True}
    response = await checked(faulty, await call(faulty.port, "POST", "/v1/responses", body), stream=True)
    assert response["status"] == "failed", (name, stored_text(response))
    assert stored_text(response) in ("", "a ")
    assert 1 <= raw.calls[name] <= 3
    assert await asyncio.to_thread(faulty.health) == 200


USAGE_LIES: list[Any] = [
    None, {}, {"prompt_tokens": -5, "completion_tokens": -1}, "many", [1], {"prompt_tokens": 1e300},
    {"prompt_tokens": 10**30, "completion_tokens": 10**30}, {"prompt_tokens": 2**63, "completion_tokens": 1},
    {"prompt_tokens": True, "completion_tokens": "7"},
]  # fmt: skip


@pytest.mark.parametrize("index", range(len(USAGE_LIES)))
async def test_usage_that_cannot_be_true(faulty: ServerProcess, raw: RawUpstream, index: int) -> None:
    name = f"usage{index}"
    usage = b'data: {"choices":[],"usage":' + json.dumps(USAGE_LIES[index]).encode() + b"}\n\n"
    raw.answers[name] = sse(text_chunk("fine ") + finish_chunk() + usage + DONE)
    body = {"model": "vllm/any", "input": f"raw={name}", "stream": True}
    response = await checked(faulty, await call(faulty.port, "POST", "/v1/responses", body), stream=True)
    assert (response["status"], stored_text(response)) == ("completed", "fine ")
    assert 0 <= response["usage"]["total_tokens"] < 10**6
    assert 0 <= response["usage"]["output_tokens"] < 1000


def test_the_key_is_nowhere_on_disk(faulty: ServerProcess) -> None:
    faulty.query("SELECT 1")
    for path in Path(faulty.data).rglob("*"):
        if path.is_file():
            require_no_key(path.read_bytes(), path.name)
