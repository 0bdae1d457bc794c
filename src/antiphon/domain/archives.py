"""Archives: everything a store keeps, in a form that every store can write and read.

An archive is a sequence of named pieces: a header, contents, rows in parts, and last a manifest of counts
and digests, without which it is not whole. Rows are written in MessagePack, with their columns in the order
of their names, so that equal rows are equal bytes whichever store they come from.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from antiphon.domain.errors import InvalidRequest

KIND: Final = "antiphon"
VERSION: Final = 1
HEADER: Final = "antiphon.json"
MANIFEST: Final = "manifest.json"
PART_BYTES: Final = 4 << 20
PART_ROWS: Final = 2_000
LARGEST_PART: Final = 1 << 30
"""What is read into memory at once; a part is larger than `PART_BYTES` only by its last row."""

Value = str | int | bytes | None
Row = Sequence[Value]

_VALUES: Final = {str, int, bytes, type(None)}
_ROWS: Final = re.compile(r"rows/([a-z_]+)/([a-z_]+)/\d{8}\.msgpack")
_CONTENT: Final = re.compile(r"contents/([a-z_]+)/([0-9a-f]{32})/([0-9a-f]{64})")


class BadArchive(InvalidRequest):
    """A file that is no archive, not a whole one, or one of a newer release."""

    code = "bad_archive"


class Table(msgspec.Struct, frozen=True):
    """A table and its columns, in the order of their names."""

    name: str
    columns: tuple[str, ...]


class Header(msgspec.Struct, frozen=True):
    """What an archive begins with. `schemas` are the revisions of the stores by their names."""

    kind: str
    version: int
    id: str
    created_us: int
    release: str
    schemas: dict[str, str]


class Rows(msgspec.Struct, frozen=True):
    """How many rows a table has, and their digest."""

    count: int
    digest: str


class Contents(msgspec.Struct, frozen=True):
    """How many contents a store names; `missing` could not be read."""

    count: int
    bytes: int
    missing: int


class Manifest(msgspec.Struct, frozen=True):
    """What an archive holds; `sha256` is of all its pieces, in order."""

    header: Header
    tables: dict[str, dict[str, Rows]]
    contents: dict[str, Contents]
    sha256: str


class Part(msgspec.Struct, frozen=True, array_like=True):
    """Rows of one table."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


class RowSum:
    """The digest of a table's rows: the sum of their hashes, so that their order does not matter."""

    def __init__(self, table: str) -> None:
        self._begin = hashlib.sha256(table.encode() + b"\0")
        self._sum = 0
        self.count = 0

    def add(self, packed: bytes) -> None:
        """Count a packed row in."""
        seen = self._begin.copy()
        seen.update(packed)
        self._sum = (self._sum + int.from_bytes(seen.digest())) % (1 << 256)
        self.count += 1

    def rows(self) -> Rows:
        """Return what was counted."""
        return Rows(self.count, f"{self._sum:064x}")


class PieceSum:
    """The hash of an archive's pieces, with their names and sizes."""

    def __init__(self) -> None:
        self._seen = hashlib.sha256()

    def begin(self, name: str, size: int) -> None:
        """Begin a piece."""
        self._seen.update(f"{name}\0{size}\0".encode())

    def update(self, content: bytes) -> None:
        """Count some of its content in."""
        self._seen.update(content)

    def hexdigest(self) -> str:
        """Return the hash of all so far."""
        return self._seen.hexdigest()


_PACK = msgspec.msgpack.Encoder()


def packed(row: Row) -> bytes:
    """Return a row's bytes."""
    return _PACK.encode(row)


def packed_part(columns: Sequence[str], rows: Iterable[bytes]) -> bytes:
    """Return a part's bytes."""
    return _PACK.encode((columns, [msgspec.Raw(row) for row in rows]))


def unpacked_part(content: bytes) -> Part:
    """Return what `packed_part` packed; raises BadArchive."""
    try:
        part = msgspec.msgpack.decode(content, type=Part)
    except msgspec.DecodeError as error:
        raise BadArchive(f"Rows cannot be read: {error}.") from error
    if any(len(row) != len(part.columns) for row in part.rows):
        raise BadArchive("A row has not as many values as its table has columns.")
    if not {type(one) for row in part.rows for one in row} <= _VALUES:
        raise BadArchive("A row holds what is no text, number or bytes.")
    return part


def rows_name(store: str, table: str, number: int) -> str:
    """Return the name of a part."""
    return f"rows/{store}/{table}/{number:08d}.msgpack"


def content_name(store: str, owner_id: str, digest: str) -> str:
    """Return the name of a content."""
    return f"contents/{store}/{owner_id}/{digest}"


def rows_of(name: str) -> tuple[str, str] | None:
    """Return store and table of a part's name, None for another piece."""
    found = _ROWS.fullmatch(name)
    return (found[1], found[2]) if found else None


def content_of(name: str) -> tuple[str, str, str] | None:
    """Return store, owner and digest of a content's name, None for another piece."""
    found = _CONTENT.fullmatch(name)
    return (found[1], found[2], found[3]) if found else None


def header_of(content: bytes) -> Header:
    """Return an archive's header; raises BadArchive."""
    try:
        header = msgspec.json.decode(content, type=Header)
    except msgspec.DecodeError as error:
        raise BadArchive("This is no archive of `antiphon export`.") from error
    if header.kind != KIND or header.version > VERSION:
        raise BadArchive(f"This is another program's archive, or a newer release's ({header.release}).")
    return header


def manifest_of(content: bytes) -> Manifest:
    """Return an archive's manifest; raises BadArchive."""
    try:
        return msgspec.json.decode(content, type=Manifest)
    except msgspec.DecodeError as error:
        raise BadArchive(f"The manifest cannot be read: {error}.") from error


def differences(one: Mapping[str, Mapping[str, Rows]], other: Mapping[str, Mapping[str, Rows]]) -> list[str]:
    """Return the tables in which two stores differ, with their counts."""
    names = sorted({(store, table) for side in (one, other) for store in side for table in side[store]})
    found = [(s, t, _rows(one, s, t), _rows(other, s, t)) for s, t in names]
    return [f"{s}.{t} ({a.count} and {b.count} rows)" for s, t, a, b in found if a != b]


def _rows(side: Mapping[str, Mapping[str, Rows]], store: str, table: str) -> Rows:
    found: Any = side.get(store, {}).get(table)
    return found or RowSum(table).rows()
