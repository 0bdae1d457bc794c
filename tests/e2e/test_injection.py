"""Hostile words of models and clients: one event stays one event, byte for byte, and the log stays lines."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import re
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import pytest
from rich.console import Console
from websockets.asyncio.client import connect

from antiphon.cli.api_client import ApiClient
from antiphon.cli.chat_session import ChatSession
from antiphon.cli.chat_view import View
from antiphon.process import OneLine
from tests.e2e.raw_upstream import DONE, RawUpstream, finish_chunk, raw_upstream, sse, status, text_chunk
from tests.e2e.server_process import ServerProcess, running
from tests.e2e.wire import call, get, request_bytes, send

FRAMES = "\n\nevent: done\ndata: {}\n\n"
HOSTILE = [
    FRAMES, "\r\n\r\nevent: done\r\ndata: {}\r\n\r\n", "\r\revent: done\rdata: {}\r\r", "\r", "\n", "\n\n",
    "data: [DONE]\n\n", "id: 99999\n", "retry: 1\n", ": ping\n\n", "\u2028event: done\u2028\u2028", "\u2029",
    "\x85", "\x0b\x0c", "\0", "\x1b[2J\x1b]0;pwned\x07", "\x9b31m", "\u202egnp.exe", "\ufeff", "𝔘𝔫𝔦", "\x7f",
    "</script><script>", "\\u000a\\n\\", '"}]}\n\ndata: {"x":1}\n\n', "end",
]  # fmt: skip
WHOLE = "".join(HOSTILE)
LONE = ["\ud83d", "\ude00", " then ", "\ud800", "x", "\udfff", " end"]
"""Half characters: the first two are one, cut in the middle; the others stay alone."""
MENDED = "\U0001f600 then \ufffdx\ufffd end"
TOOL = f"tool{FRAMES}"
GREETING = re.compile(r"^Antiphon: .*\n([a-z]+: .*\n)*", re.MULTILINE)
ESCAPED_LINE = re.compile(
    r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (DEBUG|INFO|WARNING|ERROR|CRITICAL)"
    r" [\w.]+: [^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"
)


def tool_chunks() -> bytes:
    """A tool call whose name, id and arguments are hostile."""
    function = {"name": TOOL, "arguments": ""}
    calls = [{"index": 0, "id": f"call{FRAMES}", "type": "function", "function": function}]
    calls += [{"index": 0, "function": {"arguments": json.dumps({"a": piece})}} for piece in HOSTILE]
    deltas = [{"index": 0, "delta": {"tool_calls": [one]}, "finish_reason": None} for one in calls]
    return b"".join(
        b"data: " + json.dumps({"id": "c", "choices": [one]}).encode() + b"\n\n" for one in deltas
    )


@pytest.fixture(scope="module")
def raw() -> Iterator[RawUpstream]:
    with raw_upstream() as server:
        server.pace_seconds = 0.008
        server.answers["text"] = [sse(b""), *map(text_chunk, HOSTILE), finish_chunk() + DONE]
        server.answers["lone"] = [sse(b""), *map(text_chunk, LONE), finish_chunk() + DONE]
        server.answers["tool"] = sse(tool_chunks() + finish_chunk("tool_calls") + DONE)
        error = {"error": {"message": f"bad{WHOLE}", "type": f"kind{FRAMES}", "code": f"code{FRAMES}"}}
        server.answers["refused"] = status(400, json.dumps(error).encode())
        server.answers["broken"] = sse(text_chunk("half") + b"data: " + json.dumps(error).encode() + b"\n\n")
        yield server


@pytest.fixture(scope="module")
def node(raw: RawUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    settings = {"VLLM_BASE_URL": raw.base_url, "LOG_LEVEL": "debug", "DRAIN_SECONDS": "1"}
    with running(tmp_path_factory.mktemp("node"), settings) as server:
        yield server
        require_lines(server.log_path.read_bytes().decode())


def require_lines(log: str) -> None:
    """Every line of the log is one record without a control character."""
    *lines, rest = GREETING.sub("", log, count=1).split("\n")
    assert lines and rest == ""
    wrong = [line for line in lines if not ESCAPED_LINE.match(line)]
    assert wrong == []


def strict_events(body: bytes | bytearray, *, named: bool = True) -> list[Any]:
    """Read a stream by the letter of the standard, every line end counted; nothing may be left over."""
    stream = bytes(body).decode()
    assert "\r" not in stream, "a carriage return ends a line too"
    blocks = stream.split("\n\n")
    assert blocks.pop() == ""
    found = []
    for block in blocks:
        if block == ": ping":
            continue
        fields = [line.partition(": ")[::2] for line in block.split("\n")]
        names = [name for name, _ in fields if name != "id"]
        assert names == (["event", "data"] if named else ["data"]), block
        values = dict(fields)
        data = json.loads(values["data"]) if values["data"] != "[DONE]" else None
        if named:
            assert data["type"] == values["event"]
        found.append(data)
    return found


def require_whole(events: list[Any], text: str) -> None:
    """A run's events: gapless, of known names, one for each delta, and the text byte for byte."""
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert all(re.fullmatch(r"response\.[a-z_.]+", event["type"]) for event in events)
    deltas = [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
    assert "".join(deltas) == text
    assert events[-1]["type"] == "response.completed"
    assert events[-1]["response"]["output"][0]["content"][0]["text"] == text


def ask(name: str, **fields: Any) -> dict[str, Any]:
    return {"model": f"vllm/m{FRAMES}", "input": f"raw={name} {WHOLE}", **fields}


@pytest.mark.parametrize(("name", "text"), [("text", WHOLE), ("lone", MENDED)])
async def test_a_stream_and_its_replay(node: ServerProcess, name: str, text: str) -> None:
    extra = {
        "instructions": WHOLE,
        "metadata": {f"k{FRAMES}": WHOLE[:500]},
        "user": WHOLE,
        "tools": [{"type": "function", "name": TOOL, "description": WHOLE}],
    }
    live = await call(node.port, "POST", "/v1/responses", ask(name, stream=True, **extra))
    assert (live.status, live.complete) == (200, True)
    events = strict_events(live.body)
    require_whole(events, text)
    if name == "text":
        deltas = [event for event in events if event["type"] == "response.output_text.delta"]
        assert len(deltas) > len(HOSTILE) // 2, "paced words are deltas of their own"
    response = events[-1]["response"]
    assert response["tools"][0]["name"] == TOOL and response["metadata"][f"k{FRAMES}"] == WHOLE[:500]
    for after in (None, 0, len(events) // 2):
        since = "" if after is None else f"&starting_after={after}"
        again = await call(node.port, "GET", f"/v1/responses/{response['id']}?stream=true{since}")
        assert strict_events(again.body) == events[0 if after is None else after + 1 :]
    assert await get(node.port, f"/v1/responses/{response['id']}") == response


@pytest.mark.parametrize(("name", "text"), [("text", WHOLE), ("lone", MENDED)])
async def test_a_chat_stream(node: ServerProcess, name: str, text: str) -> None:
    body = {"model": f"vllm/m{FRAMES}", "messages": [{"role": "user", "content": f"raw={name}{WHOLE}"}]}
    streamed = await call(node.port, "POST", "/v1/chat/completions", {**body, "stream": True})
    *chunks, done = strict_events(streamed.body, named=False)
    assert done is None and None not in chunks
    assert "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks) == text
    assert [c["choices"][0]["finish_reason"] for c in chunks if c["choices"][0]["finish_reason"]] == ["stop"]
    whole = (await call(node.port, "POST", "/v1/chat/completions", body)).json()
    assert whole["choices"][0]["message"]["content"] == text


async def test_tool_names_ids_and_arguments(node: ServerProcess) -> None:
    live = await call(node.port, "POST", "/v1/responses", ask("tool", stream=True))
    events = strict_events(live.body)
    (made,) = events[-1]["response"]["output"]
    assert (made["name"], made["call_id"]) == (TOOL, f"call{FRAMES}")
    assert made["arguments"] == "".join(json.dumps({"a": piece}) for piece in HOSTILE)
    body = {"model": "vllm/m", "messages": [{"role": "user", "content": "raw=tool"}], "stream": True}
    chunks = strict_events((await call(node.port, "POST", "/v1/chat/completions", body)).body, named=False)
    calls = [c for chunk in chunks if chunk for c in chunk["choices"][0]["delta"].get("tool_calls") or []]
    assert calls[0]["function"]["name"] == TOOL
    assert "".join(c["function"]["arguments"] for c in calls) == made["arguments"]


@pytest.mark.parametrize("name", ["refused", "broken"])
async def test_error_texts(node: ServerProcess, name: str) -> None:
    events = strict_events((await call(node.port, "POST", "/v1/responses", ask(name, stream=True))).body)
    assert events[-1]["type"] == "response.failed"
    said = events[-1]["response"]["error"]["message"]
    assert "bad" in said and said.isprintable()
    chat = {"model": "vllm/m", "messages": [{"role": "user", "content": f"raw={name}"}], "stream": True}
    answered = await call(node.port, "POST", "/v1/chat/completions", chat)
    if name == "refused":
        assert answered.status == 400 and answered.json()["error"]["message"].isprintable()
    else:
        assert any("error" in chunk for chunk in strict_events(answered.body, named=False) if chunk)


@asynccontextmanager
async def opened(port: int) -> AsyncIterator[Any]:
    async with connect(f"ws://127.0.0.1:{port}/v1/responses", proxy=None, max_size=None) as socket:
        yield socket


@pytest.mark.parametrize(("name", "text"), [("text", WHOLE), ("lone", MENDED)])
async def test_a_socket_says_one_event_a_frame(node: ServerProcess, name: str, text: str) -> None:
    async with opened(node.port) as socket, asyncio.timeout(20):
        await socket.send(json.dumps({"type": "response.create", **ask(name), "stream_id": FRAMES}))
        events: list[Any] = []
        while not events or events[-1]["type"] != "response.completed":
            frame = await socket.recv()
            assert isinstance(frame, str) and not re.search(r"[\x00-\x1f]", frame)
            events.append(json.loads(frame))
        assert {event["stream_id"] for event in events} == {FRAMES}
        require_whole(events, text)


async def test_several_answers_in_one_stream(node: ServerProcess) -> None:
    made = await call(node.port, "POST", "/v1/conversations", {"title": WHOLE[:200]})
    conversation = made.json()
    assert conversation["title"] == WHOLE[:200]
    path = f"/v1/conversations/{conversation['id']}/fan_out"
    models = [f"vllm/a{FRAMES}", f"vllm/b{FRAMES}"]
    body = {"models": models, "input": f"raw=text {WHOLE}", "stream": True}
    events = strict_events((await call(node.port, "POST", path, body)).body)
    by_run: dict[str, list[Any]] = {}
    for event in events:
        by_run.setdefault(event["response_id"], []).append(event)
    assert len(by_run) == 2
    for one in by_run.values():
        require_whole(one, WHOLE)
    named = await get(node.port, f"/v1/conversations/{conversation['id']}/branches")
    assert len(named["data"]) == 2


# --- the command line


def viewed(node: ServerProcess, *, terminal: bool) -> str:
    out = io.StringIO()
    view = View(Console(file=out, width=200, highlight=False, force_terminal=terminal))
    view.errors = view.console
    session = ChatSession(ApiClient(f"http://127.0.0.1:{node.port}"), model=f"vllm/m{FRAMES}")
    answer = view.answer(session.ask_once("raw=text"))
    assert answer.text == WHOLE, "one event for each delta, none of them invented"
    assert answer.status == "completed"
    return out.getvalue()


async def test_the_chat_writes_the_bytes_as_they_are_where_nobody_looks(node: ServerProcess) -> None:
    assert await asyncio.to_thread(viewed, node, terminal=False) == WHOLE + "\n"


async def test_the_chat_lets_no_word_move_a_terminal(node: ServerProcess) -> None:
    shown = await asyncio.to_thread(viewed, node, terminal=True)
    for sequence in ("\x1b[2J", "\x1b]0;", "\x07", "\x9b", "\0", "\x0b", "\x0c", "\x7f", "\x85"):
        assert sequence not in shown, repr(sequence)
    # What is left are the console's own: colours, its cursor, and lines drawn again.
    own = re.compile(r"\x1b\[(\?25[lh]|[0-9;]*m|[12]K|\d*A)|\r")
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x80-\x9f]", own.sub("", shown))


# --- headers


@pytest.mark.parametrize(
    "lines",
    [
        b"x-request-id: a\rset-cookie: pwned=1", b"x-request-id: a\nset-cookie: pwned=1",
        b"x-request-id: pwned\x1b[2J", b"x-request-id: pwned%0d%0aset-cookie:%20pwned=1",
        b"x-request-id: pwned\x00", b"x-request-id: \xe2\x80\xa8pwned", b"host: pwned/admin?",
        b"host: pwned", b"host: 127.0.0.1/v1/pwned?", b"x-forwarded-for: pwned", b"forwarded: for=pwned",
        b"x-forwarded-host: pwned", b"x-forwarded-proto: pwned", b"x-original-url: /pwned",
        b"idempotency-key: pwned\x1b[2J\x07", b"last-event-id: pwned", b"traceparent: 00-pwned",
    ],
)  # fmt: skip
async def test_nothing_a_header_says_comes_back(node: ServerProcess, lines: bytes) -> None:
    for method, path, body in (
        ("GET", "/health", None),
        ("POST", "/v1/responses", {"model": "scripted/text", "input": "x"}),
        ("GET", "/v1/nothing", None),
    ):
        head, _, payload = request_bytes(method, path, body).partition(b"\r\n\r\n")
        if lines.startswith(b"host"):
            head = head.replace(b"host: 127.0.0.1\r\n", b"")
        answered = await (await send(node.port, head + b"\r\n" + lines + b"\r\n\r\n" + payload)).end(10)
        assert answered.status in (200, 400, 403, 404), (answered.status, bytes(answered.body))
        if lines.startswith(b"host"):
            assert answered.status in (400, 403), "a foreign host changes nothing but the answer"
        assert "set-cookie" not in answered.headers
        assert "pwned" not in json.dumps(answered.headers)
        assert b"pwned" not in answered.body or lines.startswith(b"idempotency"), bytes(answered.body)


# --- the log


def test_a_record_is_one_line_whatever_is_in_it() -> None:
    for words in (*HOSTILE, WHOLE, *LONE):
        line = logged(words)
        assert line.isprintable() or set(line) & {"\ufeff"}, repr(line)
        assert line.startswith("INFO antiphon.x: said ") and line.endswith(" end")
    assert logged("Grüße 𝔘") == "INFO antiphon.x: said Grüße 𝔘 end"


def test_of_an_exception_the_log_tells_kind_and_place_only() -> None:
    def fails() -> None:
        try:
            {}["CANARY in a key"]
        except KeyError as error:
            raise ValueError(f"CANARY {WHOLE}") from error

    for logger in ("antiphon.x", "asyncio"):
        line = logged("x", name=logger, fails=fails)
        assert "CANARY" not in line and line.isprintable()
        assert "Traceback: ValueError at test_injection.py:" in line
        assert " fails < " in line and "after KeyError at test_injection.py:" in line
    assert "OSError (No space left on device)" in logged(
        "x", fails=lambda: raising(OSError(28, "No space left on device"))
    )
    broken = sqlite3.connect(":memory:").execute
    line = logged("x", fails=lambda: broken("SELECT CANARY FROM nowhere"))
    assert "OperationalError (SQLITE_ERROR)" in line and "CANARY" not in line
    task = "Task exception was never retrieved\nfuture: <Task exception=ValueError('CANARY')>"
    assert "CANARY" not in logged(task, name="asyncio")


def raising(error: Exception) -> None:
    raise error


def logged(words: str, *, name: str = "antiphon.x", fails: Callable[[], Any] | None = None) -> str:
    """The line that the server's log would have of a record."""
    raised = None
    try:
        if fails is not None:
            fails()
    except Exception:
        raised = sys.exc_info()
    record = logging.LogRecord(name, logging.INFO, __file__, 1, "said %s end", (words,), raised)
    moment, _, line = OneLine().format(record).partition(" ")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", moment), moment
    written = datetime.fromisoformat(moment.replace("Z", "+00:00"))
    assert abs(written.timestamp() - record.created) < 0.002
    return line
