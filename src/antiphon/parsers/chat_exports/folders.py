"""The files of an export, be it one file, a folder or a ZIP archive. Nothing is ever written or unpacked.

Names are compared and never used as paths: a ZIP archive is asked for its own entries, a folder for
what stands in it.
"""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, Protocol

from antiphon.ports.chat_exports import BadExport, FoundFile

MOST_ENTRIES: Final = 50_000
MOST_DIRECTORY_BYTES: Final = 8 * 1024 * 1024
"""An archive's directory, which is in memory while it is open: some 80,000 entries."""
MOST_RATIO: Final = 200
"""JSON shrinks to a tenth or so; what was blown up to burst a reader shrinks to a thousandth."""
SMALL_BYTES: Final = 16 * 1024 * 1024
"""Entries up to this size are read however well they shrink."""
PIECE_BYTES: Final = 256 * 1024
_END: Final = struct.Struct("<4s4H2LH")
_END_MARK: Final = b"PK\x05\x06"
_LOCATOR: Final = struct.Struct("<4sLQL")
_LOCATOR_MARK: Final = b"PK\x06\x07"
_END64: Final = struct.Struct("<4sQ2H2L4Q")
_FILE_ID: Final = re.compile(r"file[-_][A-Za-z0-9]+")


class Folder(Protocol):
    """Named files."""

    def names(self) -> list[FoundFile]:
        """Return all files."""
        ...

    def open(self, place: str) -> IO[bytes]:
        """Open a file; raises BadExport and OSError."""
        ...


class OneFile:
    """A folder that has one file."""

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._name = name

    def names(self) -> list[FoundFile]:
        """See `Folder`."""
        return [FoundFile(self._name, self._path.stat().st_size)]

    def open(self, place: str) -> IO[bytes]:
        """See `Folder`."""
        return self._path.open("rb")


class Directory:
    """A folder of a file system, without what links lead to."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files: dict[str, Path] = {}
        for one in sorted(path.rglob("*")):
            if one.is_file() and not one.is_symlink():
                self._files[str(one.relative_to(path))] = one
            if len(self._files) > MOST_ENTRIES:
                raise BadExport(f"The folder has more than {MOST_ENTRIES} files.")

    def names(self) -> list[FoundFile]:
        """See `Folder`."""
        return [FoundFile(place, path.stat().st_size) for place, path in self._files.items()]

    def open(self, place: str) -> IO[bytes]:
        """See `Folder`."""
        return self._files[place].open("rb")


class Archive:
    """A ZIP archive."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._entries = {one.filename: one for one in archive.infolist() if not one.is_dir()}

    def names(self) -> list[FoundFile]:
        """See `Folder`."""
        return [FoundFile(place, one.file_size) for place, one in self._entries.items()]

    def open(self, place: str) -> IO[bytes]:
        """See `Folder`."""
        entry = self._entries[place]
        if entry.flag_bits & 1:
            raise BadExport("It is encrypted.")
        if entry.file_size > SMALL_BYTES and entry.file_size > MOST_RATIO * max(entry.compress_size, 1):
            raise BadExport(f"It claims to hold {entry.file_size} bytes in {entry.compress_size}.")
        try:
            return self._archive.open(entry)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            raise BadExport(f"It cannot be unpacked: {error}.") from error


@contextmanager
def opened_folder(path: Path, name: str | None = None) -> Iterator[Folder]:
    """Open a file, folder or ZIP archive; raises BadExport and OSError."""
    if path.is_dir():
        yield Directory(path)
    elif zipfile.is_zipfile(path):
        try:
            _check_directory(path)
            archive = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError) as error:
            raise BadExport(f"The archive cannot be read: {error}.") from error
        with archive:
            yield Archive(archive)
    else:
        yield OneFile(path, name or path.name)


def _check_directory(path: Path) -> None:
    """Refuse a directory that is too large, before it is read; raises BadExport, and BadZipFile for none."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        start = max(size - _END.size - 0xFFFF, 0)
        file.seek(start)
        tail = file.read()
        at = len(tail) - _END.size
        if at < 0 or tail[at : at + 4] != _END_MARK:
            at = tail.rfind(_END_MARK, 0, at + 4)
        if at < 0:
            raise zipfile.BadZipFile("no end of its directory")
        directory = _END.unpack_from(tail, at)[5]
        if at >= _LOCATOR.size and tail[at - _LOCATOR.size :].startswith(_LOCATOR_MARK):
            file.seek(_LOCATOR.unpack_from(tail, at - _LOCATOR.size)[2])
            record = file.read(_END64.size)
            if len(record) == _END64.size:
                directory = max(directory if directory != 0xFFFF_FFFF else 0, _END64.unpack(record)[8])
    if directory > MOST_DIRECTORY_BYTES:
        raise BadExport(f"The archive's directory has more than {MOST_DIRECTORY_BYTES} bytes.")


def pieces(folder: Folder, place: str) -> Iterator[bytes]:
    """Yield the bytes of a file; raises BadExport and OSError."""
    try:
        with folder.open(place) as file:
            while piece := file.read(PIECE_BYTES):
                yield piece
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise BadExport(f"It is damaged: {error}.") from error


class Index:
    """Finds the files that attachments name: by place, name, stem, or the id a name begins with."""

    def __init__(self, files: list[FoundFile]) -> None:
        self._found: dict[str, FoundFile] = {}
        for one in files:
            name = base_name(one.place)
            stem = name.rpartition(".")[0] or name
            beginning = _FILE_ID.match(name)
            for key in (one.place, name, stem, beginning.group() if beginning else name):
                self._found.setdefault(key, one)

    def find(self, ref: str) -> FoundFile | None:
        """Return the file of a reference."""
        beginning = _FILE_ID.match(base_name(ref))
        keys = (ref, base_name(ref), beginning.group() if beginning else ref)
        return next((self._found[key] for key in keys if key in self._found), None)


def base_name(place: str) -> str:
    """Return the last part of a place."""
    return place.replace("\\", "/").rpartition("/")[2]
