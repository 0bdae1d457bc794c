"""Ports to accounts and credentials: short reads, asked before anybody is known.

Deleted accounts are not found. Names and e-mail addresses are stored in lower case and looked up
as given. Digests are SHA-256.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from antiphon.domain.accounts import Account, ApiKey, Credential, Invite, LoginSession
from antiphon.domain.external_logins import LinkedIdentity


class Accounts(Protocol):
    """Reads of accounts."""

    async def get(self, account_id: str) -> Account | None:
        """Return an account, or None."""
        ...

    async def by_name(self, name: str) -> Account | None:
        """Return the account of that name, or None."""
        ...

    async def by_email(self, email: str) -> Account | None:
        """Return the account of that address, or None."""
        ...

    async def by_identity(self, issuer: str, subject: str) -> Account | None:
        """Return the account an identity of another issuer is linked to, or None."""
        ...

    async def identities(self, account_id: str) -> list[LinkedIdentity]:
        """Return the identities linked to an account, oldest first; they are few."""
        ...

    async def preferences(self, account_id: str) -> bytes | None:
        """Return what an account's clients remember, as it was put, or None."""
        ...

    async def page(
        self,
        *,
        after: str | None,
        limit: int,
        descending: bool,
        prefix: str = "",
        group_id: str | None = None,
    ) -> list[Account]:
        """Return everybody by id order, beginning after `after`: for administration.

        Only those whose name begins with `prefix`, and those of a group if one is given.
        """
        ...

    async def has_administrator(self) -> bool:
        """Return whether an active administrator can log in with a password."""
        ...


class Credentials(Protocol):
    """Reads of login sessions, API keys and invites."""

    async def key(self, digest: bytes) -> Credential | None:
        """Return the API key with that digest; None if it is revoked or its account not active."""
        ...

    async def session(self, session_id: str) -> Credential | None:
        """Return a login session; None if it is revoked or its account not active."""
        ...

    async def holding(self, credential_ids: Sequence[str]) -> dict[str, Credential]:
        """Return those of many keys and sessions that are not revoked and whose account is active."""
        ...

    async def keys(self, account_id: str, *, after: str | None, limit: int, descending: bool) -> list[ApiKey]:
        """Return an account's keys that are not revoked, by id order, beginning after `after`."""
        ...

    async def sessions(
        self, account_id: str, now_us: int, *, after: str | None, limit: int, descending: bool
    ) -> list[LoginSession]:
        """Return an account's open sessions by id order, beginning after `after`."""
        ...

    async def invites(self, *, after: str | None, limit: int, descending: bool) -> list[Invite]:
        """Return all invites by id order, beginning after `after`: for administration."""
        ...

    async def invite(self, digest: bytes) -> Invite | None:
        """Return the invite with that digest, used up or not, or None."""
        ...
