"""A new name and password for an account in one call, as older clients change what they log in with."""

from __future__ import annotations

from typing import Final

from antiphon.domain.accounts import RESERVED_NAMES, USER, Account, Principal, Visit, account_name
from antiphon.domain.errors import Conflict, Forbidden, Unprocessable
from antiphon.ports import account_writes as aw
from antiphon.ports.clock import Clock
from antiphon.ports.storage import Storage
from antiphon.services.audit_lines import audit
from antiphon.services.credentials import Credentials
from antiphon.services.passwords import Passwords
from antiphon.services.sessions import Sessions

ACTION: Final = "credentials.change"


class AccountCredentials:
    """Changes what somebody logs in with; `first_name` is the first administrator's name.

    Whoever acts as the local owner has no password, and changes the first administrator's.
    """

    def __init__(
        self,
        storage: Storage,
        passwords: Passwords,
        credentials: Credentials,
        sessions: Sessions,
        clock: Clock,
        *,
        first_name: str,
    ) -> None:
        self._storage = storage
        self._passwords = passwords
        self._credentials = credentials
        self._sessions = sessions
        self._clock = clock
        self._first_name = first_name

    async def change(self, who: Principal, new_name: str, new_password: str, visit: Visit) -> Account:
        """Change name and password at once; all of the account's sessions end, also the one used.

        Raises Forbidden for a key, Unprocessable for a name or password that cannot be used, Conflict
        for a name that is taken.
        """
        account = await self._account(who)
        name = account_name(new_name)
        if name is None or (name in RESERVED_NAMES and account.role != "admin"):
            raise Unprocessable(
                "A name has up to 64 letters (a-z), digits and . _ + - between them, and is not reserved.",
                code="invalid_name", param="new_username",
            )  # fmt: skip
        self._passwords.check(new_password, name)
        hashed = await self._passwords.hash(new_password, known=True)
        now = self._clock.now_us()
        try:
            await self._storage.unit_of_work.commit(
                aw.UpdateAccount(
                    account_id=account.id, now_us=now, expected_epoch=account.epoch, ends_sessions=True,
                    name=name, password_hash=hashed,
                ),
                audit(who, ACTION, now, target=USER + account.id, visit=visit, name=name),
            )  # fmt: skip
        except Conflict:
            if name != account.name and await self._storage.accounts.by_name(name) is not None:
                raise Conflict("This name is taken.", code="name_taken", param="new_username") from None
            raise Conflict("The account changed meanwhile; try again.") from None
        self._credentials.forget(account.id)
        return await self._storage.accounts.get(account.id) or account

    async def _account(self, who: Principal) -> Account:
        """Return the account that logged in, or the first administrator's for the local owner."""
        if who.credential_id is not None:
            return (await self._sessions.own(who)).account
        found = await self._storage.accounts.by_name(self._first_name)
        if found is None or found.role != "admin":
            raise Forbidden("Log in as whom you want to change.", code="session_required")
        return found
