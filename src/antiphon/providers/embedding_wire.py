"""OpenAI's embeddings on the wire: the body of a call, and a strict reader of its answer.

See https://platform.openai.com/docs/api-reference/embeddings. Vectors are brought to length one
here, since not all servers do that and cosine is then a plain product.
"""

from __future__ import annotations

import base64
import binascii
import math
import struct
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from antiphon.domain.usage import estimate_tokens
from antiphon.ports.embedder import Embedded, EmbeddingRequest
from antiphon.providers.surrogates import mend

MAX_DIMENSIONS: Final = 16_384
CLOSE_TO_ONE: Final = 1e-6
"""A vector whose length differs from one by less is kept bit by bit."""


class NotVectors(ValueError):
    """An answer that cannot be used; its text ends a sentence about the provider."""


class _Entry(msgspec.Struct, gc=False):
    embedding: str | list[float]
    index: int | None = None


class _Answer(msgspec.Struct):
    data: list[_Entry]
    usage: Any = None


_decode: Final = msgspec.json.Decoder(_Answer).decode


def encode_request(request: EmbeddingRequest, *, base64_vectors: bool) -> bytes:
    """Return the JSON body of a call; half characters become U+FFFD, as JSON has none."""
    body: dict[str, Any] = {"model": request.model, "input": [mend(text) for text in request.texts]}
    body["encoding_format"] = "base64" if base64_vectors else "float"
    if request.dimensions is not None:
        body["dimensions"] = request.dimensions
    return msgspec.json.encode(body)


def read_answer(body: bytes, request: EmbeddingRequest) -> Embedded:
    """Return the vectors in the order of the request's texts; raises NotVectors."""
    try:
        answer = _decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise NotVectors("the answer is no list of embeddings") from None
    entries = _in_order(answer.data, len(request.texts))
    vectors = [unit_vector(_raw(entry.embedding)) for entry in entries]
    require_dimensions(vectors, request.dimensions)
    return Embedded(vectors, _tokens(answer.usage, request.texts))


def _in_order(entries: list[_Entry], count: int) -> list[_Entry]:
    if len(entries) != count:
        raise NotVectors(f"{len(entries)} embeddings came for {count} texts")
    if all(entry.index is None for entry in entries):
        return entries
    placed = {entry.index: entry for entry in entries}
    if placed.keys() != set(range(count)):
        raise NotVectors("the embeddings' indexes are not those of the texts")
    return [placed[index] for index in range(count)]


def _raw(embedding: str | list[float]) -> bytes:
    if isinstance(embedding, list):
        try:
            return struct.pack(f"<{len(embedding)}f", *embedding)
        except (struct.error, OverflowError):
            raise NotVectors("an embedding holds what is no 32-bit float") from None
    try:
        return base64.b64decode(embedding, validate=True)
    except (binascii.Error, ValueError):
        raise NotVectors("an embedding is no base64") from None


def unit_vector(raw: bytes) -> bytes:
    """Return a float32 little-endian vector at length one; raises NotVectors for NaN, infinity and zero."""
    size, rest = divmod(len(raw), 4)
    if rest or not 0 < size <= MAX_DIMENSIONS:
        raise NotVectors(f"an embedding has {len(raw)} bytes")
    values = struct.unpack(f"<{size}f", raw)
    length = math.hypot(*values)
    if not 0 < length < math.inf:  # also false for NaN
        raise NotVectors("an embedding is zero or not finite")
    if abs(length - 1.0) < CLOSE_TO_ONE:
        return raw
    return struct.pack(f"<{size}f", *[value / length for value in values])


def require_dimensions(vectors: Sequence[bytes], dimensions: int | None) -> None:
    """Raise NotVectors unless all vectors are equally long, and as long as asked."""
    sizes = {len(vector) // 4 for vector in vectors}
    wanted = sizes if dimensions is None else {dimensions}
    if len(sizes) > 1 or sizes != wanted:
        shown = ", ".join(str(size) for size in sorted(sizes)[:5])
        expected = "one length" if dimensions is None else f"{dimensions}"
        raise NotVectors(f"embeddings have {shown} dimensions in place of {expected}")


def _tokens(usage: Any, texts: Sequence[str]) -> int:
    """Return the tokens as billed, or our estimate where none are reported."""
    reported = usage if isinstance(usage, dict) else {}
    for field in ("prompt_tokens", "total_tokens"):
        value = reported.get(field)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53:
            return value
    return sum(estimate_tokens(text) for text in texts)
