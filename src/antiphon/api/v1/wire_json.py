"""JSON as it stands in an event: no line end of any kind within it."""

from __future__ import annotations

from typing import Any, Final

import msgspec

_encode = msgspec.json.Encoder().encode

_LINE_SEPARATORS: Final = (
    (b"\xe2\x80\xa8", b"\\u2028"),
    (b"\xe2\x80\xa9", b"\\u2029"),
    (b"\xc2\x85", b"\\u0085"),
)


def encode_text(text: str) -> bytes:
    """Return a JSON string in which no reader can see a line end.

    U+2028, U+2029 and U+0085 are legal in JSON, but some line readers split at them.
    """
    encoded = _encode(text)
    if not text.isascii():
        for raw, escaped in _LINE_SEPARATORS:
            if raw in encoded:
                encoded = encoded.replace(raw, escaped)
    return encoded


def encode_object(value: Any) -> bytes:
    """Return a JSON object, with the same care for line ends."""
    encoded = _encode(value)
    if not encoded.isascii():
        for raw, escaped in _LINE_SEPARATORS:
            encoded = encoded.replace(raw, escaped)
    return encoded
