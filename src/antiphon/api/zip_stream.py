"""A zip archive that is made while it is sent: no more of it is held than one piece."""

from __future__ import annotations

import asyncio
import io
import zipfile
from collections.abc import AsyncIterator
from typing import Any, Final, cast

PIECE: Final = 64 * 1024
"""Bytes that are compressed at once, in a thread."""


class _Sink(io.RawIOBase):
    """A file that cannot be gone back in, for the library to write to."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        """Say yes."""
        return True

    def write(self, data: Any) -> int:
        """Take some."""
        self._parts.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        """Return what was written since the last time."""
        parts, self._parts = self._parts, []
        return b"".join(parts)


class ZipStream:
    """Packs one file after the other."""

    def __init__(self) -> None:
        self._sink = _Sink()
        self._zip = zipfile.ZipFile(cast("Any", self._sink), "w", zipfile.ZIP_DEFLATED)

    async def add(
        self, name: str, content: AsyncIterator[bytes], *, large: bool = False
    ) -> AsyncIterator[bytes]:
        """Yield the archive's next pieces: a file with this content; `large` if it may have 2 GiB or more."""
        entry = self._zip.open(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), "w", force_zip64=large)
        try:
            held: list[bytes] = []
            size = 0
            async for piece in content:
                held.append(piece)
                size += len(piece)
                if size >= PIECE:
                    await asyncio.to_thread(entry.write, b"".join(held))
                    held, size = [], 0
                    if packed := self._sink.take():
                        yield packed
            await asyncio.to_thread(entry.write, b"".join(held))
        finally:
            entry.close()
        if packed := self._sink.take():
            yield packed

    def end(self) -> bytes:
        """Return the archive's last piece, its directory."""
        self._zip.close()
        return self._sink.take()
