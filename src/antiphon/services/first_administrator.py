"""Somebody must be able to log in first: an administrator with a password nobody could know before."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import UNSET

from antiphon.domain import ids
from antiphon.domain.accounts import USER, Account, account_name
from antiphon.domain.errors import AntiphonError, Conflict, Unprocessable
from antiphon.domain.runtime_settings import FIRST_ADMINISTRATOR
from antiphon.ports import account_writes as aw
from antiphon.ports.administrator_mirror import AdministratorMirror, Mirrored
from antiphon.ports.clock import Clock
from antiphon.ports.operation_writes import PutSetting
from antiphon.ports.storage import Storage
from antiphon.ports.write_sets import Command
from antiphon.services.audit_lines import audit
from antiphon.services.passwords import Passwords

NAME: Final = "admin"
DOCUMENTED: Final = ("admin123",)
"""Passwords that guides to this server's kind name: good for trying it out on one's own machine only."""


class Made(msgspec.Struct, frozen=True):
    """The account made; `password` only where it was drawn here and must be shown, once.

    `is_reset` tells that it was there before, and somebody asked for its first credentials again.
    """

    name: str
    password: str | None = None
    is_weak: bool = False
    is_reset: bool = False


class First(msgspec.Struct, frozen=True):
    """The account that was made first, and the name it was made with; it may have another now."""

    account_id: str
    username: str


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What configuration says of the first administrator.

    `documented` tells whether a password that stands in a guide will do where nobody but this machine
    can reach the server; `production` that a reset needs a configured one.
    """

    name: str | None
    password: str | None
    needs_credentials: bool
    documented: bool = False
    production: bool = False

    @property
    def shown_name(self) -> str:
        """The name configured, else the usual one."""
        return self.name or NAME

    @property
    def known_password(self) -> str | None:
        """The password configured, else the one from a guide where that will do."""
        usable = self.documented and not self.needs_credentials
        return self.password or (DOCUMENTED[0] if usable else None)


