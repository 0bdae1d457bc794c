"""Moving everything a server keeps into an archive, and out of one into empty stores.

What is read is each store as of one moment. What is written can be written again, so an import that was
killed is begun anew and ends the same. It is done when the rows' digests are the archive's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from typing import Final

import msgspec

from antiphon.domain import archives as form
from antiphon.domain import ids
from antiphon.domain.archives import BadArchive, Contents, Header, Manifest, Rows, RowSum, Table
from antiphon.domain.errors import NotFound, Unavailable
from antiphon.ports.archives import (
    ArchiveReader,
    ArchiveWriter,
    ImportMark,
    Loading,
    Piece,
    Snapshot,
    Transfer,
)
from antiphon.ports.blob_store import BlobStore
from antiphon.ports.clock import Clock

PIECE_BYTES: Final = 256 * 1024


class Archives:
    """Exports and imports of stores by their names, each with the contents that its rows name.

    The order of the stores matters: what comes first may be some moments older than what comes last.
    """

    def __init__(
        self, stores: Mapping[str, Transfer], contents: Mapping[str, BlobStore], clock: Clock, release: str
    ) -> None:
        self._stores = stores
        self._contents = contents
        self._clock = clock
        self._release = release

    async def digest(self) -> dict[str, dict[str, Rows]]:
        """Return counts and digests of all rows, by store and table."""
        found: dict[str, dict[str, Rows]] = {}
        for name, store in self._stores.items():
            async with store.snapshot() as snapshot:
                found[name] = await _all_counted(snapshot)
        return found

    async def export(self, writer: ArchiveWriter) -> Manifest:
        """Write everything, also while servers go on; raises Unavailable, OSError."""
        async with AsyncExitStack() as stack:
            opened = {
                name: await stack.enter_async_context(store.snapshot())
                for name, store in self._stores.items()
            }
            header = self._header({name: snapshot.revision for name, snapshot in opened.items()})
            writer.put(form.HEADER, msgspec.json.encode(header))
            contents = {name: await self._take_contents(writer, name, one) for name, one in opened.items()}
            tables = {name: await _take_rows(writer, name, one) for name, one in opened.items()}
            manifest = Manifest(header, tables, contents, writer.sha256())
            writer.put(form.MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=1))
            return manifest

    def _header(self, schemas: dict[str, str]) -> Header:
        now = self._clock.now_us()
        return Header(form.KIND, form.VERSION, ids.new_id(0), now, self._release, schemas)

    async def _take_contents(self, writer: ArchiveWriter, store: str, snapshot: Snapshot) -> Contents:
        count = size = missing = 0
        async for owner_id, digest in snapshot.contents():
            try:
                async with self._contents[store].local(owner_id, digest) as path:
                    size += writer.put_file(form.content_name(store, owner_id, digest), path)
                    count += 1
            except (NotFound, FileNotFoundError):
                missing += 1  # erased since the moment that is shown
        return Contents(count, size, missing)

    async def restore(self, reader: ArchiveReader, mark: ImportMark) -> Manifest:
        """Fill empty stores, or those that an earlier import of the same archive was filling.

        Raises BadArchive before anything is written, or if what arrived is not what was sent; Unavailable for
        stores that hold other data or are in use.
        """
        manifest = _verified(reader)
        unknown = manifest.header.schemas.keys() - self._stores.keys()
        if unknown:
            raise BadArchive(f"There is no store here for: {', '.join(sorted(unknown))}.")
        begun = mark.read()
        if begun not in (None, manifest.header.id):
            raise Unavailable("An import of another archive was not finished here; repeat that one.")
        async with AsyncExitStack() as stack:
            opened: dict[str, Loading] = {}
            for name, revision in manifest.header.schemas.items():
                opened[name] = await stack.enter_async_context(self._stores[name].loading(revision))
            for name, loading in opened.items():
                if begun is None and not await loading.is_empty():
                    raise Unavailable(f"The store of {name} is not empty; an import wants empty ones.")
            mark.write(manifest.header.id)
            await self._fill(reader, opened)
            await _require_equal(manifest, opened)
            for loading in opened.values():
                await loading.finish()
        mark.clear()
        return manifest

    async def _fill(self, reader: ArchiveReader, opened: Mapping[str, Loading]) -> None:
        known = {
            (name, table.name): set(table.columns)
            for name, loading in opened.items()
            for table in await loading.tables()
        }
        for piece in reader.pieces():
            place, content = form.rows_of(piece.name), form.content_of(piece.name)
            if place is not None:
                part = form.unpacked_part(piece.read())
                if not set(part.columns) <= known.get(place, set()):
                    raise BadArchive(f"There is no place for '{piece.name}'.")
                await opened[place[0]].put(place[1], part.columns, part.rows)
            elif content is not None and content[0] in opened:
                await self._put_content(piece, *content)
            elif piece.name not in (form.HEADER, form.MANIFEST):
                raise BadArchive(f"There is no place for '{piece.name}'.")

    async def _put_content(self, piece: Piece, store: str, owner_id: str, digest: str) -> None:
        blobs = self._contents[store]
        if await blobs.size(owner_id, digest) == piece.size:
            return
        stored = await blobs.put_stream(owner_id, _chunks(piece))
        if stored.digest != digest:
            await blobs.delete(owner_id, stored.digest)
            raise BadArchive(f"'{piece.name}' is not what its name says.")


async def _chunks(piece: Piece) -> AsyncIterator[bytes]:
    file = piece.open()
    while chunk := file.read(PIECE_BYTES):
        yield chunk


async def _counted(source: Snapshot | Loading, table: Table) -> Rows:
    counted = RowSum(table.name)
    async for row in source.rows(table):
        counted.add(form.packed(row))
    return counted.rows()


async def _all_counted(source: Snapshot | Loading) -> dict[str, Rows]:
    return {table.name: await _counted(source, table) for table in await source.tables()}


async def _take_rows(writer: ArchiveWriter, store: str, snapshot: Snapshot) -> dict[str, Rows]:
    return {one.name: await _take_table(writer, store, snapshot, one) for one in await snapshot.tables()}


async def _take_table(writer: ArchiveWriter, store: str, snapshot: Snapshot, table: Table) -> Rows:
    counted, number = RowSum(table.name), 0
    rows: list[bytes] = []
    size = 0

    def write() -> None:
        writer.put(form.rows_name(store, table.name, number), form.packed_part(table.columns, rows))

    async for row in snapshot.rows(table):
        packed = form.packed(row)
        counted.add(packed)
        rows.append(packed)
        size += len(packed)
        if size >= form.PART_BYTES or len(rows) >= form.PART_ROWS:
            write()
            rows, size, number = [], 0, number + 1
    if rows:
        write()
    return counted.rows()


def _verified(reader: ArchiveReader) -> Manifest:
    """Read an archive through; raises BadArchive if it is not whole."""
    seen, last = form.PieceSum(), ""
    for piece in reader.pieces():
        if not last:
            if piece.name != form.HEADER:
                raise BadArchive("This is no archive of `antiphon export`.")
            form.header_of(content := piece.read())
            seen.begin(piece.name, piece.size)
            seen.update(content)
        elif piece.name == form.MANIFEST:
            manifest = form.manifest_of(piece.read())
            if manifest.sha256 != seen.hexdigest():
                raise BadArchive("The archive is damaged: its content is not what its manifest says.")
            return manifest
        else:
            seen.begin(piece.name, piece.size)
            file = piece.open()
            while chunk := file.read(PIECE_BYTES):
                seen.update(chunk)
        last = piece.name
    raise BadArchive("The archive is not whole: it has no manifest.")


async def _require_equal(manifest: Manifest, opened: Mapping[str, Loading]) -> None:
    arrived = {name: await _all_counted(loading) for name, loading in opened.items()}
    wrong = form.differences(manifest.tables, arrived)
    if wrong:
        raise BadArchive(f"What arrived is not what was sent: {', '.join(wrong)}.")
