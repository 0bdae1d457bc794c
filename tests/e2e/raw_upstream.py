"""An upstream that answers with exactly the bytes a test gave it, right or wrong."""

from __future__ import annotations

import contextlib
import json
import random
import re
import socketserver
import threading
import time
from collections import Counter
from collections.abc import Iterator

AUTHORIZATION = b"{{authorization}}"
"""Stands in an answer for the credential that the request carried."""

_NAME = re.compile(rb"raw=([\w-]+)")
_NOT_FOUND = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


class RawUpstream(socketserver.ThreadingTCPServer):
    """`answers` are whole HTTP responses by name; a prompt chooses one by `raw=NAME`.

    An answer in pieces is written a piece every `pace_seconds` or up to half more, each call at its own pace.
    """

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 512

    def __init__(self) -> None:
        self.answers: dict[str, bytes | list[bytes]] = {}
        self.calls: Counter[str] = Counter()
        self.pace_seconds = 0.05
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def base_url(self) -> str:
        """What goes into `VLLM_BASE_URL`."""
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        head = b""
        while (line := self.rfile.readline()) not in (b"\r\n", b""):
            head += line.lower() if not line.lower().startswith(b"authorization") else line
        length = re.search(rb"content-length: (\d+)", head)
        body = self.rfile.read(int(length.group(1))) if length else b""
        found = _NAME.search(body)
        server = self.server
        assert isinstance(server, RawUpstream)
        answer: bytes | list[bytes] = _NOT_FOUND
        if found:
            name = found.group(1).decode()
            server.calls[name] += 1
            answer = server.answers[name]
        shown = re.search(rb"authorization: (.*)\r\n", head, re.IGNORECASE)
        with contextlib.suppress(OSError):
            if isinstance(answer, bytes):
                self.wfile.write(answer.replace(AUTHORIZATION, shown.group(1) if shown else b""))
                return
            pace = server.pace_seconds * random.uniform(1.0, 1.5)
            for piece in answer:
                self.wfile.write(piece)
                time.sleep(pace)


def sse(body: bytes) -> bytes:
    """A response that streams `body` and ends with the connection."""
    return _HEAD + body


def status(code: int, body: bytes, headers: bytes = b"") -> bytes:
    """A refusal with a JSON body."""
    return b"HTTP/1.1 %d Whatever\r\n%bcontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
        code, headers, len(body.replace(AUTHORIZATION, b"x" * 200)), body,
    )  # fmt: skip


def text_chunk(text: str) -> bytes:
    """One event with some text."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return b"data: " + json.dumps({"id": "c", "choices": [choice]}).encode() + b"\n\n"


def finish_chunk(reason: str = "stop") -> bytes:
    """The event that ends a choice."""
    choice = {"index": 0, "delta": {}, "finish_reason": reason}
    return b"data: " + json.dumps({"id": "c", "choices": [choice]}).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


@contextlib.contextmanager
def raw_upstream() -> Iterator[RawUpstream]:
    """A raw upstream in threads of its own."""
    server = RawUpstream()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
