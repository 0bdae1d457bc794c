"""Ports `Accounts` and `Credentials` in SQL."""

from __future__ import annotations

from collections.abc import Sequence

from antiphon.domain.accounts import Account, ApiKey, Credential, Invite, LoginSession
from antiphon.domain.external_logins import LinkedIdentity
from antiphon.storage.sql import reads_accounts as reads
from antiphon.storage.sql.database import Reads


class SqlAccounts:
    """Port `Accounts`."""

    def __init__(self, readers: Reads) -> None:
        self._read = readers

    async def get(self, account_id: str) -> Account | None:
        """See the port."""
        return await self._read(reads.account, account_id)

    async def by_name(self, name: str) -> Account | None:
        """See the port."""
        return await self._read(reads.account_by_name, name)

    async def by_email(self, email: str) -> Account | None:
        """See the port."""
        return await self._read(reads.account_by_email, email)

    async def by_identity(self, issuer: str, subject: str) -> Account | None:
        """See the port."""
        return await self._read(reads.account_by_identity, issuer, subject)

    async def identities(self, account_id: str) -> list[LinkedIdentity]:
        """See the port."""
        return await self._read(reads.identities, account_id)

    async def preferences(self, account_id: str) -> bytes | None:
        """See the port."""
        return await self._read(reads.preferences, account_id)

    async def page(
        self,
        *,
        after: str | None,
        limit: int,
        descending: bool,
        prefix: str = "",
        group_id: str | None = None,
    ) -> list[Account]:
        """See the port."""
        return await self._read(reads.accounts, after, limit, descending, prefix, group_id)

    async def has_administrator(self) -> bool:
        """See the port."""
        return await self._read(reads.has_administrator)


class SqlCredentials:
    """Port `Credentials`."""

    def __init__(self, readers: Reads) -> None:
        self._read = readers

    async def key(self, digest: bytes) -> Credential | None:
        """See the port."""
        return await self._read(reads.key, digest)

    async def session(self, session_id: str) -> Credential | None:
        """See the port."""
        return await self._read(reads.session, session_id)

    async def holding(self, credential_ids: Sequence[str]) -> dict[str, Credential]:
        """See the port."""
        return await self._read(reads.holding, credential_ids)

    async def keys(self, account_id: str, *, after: str | None, limit: int, descending: bool) -> list[ApiKey]:
        """See the port."""
        return await self._read(reads.keys, account_id, after, limit, descending)

    async def sessions(
        self, account_id: str, now_us: int, *, after: str | None, limit: int, descending: bool
    ) -> list[LoginSession]:
        """See the port."""
        return await self._read(reads.sessions, account_id, now_us, after, limit, descending)

    async def invites(self, *, after: str | None, limit: int, descending: bool) -> list[Invite]:
        """See the port."""
        return await self._read(reads.invites, after, limit, descending)

    async def invite(self, digest: bytes) -> Invite | None:
        """See the port."""
        return await self._read(reads.invite, digest)
