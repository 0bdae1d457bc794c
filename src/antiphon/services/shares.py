"""Share links: one branch of a conversation, read-only, for whoever holds the link."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, NoReturn

import msgspec

from antiphon.domain import ids
from antiphon.domain.accounts import Principal
from antiphon.domain.conversations import Branch, Conversation
from antiphon.domain.errors import Conflict, InvalidRequest, NotFound
from antiphon.domain.items import Item
from antiphon.domain.members import OWNER
from antiphon.domain.shares import SHARE, ShareLink, digest_of, new_token
from antiphon.ports import sharing_writes as sw
from antiphon.ports import write_sets as ws
from antiphon.ports.clock import Clock
from antiphon.ports.storage import Storage
from antiphon.services.access import Access, not_found
from antiphon.services.audit_lines import audit
from antiphon.services.conversations import Conversations, cursor_of, invalid_cursor
from antiphon.services.idempotency import Idempotency, Key
from antiphon.services.paging import Page, is_on_path, item_page

SECOND_US: Final = 1_000_000
DEFAULT_SECONDS: Final = 30 * 24 * 3600
MAX_SECONDS: Final = 10 * 365 * 24 * 3600


class NewShare(msgspec.Struct, frozen=True):
    """A link just made; `token` is its secret, known here and never again."""

    link: ShareLink
    token: str


class Shared(msgspec.Struct, frozen=True):
    """What a link shows now."""

    link: ShareLink
    conversation: Conversation
    branch: Branch


class SharedPage(msgspec.Struct, frozen=True):
    """Items that a link shows; `rests` are the runs of theirs that go on with the answer before."""

    data: list[Item]
    has_more: bool
    rests: frozenset[str]


class Shares:
    """Make, list and revoke links (the owner), and read through them (anybody who holds one)."""

    def __init__(
        self,
        storage: Storage,
        access: Access,
        conversations: Conversations,
        idempotency: Idempotency,
        clock: Clock,
    ) -> None:
        self._storage = storage
        self._access = access
        self._conversations = conversations
        self._idempotency = idempotency
        self._clock = clock

    async def create(
        self,
        who: Principal,
        conversation_id: str,
        *,
        branch_id: str | None,
        expires_in: int | None,
        expires_at: int | None,
        key: Key | None = None,
    ) -> NewShare:
        """Make a link to a branch, or to whichever is active when it is opened.

        It ends after `expires_in` seconds or at `expires_at` (seconds since 1970), in 30 days if
        neither is given. Raises InvalidRequest.
        """
        who, conversation = await self._access.enter(who, conversation_id, OWNER)
        branch = None
        if branch_id is not None:
            _, _, branch = await self._access.branch(who, conversation_id, branch_id)
        now = self._clock.now_us()
        link = ShareLink(
            id=ids.new_id(who.slot), owner_id=who.account_id, slot=who.slot, conversation_id=conversation.id,
            branch_id=branch.id if branch else None, created_us=now,
            expires_us=_expiry(now, expires_in, expires_at),
        )  # fmt: skip
        made = NewShare(link, new_token())
        guard = self._idempotency.guard
        taking = [guard(who, key, made=link, conversation_id=conversation.id)] if key else []
        try:
            await self._storage.unit_of_work.commit(
                *taking,
                sw.PutShare(link=link, digest=digest_of(made.token)),
                *self._record(who, link, "share.created"),
            )
        except Conflict as lost:
            if lost.message == "PutKey":
                raise
            not_found("Conversation", conversation_id)
        return made

    async def page(
        self, who: Principal, conversation_id: str, *, after: str | None, limit: int
    ) -> Page[ShareLink]:
        """List a conversation's links that are not revoked, oldest first."""
        _, conversation = await self._access.enter(who, conversation_id, OWNER)
        cursor = cursor_of(after, SHARE)
        found = await self._storage.shares.page(conversation.id, after=cursor, limit=limit + 1)
        return Page(found[:limit], len(found) > limit)

    async def get(self, who: Principal, conversation_id: str, share_id: str) -> ShareLink:
        """Return a link that is not revoked; raises NotFound."""
        _, conversation = await self._access.enter(who, conversation_id, OWNER)
        identifier = ids.parse(share_id, SHARE)
        found = await self._storage.shares.get(conversation.id, identifier) if identifier else None
        return found or not_found("Share", share_id)

    async def revoke(self, who: Principal, conversation_id: str, share_id: str) -> str:
        """End a link at once. Returns its id."""
        link = await self.get(who, conversation_id, share_id)
        who, _ = await self._access.enter(who, conversation_id, OWNER)
        try:
            await self._storage.unit_of_work.commit(
                sw.RevokeShare(
                    conversation_id=link.conversation_id, share_id=link.id, now_us=self._clock.now_us()
                ),
                *self._record(who, link, "share.revoked"),
            )
        except Conflict:
            not_found("Share", share_id)
        return link.id

    async def open(self, token: str) -> Shared:
        """Return what a link shows; one error for links unknown, expired and revoked, and what is gone."""
        found = await self._storage.shares.by_digest(digest_of(token), self._clock.now_us())
        if found is None:
            no_link()
        link, conversation = found
        shown = link.branch_id or conversation.active_branch_id
        branch = await self._storage.conversations.branch(conversation.id, shown)
        return Shared(link, conversation, branch) if branch is not None else no_link()

    async def items(self, token: str, *, after: str | None, limit: int, descending: bool) -> SharedPage:
        """List the items of a link's branch as they are now; a cursor must lie on it."""
        shared = await self.open(token)
        cursor = await self._cursor(shared, after) if after is not None else None
        page = await item_page(
            self._storage.tree, shared.conversation, shared.branch.head, after=cursor, limit=limit,
            descending=descending,
        )  # fmt: skip
        return SharedPage(page.data, page.has_more, await self._rests(shared, page.data))

    async def _rests(self, shared: Shared, items: Sequence[Item]) -> frozenset[str]:
        """Return the runs that go on with the answer before; one that follows what was asked is not read."""
        begun: list[str] = []
        before: str | None = None
        for item in sorted(items, key=lambda one: one.depth):
            if item.author_id is None and item.run_id is not None and item.run_id != before:
                begun.append(item.run_id)
            before = item.run_id
        owner_id = shared.conversation.owner_id
        found = await asyncio.gather(*(self._storage.runs.get(owner_id, run_id) for run_id in begun))
        return frozenset(run.id for run in found if run is not None and run.continues)

    async def item(self, token: str, item_id: str) -> tuple[Shared, Item]:
        """Return one item of a link's branch as it is now, and what the link shows; raises NotFound."""
        shared = await self.open(token)
        found = await self._shown(shared, item_id)
        return (shared, found) if found is not None else not_found("Item", item_id)

    async def _cursor(self, shared: Shared, after: str) -> Item:
        found = await self._shown(shared, after)
        if found is None:
            raise invalid_cursor(after)
        return found

    async def _shown(self, shared: Shared, item_id: str) -> Item | None:
        tree = self._storage.tree
        identifier = ids.parse_item(item_id)
        found = await tree.item(shared.conversation.owner_id, identifier) if identifier else None
        # One of another branch was not shared, nor what a page downwards from it would show.
        if found is None or not await is_on_path(tree, shared.branch.head, found[0]):
            return None
        return found[0]

    def _record(self, who: Principal, link: ShareLink, kind: str) -> list[ws.Command]:
        share_id = SHARE + link.id
        target = ids.CONVERSATION + link.conversation_id
        return [
            self._conversations.change(who, link.conversation_id, kind, {"share_id": share_id}),
            audit(who, kind, self._clock.now_us(), target=target, share_id=share_id),
        ]


def no_link() -> NoReturn:
    """Raise the one error of links that show nothing; it does not repeat the token."""
    raise NotFound("Shared conversation not found.")


def _expiry(now_us: int, expires_in: int | None, expires_at: int | None) -> int:
    """Return when a link ends, in µs; raises InvalidRequest."""
    if expires_in is not None and expires_at is not None:
        raise InvalidRequest(
            "'expires_in' and 'expires_at' exclude each other.",
            code="mutually_exclusive_parameters",
            param="expires_at",
        )
    if expires_at is not None:
        ends = expires_at * SECOND_US
    else:
        ends = now_us + (DEFAULT_SECONDS if expires_in is None else expires_in) * SECOND_US
    if not now_us < ends <= now_us + MAX_SECONDS * SECOND_US:
        raise InvalidRequest(
            f"A link ends in the future, within {MAX_SECONDS} seconds.",
            code="invalid_value",
            param="expires_in" if expires_at is None else "expires_at",
        )
    return ends
