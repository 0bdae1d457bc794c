"""Vectors in memory: one matrix a scope and model, read on from the store's change sequence.

This module imports numpy and is imported by the first search that has a vector. A search works on
`Rows`, which never change; refreshing an entry makes new ones over the same matrix. Erased rows are
masked, and the matrix is rebuilt when they are a fifth of it.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from antiphon.storage.sql.database import Db
from antiphon.storage.sql.knowledge_index_reads import NUMBERS
from antiphon.storage.sql.knowledge_store import portions

COMPACT_AT: Final = 0.2
CHUNK: Final = 4096
"""Rows read at once."""
ROW_BYTES: Final = 45
"""What a row takes besides its vector."""

_ROW: Final = (
    "SELECT p.no,p.source_no,p.created,p.role,p.model,p.author_id,v.data FROM passages p"
    " CROSS JOIN vectors v ON v.owner_id=? AND v.text_hash=p.text_hash AND v.model_no=?"
)
_OF_SOURCES: Final = f"{_ROW} WHERE p.source_no IN ({NUMBERS}) AND p.no>?"
_LAST_VECTOR: Final = "SELECT coalesce(max(no),0) FROM vectors WHERE owner_id=? AND model_no=?"
_NEW_VECTORS: Final = (
    "SELECT p.no,p.source_no,p.created,p.role,p.model,p.author_id,v.data FROM vectors v"
    " CROSS JOIN passages p ON p.text_hash=v.text_hash CROSS JOIN sources s ON s.no=p.source_no"
    " WHERE v.owner_id=? AND v.model_no=? AND v.no>? AND s.scope_no=? AND s.state='live'"
)


class Scope(msgspec.Struct, frozen=True):
    """A scope as the search's transaction sees it."""

    no: int
    owner_id: str
    seq: int
    total: int


class Rows(msgspec.Struct, frozen=True):
    """Vectors with what filters ask of their passages; texts are numbers given by `Words`."""

    vectors: NDArray[np.float32]
    ids: NDArray[np.int64]
    sources: NDArray[np.int64]
    created: NDArray[np.int64]
    words: NDArray[np.int32]
    alive: NDArray[np.bool_]

    @property
    def embedded(self) -> int:
        """How many passages have a vector."""
        return int(np.count_nonzero(self.alive))


class Behind(Exception):
    """The entry has read on beyond this transaction, which must begin anew."""


class Words:
    """Numbers for roles, models and authors; 0 is none."""

    def __init__(self) -> None:
        self._numbers: dict[str | None, int] = {None: 0}

    def number(self, word: str | None) -> int:
        """Return a word's number, giving it one if it is new."""
        return self._numbers.setdefault(word, len(self._numbers))

    def known(self, word: str) -> int:
        """Return a word's number, -1 if no row has it."""
        return self._numbers.get(word, -1)


def rows_of(found: list[tuple[Any, ...]], dimensions: int, words: Words) -> Rows:
    """Return what was read as rows."""
    data = np.frombuffer(b"".join(row[6] for row in found), np.float16).reshape(len(found), dimensions)
    return Rows(
        data.astype(np.float32),
        np.array([row[0] for row in found], np.int64),
        np.array([row[1] for row in found], np.int64),
        np.array([row[2] for row in found], np.int64),
        np.array([[words.number(word) for word in row[3:6]] for row in found], np.int32).reshape(-1, 3),
        np.ones(len(found), np.bool_),
    )


def stream(db: Db, scope: Scope, model_no: int, dimensions: int, words: Words) -> Iterator[Rows]:
    """Read a scope's vectors from the store, chunk by chunk: for scopes that memory must not hold."""
    statement = f"{_ROW} WHERE p.source_no IN (SELECT no FROM sources WHERE scope_no=? AND state='live')"
    for found in portions(db, statement, (scope.owner_id, model_no, scope.no), CHUNK):
        yield rows_of(found, dimensions, words)


