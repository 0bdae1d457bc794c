"""Large data URLs leave an item's payload for the blob store and come back byte for byte.

A payload that anybody can send is a JSON object. One whose data URLs were taken out is stored as
a JSON array instead, `[payload, owner, [[path, digest], …]]`: nobody outside can make one, so no
client can name a blob. `path` leads through the payload to the text that is missing there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

LARGE: Final = 64 * 1024
"""Texts longer than this many characters are taken out."""

Path = list[str | int]

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.decode


def is_reduced(payload: str) -> bool:
    """Whether texts of a stored payload lie in the blob store."""
    return payload[0] == "["


def take_out(payload: str, owner_id: str) -> tuple[str, dict[str, bytes]] | None:
    """Return a payload without its large data URLs and these by digest; None if there are none.

    Nor if it would not come back byte for byte. A payload may be 32 MiB: no more than one copy of
    it is made at a time beside what was decoded.
    """
    body = _decode(payload)
    large = list(_large_texts(body))
    if not large or not _is(payload, _encode(body)):
        return None
    contents: dict[str, bytes] = {}
    places: list[tuple[Path, str]] = []
    while large:
        holder, key, path, text = large.pop()
        holder[key] = ""
        content = text.encode()
        digest = hashlib.sha256(content).hexdigest()
        contents[digest] = content
        places.append((path, digest))
    return _encode([body, owner_id, places]).decode(), contents


def _is(text: str, encoded: bytes) -> bool:
    """Whether a text has this encoding; it is encoded a piece at a time."""
    view, end = memoryview(encoded), 0
    for start in range(0, len(text), LARGE):
        piece = text[start : start + LARGE].encode()
        begin, end = end, end + len(piece)
        if view[begin:end] != piece:
            return False
    return end == len(encoded)


def blobs_of(payload: str) -> tuple[str, list[str]]:
    """Return the owner and the digests of what a reduced payload lacks."""
    _, owner_id, places = _decode(payload)
    return owner_id, [digest for _, digest in places]


def put_back(payload: str, texts: Mapping[str, str]) -> str:
    """Return a reduced payload as it came; raises KeyError if a text is missing."""
    body, _, places = _decode(payload)
    for path, digest in places:
        holder = body
        for step in path[:-1]:
            holder = holder[step]
        holder[path[-1]] = texts[digest]
    return _encode(body).decode()


def _large_texts(body: dict[str, Any]) -> Iterator[tuple[Any, Any, Path, str]]:
    """Yield holder, key, path and text of every large data URL, however deep it lies."""
    waiting: list[tuple[Any, Path]] = [(body, [])]
    while waiting:
        holder, path = waiting.pop()
        entries = holder.items() if isinstance(holder, dict) else enumerate(holder)
        for key, value in entries:
            if isinstance(value, (dict, list)):
                waiting.append((value, [*path, key]))
            elif isinstance(value, str) and len(value) > LARGE and _is_data(value, key, path):
                yield holder, key, [*path, key], value


def _is_data(text: str, key: Any, path: Path) -> bool:
    """Data URLs, and the two fields that may hold bare base64."""
    if text.startswith("data:") or key == "file_data":
        return True
    return key == "data" and bool(path) and path[-1] == "input_audio"
