"""Reads files in UTF-16, which some shells write, as if they were in UTF-8."""

from __future__ import annotations

import codecs
import io
from typing import IO, Final

PIECE_CHARACTERS: Final = 64 * 1024


def as_utf8(file: IO[bytes]) -> IO[bytes]:
    """Return a file that reads as UTF-8 if an open one begins as UTF-16, else the file itself."""
    begin = file.read(2)
    file.seek(0)
    if begin not in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return file
    return io.BufferedReader(_Recoded(file))


class _Recoded(io.RawIOBase):
    """Decodes a file piece by piece and encodes it again."""

    def __init__(self, file: IO[bytes]) -> None:
        self._text = io.TextIOWrapper(file, "utf-16", errors="replace", newline="")
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        if not self._left:
            self._left = self._text.read(PIECE_CHARACTERS).encode()
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count
