"""Accounts as an administrator sees them: made, changed, disabled, deleted.

Whatever ends somebody's access (a role, a state, a password, a deletion) raises the account's
epoch in the same commit and is told to the credentials at once. An administrator always remains.
"""

from __future__ import annotations

from typing import Any, Final, NoReturn, Protocol

import msgspec
from msgspec import UNSET, UnsetType

from antiphon.domain import ids
from antiphon.domain.accounts import USER, Account, AccountState, Role, account_email, account_name
from antiphon.domain.errors import Conflict, Unprocessable
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
from antiphon.services.passwords import Passwords
from antiphon.services.runs.engine import Engine
from antiphon.services.runs.live import LiveRuns

Fields = dict[str, Any]
"""Columns of an account with the values they are to have."""

ENDS_SESSIONS: Final = ("role", "state", "password_hash")


class Forgetting(Protocol):
    """What must hear of it when an account's access changes."""

    def forget(self, identifier: str) -> None:
        """Read an account or credential (by id) anew from now on, and end its streams."""
        ...


class Stopping:
    """Ends the answers that are being made for an account which is shut out or goes."""

    def __init__(self, runs: LiveRuns, engine: Engine) -> None:
        self._runs = runs
        self._engine = engine

    def stop(self, account_id: str, *, owned: bool) -> None:
        """Ask the live runs that an account began to stop, and those of others in what it owns."""
        for live in self._runs:
            if live.run.author_id == account_id or (owned and live.run.owner_id == account_id):
                self._engine.cancel(live)


class UserChanges(msgspec.Struct, frozen=True, kw_only=True):
    """What is to change; UNSET stays as it is. `password` None takes the password away."""

    role: Role | UnsetType = UNSET
    state: AccountState | UnsetType = UNSET
    email: str | UnsetType | None = UNSET
    group_id: str | UnsetType | None = UNSET
    retention_days: int | UnsetType | None = UNSET
    password: str | UnsetType | None = UNSET


