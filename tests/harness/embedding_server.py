"""A server of embeddings and of reranking on this machine, good or bad as a test wants it.

Its vectors count words, as those of the provider `scripted` do, but are not of length one: they are
multiplied by three, so that whoever forgets to normalise is found out. A reranker's score is the
number of the question's words that a text has.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import math
import struct
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from antiphon.providers.hashed_words import embed_words, words_of

Json = dict[str, Any]
Reply = tuple[int, Any, dict[str, str]]
Bad = Callable[[Json, Json], "Reply | bytes | Awaitable[Reply]"]
"""Request body and the right answer → status, body, headers; or bytes, after which the socket closes."""

LENGTH = 3.0


@dataclass
class Call:
    """What came."""

    path: str
    headers: dict[str, str]
    body: Json


@dataclass
class EmbeddingServer:
    """Plays the `bad` replies first, one a request, and then answers rightly.

    `max_characters` refuses longer texts, `poison` texts with that word in whatever length, both with
    400. `takes_base64` False refuses that format as some servers do, `ignores_base64` sends floats
    all the same. `shape` is what the reranker speaks. `delay_seconds` comes before every answer.
    """

    dimensions: int = 64
    max_characters: int | None = None
    poison: str | None = None
    takes_base64: bool = True
    ignores_base64: bool = False
    shape: str = "cohere"
    delay_seconds: float = 0.0
    bad: deque[Bad] = field(default_factory=deque)
    always: Bad | None = None
    calls: list[Call] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"

    @property
    def texts(self) -> list[str]:
        """Every text that was asked to be embedded, in order."""
        return [text for call in self.calls for text in call.body.get("input", ())]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                call = await _read(reader)
                self.calls.append(call)
                reply = await self._reply(call)
                if isinstance(reply, bytes):
                    writer.write(reply)
                    break
                writer.write(_encoded(*reply))
                await writer.drain()
        writer.close()

    async def _reply(self, call: Call) -> Reply | bytes:
        if self.delay_seconds:
            await asyncio.sleep(self.delay_seconds)
        right = self._rerank(call.body) if call.path.endswith("/rerank") else self._embed(call.body)
        bad = self.bad.popleft() if self.bad else self.always
        if bad is None:
            return right
        made = bad(call.body, right[1])
        return made if isinstance(made, tuple | bytes) else await made

    def _embed(self, body: Json) -> Reply:
        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        if body.get("encoding_format") == "base64" and not self.takes_base64:
            return refusal("encoding_format: base64 is not supported")
        longest = max(map(len, texts), default=0)
        if self.max_characters is not None and longest > self.max_characters:
            return refusal(f"the text has {longest} characters, more than {self.max_characters}")
        if self.poison is not None and any(self.poison in text for text in texts):
            return refusal("this text cannot be embedded")
        in_base64 = body.get("encoding_format") == "base64" and not self.ignores_base64
        size = body.get("dimensions") or self.dimensions
        data = [
            {"object": "embedding", "index": i, "embedding": shown(text, size, in_base64=in_base64)}
            for i, text in enumerate(texts)
        ]
        tokens = sum(len(words_of(text)) for text in texts)
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return 200, {"object": "list", "data": data, "model": body["model"], "usage": usage}, {}

    def _rerank(self, body: Json) -> Reply:
        texts = body.get("documents" if self.shape == "cohere" else "texts")
        if texts is None:
            wanted = "documents" if self.shape == "cohere" else "texts"
            return 422, f"Failed to deserialize the JSON body: missing field `{wanted}`", {}
        asked = set(words_of(body["query"]))
        scores = [float(len(asked & set(words_of(text)))) for text in texts]
        order = sorted(range(len(texts)), key=lambda i: -scores[i])
        if self.shape == "cohere":
            return 200, {"results": [{"index": i, "relevance_score": scores[i]} for i in order]}, {}
        return 200, [{"index": i, "score": scores[i]} for i in order], {}


def shown(text: str, dimensions: int, *, in_base64: bool) -> Any:
    """A text's vector as it stands in an answer, three long."""
    values = [value * LENGTH for value in struct.unpack(f"<{dimensions}f", embed_words(text, dimensions))]
    return base64.b64encode(struct.pack(f"<{dimensions}f", *values)).decode() if in_base64 else values


def refusal(message: str, status: int = 400) -> Reply:
    return status, {"error": {"message": message, "type": "invalid_request_error"}}, {}


def says(status: int, **headers: str) -> Bad:
    """Answer with an error of that status; `retry_after` becomes a header."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda *_: (status, {"error": {"message": f"played {status}"}}, named)


def length_of(vector: bytes) -> float:
    """The length of a float32 little-endian vector."""
    return math.hypot(*struct.unpack(f"<{len(vector) // 4}f", vector))


def cosine(one: bytes, other: bytes) -> float:
    """The cosine of two vectors of length one."""
    size = len(one) // 4
    pairs = zip(struct.unpack(f"<{size}f", one), struct.unpack(f"<{size}f", other), strict=True)
    return math.fsum(a * b for a, b in pairs)


async def _read(reader: asyncio.StreamReader) -> Call:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
    keep = dict(line.split(": ", 1) for line in head[1:] if line)
    headers |= {name.lower(): value for name, value in keep.items()}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Call(head[0].split(" ")[1], headers, json.loads(body) if body else {})


def _encoded(status: int, body: Any, headers: dict[str, str]) -> bytes:
    raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Played", f"content-length: {len(raw)}", "content-type: application/json"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + raw


@asynccontextmanager
async def embedding_server(**fields: Any) -> AsyncIterator[EmbeddingServer]:
    """A server on a free port while the block runs."""
    server = EmbeddingServer(**fields)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, limit=2**24)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        await asyncio.sleep(0)
