"""A small client of the server's HTTP API on the standard library, for the commands that talk to it."""

import http.client
import json
import secrets
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

Json = dict[str, Any]

ANSWER_SECONDS = 30.0
UPLOAD_SECONDS = 300.0
PIECE_BYTES = 256 * 1024
# The server sends a ping every 15 s, so a stream that is silent for longer has lost its connection.
STREAM_SILENCE_SECONDS = 40.0


class ClientError(Exception):
    """What a command tells its user about a failed request."""


class NoServer(ClientError):
    """Nothing answers at the base URL."""


class ConnectionBroken(ClientError):
    """The answer stopped before its end."""


class ApiError(ClientError):
    """The server refused."""

    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One server-sent event: its type and its decoded data."""

    type: str
    data: Json = field(default_factory=dict)

    @property
    def sequence_number(self) -> int | None:
        number = self.data.get("sequence_number")
        return number if isinstance(number, int) else None


class Form:
    """One file and some fields as `multipart/form-data`."""

    def __init__(self, file: Path, fields: Mapping[str, str]) -> None:
        self._file = file
        boundary = secrets.token_hex(16)
        self.content_type = f"multipart/form-data; boundary={boundary}"
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields.items()
        ]
        name = file.name.replace("\\", "%5C").replace('"', "%22").replace("\r", " ").replace("\n", " ")
        parts.append(
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        self._head = "".join(parts).encode("utf-8", "replace")
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        self.size = len(self._head) + file.stat().st_size + len(self._tail)

    def pieces(self) -> Iterator[bytes]:
        """The form, piece by piece; a file that has shrunk or grown since gives another size."""
        yield self._head
        with self._file.open("rb") as file:
            while piece := file.read(PIECE_BYTES):
                yield piece
        yield self._tail


def quoted(segment: str) -> str:
    """A path segment that came from a person or a server."""
    return quote(segment, safe="")


class ApiClient:
    """Requests against one server. Every request has a connection of its own."""

    def __init__(self, base_url: str, api_key: str | None = None) -> None:
        parts = urlsplit(base_url if "://" in base_url else f"http://{base_url}")
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ClientError(f"not a base URL: {base_url}")
        self.base_url = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/').removesuffix('/v1')}"
        self._host = parts.hostname
        self._port = parts.port
        self._tls = parts.scheme == "https"
        self._prefix = urlsplit(self.base_url).path
        self._api_key = api_key

    def get(self, path: str, **parameters: str | int) -> Json:
        return self._json("GET", f"{path}?{urlencode(parameters)}" if parameters else path)

    def post(self, path: str, body: Json | None = None) -> Json:
        return self._json("POST", path, body or {})

    def patch(self, path: str, body: Json) -> Json:
        return self._json("PATCH", path, body)

    def delete(self, path: str) -> Json:
        return self._json("DELETE", path)

    def put(self, path: str, body: Json | None = None) -> Json:
        return self._json("PUT", path, body or {})

    def upload(self, path: str, file: Path, **fields: str) -> Json:
        """Send a file as a form; it is read while it is sent."""
        form = Form(file, fields)
        connection, response = self._send("POST", path, form, {}, UPLOAD_SECONDS)
        return _decoded(connection, response, f"POST {path}")

    def wait(self, seconds: float) -> None:
        """Let the server work."""
        time.sleep(seconds)

    def stream(
        self, method: str, path: str, body: Json | None = None, *, idempotency_key: str | None = None
    ) -> Iterator[ServerEvent]:
        """The events of an answer; raises `ConnectionBroken` where they stop in the middle."""
        extra = {"Accept": "text/event-stream"}
        if idempotency_key:
            extra["Idempotency-Key"] = idempotency_key
        connection, response = self._send(method, path, body, extra, STREAM_SILENCE_SECONDS)
        with closing(connection):
            yield from read_events(response)

    def lines(self, path: str, body: Json) -> Iterator[Json]:
        """The JSON objects of an answer that comes line by line; raises `ConnectionBroken` where it stops."""
        connection, response = self._send("POST", path, body, {}, UPLOAD_SECONDS)
        with closing(connection):
            while line := _read_line(response):
                yield _event("line", line).data

    def _json(self, method: str, path: str, body: Json | None = None) -> Json:
        return _decoded(*self._send(method, path, body, {}, ANSWER_SECONDS), f"{method} {path}")

    def _send(
        self, method: str, path: str, body: "Json | Form | None", extra: Mapping[str, str], seconds: float
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        headers = {"Content-Type": "application/json", "User-Agent": "antiphon-cli", **extra}
        content: bytes | Iterator[bytes] | None
        if isinstance(body, Form):
            headers |= {"Content-Type": body.content_type, "Content-Length": str(body.size)}
            content = body.pieces()
        else:
            content = None if body is None else json.dumps(body).encode()
        if self._api_key:
            headers["Authorization"] = f"Bearer {self._api_key}"
        connection = self._connection(seconds)
        try:
            connection.connect()
        except OSError as error:
            raise NoServer(f"no server at {self.base_url} ({error})") from error
        try:
            connection.request(method, self._prefix + path, body=content, headers=headers)
            response = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise ConnectionBroken(f"no answer from {self.base_url} ({error})") from error
        if response.status >= 400:
            with closing(connection):
                raise _api_error(response)
        return connection, response

    def _connection(self, seconds: float) -> http.client.HTTPConnection:
        if self._tls:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(self._host, self._port, timeout=seconds, context=context)
        return http.client.HTTPConnection(self._host, self._port, timeout=seconds)


def _decoded(connection: http.client.HTTPConnection, response: http.client.HTTPResponse, what: str) -> Json:
    with closing(connection):
        try:
            value = json.loads(response.read() or b"{}")
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ConnectionBroken(f"unreadable answer to {what}") from error
    return value if isinstance(value, dict) else {"data": value}


def read_events(response: http.client.HTTPResponse) -> Iterator[ServerEvent]:
    """Read server-sent events line by line. Comments (pings) are skipped; `[DONE]` ends the stream."""
    name, data = "", list[str]()
    while line := _read_line(response):
        if line == "\n":
            if "".join(data) == "[DONE]":
                return
            if data:
                yield _event(name, "\n".join(data))
            name, data = "", []
            continue
        key, _, value = line.rstrip("\n").partition(":")
        value = value.removeprefix(" ")
        if key == "event":
            name = value
        elif key == "data":
            data.append(value)


def _read_line(response: http.client.HTTPResponse) -> str:
    try:
        line = response.readline()
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise ConnectionBroken(f"the stream broke ({error})") from error
    return line.decode(errors="replace").replace("\r\n", "\n")


def _event(name: str, data: str) -> ServerEvent:
    try:
        decoded = json.loads(data)
    except ValueError as error:
        raise ConnectionBroken("the stream holds no JSON") from error
    body: Json = decoded if isinstance(decoded, dict) else {"value": decoded}
    return ServerEvent(name or str(body.get("type", "message")), body)


def _api_error(response: http.client.HTTPResponse) -> ApiError:
    try:
        error = json.loads(response.read())["error"]
        return ApiError(response.status, str(error["message"]), error.get("code"))
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, AttributeError):
        return ApiError(response.status, f"the server answered {response.status} {response.reason}")
