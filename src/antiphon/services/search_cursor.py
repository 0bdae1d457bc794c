"""The cursor of a search: what has been shown, so that no page repeats or skips anything.

Ranks move while others write, so a number of entries to pass over would not do. The cursor holds the
moment of the first page (nothing younger comes in later) and a few bytes of every message shown.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from antiphon.domain.errors import InvalidRequest

PREFIX: Final = "srch_"
TAIL: Final = 6
"""Bytes of an item's id that are kept: of its random part, so two of one search never share them."""
MAX_CURSOR: Final = 8_192


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """Where a search goes on; `kind` is what was asked, `until_us` when it began."""

    kind: bytes
    until_us: int
    shown: bytes = b""

    def passed(self) -> frozenset[bytes]:
        """Return what there is of the items of earlier pages (see `tail_of`)."""
        return frozenset(self.shown[at : at + TAIL] for at in range(0, len(self.shown), TAIL))

    def following(self, item_ids: Iterable[str]) -> Cursor:
        """Return the cursor after a page."""
        more = b"".join(tail_of(one) for one in item_ids)
        return Cursor(self.kind, self.until_us, self.shown + more)


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Cursor).decode


def tail_of(item_id: str) -> bytes:
    """Return the few bytes of an item's id that a cursor keeps."""
    return bytes.fromhex(item_id)[-TAIL:]


def fingerprint(request: Any) -> bytes:
    """Return what tells one search from another, whatever its page."""
    asked = msgspec.structs.replace(request, after=None, limit=0)
    return hashlib.sha256(_encode(asked)).digest()[:8]


def encode_cursor(cursor: Cursor) -> str:
    """Return a cursor as text that can stand in an address."""
    return PREFIX + base64.urlsafe_b64encode(_encode(cursor)).decode().rstrip("=")


def decode_cursor(text: str | None, kind: bytes) -> Cursor | None:
    """Return the cursor, None for none; raises InvalidRequest for what is none of this search."""
    if text is None:
        return None
    try:
        if not text.startswith(PREFIX) or len(text) > MAX_CURSOR:
            raise ValueError
        body = text.removeprefix(PREFIX)
        cursor = _decode(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except (ValueError, binascii.Error, msgspec.DecodeError):
        cursor = None
    if cursor is None or cursor.kind != kind or len(cursor.shown) % TAIL:
        raise InvalidRequest(
            "This cursor belongs to another search.", code="invalid_cursor", param="after"
        ) from None
    return cursor