class FirstAdministrator:
    """Makes sure that there is an administrator, and none with a password from a guide.

    `mirror` is where an operator who is locked out asks for the first credentials again, `first_name` what
    the account is called that has them.
    """

    def __init__(
        self, storage: Storage, passwords: Passwords, clock: Clock, mirror: AdministratorMirror, *,
        first_name: str,
    ) -> None:  # fmt: skip
        self._storage = storage
        self._passwords = passwords
        self._clock = clock
        self._mirror = mirror
        self._first_name = first_name

    async def ensure(self, wanted: Wanted) -> Made | None:
        """Make the configured administrator, or one with a random password where one is needed.

        Does nothing if it exists, unless somebody asked for a reset. Raises Unprocessable for a
        configured name or password that cannot be used where others can reach the server, and for a
        reset in production without a configured password.
        """
        name = _proper(wanted.shown_name)
        if wanted.needs_credentials:
            await self._disarm({NAME, name})
        mirrored, known = await self._mirror.read(), await self._known()
        made: Made | None
        if mirrored.wants_reset:
            made = await self._reset(wanted, name, known.account_id if known else mirrored.mark or "")
        else:
            made = await self._first(wanted, name, is_new=known is None or known.username != name)
        await self._remember(name, known, mirrored)
        return made

    async def taken_over(self, account: Account) -> Sequence[Command]:
        """Return what notes an administrator of another server as the one that was made first.

        Whatever it is called now, its first name was the one that is given by default. Returns nothing where
        somebody was made first here.
        """
        known, name = await self._known(), self._first_name
        named = await self._storage.accounts.by_name(name)
        if known is not None and await self._storage.accounts.get(known.account_id) is not None:
            return ()
        if account.role != "admin" or (named is not None and named.id != account.id):
            return ()
        return (self._note(First(account.id, name)),)

    async def _known(self) -> First | None:
        text = (await self._storage.operations.runtime_settings()).get(FIRST_ADMINISTRATOR)
        return msgspec.json.decode(text, type=First) if text is not None else None

    async def _first(self, wanted: Wanted, name: str, *, is_new: bool) -> Made | None:
        reachable = await self._storage.accounts.has_administrator()
        password = wanted.known_password
        if password is not None:
            self._check(password, name, wanted)
            found = await self._storage.accounts.by_name(name)
            if found is not None and (found.password_hash is not None or wanted.password is None):
                return None
            if found is None and reachable and (wanted.password is None or not is_new):
                return None  # whoever it was made for has another name now
            made = await self._store(name, password)
            return Made(name, is_weak=password in DOCUMENTED) if made else None
        if not wanted.needs_credentials or reachable:
            return None
        return await self._drawn(name)

    async def _drawn(self, name: str, *, is_reset: bool = False) -> Made | None:
        drawn = secrets.token_urlsafe(18)
        made = await self._store(name, drawn, is_reset=is_reset)
        return Made(name, drawn, is_reset=is_reset) if made else None

    def _check(self, password: str, name: str, wanted: Wanted) -> None:
        try:
            self._passwords.check(password, name)
        except AntiphonError as problem:
            if wanted.needs_credentials or password not in DOCUMENTED:
                raise Unprocessable(
                    f"DEFAULT_ADMIN_PASSWORD: {problem.message}", code="weak_password"
                ) from None

    async def _reset(self, wanted: Wanted, name: str, account_id: str) -> Made | None:
        """Give the account that was made first its first name and password again."""
        password = wanted.known_password
        if password is None and wanted.production:
            raise Unprocessable(
                "In production a reset of the administrator needs DEFAULT_ADMIN_PASSWORD.",
                code="reset_needs_password",
            )
        if password is not None:
            self._check(password, name, wanted)
        await self._rename(account_id, name)
        if password is None:
            return await self._drawn(name, is_reset=True)
        await self._store(name, password, is_reset=True)
        return Made(name, is_weak=password in DOCUMENTED, is_reset=True)

    async def _rename(self, account_id: str, name: str) -> None:
        """Call an account by its first name again; does nothing if it is gone, or the name another's."""
        found = await self._storage.accounts.get(account_id) if account_id else None
        if found is None or found.name == name or await self._storage.accounts.by_name(name):
            return
        change = aw.UpdateAccount(account_id=account_id, now_us=self._clock.now_us(), name=name)
        await self._storage.unit_of_work.commit(change)

    async def _remember(self, name: str, known: First | None, mirrored: Mirrored) -> None:
        """Note who was made first, under which name, and have the mirror say so."""
        found = await self._storage.accounts.by_name(name)
        if known is None or (known.username != name and found is not None):
            if found is None or found.role != "admin":
                return
            known = First(found.id, name)
            await self._storage.unit_of_work.commit(self._note(known))
        if mirrored.key != known.account_id or mirrored.mark is None:
            await self._mirror.write(known.account_id, known.username)

    def _note(self, first: First) -> PutSetting:
        text = msgspec.json.encode(first).decode()
        return PutSetting(name=FIRST_ADMINISTRATOR, value=text, updated_us=self._clock.now_us())

    async def _disarm(self, names: set[str]) -> None:
        """Take the password from an administrator whose password stands in a guide."""
        for name in sorted(names):
            found = await self._storage.accounts.by_name(name)
            for password in DOCUMENTED if found is not None and found.password_hash else ():
                if found and (await self._passwords.verify(found.password_hash, password)).is_right:
                    await self._set_password(found, None)

    async def _store(self, name: str, password: str, *, is_reset: bool = False) -> bool:
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
            if not is_reset and found.role == "admin" and found.password_hash is not None:
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


def _proper(name: str) -> str:
    proper = account_name(name)
    if proper is None:
        raise Unprocessable("DEFAULT_ADMIN_USERNAME cannot be a name.", code="invalid_name")
    return proper
