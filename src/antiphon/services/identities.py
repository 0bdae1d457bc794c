"""Further ways into one's account: identities of other issuers, linked and ended by whoever owns it.

A way in outlives the session that adds it, so adding one takes more than a session: the password,
or where there is none a login of a moment ago. The last way in cannot be ended.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import msgspec

from antiphon.domain.accounts import SESSION, USER, Account, Principal, Visit
from antiphon.domain.errors import Conflict, Unauthenticated
from antiphon.domain.external_logins import ExternalIdentity, LinkedIdentity
from antiphon.ports import account_writes as aw
from antiphon.ports.clock import Clock
from antiphon.ports.storage import Storage
from antiphon.services.access import not_found
from antiphon.services.accounts import Accounts
from antiphon.services.audit_lines import audit
from antiphon.services.credentials import Credentials
from antiphon.services.sessions import Sessions

MOST: Final = 10
"""Identities of one account."""


class LinkTo(msgspec.Struct, frozen=True):
    """The account that an identity is to open, and the session that asked for it."""

    account_id: str
    epoch: int
    session_id: str


class Identities:
    """What people do with their own identities; `providers` are the names of those one can log in through."""

    def __init__(
        self,
        storage: Storage,
        accounts: Accounts,
        sessions: Sessions,
        credentials: Credentials,
        clock: Clock,
        providers: Collection[str],
    ) -> None:
        self._storage = storage
        self._accounts = accounts
        self._sessions = sessions
        self._credentials = credentials
        self._clock = clock
        self._providers = tuple(providers)

    async def mine(self, who: Principal) -> list[LinkedIdentity]:
        """Return the caller's identities, oldest first."""
        return await self._storage.accounts.identities(who.actor_id)

    async def may_link(self, who: Principal, password: str | None) -> LinkTo:
        """Return where a login that the caller begins now may lead; see `Accounts.proven`."""
        session = await self._accounts.proven(who, password)
        return LinkTo(session.account.id, session.account.epoch, session.id)

    async def link(self, to: LinkTo, identity: ExternalIdentity, visit: Visit) -> LinkedIdentity:
        """Link an identity that was proved; does nothing if it is linked there already.

        Raises Unauthenticated if the session that asked for it has ended, and Conflict for an
        identity of another account or one too many.
        """
        session = await self._storage.credentials.session(to.session_id)
        now = self._clock.now_us()
        if session is None or not session.holds(now) or session.account.epoch != to.epoch:
            raise Unauthenticated("The session that began this has ended.", code="login_failed")
        account = session.account
        line = audit(
            session.principal(), "identity.link", now, target=USER + account.id, visit=visit,
            method=f"oidc:{identity.provider}", session=SESSION + session.id,
        )  # fmt: skip
        unchanged = aw.UpdateAccount(account_id=account.id, now_us=now, expected_epoch=account.epoch)
        try:
            await self._storage.unit_of_work.commit(
                unchanged, linking(account, identity, now, most=MOST), line
            )
        except Conflict:
            return await self._linked_before(account, identity)
        return LinkedIdentity(
            issuer=identity.issuer, subject=identity.subject, provider=identity.provider,
            email=identity.proven_email, created_us=now,
        )  # fmt: skip

    async def _linked_before(self, account: Account, identity: ExternalIdentity) -> LinkedIdentity:
        mine = await self._storage.accounts.identities(account.id)
        for one in mine:
            if (one.issuer, one.subject) == (identity.issuer, identity.subject):
                return one
        if len(mine) >= MOST:
            raise Conflict(f"An account has {MOST} identities at most.", code="too_many_identities")
        raise Conflict("This identity opens another account.", code="identity_taken")

    async def unlink(self, who: Principal, wire_id: str, visit: Visit) -> str:
        """End one of the caller's identities, and all other sessions: some may have come by it.

        Raises Forbidden without a session, NotFound, and Conflict for the last way in.
        """
        found = next((one for one in await self.mine(who) if one.wire_id == wire_id), None)
        if found is None:
            return not_found("Identity", wire_id)
        session = await self._sessions.own(who)
        now = self._clock.now_us()
        unlink = aw.UnlinkIdentity(
            issuer=found.issuer, subject=found.subject, account_id=who.actor_id, providers=self._providers
        )
        ends = aw.RevokeSessions(account_id=who.actor_id, now_us=now, kept_session_id=session.id)
        line = audit(
            who, "identity.unlink", now, target=USER + who.actor_id, visit=visit,
            method=f"oidc:{found.provider}",
        )  # fmt: skip
        try:
            await self._storage.unit_of_work.commit(unlink, ends, line)
        except Conflict:
            raise Conflict(
                "This is the last way into the account. Add another one first.", code="last_way_in"
            ) from None
        self._credentials.forget(who.actor_id)
        return wire_id


def linking(account: Account, identity: ExternalIdentity, now_us: int, *, most: int) -> aw.LinkIdentity:
    """Return the command that links an identity to an account which then has `most` at most."""
    return aw.LinkIdentity(
        issuer=identity.issuer,
        subject=identity.subject,
        account_id=account.id,
        slot=account.slot,
        provider=identity.provider,
        created_us=now_us,
        email=identity.proven_email,
        most=most,
    )
