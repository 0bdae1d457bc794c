"""Undo the compression of a body that came compressed although `identity` was asked for."""

from __future__ import annotations

import zlib
from typing import Final

from antiphon.ports.outbound import OutboundProtocol, OutboundTooLarge

MAX_INFLATED: Final = 8 * 1024 * 1024
"""Bytes that one read (at most some 256 KiB) may become; a bomb ends here."""

_WINDOWS: Final = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


class Inflater:
    """Inflates a body read by read."""

    def __init__(self, encoding: str) -> None:
        """Raise OutboundProtocol for an encoding that was not asked for and is not known."""
        if encoding not in _WINDOWS:
            raise OutboundProtocol(f"the body is encoded as {encoding[:20]!r}, unasked", answered=True)
        self._inflate = zlib.decompressobj(_WINDOWS[encoding])

    def feed(self, received: bytes) -> bytes:
        """Return the plain bytes; raises OutboundTooLarge or OutboundProtocol."""
        try:
            plain = self._inflate.decompress(received, MAX_INFLATED)
        except zlib.error:
            raise OutboundProtocol("the body's compression is broken", answered=True) from None
        if self._inflate.unconsumed_tail:
            raise OutboundTooLarge("the body inflates to too much", answered=True)
        return plain
