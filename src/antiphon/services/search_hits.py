"""One search: what the index proposes, and what the store leaves of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from antiphon.domain.conversations import PathRange
from antiphon.domain.items import Position
from antiphon.domain.passages import MAX_CANDIDATES, Candidates, HistoryFilter, IndexQuery, Passage
from antiphon.domain.ranking import Fused, fuse, legs
from antiphon.domain.search import Question, Snippet, snippet_of
from antiphon.ports.history import Shown
from antiphon.ports.passage_index import PassageIndex
from antiphon.ports.storage import Storage
from antiphon.services.embeddings import QueryVector
from antiphon.services.history_passages import Terms
from antiphon.services.search_cursor import Cursor, tail_of

ROUNDS: Final = 3
SLICE: Final = 50
"""Proposals looked up at once, fewer if the page is smaller: `SPARE` more than it holds."""
SPARE: Final = 5
DENSE: Final = 50
"""So many are proposed for their meaning alone: something is near to every question."""
Part = tuple[tuple[str, ...], tuple[str, ...] | None]


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """A message that was found, in a conversation that the caller may read."""

    passage: Passage
    shown: Shown
    score: float
    snippet: Snippet | UnsetType = UNSET


class Where(msgspec.Struct, frozen=True, kw_only=True):
    """Where a search looks: scopes, each with the conversations it is confined to (None: all of them).

    `within` is the one conversation that is asked for, `head` the end of the one branch.
    """

    parts: tuple[Part, ...]
    within: str | None = None
    head: Position | None = None

    @property
    def scopes(self) -> tuple[str, ...]:
        """All scopes, once each."""
        return tuple(dict.fromkeys(scope for scopes, _ in self.parts for scope in scopes))


class Asked:
    """A question in the places where it is asked."""

    def __init__(
        self,
        storage: Storage,
        index: PassageIndex,
        account_id: str,
        question: Question,
        where: Where,
        wanted: HistoryFilter,
        terms: Terms,
        vector: QueryVector | None,
    ) -> None:
        self._storage = storage
        self._index = index
        self._account_id = account_id
        self._question = question
        self._where = where
        self._wanted = wanted
        self._terms = terms
        self._vector = vector
        self._gone: set[str] = set()
        self._alive: set[str] = set()
        self._passed: frozenset[bytes] = frozenset()
        self._path: list[PathRange] = []

    async def hits(self, cursor: Cursor, most: int) -> list[Hit]:
        """Return the best `most` hits that the cursor has not passed, best first.

        If the proposals run out while some fell out, the index is asked again without the
        conversations they were in.
        """
        self._passed = cursor.passed()
        if self._where.head is not None:
            self._path = await self._storage.tree.path(self._where.head, floor_depth=0)
        found: dict[str, Hit] = {}
        for _ in range(ROUNDS):
            known = len(self._gone)
            fused, full = await self._proposals()
            size = min(most + SPARE, SLICE)
            for at in range(0, len(fused), size):
                await self._dispose(fused[at : at + size], found)
                if len(found) >= most:
                    break
            if len(found) >= most or not full or len(self._gone) == known:
                break
        return sorted(found.values(), key=lambda hit: (-hit.score, hit.passage.id))[:most]

    async def _proposals(self) -> tuple[list[Fused], bool]:
        """Return passages with their fused scores, best first, and whether a leg has more to propose."""
        gone, asked = tuple(self._gone), self._vector
        queries = [
            IndexQuery(
                scopes=scopes, terms=self._terms.words, prefix=self._terms.prefix,
                phrases=self._terms.phrases, excluded=self._terms.excluded, limit=MAX_CANDIDATES,
                vector=asked.vector if asked else None, model=asked.model if asked else None,
                history=msgspec.structs.replace(self._wanted, conversation_ids=confined, except_ids=gone),
            )
            for scopes, confined in self._where.parts
        ]  # fmt: skip
        answers = await asyncio.gather(*(self._index.search(query) for query in queries))
        full = any(len(leg) >= MAX_CANDIDATES for one in answers for leg in (one.lexical, one.dense))
        return fuse(legs(_merged(answers), MAX_CANDIDATES)), full

    async def _dispose(self, proposed: Sequence[Fused], found: dict[str, Hit]) -> None:
        """Add to `found`, by item, what may be shown; the best passage of each stands for it."""
        passages = await self._index.passages(self._where.scopes, [one.passage_id for one in proposed])
        scores = {one.passage_id: one.score for one in proposed}
        best: dict[str, Passage] = {}
        for passage in passages:
            item_id = passage.item_id
            if item_id is None or item_id in found or item_id in best or tail_of(item_id) in self._passed:
                continue
            if self._question.allows(passage.text):
                best[item_id] = passage
        shown = await self._storage.history.shown(self._account_id, list(best), within=self._where.within)
        for one in shown:
            passage = best.pop(one.item_id)
            self._alive.add(passage.ref_id)
            if self._is_on_branch(one.position):
                found[one.item_id] = Hit(passage=passage, shown=one, score=scores[passage.id])
        self._gone = (self._gone | {passage.ref_id for passage in best.values()}) - self._alive

    def _is_on_branch(self, position: Position) -> bool:
        return self._where.head is None or any(
            part.segment_id == position.segment_id and part.first <= position.depth <= part.last
            for part in self._path
        )


def _merged(answers: Sequence[Candidates]) -> Candidates:
    """Return the legs of several queries as one each: their scores are of one kind."""
    lexical = sorted((hit for one in answers for hit in one.lexical), key=lambda hit: -hit.score)
    dense = sorted((hit for one in answers for hit in one.dense), key=lambda hit: -hit.score)
    return Candidates(lexical=tuple(lexical), dense=tuple(dense[:DENSE]))


def with_snippets(hits: Sequence[Hit], question: Question, terms: Terms) -> list[Hit]:
    """Return the hits with what they show; work for a thread."""
    return [
        msgspec.structs.replace(hit, snippet=snippet_of(hit.passage.text, question, terms.matches))
        for hit in hits
    ]
