"""API keys: shown once, stored as digests, never stronger than who made them."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from typing import Final

from antiphon.domain import ids
from antiphon.domain.accounts import ADMIN, KEY, KEY_PREFIX, READ, SCOPES, WRITE, ApiKey, Principal, Visit
from antiphon.domain.errors import Conflict, Forbidden, Unprocessable
from antiphon.ports import account_writes as aw
from antiphon.ports.clock import Clock
from antiphon.ports.storage import Storage
from antiphon.services.access import not_found
from antiphon.services.audit_lines import audit
from antiphon.services.credentials import Credentials
from antiphon.services.paging import Page

SECRET_BYTES: Final = 32
SHOWN: Final = len(KEY_PREFIX) + 4
"""Characters of a key that stay visible, to tell keys apart."""
MOST: Final = 100
US: Final = 1_000_000


class ApiKeys:
    """The keys of one's own account."""

    def __init__(self, storage: Storage, credentials: Credentials, clock: Clock) -> None:
        self._storage = storage
        self._credentials = credentials
        self._clock = clock

    async def create(
        self,
        who: Principal,
        name: str,
        *,
        scopes: Sequence[str] | None = None,
        expires_seconds: int | None = None,
        visit: Visit,
    ) -> tuple[ApiKey, str]:
        """Make a key and return it with its secret, which is nowhere else; by default it reads and writes.

        Raises Forbidden for scopes the caller has not and for callers that show a key themselves,
        Unprocessable for unknown scopes or too many keys.
        """
        await self._require_person(who)
        granted = self._granted(who, scopes)
        owned = await self._storage.credentials.keys(who.actor_id, after=None, limit=MOST, descending=False)
        if len(owned) >= MOST:
            raise Unprocessable(f"An account has at most {MOST} keys.", code="too_many_keys")
        now, secret = self._clock.now_us(), KEY_PREFIX + secrets.token_urlsafe(SECRET_BYTES)
        key = ApiKey(
            id=ids.new_id(who.slot, now_us=now), account_id=who.actor_id, slot=who.slot, name=name,
            prefix=secret[:SHOWN], scopes=granted, created_us=now,
            expires_us=now + expires_seconds * US if expires_seconds is not None else None,
        )  # fmt: skip
        line = audit(who, "api_key.create", now, target=KEY + key.id, visit=visit, scopes=sorted(granted))
        await self._storage.unit_of_work.commit(
            aw.NewApiKey(key=key, digest=hashlib.sha256(secret.encode()).digest()), line
        )
        return key, secret

    async def _require_person(self, who: Principal) -> None:
        """A stolen key must not be able to make itself a successor."""
        if who.credential_id and await self._storage.credentials.session(who.credential_id) is None:
            raise Forbidden("Keys are made in a login session, not with a key.", code="session_required")

    @staticmethod
    def _granted(who: Principal, scopes: Sequence[str] | None) -> frozenset[str]:
        wanted = frozenset((READ, WRITE) if scopes is None else scopes)
        if not wanted or not wanted <= SCOPES:
            raise Unprocessable(
                f"Scopes are {', '.join(sorted(SCOPES))}.", code="invalid_scope", param="scopes"
            )
        if not wanted <= who.scopes or (ADMIN in wanted and not who.is_admin):
            raise Forbidden("A key cannot do more than its owner.", code="insufficient_scope")
        return wanted

    async def page(self, who: Principal, *, after: str | None, limit: int, descending: bool) -> Page[ApiKey]:
        """Return the caller's keys."""
        found = await self._storage.credentials.keys(
            who.actor_id,
            after=ids.parse(after, KEY) if after else None,
            limit=limit + 1,
            descending=descending,
        )
        return Page(found[:limit], len(found) > limit)

    async def revoke(self, who: Principal, wire_id: str, visit: Visit) -> str:
        """End one of the caller's keys and return its id; raises NotFound."""
        identifier = ids.parse(wire_id, KEY)
        if identifier is None:
            return not_found("API key", wire_id)
        now = self._clock.now_us()
        try:
            await self._storage.unit_of_work.commit(
                aw.RevokeApiKey(account_id=who.actor_id, key_id=identifier, now_us=now),
                audit(who, "api_key.revoke", now, target=KEY + identifier, visit=visit),
            )
        except Conflict:
            return not_found("API key", wire_id)
        self._credentials.forget(identifier)
        return identifier
