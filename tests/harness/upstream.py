"""A fast, scripted model server that speaks OpenAI's chat completions, for tests and benchmarks.

As a program: ``python -m tests.harness.upstream --port 0`` prints ``ready PORT`` and serves until SIGTERM.
In a test: ``async with Upstream() as upstream`` on the test's own loop, or
``with upstream_in_thread() as upstream`` besides any number of loops.

What an answer looks like is chosen by the model's name, see :mod:`.behaviour`. Besides the API there are
``GET /_stats`` (:meth:`Upstream.stats`) and ``POST /_reset``.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import signal
import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Coroutine, Iterator
from http import HTTPStatus
from typing import Any, Final, cast

import httptools

from tests.harness.behaviour import UnknownBehaviourError, behaviour_of, directive_in
from tests.harness.playback import JsonPlayback, StreamPlayback
from tests.harness.script import CREATED, Call, error_body
from tests.harness.tokens import stream_name
from tests.harness.wheel import TimerWheel
from tests.harness.wire import Wire

try:
    import uvloop

    _new_event_loop: Any = uvloop.new_event_loop
except ImportError:  # slower, the same behaviour
    _new_event_loop = asyncio.new_event_loop

REMEMBERED_CALLS: Final = 20_000
REMEMBERED_PROMPTS: Final = 256
_MODELS: Final = ("scripted", "paced-n100-i20-d50", "burst-n256", "tool-lookup", "reasoning-n16")
_STREAM_HEADERS: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncache-control: no-cache\r\nx-request-id: %b\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
_JSON_HEADERS: Final = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\nx-request-id: %b\r\n"


class Upstream:
    """The model server: what all connections share. Start it with :meth:`start` or ``async with``."""

    def __init__(self, *, remembered_prompts: int = REMEMBERED_PROMPTS) -> None:
        self.wheel: TimerWheel
        self.loop: asyncio.AbstractEventLoop
        self.port = 0
        self.connections: set[_Connection] = set()
        self.calls: OrderedDict[int, Call] = OrderedDict()
        self.accepted = 0
        self.billed_tokens_before = 0
        self._number = 0
        self._calls_of_stream: Counter[str] = Counter()
        self._remembered: deque[Call] = deque()
        self._remembered_prompts = remembered_prompts
        self._server: asyncio.Server | None = None

    async def start(self, port: int = 0, host: str = "127.0.0.1") -> None:
        """Listen; port 0 takes a free one. The port taken is then in :attr:`port`."""
        self.loop = asyncio.get_running_loop()
        self.wheel = TimerWheel(self.loop)
        self._server = await self.loop.create_server(lambda: _Connection(self), host, port, backlog=4096)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening and drop every connection. Does nothing if it was never started."""
        if self._server is None:
            return
        self._server.close()
        self.wheel.clear()
        for connection in list(self.connections):
            connection.abort()
        await self._server.wait_closed()

    async def __aenter__(self) -> Upstream:
        await self.start()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    @property
    def base_url(self) -> str:
        """What goes into ``OPENAI_BASE_URL``."""
        return f"http://127.0.0.1:{self.port}/v1"

    def reset(self) -> None:
        """Forget all calls and counts; what is under way goes on."""
        self.calls.clear()
        self._remembered.clear()
        self._calls_of_stream.clear()
        self.billed_tokens_before = 0
        self._number = 0

    def stats(self) -> dict[str, Any]:
        """Counts since the start or the last reset, each call by its request id, and the last prompts."""
        calls = list(self.calls.values())
        return {
            "calls": self._number,
            "open_connections": len(self.connections),
            "open_streams": sum(call.outcome == "open" for call in calls),
            "billed_tokens": self.billed_tokens_before + sum(call.billed for call in calls),
            "calls_by_stream": dict(self._calls_of_stream),
            "requests": {
                call.id: {
                    "stream": call.stream,
                    "model": call.model,
                    "billed_tokens": call.billed,
                    "outcome": call.outcome,
                    "authorization": call.authorization,
                }
                for call in calls
            },
            "prompts": [_prompt_record(call) for call in list(self._remembered)],
        }

    def admit(self, body: bytes, authorization: str) -> Call:
        """Read a chat request and enter it into the books. Raises ValueError if it is none."""
        request = json.loads(body)
        prompt = _last_user_text(request["messages"])
        chain = directive_in(prompt) or str(request["model"]).rpartition("/")[2]
        call = Call(self._number + 1, str(request["model"]), behaviour_of(chain), stream_name(prompt) or "")
        self._number += 1
        call.stream = call.stream or call.id
        call.prompt = prompt
        call.streamed = bool(request.get("stream"))
        call.include_usage = bool((request.get("stream_options") or {}).get("include_usage"))
        call.authorization = authorization
        call.answers_tool = request["messages"][-1].get("role") == "tool"
        call.prompt_tokens = len(body) // 4 + 1
        self._remember(call, body)
        return call

    def refusal(self, call: Call) -> int:
        """The error status this call is to get, 200 for none. Counts the call against its stream."""
        self._calls_of_stream[call.stream] += 1
        if self._calls_of_stream[call.stream] <= call.behaviour.fail_first:
            return 500
        return call.behaviour.status

    def _remember(self, call: Call, body: bytes) -> None:
        self.calls[call.number] = call
        if len(self.calls) > REMEMBERED_CALLS:
            self.billed_tokens_before += self.calls.popitem(last=False)[1].billed
        if self._remembered_prompts:
            call.body = body
            self._remembered.append(call)
        if len(self._remembered) > self._remembered_prompts:
            self._remembered.popleft().body = b""


