"""Vectors in memory: one matrix a scope and model, read on from the store's change sequence.

This module imports numpy and is imported by the first search that has a vector. A search works on
`Rows`, which never change; refreshing an entry makes new ones over the same matrix. Erased rows are
masked, and the matrix is rebuilt when they are a fifth of it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from antiphon.storage.sql.knowledge_index_vector_rows import Reached, Scope, VectorRows

COMPACT_AT: Final = 0.2
ROW_BYTES: Final = 45
"""What a row takes besides its vector."""


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


def rows_of(found: list[tuple[Any, ...]], dimensions: int, words: Words, number_type: str = "<f2") -> Rows:
    """Return what was read as rows."""
    data = np.frombuffer(b"".join(row[6] for row in found), number_type).reshape(len(found), dimensions)
    return Rows(
        data.astype(np.float32),
        np.array([row[0] for row in found], np.int64),
        np.array([row[1] for row in found], np.int64),
        np.array([row[2] for row in found], np.int64),
        np.array([[words.number(word) for word in row[3:6]] for row in found], np.int32).reshape(-1, 3),
        np.ones(len(found), np.bool_),
    )


def stream(read: VectorRows, scope: Scope, dimensions: int, words: Words) -> Iterator[Rows]:
    """Read a scope's vectors from the store, chunk by chunk: for scopes that memory must not hold."""
    for found in read.of_scope(scope):
        yield rows_of(found, dimensions, words, read.number_type)


class Entry:
    """The vectors of one scope and model."""

    def __init__(self, dimensions: int) -> None:
        self.lock = threading.Lock()
        self.words = Words()
        self.rows: Rows = rows_of([], dimensions, self.words)
        self._signs: NDArray[np.uint64] = packed_signs(self.rows.vectors)
        self._dimensions = dimensions
        self._seq = -1
        self._reached = Reached()
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

    def read_on(self, read: VectorRows, scope: Scope) -> Rows:
        """Return the rows as `scope` has them now; raises Behind if the entry is newer than that."""
        with self.lock:
            if self._seq > scope.seq:
                raise Behind
            if self._seq < scope.seq:
                self._refresh(read, scope)
                self._seq = scope.seq
            return self.rows

    def _refresh(self, read: VectorRows, scope: Scope) -> None:
        known = self._sources
        now = read.live(scope)
        grown = [no for no, changed in now.items() if no in known and known[no] != changed]
        self._forget(read, [no for no in known if no not in now], grown)
        self._append(read, read.of_sources(scope, [no for no in now if no not in known]))
        if known:
            self._append(read, read.since(scope, grown, self._reached), again=True)
        self._sources = now
        # An owner's numbers rise from one transaction to the next; those of several need not.
        last = max(self._reached.passage, int(self.rows.ids.max(initial=0)))
        self._reached = Reached(last, read.last(scope))
        self._compact()

    def _forget(self, read: VectorRows, gone: list[int], changed: list[int]) -> None:
        """Mask rows of sources that went, and of passages that were erased from sources that stay."""
        rows = self.rows
        if not len(rows.ids) or not (gone or changed):
            return
        alive = rows.alive & ~np.isin(rows.sources, np.array(gone, np.int64))
        for no in changed:
            alive &= (rows.sources != no) | np.isin(rows.ids, np.array(read.left(no), np.int64))
        self.rows = msgspec.structs.replace(rows, alive=alive)

    def _append(
        self, read: VectorRows, portions: Iterable[list[tuple[Any, ...]]], *, again: bool = False
    ) -> None:
        """Add rows; `again` says that some may be there already."""
        for found in portions:
            more = rows_of(found, self._dimensions, self.words, read.number_type)
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
                self._entries[key] = Entry(dimensions)
            self._entries.move_to_end(key)
            return self._entries[key]

    def trim(self) -> None:
        """Give up entries until the rest fits; the newest stays."""
        with self._lock:
            taken = sum(entry.bytes for entry in self._entries.values())
            while taken > self._max_bytes and len(self._entries) > 1:
                _, oldest = self._entries.popitem(last=False)
                taken -= oldest.bytes