class Entry:
    """The vectors of one scope and model."""

    def __init__(self, model_no: int, dimensions: int) -> None:
        self.lock = threading.Lock()
        self.words = Words()
        self.rows: Rows = rows_of([], dimensions, self.words)
        self._signs: NDArray[np.uint64] = packed_signs(self.rows.vectors)
        self._model_no = model_no
        self._dimensions = dimensions
        self._seq = -1
        self._last_vector = 0
        self._last_passage = 0
        self._sources: dict[int, int] = {}
        self._full = self.rows  # the same columns with room to grow

    @property
    def bytes(self) -> int:
        """What it takes in memory."""
        return len(self._full.ids) * (self._dimensions * 4 + ROW_BYTES) + self._signs.nbytes

    def signs(self, rows: Rows) -> NDArray[np.uint64]:
        """Return the packed signs of rows this entry gave out."""
        with self.lock:
            if rows is not self.rows:
                return packed_signs(rows.vectors)
            known = len(self._signs)
            if known < len(rows.ids):
                self._signs = np.concatenate([self._signs, packed_signs(rows.vectors[known:])])
            return self._signs

    def read_on(self, db: Db, scope: Scope) -> Rows:
        """Return the rows as `scope` has them now; raises Behind if the entry is newer than that."""
        with self.lock:
            if self._seq > scope.seq:
                raise Behind
            if self._seq < scope.seq:
                self._refresh(db, scope)
                self._seq = scope.seq
            return self.rows

    def _refresh(self, db: Db, scope: Scope) -> None:
        known = self._sources
        live = db.execute("SELECT no,changed FROM sources WHERE scope_no=? AND state='live'", (scope.no,))
        now = {row[0]: row[1] for row in live}
        grown = [no for no, changed in now.items() if no in known and known[no] != changed]
        self._forget(db, [no for no in known if no not in now], grown)
        owner = (scope.owner_id, self._model_no)
        self._append(db, _OF_SOURCES, (*owner, json.dumps([no for no in now if no not in known]), 0))
        if known:
            self._append(db, _OF_SOURCES, (*owner, json.dumps(grown), self._last_passage))
            self._append(db, _NEW_VECTORS, (*owner, self._last_vector, scope.no), again=True)
        self._sources = now
        # An owner's numbers rise from one transaction to the next; those of several need not.
        self._last_passage = max(self._last_passage, int(self.rows.ids.max(initial=0)))
        self._last_vector = db.execute(_LAST_VECTOR, owner).fetchone()[0]
        self._compact()

    def _forget(self, db: Db, gone: list[int], changed: list[int]) -> None:
        """Mask rows of sources that went, and of passages that were erased from sources that stay."""
        rows = self.rows
        if not len(rows.ids) or not (gone or changed):
            return
        alive = rows.alive & ~np.isin(rows.sources, np.array(gone, np.int64))
        for no in changed:
            left = [row[0] for row in db.execute("SELECT no FROM passages WHERE source_no=?", (no,))]
            alive &= (rows.sources != no) | np.isin(rows.ids, np.array(left, np.int64))
        self.rows = msgspec.structs.replace(rows, alive=alive)

    def _append(self, db: Db, statement: str, values: tuple[Any, ...], *, again: bool = False) -> None:
        """Add rows; `again` says that some may be there already."""
        for found in portions(db, statement, values, CHUNK):
            more = rows_of(found, self._dimensions, self.words)
            fresh = ~np.isin(more.ids, self.rows.ids) if again else more.alive
            count, added = len(self.rows.ids), int(np.count_nonzero(fresh))
            if count + added > len(self._full.ids):
                self._full = _roomy(self.rows, (count + added) * 9 // 8 + 16)
            columns = []
            for full, new in zip(_columns(self._full), _columns(more), strict=True):
                full[count : count + added] = new[fresh]
                columns.append(full[: count + added])
            self.rows = _made(columns, np.concatenate([self.rows.alive, more.alive[fresh]]))

    def _compact(self) -> None:
        rows = self.rows
        if rows.embedded >= len(rows.ids) * (1 - COMPACT_AT):
            return
        kept = [column[rows.alive] for column in _columns(rows)]
        self.rows = self._full = _made(kept, np.ones(len(kept[0]), np.bool_))
        self._signs = packed_signs(kept[0][:0])


def _columns(rows: Rows) -> tuple[NDArray[Any], ...]:
    return rows.vectors, rows.ids, rows.sources, rows.created, rows.words


def _made(columns: list[NDArray[Any]], alive: NDArray[np.bool_]) -> Rows:
    vectors, ids, sources, created, words = columns
    return Rows(vectors, ids, sources, created, words, alive)


def _roomy(rows: Rows, capacity: int) -> Rows:
    wider = []
    for column in _columns(rows):
        room = np.empty((capacity, *column.shape[1:]), column.dtype)
        room[: len(column)] = column
        wider.append(room)
    return _made(wider, rows.alive)


def packed_signs(vectors: NDArray[np.float32]) -> NDArray[np.uint64]:
    """Return the signs of vectors as bits, each row filled up to whole 64-bit words."""
    bits = np.packbits(vectors > 0, axis=1)
    room = np.zeros((len(bits), -(-bits.shape[1] // 8) * 8), np.uint8)
    room[:, : bits.shape[1]] = bits
    return room.view(np.uint64)


class Matrices:
    """Entries by scope and model, the least recently used given up when they take too much."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._entries: OrderedDict[tuple[int, int], Entry] = OrderedDict()

    def holds(self, scope: Scope, dimensions: int) -> bool:
        """Whether a scope's vectors fit at all."""
        return scope.total * (dimensions * 4 + ROW_BYTES) <= self._max_bytes

    def entry(self, scope: Scope, model_no: int, dimensions: int) -> Entry:
        """Return the entry of a scope and model, an empty one if it is new."""
        key = (scope.no, model_no)
        with self._lock:
            if key not in self._entries:
                self._entries[key] = Entry(model_no, dimensions)
            self._entries.move_to_end(key)
            return self._entries[key]

    def trim(self) -> None:
        """Give up entries until the rest fits; the newest stays."""
        with self._lock:
            taken = sum(entry.bytes for entry in self._entries.values())
            while taken > self._max_bytes and len(self._entries) > 1:
                _, oldest = self._entries.popitem(last=False)
                taken -= oldest.bytes
