"""Archives that documents come in: nothing is unpacked before its directory has been checked."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Final

from antiphon.ports.document_parser import ParseFailed

MAX_ENTRIES: Final = 2_000
MAX_DIRECTORY_BYTES: Final = 1024 * 1024
MAX_PART_BYTES: Final = 256 * 1024 * 1024
MAX_BYTES: Final = 512 * 1024 * 1024
MAX_RATIO: Final = 100
SMALL_BYTES: Final = 16 * 1024 * 1024
"""A document may be of 2,000 parts, unpack to 512 MiB and, above 16 MiB, to 100 times its size. Text
compresses five- to twentyfold; deflate's limit is 1,032."""

_END: Final = struct.Struct("<4s4H2LH")
_END_MARK: Final = b"PK\x05\x06"
_LOCAL_HEADER: Final = 30
_CHUNK: Final = 1 << 16
_ENCRYPTED: Final = 0x1


class Archive:
    """The parts of a zipped document, by name. Raises ParseFailed where something is not as it should be."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        _check_end(file, size)
        try:
            self._zip = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, OSError, ValueError, struct.error, NotImplementedError) as error:
            raise ParseFailed("The archive's directory is damaged.", code="invalid_file") from error
        entries = self._zip.infolist()
        _check_directory(entries, size)
        self._entries = {entry.filename: entry for entry in entries}
        if len(self._entries) != len(entries):
            raise ParseFailed("The archive has two parts of the same name.", code="invalid_file")
        self._read = 0

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def names(self) -> list[str]:
        """The names of all parts; they are only compared, never used as paths."""
        return list(self._entries)

    def chunks(self, name: str) -> Iterator[bytes]:
        """Unpack a part piece by piece, counting what really comes out."""
        entry = self._entries.get(name)
        if entry is None:
            raise ParseFailed(f"The document lacks its part '{_shown(name)}'.", code="invalid_file")
        done = 0
        try:
            with self._zip.open(entry) as part:
                while data := part.read(_CHUNK):
                    done += len(data)
                    self._read += len(data)
                    if done > MAX_PART_BYTES or self._read > MAX_BYTES:
                        raise ParseFailed("The document unpacks to too much.", code="invalid_file")
                    yield data
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError) as error:
            raise ParseFailed(f"The part '{_shown(name)}' is damaged.", code="invalid_file") from error

    def read(self, name: str, most: int) -> bytes:
        """Unpack a part of at most `most` bytes."""
        parts: list[bytes] = []
        done = 0
        for data in self.chunks(name):
            done += len(data)
            if done > most:
                raise ParseFailed(f"The part '{_shown(name)}' is too large.", code="invalid_file")
            parts.append(data)
        return b"".join(parts)


def _shown(name: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in name[:80])


def _check_end(file: BinaryIO, size: int) -> None:
    """Read the record at the archive's end before anything trusts its directory."""
    length = min(size, (1 << 16) + _END.size)
    file.seek(size - length)
    tail = file.read(length)
    file.seek(0)
    at = tail.rfind(_END_MARK)
    if at < 0 or at + _END.size > len(tail):
        raise ParseFailed("The archive is cut off: it has no directory.", code="invalid_file")
    _, _, _, _, entries, directory_bytes, _, _ = _END.unpack_from(tail, at)
    if entries > MAX_ENTRIES or directory_bytes > MAX_DIRECTORY_BYTES:
        raise ParseFailed(f"The archive has more than {MAX_ENTRIES:,} parts.", code="invalid_file")


def _check_directory(entries: list[zipfile.ZipInfo], size: int) -> None:
    if len(entries) > MAX_ENTRIES:
        raise ParseFailed(f"The archive has more than {MAX_ENTRIES:,} parts.", code="invalid_file")
    total = sum(entry.file_size for entry in entries)
    if total > MAX_BYTES or (total > SMALL_BYTES and total > MAX_RATIO * size):
        mebibytes, ratio = total >> 20, total // max(size, 1)
        raise ParseFailed(
            f"The document would unpack to {mebibytes:,} MiB, {ratio:,} times its size.", code="invalid_file"
        )
    end = 0
    for entry in sorted(entries, key=lambda one: one.header_offset):
        if entry.header_offset < end:
            raise ParseFailed("The archive's parts overlap.", code="invalid_file")
        end = entry.header_offset + _LOCAL_HEADER + entry.compress_size
        if entry.flag_bits & _ENCRYPTED:
            raise ParseFailed("The document is protected by a password.", code="invalid_file")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ParseFailed("The archive is compressed in an unusual way.", code="invalid_file")
    if end > size:
        raise ParseFailed("The archive's parts overlap.", code="invalid_file")
