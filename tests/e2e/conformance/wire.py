"""Talking to the server below the level of any client library: bytes, frames and chunks."""

from __future__ import annotations

import json
import socket
from typing import Any
from urllib.parse import urlsplit

from tests.e2e.sdk.launch import Server

READ_SECONDS = 30


def chunks_of_stream(server: Server, path: str, body: dict[str, Any]) -> list[bytes]:
    """POST and return the HTTP chunks of the answer, one for each write of the server."""
    payload = json.dumps(body).encode()
    parts = urlsplit(server.origin)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(payload)}\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection((parts.hostname or "", parts.port or 0), READ_SECONDS) as connection:
        connection.sendall(head.encode() + payload)
        with connection.makefile("rb") as reader:
            status = reader.readline()
            assert b" 200 " in status, status
            headers = [line.lower() for line in iter(reader.readline, b"\r\n")]
            assert b"transfer-encoding: chunked\r\n" in headers, headers
            chunks = []
            while size := int(reader.readline(), 16):
                chunks.append(reader.read(size))
                assert reader.readline() == b"\r\n"
            return chunks


def frames(stream: bytes) -> list[str]:
    """The `data` of every event of a Responses stream, held to the strictest reading of the format."""
    assert b"\r" not in stream, "lines end with LF alone"
    assert stream.endswith(b"\n\n"), "the last event is closed by its blank line"
    found = []
    for block in stream.decode().split("\n\n")[:-1]:
        lines = block.split("\n")
        if all(line.startswith(":") for line in lines):
            continue
        identifier = lines.pop(0)[4:] if lines[0].startswith("id: ") else None
        assert len(lines) == 2, f"one event line, one data line: {block!r}"
        event, data = lines
        assert event.startswith("event: "), block
        assert data.startswith("data: "), block
        body = json.loads(data[6:])
        assert body["type"] == event[7:], "event name and type differ"
        assert identifier in (None, str(body["sequence_number"])), (
            "what EventSource resumes from is the number"
        )
        found.append(data[6:])
    return found
