"""The sessions, keys and invites of others, as an administrator lists and revokes them."""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

from antiphon.domain import ids
from antiphon.domain.accounts import INVITE_PREFIX, KEY, SESSION, USER, ApiKey, Invite, LoginSession, Role
from antiphon.domain.errors import Conflict
from antiphon.ports import account_writes as aw
from antiphon.ports import group_writes as gw
from antiphon.ports.clock import Clock
from antiphon.ports.storage import Storage
from antiphon.ports.write_sets import Command
from antiphon.services.access import not_found
from antiphon.services.administration import Administrator, audit
from antiphon.services.conversations import cursor_of
from antiphon.services.groups import GROUP_ID, Groups
from antiphon.services.paging import Page
from antiphon.services.users import Forgetting, Users

INVITE_ID: Final = "inv_"
SECRET_BYTES: Final = 32
SECOND_US: Final = 1_000_000


class UserCredentials:
    """Lists and revokes what others log in with."""

    def __init__(self, storage: Storage, users: Users, credentials: Forgetting, clock: Clock) -> None:
        self._storage = storage
        self._users = users
        self._credentials = credentials
        self._clock = clock

    async def sessions(
        self, admin: Administrator, user_id: str, *, after: str | None, limit: int, descending: bool
    ) -> Page[LoginSession]:
        """Return an account's open sessions; raises NotFound."""
        account = await self._users.get(admin, user_id)
        found = await self._storage.credentials.sessions(
            account.id, self._clock.now_us(), after=cursor_of(after, SESSION), limit=limit + 1,
            descending=descending,
        )  # fmt: skip
        return Page(found[:limit], len(found) > limit)

    async def revoke_sessions(
        self, admin: Administrator, user_id: str, session_id: str | None = None
    ) -> None:
        """End one session of an account, or all; those that have ended stay so. Raises NotFound."""
        account = await self._users.get(admin, user_id)
        identifier = None
        if session_id is not None:
            identifier = ids.parse(session_id, SESSION)
            known = await self._storage.credentials.session(identifier) if identifier else None
            if known is None or known.account.id != account.id:
                not_found("Session", session_id)
        await self._storage.unit_of_work.commit(
            aw.RevokeSessions(account_id=account.id, now_us=self._clock.now_us(), session_id=identifier),
            audit(
                admin, self._clock, "session.revoke", session_id or USER + account.id, user=USER + account.id
            ),
        )
        self._credentials.forget(identifier or account.id)

    async def keys(
        self, admin: Administrator, user_id: str, *, after: str | None, limit: int, descending: bool
    ) -> Page[ApiKey]:
        """Return an account's keys that are not revoked; raises NotFound."""
        account = await self._users.get(admin, user_id)
        found = await self._storage.credentials.keys(
            account.id, after=cursor_of(after, KEY), limit=limit + 1, descending=descending
        )
        return Page(found[:limit], len(found) > limit)

    async def revoke_key(self, admin: Administrator, user_id: str, key_id: str) -> None:
        """End a key of an account; raises NotFound if it has none such."""
        account = await self._users.get(admin, user_id)
        identifier = ids.parse(key_id, KEY) or not_found("API key", key_id)
        try:
            await self._storage.unit_of_work.commit(
                aw.RevokeApiKey(account_id=account.id, key_id=identifier, now_us=self._clock.now_us()),
                audit(admin, self._clock, "api_key.revoke", KEY + identifier, user=USER + account.id),
            )
        except Conflict:
            not_found("API key", key_id)
        self._credentials.forget(identifier)


class Invites:
    """Leave to sign up, given by an administrator; the secret is shown once and stored as a digest."""

    def __init__(self, storage: Storage, groups: Groups, clock: Clock) -> None:
        self._storage = storage
        self._groups = groups
        self._clock = clock

    async def create(
        self, admin: Administrator, *, role: Role, group_id: str | None, expires_seconds: int
    ) -> tuple[Invite, str]:
        """Return a new invite and its secret; raises NotFound for the group."""
        now = self._clock.now_us()
        group = (await self._groups.find(group_id)).id if group_id is not None else None
        secret = INVITE_PREFIX + secrets.token_urlsafe(SECRET_BYTES)
        invite = Invite(
            id=ids.new_id(admin.who.slot, now_us=now), created_by=admin.who.actor_id, role=role,
            created_us=now, expires_us=now + expires_seconds * SECOND_US, group_id=group,
        )  # fmt: skip
        digest = hashlib.sha256(secret.encode()).digest()
        shown_group = GROUP_ID + group if group else None
        note = audit(
            admin, self._clock, "invite.create", INVITE_ID + invite.id, role=role, group_id=shown_group
        )
        commands: list[Command] = [gw.RequireGroup(group_id=group)] if group else []
        try:
            await self._storage.unit_of_work.commit(
                *commands, aw.NewInvite(invite=invite, digest=digest), note
            )
        except Conflict:
            not_found("Group", group_id)
        return invite, secret

    async def page(
        self, admin: Administrator, *, after: str | None, limit: int, descending: bool
    ) -> Page[Invite]:
        """Return all invites, newest first if `descending`."""
        found = await self._storage.credentials.invites(
            after=cursor_of(after, INVITE_ID), limit=limit + 1, descending=descending
        )
        return Page(found[:limit], len(found) > limit)

    async def revoke(self, admin: Administrator, invite_id: str) -> str:
        """Take an invite back and return its id; raises NotFound if there is none, or it was used."""
        identifier = ids.parse(invite_id, INVITE_ID) or not_found("Invite", invite_id)
        try:
            await self._storage.unit_of_work.commit(
                aw.RevokeInvite(invite_id=identifier, now_us=self._clock.now_us()),
                audit(admin, self._clock, "invite.revoke", INVITE_ID + identifier),
            )
        except Conflict:
            not_found("Invite", invite_id)
        return identifier
