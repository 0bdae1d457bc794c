"""Members: who else may read or write a conversation."""

from __future__ import annotations

from typing import Final

import msgspec

from antiphon.domain import ids
from antiphon.domain.accounts import USER, Account, Principal, account_name
from antiphon.domain.conversations import Conversation
from antiphon.domain.errors import Conflict, InvalidRequest
from antiphon.domain.members import OWNER, Member, Role, require
from antiphon.ports import sharing_writes as sw
from antiphon.ports import write_sets as ws
from antiphon.ports.clock import Clock
from antiphon.ports.jobs import Jobs
from antiphon.ports.storage import Storage
from antiphon.services.access import Access, not_found
from antiphon.services.audit_lines import audit
from antiphon.services.conversations import Conversations, cursor_of
from antiphon.services.idempotency import Idempotency, Key
from antiphon.services.paging import Page, last_use
from antiphon.services.runs.follow import Followers

REMOVED_SECONDS: Final = 2.0
"""How often streams of members are checked: who is removed sees nothing more after the next look."""

MYSELF: Final = "me"
"""Stands for the caller where a member is named."""


class Members:
    """Invite, list, change and remove members; end what removed ones still read."""

    def __init__(
        self,
        storage: Storage,
        access: Access,
        conversations: Conversations,
        idempotency: Idempotency,
        followers: Followers,
        clock: Clock,
    ) -> None:
        self._storage = storage
        self._access = access
        self._conversations = conversations
        self._idempotency = idempotency
        self._followers = followers
        self._clock = clock

    def schedule(self, jobs: Jobs) -> None:
        """Hand over what is done again and again."""
        jobs.every(REMOVED_SECONDS, "end the streams of removed members", self.end_removed)

    async def page(
        self, who: Principal, conversation_id: str, *, after: str | None, limit: int
    ) -> Page[Member]:
        """List a conversation's members, its owner included."""
        _, conversation = await self._access.enter(who, conversation_id)
        cursor = cursor_of(after, USER)
        found = await self._storage.members.page(conversation.id, after=cursor, limit=limit + 1)
        return Page(found[:limit], len(found) > limit)

    async def get(self, who: Principal, conversation_id: str, user: str) -> Member:
        """Return a member, named by id, by name or as `me`; raises NotFound."""
        _, conversation = await self._access.enter(who, conversation_id)
        return await self._named(who, conversation, user)

    async def _named(self, who: Principal, conversation: Conversation, user: str) -> Member:
        account_id = who.actor_id if user == MYSELF else ids.parse(user, USER)
        if account_id is None:
            account = await self._account(user)
            account_id = account.id if account is not None else ""
        found = await self._storage.members.get(conversation.id, account_id)
        return found or not_found("Member", user)

    async def _account(self, user: str) -> Account | None:
        """Return the account with an id or of a name, or None."""
        identifier = ids.parse(user, USER)
        accounts = self._storage.accounts
        found = await accounts.get(identifier) if identifier else None
        name = account_name(user)
        return found or (await accounts.by_name(name) if name is not None else None)

    async def add(
        self, who: Principal, conversation_id: str, user: str, role: Role, *, key: Key | None = None
    ) -> Member:
        """Make somebody a member. Raises NotFound for who is no user, with one body for every reason.

        Who is a member already is refused with InvalidRequest; change the role instead.
        """
        who, conversation = await self._access.enter(who, conversation_id, OWNER)
        _require_lesser(role)
        found = await self._account(user)
        if found is None or found.state != "active":
            not_found("User", user, "user")
        now = self._clock.now_us()
        member = Member(account_id=found.id, name=found.name, role=role, created_us=now)
        if found.id == conversation.owner_id:
            raise _member_already(user)
        command = sw.PutMember(
            conversation_id=conversation.id, account_id=found.id, owner_id=conversation.owner_id,
            slot=conversation.slot, role=role, created_us=now,
        )  # fmt: skip
        guard = self._idempotency.guard
        taking = [guard(who, key, made=member, conversation_id=conversation.id)] if key else []
        try:
            await self._storage.unit_of_work.commit(
                *taking, command, *self._record(who, conversation, "member.added", member)
            )
        except Conflict as lost:
            if lost.message == "PutKey":
                raise
            await self._access.enter(who, conversation_id)
            raise _member_already(user) from None
        return member

    async def set_role(self, who: Principal, conversation_id: str, user: str, role: Role) -> Member:
        """Give a member another role; the owner keeps theirs."""
        who, conversation = await self._access.enter(who, conversation_id, OWNER)
        _require_lesser(role)
        member = await self._named(who, conversation, user)
        _require_no_owner(member)
        changed = msgspec.structs.replace(member, role=role)
        try:
            await self._storage.unit_of_work.commit(
                sw.SetMemberRole(conversation_id=conversation.id, account_id=member.account_id, role=role),
                *self._record(who, conversation, "member.changed", changed),
            )
        except Conflict:
            not_found("Member", user)
        return changed

    async def remove(self, who: Principal, conversation_id: str, user: str) -> str:
        """End a membership: the owner anybody's, a member its own. Returns the account's id.

        Everything is closed to the member at once, open streams within seconds (`end_removed`).
        """
        within, conversation = await self._access.enter(who, conversation_id)
        member = await self._named(who, conversation, user)
        if member.account_id != who.actor_id:
            require(conversation.role or OWNER, OWNER)
        _require_no_owner(member)
        try:
            await self._storage.unit_of_work.commit(
                sw.RemoveMember(conversation_id=conversation.id, account_id=member.account_id),
                *self._record(within, conversation, "member.removed", member),
            )
        except Conflict:
            not_found("Member", user)
        return member.account_id

    async def shared(
        self, who: Principal, *, after: str | None, limit: int, descending: bool
    ) -> Page[Conversation]:
        """List the conversations of others the caller is a member of."""
        cursor = cursor_of(after, ids.CONVERSATION)
        found = await self._storage.members.shared_with(
            who.actor_id, after=cursor, limit=limit + 1, descending=descending
        )
        return Page(found[:limit], len(found) > limit)

    async def latest(self, who: Principal, *, after: str | None, limit: int) -> Page[Conversation]:
        """List the same, the last used first."""
        found = await self._storage.members.latest(who.actor_id, after=last_use(after), limit=limit + 1)
        return Page(found[:limit], len(found) > limit)

    async def end_removed(self) -> None:
        """End the streams of those who follow what they may no longer see; one read for all of them."""
        guests = [
            (follower, (follower.reader, follower.run.conversation_id))
            for follower in self._followers.guests
            if follower.reader is not None and follower.run.conversation_id is not None
        ]
        if not guests:
            return
        left = await self._storage.members.left({pair for _, pair in guests})
        for follower, pair in guests:
            if pair in left:
                follower.revoke()

    def _record(
        self, who: Principal, conversation: Conversation, kind: str, member: Member
    ) -> list[ws.Command]:
        """Return the commands that tell of a change, in the conversation's feed and to the auditor."""
        user_id, role = USER + member.account_id, member.role
        target = ids.CONVERSATION + conversation.id
        return [
            self._conversations.change(who, conversation.id, kind, {"user_id": user_id, "role": role}),
            audit(who, kind, self._clock.now_us(), target=target, user_id=user_id, role=role),
        ]


def _require_lesser(role: Role) -> None:
    if role == OWNER:
        raise InvalidRequest("A conversation has one owner, who made it.", code="invalid_value", param="role")


def _require_no_owner(member: Member) -> None:
    if member.role == OWNER:
        raise InvalidRequest("The owner stays the owner.", code="owner_required", param="user")


def _member_already(user: str) -> InvalidRequest:
    return InvalidRequest(f"'{user}' is a member already.", code="member_exists", param="user")
