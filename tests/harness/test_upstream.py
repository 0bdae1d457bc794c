"""The scripted upstream says exactly what its model's name asks for, and breaks exactly where told to."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.harness.behaviour import MALFORMED, Behaviour, UnknownBehaviourError, behaviour_of
from tests.harness.script import LONG_LINE_BYTES
from tests.harness.tokens import check_prefix, expected_text, plain_token
from tests.harness.upstream import Upstream, upstream_in_thread


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with upstream_in_thread() as running:
        yield running


def request_for(model: str, prompt: str = "hello", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": prompt}], "stream": True, **more}


def answer(upstream: Upstream, model: str, prompt: str = "hello", **more: Any) -> httpx.Response:
    body = request_for(model, prompt, **more)
    return httpx.post(f"{upstream.base_url}/chat/completions", json=body, timeout=10, trust_env=False)


def received(upstream: Upstream, model: str, prompt: str = "hello") -> tuple[bytes, Exception | None]:
    """The body as far as it came, and the error it ended with."""
    body = b""
    url = f"{upstream.base_url}/chat/completions"
    try:
        with httpx.stream(
            "POST", url, json=request_for(model, prompt), timeout=1, trust_env=False
        ) as response:
            for part in response.iter_raw():
                body += part
    except httpx.TransportError as error:
        return body, error
    return body, None


def events(body: bytes) -> list[Any]:
    """The payloads of the data events, without ``[DONE]``."""
    lines = re.split(rb"\r\n|\n|\r", body)
    datas = [line.removeprefix(b"data:").strip() for line in lines if line.startswith(b"data:")]
    return [json.loads(data) for data in datas if data not in (b"[DONE]", b"")]


def text_of(body: bytes, key: str = "content") -> str:
    deltas = [choice["delta"] for event in events(body) for choice in event["choices"]]
    return "".join(delta.get(key) or "" for delta in deltas)


def plain_text(count: int) -> str:
    return "".join(plain_token(index) for index in range(count))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", None),
        (expected_text("a", 3), None),
        (expected_text("a", 3)[:-4], None),
        (expected_text("a", 1) + expected_text("a", 3)[len(expected_text("a", 2)) :], "missing"),
        (expected_text("a", 2) + expected_text("a", 2), "came again"),
        (expected_text("a", 1) + expected_text("b", 2)[len(expected_text("b", 1)) :], "another stream"),
        (expected_text("a", 1) + "tx", "damaged"),
    ],
)
def test_check_prefix_names_what_went_wrong(text: str, problem: str | None) -> None:
    found = check_prefix("a", text)
    assert found is None if problem is None else problem in (found or "")


def test_names_that_are_no_chain_are_ordinary_models() -> None:
    assert behaviour_of("gpt-5-mini") == behaviour_of("nightly-7b") == Behaviour()
    assert behaviour_of("paced-n100-i20-d50") == Behaviour(tokens=100, interval_ms=20, delay_ms=50)
    assert behaviour_of("malformed-2").malformed == "html"
    with pytest.raises(UnknownBehaviourError):
        behaviour_of("paced-n100-typo")


def test_a_hashed_stream_arrives_whole_with_usage(upstream: Upstream) -> None:
    response = answer(upstream, "n300-hash", "go stream=s-1", stream_options={"include_usage": True})
    assert response.headers["content-type"] == "text/event-stream"
    assert text_of(response.content) == expected_text("s-1", 300)
    assert check_prefix("s-1", text_of(response.content)) is None
    assert response.content.endswith(b"data: [DONE]\n\n")
    last = events(response.content)[-1]
    assert (last["choices"], last["usage"]["completion_tokens"]) == ([], 300)


def test_a_prompt_may_overrule_the_model(upstream: Upstream) -> None:
    assert text_of(answer(upstream, "any-model", "hello [[n2]]").content) == plain_text(2)


def test_a_paced_stream_keeps_its_pace(upstream: Upstream) -> None:
    begun = time.monotonic()
    body, _ = received(upstream, "paced-n11-i20-d50")
    assert text_of(body) == plain_text(11)
    assert 0.25 <= time.monotonic() - begun < 5


def test_json_answers_take_as_long_as_their_stream(upstream: Upstream) -> None:
    begun = time.monotonic()
    body = answer(upstream, "paced-n11-i20-d50-hash", "stream=j", stream=False).json()
    assert time.monotonic() - begun >= 0.25
    assert body["choices"][0]["message"]["content"] == expected_text("j", 11)
    assert body["usage"]["completion_tokens"] == 11


def test_each_token_is_one_write(upstream: Upstream) -> None:
    payload = json.dumps(request_for("paced-n5-i30")).encode()
    with socket.create_connection(("127.0.0.1", upstream.port), timeout=5) as client:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(payload)}\r\n\r\n"
        client.sendall(head.encode() + payload)
        reads: list[bytes] = []
        while not reads or not reads[-1].endswith(b"0\r\n\r\n"):
            reads.append(client.recv(65536))
    assert sum(read.count(b"data: ") for read in reads[:4]) == 4
    assert [read.count(b"~") for read in reads][:4] == [1, 1, 1, 1]


def test_a_client_that_does_not_read_holds_the_model_back(upstream: Upstream) -> None:
    count = 60_000
    body = request_for(f"n{count}-hash", "stream=slow")
    url = f"{upstream.base_url}/chat/completions"
    with httpx.stream("POST", url, json=body, timeout=20, trust_env=False) as response:
        time.sleep(0.5)
        record = next(row for row in upstream.stats()["requests"].values() if row["stream"] == "slow")
        assert 0 < record["billed_tokens"] < count
        parts = list(response.iter_raw())
    assert text_of(b"".join(parts)) == expected_text("slow", count)


def test_split_bytes_survives_joining(upstream: Upstream) -> None:
    body, error = received(upstream, "n3-utf8-split-bytes")
    assert error is None
    assert text_of(body) == "".join(f"ü{index}€\u2028😀 " for index in range(3))


@pytest.mark.parametrize("paced", ["", "burst-", "paced-i5-"])
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("halfclose-after3", httpx.RemoteProtocolError),
        ("stall-after3", httpx.ReadTimeout),
        ("error-after3", None),
    ],
)
def test_faults_after_tokens(
    upstream: Upstream, paced: str, fault: str, error: type[Exception] | None
) -> None:
    body, raised = received(upstream, f"{paced}n9-{fault}")
    whole = b"".join(part + b"\n\n" for part in body.split(b"\n\n") if b"choices" in part)
    assert text_of(whole) == plain_text(3)
    assert (b"scripted failure" in body) == (error is None)
    assert type(raised) is error if error else raised is None


@pytest.mark.parametrize(
    "model", ["n9-rst-after3", "paced-i5-n9-rst-after3", "burst-n9-rst-after3", "rst-after0"]
)
def test_a_reset_is_a_reset(upstream: Upstream, model: str) -> None:
    payload = json.dumps(request_for(model)).encode()
    with socket.create_connection(("127.0.0.1", upstream.port), timeout=5) as client:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(payload)}\r\n\r\n"
        client.sendall(head.encode() + payload)
        with pytest.raises(ConnectionResetError):
            while client.recv(65536):
                pass


@pytest.mark.parametrize(
    "model", ["cut-at0", "cut-at100", "cut-at1000", "burst-cut-at1000", "paced-i2-cut-at700"]
)
def test_a_cut_is_exact(upstream: Upstream, model: str) -> None:
    body, error = received(upstream, model)
    assert isinstance(error, httpx.RemoteProtocolError)
    assert len(body) == int(model.rpartition("cut-at")[2])


@pytest.mark.parametrize("variant", MALFORMED)
def test_malformed_variants(upstream: Upstream, variant: str) -> None:
    body, error = received(upstream, f"malformed-{variant}-n3")
    assert error is None
    marks = {
        "json": b'"bro\n',
        "html": b"<!doctype html>",
        "crlf": b"\r\n\r\ndata: [DONE]\r\n\r\n",
        "cr": b"\r\rdata: [DONE]\r\r",
        "nodone": b'"finish_reason":"stop"',
        "twodone": b"data: [DONE]\n\ndata: [DONE]\n\n",
        "longline": b"x" * LONG_LINE_BYTES,
        "nan": b'"prompt_tokens":NaN',
        "comments": b": PROCESSING\n",
        "nospace": b"data:[DONE]",
        "empty": b"",
    }
    assert marks[variant] in body
    assert (b"[DONE]" in body) == (variant not in ("html", "nodone", "empty"))
    if variant in ("crlf", "cr", "nodone", "twodone", "nan", "comments", "nospace"):
        assert text_of(body) == plain_text(3)


def test_status_codes(upstream: Upstream) -> None:
    limited = answer(upstream, "status-429-retryafter1")
    assert (limited.status_code, limited.headers["retry-after"]) == (429, "1")
    assert answer(upstream, "status-500").json()["error"]["type"] == "server_error"
    assert answer(upstream, "paced-typo").status_code == 404
    url = f"{upstream.base_url}/chat/completions"
    body = request_for("status-401")
    refused = httpx.post(url, json=body, headers={"authorization": "Bearer sk-secret"}, trust_env=False)
    assert "Bearer sk-secret" in refused.json()["error"]["message"]


def test_fail_first_counts_per_stream(upstream: Upstream) -> None:
    calls = [
        answer(upstream, "failfirst-2-n1", f"stream={name}").status_code for name in ("x", "y", "x", "x", "y")
    ]
    assert calls == [500, 500, 500, 200, 500]


def test_tool_calls_come_in_fragments(upstream: Upstream) -> None:
    arguments: dict[int, str] = {}
    names = []
    for event in events(answer(upstream, "tool-lookup-calls2", "stream=q").content):
        for call in event["choices"][0]["delta"].get("tool_calls", []):
            names += [call["function"]["name"]] if "name" in call["function"] else []
            arguments[call["index"]] = arguments.get(call["index"], "") + call["function"]["arguments"]
    assert names == ["lookup", "lookup"]
    assert json.loads(arguments[1])["query"] == 'q ü\n"1"'
    messages = [{"role": "user", "content": "q"}, {"role": "tool", "tool_call_id": "x", "content": "found"}]
    assert text_of(answer(upstream, "tool-lookup-n2", messages=messages).content) == plain_text(2)


def test_reasoning_comes_before_the_text(upstream: Upstream) -> None:
    body = answer(upstream, "reasoning-r2-n2").content
    assert text_of(body, "reasoning_content") == "r0 r1 "
    assert text_of(body) == plain_text(2)


def test_the_books_say_who_was_billed_what() -> None:
    with upstream_in_thread() as upstream, httpx.Client(trust_env=False) as client:
        answer(upstream, "n4", "stream=a")
        received(upstream, "stall-after3", "stream=b")
        origin = f"http://127.0.0.1:{upstream.port}"
        deadline = time.monotonic() + 5
        stats = client.get(f"{origin}/_stats").json()
        while stats["open_connections"] > 1 and time.monotonic() < deadline:
            stats = client.get(f"{origin}/_stats").json()
        assert (stats["calls"], stats["billed_tokens"], stats["open_connections"]) == (2, 7, 1)
        rows = [(row["stream"], row["billed_tokens"], row["outcome"]) for row in stats["requests"].values()]
        assert rows == [("a", 4, "done"), ("b", 3, "fault")]
        assert stats["prompts"][0]["request"]["messages"][0]["content"] == "stream=a"
        client.post(f"{origin}/_reset")
        assert client.get(f"{origin}/_stats").json()["calls"] == 0
        assert len(client.get(f"{origin}/v1/models").json()["data"]) > 1


def test_it_runs_on_the_loop_of_a_test() -> None:
    async def run() -> str:
        async with Upstream() as upstream, httpx.AsyncClient(trust_env=False) as client:
            body = request_for("paced-n20-i1-hash", "stream=own")
            response = await client.post(f"{upstream.base_url}/chat/completions", json=body)
            with pytest.raises(httpx.TransportError):
                await client.post(f"{upstream.base_url}/chat/completions", json=request_for("rst-after2"))
            return text_of(response.content)

    assert asyncio.run(run()) == expected_text("own", 20)


def test_a_client_that_leaves_stops_the_bill(upstream: Upstream) -> None:
    url = f"{upstream.base_url}/chat/completions"
    body = request_for("paced-n1000-i10", "stream=leaver")
    with httpx.stream("POST", url, json=body, trust_env=False) as response:
        next(response.iter_raw())

    def record() -> Any:
        return next(row for row in upstream.stats()["requests"].values() if row["stream"] == "leaver")

    deadline = time.monotonic() + 10
    while record()["outcome"] == "open" and time.monotonic() < deadline:
        time.sleep(0.02)
    assert (record()["outcome"], record()["billed_tokens"] < 100) == ("client_gone", True)
