"""Login sessions as their owners see them: listed, ended, and forgotten long after their end."""

from __future__ import annotations

from typing import Final

from antiphon.domain import ids
from antiphon.domain.accounts import SESSION, USER, Credential, LoginSession, Principal, Visit
from antiphon.domain.errors import Forbidden
from antiphon.ports import account_writes as aw
from antiphon.ports.clock import Clock
from antiphon.ports.jobs import Jobs
from antiphon.ports.storage import Storage
from antiphon.services.access import not_found
from antiphon.services.audit_lines import audit
from antiphon.services.credentials import Credentials
from antiphon.services.pacing import Round, erase_slices
from antiphon.services.paging import Page

FORGET_SECONDS: Final = 3600.0
FORGET_ROWS: Final = 5_000
KEPT_US: Final = 30 * 24 * 3600 * 1_000_000


class Sessions:
    """What people do with their own sessions."""

    def __init__(self, storage: Storage, credentials: Credentials, clock: Clock) -> None:
        self._storage = storage
        self._credentials = credentials
        self._clock = clock

    def schedule(self, jobs: Jobs) -> None:
        """Hand over the recurring work."""
        jobs.every(FORGET_SECONDS, "forget sessions of long ago", self.forget_old)

    async def forget_old(self) -> None:
        """Erase sessions that expired a month ago; until then an old token is known to be an old one."""
        before = self._clock.now_us() - KEPT_US
        slices = aw.ForgetSessions(before_us=before, limit=FORGET_ROWS)
        await erase_slices(self._storage.unit_of_work.commit, slices, Round(self._clock))

    async def own(self, who: Principal) -> Credential:
        """Return the login session of the caller; raises Forbidden for a key."""
        found = await self._storage.credentials.session(who.credential_id) if who.credential_id else None
        if found is None:
            raise Forbidden("This needs a login session, not a key.", code="session_required")
        return found

    async def page(
        self, who: Principal, *, after: str | None, limit: int, descending: bool
    ) -> Page[LoginSession]:
        """Return the caller's open sessions."""
        found = await self._storage.credentials.sessions(
            who.actor_id, self._clock.now_us(), after=ids.parse(after, SESSION) if after else None,
            limit=limit + 1, descending=descending,
        )  # fmt: skip
        return Page(found[:limit], len(found) > limit)

    async def log_out(self, who: Principal, visit: Visit) -> None:
        """End the caller's own session; raises Forbidden for a key."""
        session = await self.own(who)
        await self._revoke(who, session.id, visit)

    async def revoke(self, who: Principal, wire_id: str, visit: Visit) -> str:
        """End one of the caller's sessions and return its id; raises NotFound."""
        identifier = ids.parse(wire_id, SESSION)
        found = await self._storage.credentials.session(identifier) if identifier else None
        if found is None or found.account.id != who.actor_id:
            return not_found("Session", wire_id)
        await self._revoke(who, found.id, visit)
        return found.id

    async def revoke_others(self, who: Principal, visit: Visit) -> None:
        """End all of the caller's sessions but the one used now."""
        now = self._clock.now_us()
        await self._storage.unit_of_work.commit(
            aw.RevokeSessions(account_id=who.actor_id, now_us=now, kept_session_id=who.credential_id),
            audit(who, "session.revoke_others", now, target=USER + who.actor_id, visit=visit),
        )
        self._credentials.forget(who.actor_id)

    async def _revoke(self, who: Principal, session_id: str, visit: Visit) -> None:
        now = self._clock.now_us()
        await self._storage.unit_of_work.commit(
            aw.RevokeSessions(account_id=who.actor_id, now_us=now, session_id=session_id),
            audit(who, "session.revoke", now, target=SESSION + session_id, visit=visit),
        )
        self._credentials.forget(session_id)
