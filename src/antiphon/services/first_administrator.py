"""Somebody must be able to log in first: an administrator with a password nobody could know before."""

from __future__ import annotations

import secrets
from typing import Final

import msgspec
from msgspec import UNSET

from antiphon.domain import ids
from antiphon.domain.accounts import USER, Account, account_name
from antiphon.domain.errors import AntiphonError, Conflict, Unprocessable
from antiphon.ports import account_writes as aw
from antiphon.ports.clock import Clock
from antiphon.ports.storage import Storage
from antiphon.ports.write_sets import Command
from antiphon.services.audit_lines import audit
from antiphon.services.passwords import Passwords

NAME: Final = "admin"
DOCUMENTED: Final = ("admin123",)
"""Passwords that guides to this server's kind name: good for trying it out on one's own machine only."""


class Made(msgspec.Struct, frozen=True):
    """The account made; `password` only where it was drawn here and must be shown, once."""

    name: str
    password: str | None = None
    is_weak: bool = False


class FirstAdministrator:
    """Makes sure that there is an administrator, and none with a password from a guide."""

    def __init__(self, storage: Storage, passwords: Passwords, clock: Clock) -> None:
        self._storage = storage
        self._passwords = passwords
        self._clock = clock

    async def ensure(self, *, name: str | None, password: str | None, needs_credentials: bool) -> Made | None:
        """Make the configured administrator, or one with a random password where one is needed.

        Does nothing if it exists. Raises Unprocessable for a configured name or password that
        cannot be used where others can reach the server.
        """
        if needs_credentials:
            await self._disarm({NAME, name or NAME})
        if name is not None and password is not None:
            return await self._configured(name, password, needs_credentials)
        if not needs_credentials or await self._storage.accounts.has_administrator():
            return None
        drawn = secrets.token_urlsafe(18)
        return Made(NAME, drawn) if await self._store(NAME, drawn) else None

    async def _configured(self, name: str, password: str, needs_credentials: bool) -> Made | None:
        proper = account_name(name)
        if proper is None:
            raise Unprocessable("DEFAULT_ADMIN_USERNAME cannot be a name.", code="invalid_name")
        is_weak = password in DOCUMENTED
        try:
            self._passwords.check(password, proper)
        except AntiphonError as problem:
            if needs_credentials or not is_weak:
                raise Unprocessable(
                    f"DEFAULT_ADMIN_PASSWORD: {problem.message}", code="weak_password"
                ) from None
        found = await self._storage.accounts.by_name(proper)
        if found is not None and found.password_hash is not None:
            return None
        return Made(proper, is_weak=is_weak) if await self._store(proper, password) else None

    async def _disarm(self, names: set[str]) -> None:
        """Take the password from an administrator whose password stands in a guide."""
        for name in sorted(names):
            found = await self._storage.accounts.by_name(name)
            for password in DOCUMENTED if found is not None and found.password_hash else ():
                if found and (await self._passwords.verify(found.password_hash, password)).is_right:
                    await self._set_password(found, None)

    async def _store(self, name: str, password: str) -> bool:
        """Make the account an administrator; False if another server that starts has just done so."""
        now, slot = self._clock.now_us(), ids.new_slot()
        hashed = await self._passwords.hash(password)
        account = Account(
            id=ids.new_id(slot), slot=slot, name=name, role="admin", password_hash=hashed, created_us=now,
            updated_us=now,
        )  # fmt: skip
        line = audit(account.principal(), "user.first_administrator", now, target=USER + account.id)
        try:
            await self._storage.unit_of_work.commit(aw.NewAccount(account=account), line)
        except Conflict:
            found = await self._storage.accounts.by_name(name)
            if found is None:
                raise
            if found.role == "admin" and found.password_hash is not None:
                return False
            await self._set_password(found, hashed)
        return True

    async def _set_password(self, account: Account, hashed: str | None) -> None:
        now = self._clock.now_us()
        change: Command = aw.UpdateAccount(
            account_id=account.id, now_us=now, ends_sessions=True, password_hash=hashed,
            role="admin" if hashed else UNSET, state="active" if hashed else UNSET,
        )  # fmt: skip
        line = audit(account.principal(), "user.first_administrator", now, target=USER + account.id)
        await self._storage.unit_of_work.commit(change, line)
