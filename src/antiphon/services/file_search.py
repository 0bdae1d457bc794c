"""What a turn searches: the collections its caller names, and those that stand for him or the conversation.

Whose documents may be read is decided here and nowhere else. Ids that a caller sends are his own
collections'. A conversation's standing collections are its owner's, and are searched for whoever writes
there; who only looks on and asks for himself (`store: false`) is given none of them. An account's own
stand in its own conversations only: what it searches in somebody else's, it names.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from antiphon.domain.accounts import Principal
from antiphon.domain.collections import Collection
from antiphon.domain.file_search import FileSearch
from antiphon.domain.runs import Run
from antiphon.domain.sources import sources_budget
from antiphon.ports.files import Texts
from antiphon.services.counters import Counters
from antiphon.services.model_routes import ModelRoute
from antiphon.services.retrieval import Retrieval
from antiphon.services.runs.grounding import Grounding
from antiphon.services.standing import Standing, conversation_target, user_target
from antiphon.services.turn_plans import Attachment, TurnRequest, answer_tokens

KEPT: Final = "file_search"
"""Where a background run's request keeps its search, with which it may have to begin again."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A decided search; `explicit` if the caller asked for it."""

    collections: list[Collection]
    search: FileSearch
    explicit: bool


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A plan as a run's row keeps it: collections as (owner, id)."""

    collections: list[tuple[str, str]]
    search: FileSearch
    explicit: bool


class FileSearches:
    """Plans the searches of turns."""

    def __init__(
        self,
        counters: Counters,
        retrieval: Retrieval,
        texts: Texts,
        standing: Standing,
    ) -> None:
        self._counters = counters
        self._retrieval = retrieval
        self._texts = texts
        self._standing = standing

    async def plan(self, who: Principal, at: Attachment, request: TurnRequest) -> Plan | None:
        """Return what a turn that attaches at `at` searches, None for nothing; raises NotFound."""
        asked = request.search
        if not request.retrieves or not request.generate:
            return None
        named = await self._retrieval.collections(who, asked.collection_ids, "tools") if asked else []
        found = {one.id: one for one in [*named, *await self._standing_for(who, at, request)]}
        if not found:
            return None
        search = asked or FileSearch(collection_ids=())
        return Plan(collections=list(found.values()), search=search, explicit=asked is not None)

    async def _standing_for(self, who: Principal, at: Attachment, request: TurnRequest) -> list[Collection]:
        owner_id = at.who.account_id
        targets = [user_target(who.actor_id)] if owner_id == who.actor_id else []
        if at.base is not None and (request.store or owner_id == who.actor_id):
            targets.append(conversation_target(at.base.conversation.id))
        found: list[Collection] = []
        for target in targets:
            if collection_ids := await self._standing.of(owner_id, target):
                found += await self._retrieval.own(owner_id, collection_ids)
        return found

    def grounding(self, plan: Plan, run: Run, route: ModelRoute, params: dict[str, Any]) -> Grounding:
        """Return the search of one run, noting it in a background run's request."""
        if run.background:
            kept = _Kept(
                collections=[(one.owner_id, one.id) for one in plan.collections],
                search=plan.search,
                explicit=plan.explicit,
            )
            run.request[KEPT] = msgspec.to_builtins(kept)
        window = route.context_tokens
        return Grounding(
            self._retrieval,
            self._texts,
            self._counters,
            plan.collections,
            plan.search,
            slot=run.slot,
            explicit=plan.explicit,
            room_tokens=window - answer_tokens(params, window),
            budget_tokens=sources_budget(window),
        )

    async def planned(self, run: Run) -> Plan | None:
        """Return the search of a background run that begins once more, in what there still is to search."""
        raw = run.request.get(KEPT)
        if raw is None:
            return None
        kept = msgspec.convert(raw, _Kept)
        found: list[Collection] = []
        for owner_id, collection_id in kept.collections:
            found += await self._retrieval.own(owner_id, (collection_id,))
        return Plan(collections=found, search=kept.search, explicit=kept.explicit)
