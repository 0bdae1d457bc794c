"""Search over one's own conversations and those one is a member of.

The index proposes, the store disposes: whatever the index finds is looked up in the store before it
is shown (still there, not hidden, its conversation not deleted, the caller its owner or a member now).
What falls out is made up for, as far as the index has more to propose.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from antiphon.domain import ids
from antiphon.domain.accounts import USER, Principal, account_name
from antiphon.domain.conversations import Conversation
from antiphon.domain.errors import Forbidden, InvalidRequest, ProviderError
from antiphon.domain.passages import HistoryFilter
from antiphon.domain.search import Question, parse_question
from antiphon.ports.clock import Clock
from antiphon.ports.passage_index import IndexScopes, PassageIndex
from antiphon.ports.storage import Storage
from antiphon.services.access import Access
from antiphon.services.embeddings import Embeddings, QueryVector
from antiphon.services.history_passages import question_terms, scope_of
from antiphon.services.quotas import Quotas
from antiphon.services.search_cursor import Cursor, decode_cursor, encode_cursor, fingerprint
from antiphon.services.search_hits import Asked, Hit, Where, with_snippets

MYSELF: Final = "me"
SHARED: Final = 500
"""Conversations of others, the newest, that a search looks into."""
ORIGINS: Final = 100
"""Conversations that forks stand on, at most."""
EMBED_SECONDS: Final = 3.0

log = logging.getLogger(__name__)


class SearchRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked; ids as on the wire, times in µs, `until_us` excluded."""

    query: str
    limit: int = 20
    after: str | None = None
    from_us: int | None = None
    until_us: int | None = None
    role: str | None = None
    model: str | None = None
    author: str | None = None
    conversation_id: str | None = None
    branch_id: str | None = None


class Found(msgspec.Struct, frozen=True):
    """A page of hits, best first; `cursor` leads to the next. `mode` tells whether meaning counted."""

    data: list[Hit]
    cursor: str | None
    mode: Literal["lexical", "hybrid"] = "lexical"


class Search:
    """Finds messages by words and, where a model embeds, by meaning; refuses where it is turned off."""

    def __init__(
        self,
        storage: Storage,
        access: Access,
        quotas: Quotas,
        index: PassageIndex,
        scopes: IndexScopes,
        embeddings: Embeddings,
        clock: Clock,
        *,
        is_on: bool = True,
    ) -> None:
        self._storage = storage
        self._access = access
        self._quotas = quotas
        self._index = index
        self._scopes = scopes
        self._embeddings = embeddings
        self._is_on = is_on
        self._clock = clock

    async def search(self, who: Principal, request: SearchRequest) -> Found:
        """Return a page. Raises InvalidRequest, NotFound, RateLimited, and Forbidden if it is turned off."""
        if not self._is_on:
            raise Forbidden("Search over conversations is turned off here.", code="search_disabled")
        question = parse_question(request.query)
        kind = fingerprint(request)
        cursor = decode_cursor(request.after, kind) or Cursor(kind, self._clock.now_us() + 1)
        await self._quotas.admit_call(who)
        where = await self._where(who, request)
        author = await self._author(who, request.author)
        if request.author is not None and author is None:
            return Found([], None)
        until = cursor.until_us if request.until_us is None else min(request.until_us, cursor.until_us)
        wanted = HistoryFilter(
            from_us=request.from_us, until_us=until, role=request.role, model=request.model, author_id=author
        )
        terms = question_terms(question, await self._scopes.languages(where.scopes))
        vector = await self._vector(question)
        asked = Asked(self._storage, self._index, who.actor_id, question, where, wanted, terms, vector)
        hits = await asked.hits(cursor, request.limit + 1)
        page, more = hits[: request.limit], len(hits) > request.limit
        following = cursor.following(hit.shown.item_id for hit in page)
        page = await asyncio.to_thread(with_snippets, page, question, terms)
        return Found(page, encode_cursor(following) if more else None, "hybrid" if vector else "lexical")

    async def _vector(self, question: Question) -> QueryVector | None:
        """Return the question's embedding; None without a model, or if it does not answer in time.

        A phrase is wanted as it stands, so meaning does not help there.
        """
        if question.phrases:
            return None
        try:
            async with asyncio.timeout(EMBED_SECONDS):
                return await self._embeddings.embed_query(question.text)
        except (ProviderError, TimeoutError) as error:
            log.warning("a search goes by words alone: %s", type(error).__name__)
            return None

    async def _where(self, who: Principal, request: SearchRequest) -> Where:
        """Return where the caller may look; raises NotFound for what it may not read."""
        if request.branch_id is not None and request.conversation_id is None:
            raise InvalidRequest(
                "'branch' needs 'conversation'.", code="missing_required_parameter", param="conversation"
            )
        if request.conversation_id is not None:
            head = None
            if request.branch_id is not None:
                _, conversation, branch = await self._access.branch(
                    who, request.conversation_id, request.branch_id
                )
                head = branch.head
            else:
                _, conversation = await self._access.enter(who, request.conversation_id)
            confined = await self._with_origins([conversation])
            part = ((scope_of(conversation.owner_id),), confined)
            return Where(parts=(part,), within=conversation.id, head=head)
        parts: list[tuple[tuple[str, ...], tuple[str, ...] | None]] = [((scope_of(who.actor_id),), None)]
        shared = await self._storage.members.shared_with(
            who.actor_id, after=None, limit=SHARED, descending=True
        )
        if shared:
            owners = tuple(dict.fromkeys(scope_of(one.owner_id) for one in shared))
            parts.append((owners, await self._with_origins(shared)))
        return Where(parts=tuple(parts))

    async def _with_origins(self, conversations: Sequence[Conversation]) -> tuple[str, ...]:
        """Return the ids of conversations and of those that forks among them stand on."""
        found = [one.id for one in conversations]
        if forks := [one.id for one in conversations if one.base is not None]:
            found += await self._storage.history.origins(forks, ORIGINS)
        return tuple(dict.fromkeys(found))

    async def _author(self, who: Principal, author: str | None) -> str | None:
        """Return an account's id, named by id, by name or as `me`; who is unknown wrote nothing."""
        if author is None:
            return None
        if author == MYSELF:
            return who.actor_id
        identifier, name = ids.parse(author, USER), account_name(author)
        if identifier is not None or name is None:
            return identifier
        account = await self._storage.accounts.by_name(name)
        return account.id if account is not None else None
