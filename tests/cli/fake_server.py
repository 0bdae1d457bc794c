"""A server of the few routes the chat calls, with connections that can be told to break."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Json = dict[str, Any]
WORDS = ("An ", "answer ", "in ", "**four** ", "words.")


def answer_events(text: tuple[str, ...] = WORDS, *, status: str = "completed") -> list[Json]:
    """The events of one answer, numbered from 0."""
    response = {
        "id": "resp_1",
        "status": "in_progress",
        "model": "offline/echo",
        "antiphon": {"conversation_id": "conv_1"},
    }
    final: Json = {**response, "status": status}
    if status == "failed":
        final["error"] = {"code": "server_error", "message": "the model went away"}
    events: list[Json] = [
        {"type": "response.created", "response": response},
        *({"type": "response.output_text.delta", "delta": word} for word in text),
        {"type": f"response.{status}", "response": final},
    ]
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


@dataclass
class FakeServer:
    """What it will answer, and what it was asked."""

    base_url: str = ""
    events: list[Json] = field(default_factory=answer_events)
    break_after: list[int] = field(default_factory=list)
    """For each stream in turn: how many events to send before the connection drops."""
    requests: list[tuple[str, str, Json]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    authorization: list[str | None] = field(default_factory=list)
    refusals: dict[str, tuple[int, str]] = field(default_factory=dict)
    errors: dict[str, tuple[int, Json]] = field(default_factory=dict)
    """As `refusals`, with the whole body."""
    replies: dict[str, Json] = field(default_factory=dict)

    def asked(self, method: str, path: str) -> list[Json]:
        return [body for m, p, body in self.requests if (m, urlsplit(p).path) == (method, path)]


def standard_replies() -> dict[str, Json]:
    items = [
        message("msg_4", "assistant", "second answer"),
        message("msg_3", "user", "second question"),
        message("msg_2", "assistant", "first answer"),
        message("msg_1", "user", "first question"),
    ]
    conversations = [{"id": "conv_1", "title": "Tides"}, {"id": "conv_7", "title": "Moons"}]
    branches = [
        {"id": "br_1", "name": "main", "active": True},
        {"id": "br_2", "name": "other", "active": False},
    ]
    return {
        "POST /v1/conversations": {"id": "conv_1", "object": "conversation"},
        "GET /v1/conversations": page(conversations),
        "GET /v1/conversations/conv_7": {"id": "conv_7"},
        "GET /v1/conversations/conv_1/items": page(items),
        "GET /v1/conversations/conv_7/items": page(items[2:]),
        "GET /v1/conversations/conv_1/branches": page(branches),
        "POST /v1/conversations/conv_1/branches": {"id": "br_3", "name": "draft"},
        "PUT /v1/conversations/conv_1/branches/br_2/activate": {"id": "br_2", "name": "other"},
        "POST /v1/conversations/conv_1/fork": {"id": "conv_9"},
        "GET /v1/models": page([{"id": "offline/echo"}, {"id": "groq/llama"}]),
        "POST /v1/responses/resp_1/cancel": {"id": "resp_1", "status": "cancelled"},
        "GET /health": {"status": "ok"},
        "GET /health/ready": {"status": "ok"},
    }


def message(item_id: str, role: str, text: str) -> Json:
    return {"id": item_id, "type": "message", "role": role, "content": [{"type": "text", "text": text}]}


def page(data: list[Json]) -> Json:
    ids = [entry["id"] for entry in data]
    return {"object": "list", "data": data, "first_id": ids[0], "last_id": ids[-1], "has_more": False}


class _Handler(BaseHTTPRequestHandler):
    server: "_Server"
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_PUT(self) -> None:
        self._answer("PUT")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def _answer(self, method: str) -> None:
        state, url = self.server.state, urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else {}
        state.requests.append((method, self.path, body))
        state.authorization.append(self.headers.get("Authorization"))
        query = parse_qs(url.query)
        route = f"{method} {url.path}"
        if route in state.errors:
            self._json(state.errors[route][1], state.errors[route][0])
        elif route in state.refusals:
            status, text = state.refusals[route]
            error = {"message": text, "type": "invalid_request_error", "param": None, "code": None}
            self._json({"error": error}, status)
        elif body.get("stream") or query.get("stream") == ["true"]:
            state.keys.append(self.headers.get("Idempotency-Key"))
            self._stream(int(query.get("starting_after", ["-1"])[0]))
        elif route in state.replies:
            self._json(self._limited(state.replies[route], query))
        else:
            self._json({"error": {"message": f"no route {route}"}}, 404)

    def _limited(self, reply: Json, query: dict[str, list[str]]) -> Json:
        limit = int(query.get("limit", ["100"])[0])
        return {**reply, "data": reply["data"][:limit]} if "data" in reply else reply

    def _json(self, value: Json, status: int = 200) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _stream(self, starting_after: int) -> None:
        state = self.server.state
        breaks = bool(state.break_after)
        left = state.break_after.pop(0) if breaks else len(state.events)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self._chunk(": ping\n\n")
        for event in state.events:
            if event["sequence_number"] > starting_after and left > 0:
                left -= 1
                self._chunk(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n")
        self._chunk('event: response.output_text.delta\ndata: {"cut') if breaks else self._chunk("")
        self.close_connection = True

    def _chunk(self, text: str) -> None:
        data = text.encode()
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")


class _Server(ThreadingHTTPServer):
    state: FakeServer
    daemon_threads = True


@contextmanager
def fake_server() -> Iterator[FakeServer]:
    """Listen on a free port until the block ends."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.state = FakeServer(
        base_url=f"http://127.0.0.1:{server.server_address[1]}", replies=standard_replies()
    )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server.state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
