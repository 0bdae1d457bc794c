"""Where the matrices of vectors read from: the rows of passages that have a vector of one model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol

import msgspec

from antiphon.storage.sql.database import Db
from antiphon.storage.sql.knowledge_index_reads import NUMBERS
from antiphon.storage.sql.knowledge_store import portions

CHUNK: Final = 4096
"""Rows read at once."""

Portions = Iterator[list[tuple[Any, ...]]]
"""Rows, some at a time: number, source, created, role, model, author, and the vector's bytes."""

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


class Reached(msgspec.Struct, frozen=True):
    """How far a scope was read: the last numbers of a passage and of a vector."""

    passage: int = 0
    vector: int = 0


class VectorRows(Protocol):
    """The vectors of one model, as of one moment."""

    @property
    def number_type(self) -> str:
        """What the bytes of a vector are, as numpy calls it."""
        ...

    def live(self, scope: Scope) -> dict[int, int]:
        """Return the visible sources of a scope, each with the number of its last change."""
        ...

    def left(self, source_no: int) -> list[int]:
        """Return the passages that a source has now."""
        ...

    def of_scope(self, scope: Scope) -> Portions:
        """Yield all rows of a scope."""
        ...

    def of_sources(self, scope: Scope, sources: Sequence[int]) -> Portions:
        """Yield all rows of some sources of a scope."""
        ...

    def since(self, scope: Scope, grown: Sequence[int], reached: Reached) -> Portions:
        """Yield what a scope has since, in sources that have grown or anywhere; more is harmless."""
        ...

    def last(self, scope: Scope) -> int:
        """Return the last number of a vector that the scope's owner has, where vectors have numbers."""
        ...


class SqlVectorRows:
    """`VectorRows` inside a transaction."""

    number_type = "<f2"

    def __init__(self, db: Db, model_no: int) -> None:
        self._db = db
        self._model_no = model_no

    def live(self, scope: Scope) -> dict[int, int]:
        """See the protocol."""
        found = self._db.execute(
            "SELECT no,changed FROM sources WHERE scope_no=? AND state='live'", (scope.no,)
        )
        return {row[0]: row[1] for row in found}

    def left(self, source_no: int) -> list[int]:
        """See the protocol."""
        return [row[0] for row in self._db.execute("SELECT no FROM passages WHERE source_no=?", (source_no,))]

    def of_scope(self, scope: Scope) -> Portions:
        """See the protocol."""
        statement = f"{_ROW} WHERE p.source_no IN (SELECT no FROM sources WHERE scope_no=? AND state='live')"
        return portions(self._db, statement, (scope.owner_id, self._model_no, scope.no), CHUNK)

    def of_sources(self, scope: Scope, sources: Sequence[int]) -> Portions:
        """See the protocol."""
        return self._of_sources(scope, sources, 0)

    def _of_sources(self, scope: Scope, sources: Sequence[int], after: int) -> Portions:
        values = (scope.owner_id, self._model_no, json.dumps(list(sources)), after)
        return portions(self._db, _OF_SOURCES, values, CHUNK)

    def since(self, scope: Scope, grown: Sequence[int], reached: Reached) -> Portions:
        """See the protocol."""
        yield from self._of_sources(scope, grown, reached.passage)
        values = (scope.owner_id, self._model_no, reached.vector, scope.no)
        yield from portions(self._db, _NEW_VECTORS, values, CHUNK)

    def last(self, scope: Scope) -> int:
        """See the protocol."""
        row = self._db.execute(_LAST_VECTOR, (scope.owner_id, self._model_no)).fetchone()
        number: int = row[0]
        return number
