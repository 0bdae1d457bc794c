"""What was said too long ago to fit the model's window, looked up again when a question touches it.

A turn brings the newest of its conversation. Where that is not all of it, the conversation itself is
searched for what the question asks about, and what lies outside the window is told as a record of it.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from antiphon.domain.accounts import Principal
from antiphon.domain.errors import Forbidden, InvalidRequest
from antiphon.domain.items import text_of
from antiphon.domain.search import MAX_QUERY
from antiphon.ports.storage import Storage
from antiphon.services.access import Access
from antiphon.services.models import Models
from antiphon.services.search import Search, SearchRequest
from antiphon.services.turn_plans import TurnRequest, context_budget

MOST: Final = 5
CHARACTERS: Final = 500
"""Of each message that is recalled, some 125 tokens."""

_WORD: Final = re.compile(r"\w+")


class Recall:
    """Adds what was said earlier to turns that do not bring their whole conversation."""

    def __init__(self, storage: Storage, access: Access, models: Models, search: Search) -> None:
        self._storage = storage
        self._access = access
        self._models = models
        self._search = search

    async def with_earlier(self, who: Principal, request: TurnRequest) -> TurnRequest:
        """Return the turn with what it recalls; as it is if its whole conversation fits, at one read's cost.

        Raises NotFound.
        """
        if request.conversation_id is None:
            return request
        within, conversation = await self._access.enter(who, request.conversation_id)
        base = await self._storage.tree.turn_base(within.account_id, conversation.id, None, 0)
        budget = context_budget(request, self._models.resolve(request.model))
        if base is None or base.position.tokens <= budget:
            return request
        out_of_view = base.position.tokens - budget
        earlier = await self._earlier(who, request, out_of_view)
        if not earlier:
            return request
        return msgspec.structs.replace(
            request, recalled="\n".join(f"{role}: {text}" for role, text in earlier)
        )

    async def _earlier(self, who: Principal, request: TurnRequest, upto_tokens: int) -> list[tuple[str, str]]:
        """Return role and text of the best messages that end before a token of the path."""
        said = " ".join(text_of(item.payload) for item in request.items)
        words = " ".join(_WORD.findall(said))[:MAX_QUERY]
        wanted = SearchRequest(query=words, conversation_id=request.conversation_id, limit=4 * MOST)
        try:
            found = await self._search.search(who, wanted)
        except (Forbidden, InvalidRequest):
            return []  # search is turned off, or no word was said
        return [
            (hit.passage.role or "user", " ".join(hit.passage.text.split())[:CHARACTERS])
            for hit in found.data
            if hit.shown.position.tokens <= upto_tokens
        ][:MOST]