class _Connection(asyncio.Protocol):
    """One client. Requests on it are answered one after the other."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._wire: Wire
        self._playback: StreamPlayback | JsonPlayback | None = None
        self._call: Call | None = None
        self._path = b""
        self._authorization = b""
        self._body: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self._wire = Wire(self._transport)
        self._upstream.connections.add(self)
        self._upstream.accepted += 1

    def connection_lost(self, error: Exception | None) -> None:
        self._upstream.connections.discard(self)
        if self._call is not None and self._call.outcome == "open":
            self._call.outcome = "client_gone"
        self._playback = self._call = None

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.abort()

    def pause_writing(self) -> None:
        if self._playback is not None:
            self._playback.pause()

    def resume_writing(self) -> None:
        if self._playback is not None:
            self._playback.resume()

    def abort(self) -> None:
        """Drop the connection."""
        self._transport.abort()

    def on_url(self, url: bytes) -> None:
        """Part of a request's target."""
        self._path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header; only the credentials are of interest."""
        if len(name) == 13 and name.lower() == b"authorization":
            self._authorization = value

    def on_body(self, body: bytes) -> None:
        """Part of a request's body."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """A whole request: answer it."""
        route = self._parser.get_method() + b" " + self._path.partition(b"?")[0]
        body, authorization = b"".join(self._body), self._authorization.decode("latin-1")
        self._path, self._authorization, self._body = b"", b"", []
        if route == b"POST /v1/chat/completions":
            self._complete(body, authorization)
        else:
            self._answer(*_other_route(self._upstream, route))

    def _complete(self, body: bytes, authorization: str) -> None:
        upstream = self._upstream
        try:
            call = upstream.admit(body, authorization)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            status = 404 if isinstance(error, UnknownBehaviourError) else 400
            self._answer(status, error_body(status, f"{type(error).__name__}: {error}"))
            return
        status = upstream.refusal(call)
        if status != HTTPStatus.OK:
            self._refuse(call, status)
            return
        html = call.behaviour.malformed == "html"
        self._call = call
        if call.streamed:
            self._playback = StreamPlayback(call, self._wire, upstream.wheel, upstream.loop)
            kind = b"text/html" if html else b"text/event-stream"
            self._playback.start(_STREAM_HEADERS % (kind, call.id.encode()))
        else:
            self._playback = JsonPlayback(call, self._wire, upstream.wheel)
            kind = b"text/html" if html else b"application/json"
            self._playback.start(_JSON_HEADERS % (kind, call.id.encode()))

    def _refuse(self, call: Call, status: int) -> None:
        call.outcome = "error"
        message = f"scripted status {status}"
        if status == HTTPStatus.UNAUTHORIZED:
            message = f"Incorrect API key provided: {call.authorization}"
        retry_after = call.behaviour.retry_after
        headers = f"retry-after: {retry_after}\r\n" if retry_after else ""
        self._answer(status, error_body(status, message), headers)

    def _answer(self, status: int, body: bytes, headers: str = "") -> None:
        """Send a whole JSON answer."""
        head = (
            f"HTTP/1.1 {status} {_phrase(status)}\r\ncontent-type: application/json\r\n"
            f"{headers}content-length: {len(body)}\r\n\r\n"
        )
        self._wire.send(head.encode("latin-1") + body)


def _phrase(status: int) -> str:
    with contextlib.suppress(ValueError):
        return HTTPStatus(status).phrase
    return "Unassigned"


def _other_route(upstream: Upstream, route: bytes) -> tuple[int, bytes]:
    """Status and body of everything but a completion."""
    if route == b"GET /v1/models":
        entry = {"object": "model", "created": CREATED, "owned_by": "harness"}
        models = [{"id": name, **entry} for name in _MODELS]
        return 200, json.dumps({"object": "list", "data": models}).encode()
    if route == b"GET /health":
        return 200, b"{}"
    if route == b"GET /_stats":
        return 200, json.dumps(upstream.stats()).encode()
    if route == b"POST /_reset":
        upstream.reset()
        return 200, b"{}"
    return 404, error_body(404, f"no such route: {route.decode('latin-1')}")


def _last_user_text(messages: list[dict[str, Any]]) -> str:
    """The text of the last message of the user; empty if there is none."""
    for message in reversed(messages):
        if message.get("role") == "user":
            content = message.get("content") or ""
            if isinstance(content, str):
                return content
            return "".join(part.get("text") or "" for part in content)
    return ""


def _prompt_record(call: Call) -> dict[str, Any]:
    request = json.loads(call.body)
    return {"id": call.id, "stream": call.stream, "request": request}


@contextlib.contextmanager
def upstream_in_thread() -> Iterator[Upstream]:
    """A running upstream on an event loop of its own thread, for tests that block or have several loops."""
    upstream = Upstream()
    loop: asyncio.AbstractEventLoop = _new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="upstream", daemon=True)
    thread.start()

    def run(work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, loop).result(timeout=10)

    try:
        run(upstream.start())
        yield upstream
    finally:
        run(upstream.close())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=10)
        loop.close()


async def _serve(host: str, port: int, remembered_prompts: int) -> None:
    """Serve until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    upstream = Upstream(remembered_prompts=remembered_prompts)
    await upstream.start(port, host)
    print(f"ready {upstream.port}", flush=True)
    await stop.wait()
    await upstream.close()


def main() -> None:
    """Run the upstream as a program."""
    parser = argparse.ArgumentParser(prog="python -m tests.harness.upstream", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--remember", type=int, default=REMEMBERED_PROMPTS, help="prompts kept for /_stats")
    arguments = parser.parse_args()
    gc.freeze()
    gc.set_threshold(200_000, 50, 100)  # a pause of the collector would be measured as jitter of the server
    with asyncio.Runner(loop_factory=_new_event_loop) as runner:
        runner.run(_serve(arguments.host, arguments.port, arguments.remember))


if __name__ == "__main__":
    main()