class Users:
    """`owner_id` is the local owner; it counts as an administrator only if `owner_reachable`."""

    def __init__(
        self,
        storage: Storage,
        groups: Groups,
        passwords: Passwords,
        credentials: Forgetting,
        stopping: Stopping,
        clock: Clock,
        *,
        owner_id: str,
        owner_reachable: bool,
    ) -> None:
        self._storage = storage
        self._groups = groups
        self._passwords = passwords
        self._credentials = credentials
        self._stopping = stopping
        self._clock = clock
        self._owner_id = owner_id
        self._owner_reachable = owner_reachable

    async def page(
        self,
        admin: Administrator,
        *,
        after: str | None,
        limit: int,
        descending: bool,
        name: str | None = None,
        prefix: str = "",
        group_id: str | None = None,
    ) -> Page[Account]:
        """Return accounts, newest first if `descending`: of a name, or its beginning, and of a group."""
        if name is not None:
            one = await self._storage.accounts.by_name(name.lower())
            return Page([one] if one else [], False)
        group = (await self._groups.find(group_id)).id if group_id is not None else None
        found = await self._storage.accounts.page(
            after=cursor_of(after, USER), limit=limit + 1, descending=descending, prefix=prefix.lower(),
            group_id=group,
        )  # fmt: skip
        return Page(found[:limit], len(found) > limit)

    async def get(self, admin: Administrator, user_id: str) -> Account:
        """Return an account; raises NotFound."""
        identifier = ids.parse(user_id, USER)
        found = await self._storage.accounts.get(identifier) if identifier else None
        return found or not_found("User", user_id)

    async def create(self, admin: Administrator, name: str, given: UserChanges) -> Account:
        """Create an account; without a password it can only log in by another issuer.

        Raises Unprocessable for what cannot be, Conflict for a name or address that is taken.
        """
        now = self._clock.now_us()
        slot = ids.new_slot()
        stored_name = account_name(name) or _refuse("name", "This cannot be a name.")
        fields = await self._fields(stored_name, given)
        account = Account(
            id=ids.new_id(slot, now_us=now), slot=slot, name=stored_name, created_us=now, updated_us=now
        )
        account = msgspec.structs.replace(account, **fields)
        note = audit(
            admin, self._clock, "user.create", USER + account.id, name=account.name, role=account.role
        )
        commands = [*_require_group(fields), aw.NewAccount(account=account), note]
        try:
            await self._storage.unit_of_work.commit(*commands)
        except Conflict as lost:
            if lost.message == "RequireGroup":
                not_found("Group", given.group_id)
            raise Conflict("This name or e-mail address is taken.", code="name_taken") from None
        return account

    async def update(self, admin: Administrator, user_id: str, given: UserChanges) -> Account:
        """Change an account; raises NotFound, Unprocessable, and Conflict for the last administrator."""
        account = await self._changeable(admin, user_id)
        fields = await self._fields(account.name, given)
        ends = any(name in fields for name in ENDS_SESSIONS)
        commands: list[Command] = [*self._keep_administrator(account, fields), *_require_group(fields)]
        commands += [
            aw.UpdateAccount(
                account_id=account.id, now_us=self._clock.now_us(), ends_sessions=ends, **fields
            ),
            audit(admin, self._clock, "user.update", USER + account.id, **_told(fields)),
        ]
        try:
            await self._storage.unit_of_work.commit(*commands)
        except Conflict as lost:
            await self._explain(admin, user_id, given, lost)
        if ends or "group_id" in fields:
            self._credentials.forget(account.id)
        if fields.get("state") == "disabled":
            self._stopping.stop(account.id, owned=False)
        return await self.get(admin, user_id)

    async def delete(self, admin: Administrator, user_id: str) -> Account:
        """Delete an account: unreachable at once, and its data erased soon after.

        Raises NotFound, and Conflict for the last administrator. The erasing is a job of the
        server that a restart goes on with.
        """
        account = await self._changeable(admin, user_id)
        try:
            await self._storage.unit_of_work.commit(
                self._guard(account.id),
                aw.DeleteAccount(account_id=account.id, now_us=self._clock.now_us()),
                audit(admin, self._clock, "user.delete", USER + account.id, name=account.name),
            )
        except Conflict as lost:
            await self._explain(admin, user_id, UserChanges(), lost)
        self._credentials.forget(account.id)
        self._stopping.stop(account.id, owned=True)
        return account

    async def _changeable(self, admin: Administrator, user_id: str) -> Account:
        account = await self.get(admin, user_id)
        if account.id == self._owner_id:
            raise Conflict("This account is the server's own and stays as it is.", code="local_owner")
        return account

    async def _fields(self, name: str, given: UserChanges) -> Fields:
        """Return what is given as columns, checked; the password as its hash."""
        fields: Fields = {
            key: value
            for key in ("role", "state", "retention_days")
            if (value := getattr(given, key)) is not UNSET
        }
        if given.email is not UNSET:
            fields["email"] = None
            if given.email is not None:
                fields["email"] = account_email(given.email) or _refuse("email", "This is no address.")
        if given.group_id is not UNSET:
            fields["group_id"] = (await self._groups.find(given.group_id)).id if given.group_id else None
        if given.password is not UNSET:
            fields["password_hash"] = None
            if given.password is not None:
                self._passwords.check(given.password, name)
                fields["password_hash"] = await self._passwords.hash(given.password)
        return fields

    def _keep_administrator(self, account: Account, fields: Fields) -> list[Command]:
        demotes = fields.get("role", "admin") != "admin" or fields.get("state", "active") != "active"
        return [self._guard(account.id)] if demotes else []

    def _guard(self, account_id: str) -> aw.KeepAdministrator:
        unreachable = None if self._owner_reachable else self._owner_id
        return aw.KeepAdministrator(account_id=account_id, unreachable_id=unreachable)

    async def _explain(
        self, admin: Administrator, user_id: str, given: UserChanges, lost: Conflict
    ) -> NoReturn:
        """Say which guard was lost, as an error of the caller's."""
        await self.get(admin, user_id)
        if lost.message == "KeepAdministrator":
            raise Conflict(
                "This is the last active administrator; make another one first.", code="last_administrator"
            ) from None
        if lost.message == "RequireGroup":
            not_found("Group", given.group_id)
        raise Conflict("This e-mail address is taken.", code="email_taken", param="email") from None


def _require_group(fields: Fields) -> list[Command]:
    group_id = fields.get("group_id")
    return [gw.RequireGroup(group_id=group_id)] if isinstance(group_id, str) else []


def _told(fields: Fields) -> Fields:
    """Return what the audit log may say of a change: of password and address only that they changed."""
    told = dict(fields)
    for name, shown in (("password_hash", "password"), ("email", "email")):
        if name in told:
            told[shown] = "set" if told.pop(name) else "removed"
    if told.get("group_id"):
        told["group_id"] = GROUP_ID + told["group_id"]
    return told


def _refuse(param: str, message: str) -> NoReturn:
    raise Unprocessable(message, code="invalid_value", param=param)
