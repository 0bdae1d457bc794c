"""Plain ASGI: reading a bounded body, answering JSON, walking headers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, Protocol, TypeVar

import msgspec

from antiphon.api.errors import decoding_error, describe
from antiphon.domain import ids
from antiphon.domain.errors import InvalidRequest, TooLarge

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Handler = Callable[[Scope, Receive, Send], Awaitable[None]]

Direct = Callable[[bytes, bool], bool]
"""Writes a piece of a begun answer, True for the last; False, with nothing done, if the client is full."""

_HEADERS: Final = "antiphon.headers"
_REQUEST_ID: Final = "antiphon.request_id"
REQUEST_ID: Final = b"x-request-id"
"""The header by which SDKs name a request."""

DIRECT: Final = "antiphon.direct"
"""The extension in a scope under which a server that can has a `Direct`."""

CLIENT: Final = "antiphon.client"
"""The extension in a scope under which a server that knows it tells of its `Client`."""

_encode = msgspec.json.Encoder().encode
_decode_any = msgspec.json.Decoder().decode

MAX_VALUES: Final = 100_000
"""Elements and fields of one JSON body, nested ones too: about 50 ms and 25 MB of reading."""

SMALL_BYTES: Final = 64 * 1024
"""Bodies up to here are not looked at: they cannot hold that many."""

LARGE_BYTES: Final = 1024 * 1024
"""What is done with larger bodies is done in a thread: 32 MiB cost up to 100 ms."""

Made = TypeVar("Made")

_SEPARATORS: Final = (b",", b"[", b"{")
_OUTSIDE: Final = rb'(?:[^",\[{]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+'
_TOO_MANY: Final = re.compile(rb"(?:%b[,\[{]){%d}+" % (_OUTSIDE, MAX_VALUES), re.DOTALL).match

JSON = (b"content-type", b"application/json")
NO_STORE = (b"cache-control", b"no-store")


class Client(Protocol):
    """Whoever asked; `disconnected` if the connection was lost before the answer was whole."""

    disconnected: bool


class ClientGone(Exception):
    """The client closed the connection before its request was whole."""


def direct_of(scope: Scope) -> Direct | None:
    """Return how an answer's body can be written without waiting, None where only ASGI's way is there."""
    found: Direct | None = scope.get("extensions", {}).get(DIRECT)
    return found


def client_of(scope: Scope) -> Client | None:
    """Return what is known of the client, None where nothing is."""
    found: Client | None = scope.get("extensions", {}).get(CLIENT)
    return found


def header(scope: Scope, name: bytes) -> str | None:
    """Return the first header of that (lower-case) name, or None."""
    known: dict[bytes, bytes] | None = scope.get(_HEADERS)
    if known is None:  # asked for ten times a request
        known = scope[_HEADERS] = dict(reversed(scope["headers"]))
    value = known.get(name)
    return None if value is None else value.decode("latin-1")


def request_id_of(scope: Scope) -> str:
    """Return the id by which an answer and the log name a request: ours, whatever its client calls it."""
    known: str | None = scope.get(_REQUEST_ID)
    if known is None:
        known = scope[_REQUEST_ID] = new_request_id()
    return known


def new_request_id() -> str:
    """Return the id of a request that is no run's; whose it is, is not in it."""
    return "req_" + ids.new_id(0)


def name_request(scope: Scope, start: Message) -> None:
    """Put a request's id among the headers of its answer, where none stands that a run has given."""
    headers = start.get("headers", ())
    if not any(name == REQUEST_ID for name, _ in headers):
        start["headers"] = [*headers, (REQUEST_ID, request_id_of(scope).encode())]


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """Return the request's body; raises TooLarge above `limit` bytes, before reading if announced.

    Also raises TooLarge for JSON of more than `MAX_VALUES` values.
    """
    announced = header(scope, b"content-length")
    if announced is not None and announced.isdigit() and int(announced) > limit:
        raise TooLarge(f"The body is larger than {limit} bytes.")
    encoding = header(scope, b"content-encoding")
    if encoding is not None and encoding.lower() != "identity":
        raise InvalidRequest("Compressed bodies are not accepted.", code="unsupported_encoding")
    body = b""
    parts: list[bytes] = []
    size = separators = 0
    suspicious = MAX_VALUES - SMALL_BYTES
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        body = message.get("body", b"")
        size += len(body)
        if size > limit:
            raise TooLarge(f"The body is larger than {limit} bytes.")
        parts.append(body)
        if size > SMALL_BYTES:
            separators += sum(map(body.count, _SEPARATORS))
            if separators > suspicious:  # looked at as it comes, so that little of too much is read
                require_few_values(b"".join(parts))
                suspicious = 2 * separators
        if not message.get("more_body"):
            body = b"".join(parts) if len(parts) > 1 else body
            if separators > MAX_VALUES - SMALL_BYTES:
                require_few_values(body)
            return body


def require_few_values(body: bytes) -> None:
    """Raise TooLarge if a JSON text has more than `MAX_VALUES` values: each costs many times its bytes."""
    if len(body) > MAX_VALUES and _TOO_MANY(body):  # commas in texts do not count
        raise TooLarge(f"The body holds more than {MAX_VALUES} values.", code="too_many_values")


def decode_json(body: bytes) -> Any:
    """Decode any JSON; raises InvalidRequest, also for nesting beyond reason."""
    try:
        return _decode_any(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise decoding_error(error) from None


async def beside(held: list[bytes], work: Callable[[bytes], Made]) -> Made:
    """Have a body read: at once, or in a thread if it is large.

    It is taken out of the list: a thread that has done its work still holds what it was given for
    a while, and that may be 32 MiB.
    """
    if len(held[0]) <= LARGE_BYTES:
        return work(held.pop())
    return await asyncio.to_thread(lambda: work(held.pop()))


async def send_bytes(
    send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]] | None = None
) -> None:
    """Answer with a JSON body that is already encoded."""
    head = [JSON, NO_STORE, (b"content-length", str(len(body)).encode()), *(headers or [])]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


async def send_json(
    send: Send, status: int, value: Any, headers: list[tuple[bytes, bytes]] | None = None
) -> None:
    """Answer with a value as JSON."""
    await send_bytes(send, status, _encode(value), headers)


async def send_error(send: Send, error: Exception, request: str) -> int:
    """Answer a request, named by its id, with an error in OpenAI's shape; returns its status."""
    status, body, headers = describe(error, request)
    await send_json(send, status, body, [*headers, (REQUEST_ID, request.encode())])
    return status
