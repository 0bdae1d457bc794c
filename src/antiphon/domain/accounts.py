"""People, their credentials, and who is asking."""

from __future__ import annotations

import re
from typing import Final, Literal

import msgspec

from antiphon.domain.limits import Limit

Role = Literal["admin", "user"]
AccountState = Literal["active", "disabled", "deleting"]

READ: Final = "read"
WRITE: Final = "write"
ADMIN: Final = "admin"
SCOPES: Final = frozenset({READ, WRITE, ADMIN})
"""What a key may be given: `read` for safe methods, `write` for all others, `admin` for `/v1/admin`.

A key never has more than its owner: `admin` is of use to administrators only.
"""

KEY_PREFIX: Final = "antk_"
INVITE_PREFIX: Final = "anti_"
SHARE_PREFIX: Final = "ants_"

USER: Final = "user_"
KEY: Final = "key_"
SESSION: Final = "sess_"
GROUP: Final = "grp_"

LOCAL_OWNER: Final = "local"
"""The account of whoever runs a server that is open on loopback, and of the operator's `API_KEY`."""
RESERVED_NAMES: Final = frozenset(
    {
        LOCAL_OWNER,
        "admin",
        "administrator",
        "antiphon",
        "everyone",
        "me",
        "nobody",
        "root",
        "support",
        "system",
    }
)
"""Names nobody can sign up under."""

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._+-]{0,62}[a-z0-9])?")
_EMAIL = re.compile(r"[^@\s\x00-\x1f]{1,64}@[^@\s\x00-\x1f]{1,190}")


def account_name(text: str) -> str | None:
    """Return a name as it is stored, in lower case, or None if it cannot be one.

    Plain ASCII letters only: two names that look alike are alike. No `@`: it would pass for an address.
    """
    name = text.lower()
    return name if len(name) == len(text) and _NAME.fullmatch(name) else None


def account_email(text: str) -> str | None:
    """Return an address as it is stored, in lower case, or None if it cannot be one."""
    email = text.strip().lower()
    return email if _EMAIL.fullmatch(email) else None


class Principal(msgspec.Struct, frozen=True):
    """A caller whose credential has been checked.

    `account_id` owns what the caller reads and creates; `slot` partitions it. `credential_id` names
    the key or login session used, None for the local owner of a server open on loopback.
    `limits` are those that apply to the caller, of its own, its key's, its group's and everybody's.

    In somebody else's conversation a member acts in the owner's partition: `account_id` and `slot`
    are the owner's there (see `within`), `actor_id` stays the member's.
    """

    account_id: str
    slot: int
    name: str
    role: str = "user"
    credential_id: str | None = None
    scopes: frozenset[str] = SCOPES
    limits: tuple[Limit, ...] = ()
    acting_id: str | None = None
    group_id: str | None = None
    acting_slot: int | None = None

    @property
    def actor_id(self) -> str:
        """The account that acts, pays and is named as author."""
        return self.acting_id or self.account_id

    @property
    def actor_slot(self) -> int:
        """The partition of the account that acts."""
        return self.slot if self.acting_slot is None else self.acting_slot

    @property
    def is_guest(self) -> bool:
        """Whether the caller acts in somebody else's partition."""
        return self.acting_id is not None

    @property
    def is_admin(self) -> bool:
        """Whether administration is open to the caller with this credential."""
        return self.role == "admin" and ADMIN in self.scopes

    def within(self, owner_id: str, slot: int) -> Principal:
        """Return the same caller acting in an owner's partition."""
        if owner_id == self.account_id:
            return self
        if owner_id == self.acting_id:
            return msgspec.structs.replace(
                self, account_id=owner_id, slot=slot, acting_id=None, acting_slot=None
            )
        return msgspec.structs.replace(
            self, account_id=owner_id, slot=slot, acting_id=self.actor_id, acting_slot=self.actor_slot
        )

    def home(self) -> Principal:
        """Return the same caller in its own partition."""
        return self.within(self.actor_id, self.actor_slot)


class Visit(msgspec.Struct, frozen=True):
    """Where a request came from, as far as the connection itself tells."""

    address: str = ""
    user_agent: str = ""


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """A person or program known to the server.

    `name` is unique and in lower case. `epoch` rises with every change that must end all sessions
    (password, role, state); tokens carry the one they were made under. Times are µs UTC.
    """

    id: str
    slot: int
    name: str
    role: Role = "user"
    email: str | None = None
    password_hash: str | None = None
    state: AccountState = "active"
    group_id: str | None = None
    epoch: int = 0
    retention_days: int | None = None
    created_us: int = 0
    updated_us: int = 0

    def principal(self) -> Principal:
        """Return the account as a caller, without a credential."""
        return Principal(self.id, self.slot, self.name, self.role, group_id=self.group_id)


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Accounts that share limits and a retention; `name` is unique and in lower case."""

    id: str
    name: str
    retention_days: int | None = None
    created_us: int = 0


class LoginSession(msgspec.Struct, frozen=True, kw_only=True):
    """One login: the family of refresh tokens that came of it.

    `generation` is that of the newest refresh token; an older one shown again is theft, and ends
    the session (RFC 9700 §4.14.2).
    """

    id: str
    account_id: str
    slot: int
    method: str
    generation: int
    user_agent: str
    address: str
    created_us: int
    used_us: int
    expires_us: int
    revoked_us: int | None = None


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """An API key as it may be shown: never the key itself, only how it begins."""

    id: str
    account_id: str
    slot: int
    name: str
    prefix: str
    scopes: frozenset[str]
    created_us: int
    expires_us: int | None = None
    used_us: int | None = None
    revoked_us: int | None = None


class Invite(msgspec.Struct, frozen=True, kw_only=True):
    """Leave to sign up once, as an administrator gave it; the link itself is stored as a digest."""

    id: str
    created_by: str
    role: Role
    created_us: int
    expires_us: int
    group_id: str | None = None
    used_by: str | None = None
    revoked_us: int | None = None


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """A key or login session that is not revoked, with its active account, as read at one moment.

    `generation` is None for keys. Whether it has expired is for the reader to say.
    """

    id: str
    account: Account
    scopes: frozenset[str]
    expires_us: int | None
    generation: int | None = None

    def holds(self, now_us: int) -> bool:
        """Whether it has not expired."""
        return self.expires_us is None or self.expires_us > now_us

    def principal(self) -> Principal:
        """Return the account as a caller that shows this credential."""
        who = self.account
        return Principal(
            who.id, who.slot, who.name, who.role, self.id, scopes=self.scopes, group_id=who.group_id
        )
