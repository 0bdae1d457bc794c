"""The search: both legs on one snapshot of the store.

A filter of attributes becomes the set of sources it lets through before anything is ranked, so it holds
exactly in both legs. How words are looked up is the engine's; vectors are compared here.
"""

from __future__ import annotations

import json
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final

from antiphon.domain.filters import Filter, matches
from antiphon.domain.passages import Candidates, HistoryFilter, IndexQuery, LegHit
from antiphon.storage.sql.database import Db
from antiphon.storage.sql.knowledge_index_engine import IndexEngine
from antiphon.storage.sql.knowledge_index_reads import NUMBERS, attributes
from antiphon.storage.sql.knowledge_index_vector_rows import Scope, SqlVectorRows

TITLE_WEIGHT: Final = 2.0
"""A word in a heading against one in the text. nDCG@10 of SciFact by words: 1 .684, 2 .691, 3 .689."""
KEPT_MEMBERS: Final = 100_000
"""Attributes of members kept in memory between filtered searches."""

Members = list[tuple[int, dict[str, str | float | bool]]]


class Attributes:
    """Members' attributes by scope, as of a number of the change sequence."""

    def __init__(self, max_members: int = KEPT_MEMBERS) -> None:
        self._max_members = max_members
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, tuple[int, Members]] = OrderedDict()

    def of(self, db: Db, scope_no: int, seq: int) -> Members:
        """Return the number and the attributes of every visible source of a scope."""
        with self._lock:
            kept = self._kept.get(scope_no)
            if kept is not None and kept[0] == seq:
                self._kept.move_to_end(scope_no)
                return kept[1]
        rows = db.execute(
            "SELECT s.no,m.attributes FROM sources s JOIN scopes c ON c.no=s.scope_no LEFT JOIN members m"
            " ON m.collection_id=c.scope AND m.file_id=s.ref_id WHERE s.scope_no=? AND s.state='live'",
            (scope_no,),
        )
        found = [(no, attributes(stored)) for no, stored in rows]
        with self._lock:
            self._kept[scope_no] = (seq, found)
            self._kept.move_to_end(scope_no)
            while len(self._kept) > 1 and sum(len(one) for _, one in self._kept.values()) > self._max_members:
                self._kept.popitem(last=False)
        return found


class Search:
    """Finds candidates; it runs in threads, each time on one snapshot of the store."""

    def __init__(self, engine: IndexEngine, max_bytes: int) -> None:
        self._engine = engine
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._attributes = Attributes()
        self._matrices: Any = None

    def __call__(self, db: Db, query: IndexQuery) -> Candidates | None:
        """Return what is found; None if it must be looked for again, as of a later moment."""
        scopes = db.execute(
            "SELECT no,owner_id,seq,total FROM scopes WHERE scope IN (SELECT value FROM json_each(?))"
            " ORDER BY no",
            (json.dumps(list(query.scopes)),),
        ).fetchall()
        began = time.perf_counter_ns()
        sources = passing(db, self._attributes, scopes, query)
        lexical = self._engine.words(db, [row[0] for row in scopes], sources, query)
        between = time.perf_counter_ns()
        found = self._dense(db, scopes, sources, query)
        if found is None:
            return None
        return candidates(lexical, found, began, between, total=sum(row[3] for row in scopes))

    def _dense(
        self, db: Db, scopes: Sequence[tuple[Any, ...]], sources: frozenset[int] | None, query: IndexQuery
    ) -> tuple[list[LegHit], int] | None:
        model_no = model_number(db, query)
        if query.vector is None or model_no is None:
            return [], 0
        from antiphon.storage.sql import knowledge_index_dense as dense  # noqa: PLC0415 - numpy, on first use
        from antiphon.storage.sql import knowledge_index_matrix as matrix  # noqa: PLC0415

        with self._lock:
            if self._matrices is None:
                self._matrices = matrix.Matrices(self._max_bytes)
        wanted = dense.Wanted(sources, query.history, query.limit)
        try:
            return dense.search(
                SqlVectorRows(db, model_no), self._matrices, [Scope(*row) for row in scopes], model_no,
                query.vector, wanted,
            )  # fmt: skip
        except matrix.Behind:
            return None


def candidates(
    lexical: Sequence[LegHit], found: tuple[Sequence[LegHit], int], began: int, between: int, *, total: int
) -> Candidates:
    """Return what both legs found: `found` are the hits of vectors, and how many passages have one.

    The words were looked up from `began` to `between`, nanoseconds of `perf_counter`, the vectors until now.
    """
    dense, embedded = found
    return Candidates(
        lexical=tuple(lexical),
        dense=tuple(dense),
        lexical_us=(between - began) // 1000,
        dense_us=(time.perf_counter_ns() - between) // 1000,
        embedded=embedded,
        total=total,
    )


def passing(
    db: Db, attributes_: Attributes, scopes: Sequence[tuple[Any, ...]], query: IndexQuery
) -> frozenset[int] | None:
    """Return the sources that filters leave, None for all; a scope begins with number, owner, change."""
    left: set[int] | None = None
    if query.filter is not None:
        left = set()
        for no, _, seq, *_ in scopes:
            left |= _passing(query.filter, attributes_.of(db, no, seq))
    history = query.history
    if history is not None and (history.conversation_ids is not None or history.except_ids):
        named = _conversations(db, [row[0] for row in scopes], history)
        left = named if left is None else left & named
    return None if left is None else frozenset(left)


def model_number(db: Db, query: IndexQuery) -> int | None:
    """Return the number of the model that a question's vector is of, None if nothing can be compared."""
    if query.vector is None or query.model is None:
        return None
    row = db.execute(
        "SELECT no FROM vector_models WHERE model=? AND dimensions=?", (query.model, len(query.vector) // 4)
    ).fetchone()
    return row[0] if row else None


def _conversations(db: Db, scopes: Sequence[int], history: HistoryFilter) -> set[int]:
    statement = f"SELECT no FROM sources WHERE state='live' AND scope_no IN ({NUMBERS})"
    values = [json.dumps(scopes)]
    for condition, ids in (("IN", history.conversation_ids), ("NOT IN", history.except_ids or None)):
        if ids is not None:
            statement += f" AND ref_id {condition} (SELECT value FROM json_each(?))"
            values.append(json.dumps(ids))
    return {row[0] for row in db.execute(statement, values)}


def _passing(filter_: Filter, members: Members) -> set[int]:
    return {no for no, one in members if matches(filter_, one)}


def history_conditions(history: HistoryFilter | None) -> tuple[str, list[Any]]:
    """Return what is asked of messages as conditions on `passages p`, with their values."""
    if history is None:
        return "", []
    asked = {
        "p.created>=?": history.from_us, "p.created<?": history.until_us, "p.role=?": history.role,
        "p.model=?": history.model, "p.author_id=?": history.author_id,
    }  # fmt: skip
    held = {condition: value for condition, value in asked.items() if value is not None}
    return "".join(f" AND {condition}" for condition in held), list(held.values())
