"""Commands that write accounts, login sessions, API keys, linked identities and invites."""

from __future__ import annotations

from typing import ClassVar

from msgspec import UNSET, UnsetType

from antiphon.domain.accounts import Account, AccountState, ApiKey, Invite, LoginSession, Role
from antiphon.ports.write_sets import Command


class NewAccount(Command, frozen=True, kw_only=True):
    """Create an account; lost if its name or e-mail address is taken."""

    GUARD: ClassVar[bool] = True
    account: Account


class UpdateAccount(Command, frozen=True, kw_only=True):
    """Change the fields that are given; lost if the account is gone, or the name or address another's.

    With `expected_epoch` also lost if the epoch is another. `ends_sessions` raises the epoch and
    revokes the login sessions, all but `kept_session_id`: whoever changes a password, role or
    state asks for it (a new hash of the same password changes none).
    """

    GUARD: ClassVar[bool] = True
    account_id: str
    now_us: int
    expected_epoch: int | None = None
    ends_sessions: bool = False
    kept_session_id: str | None = None
    name: str | UnsetType = UNSET
    email: str | UnsetType | None = UNSET
    password_hash: str | UnsetType | None = UNSET
    role: Role | UnsetType = UNSET
    state: AccountState | UnsetType = UNSET
    group_id: str | UnsetType | None = UNSET
    retention_days: int | UnsetType | None = UNSET


class KeepAdministrator(Command, frozen=True, kw_only=True):
    """Lost if the account is the last active administrator; goes before what demotes or removes it.

    `unreachable_id` is an account nobody can act as, so that it does not count as another one.
    """

    GUARD: ClassVar[bool] = True
    account_id: str
    unreachable_id: str | None = None


class DeleteAccount(Command, frozen=True, kw_only=True):
    """Make an account unreachable for ever; lost if it is gone. Its data is purged afterwards.

    Its name and address are free again at once; sessions and keys are revoked.
    """

    GUARD: ClassVar[bool] = True
    account_id: str
    now_us: int


class EraseAccount(Command, frozen=True, kw_only=True):
    """Erase the rest of a deleted account whose data is purged; nothing happens to one that is not."""

    account_id: str


class PutPreferences(Command, frozen=True, kw_only=True):
    """Store what an account's clients remember, in the place of what they did; `content` is a JSON object.

    Nothing happens if the account is deleted.
    """

    account_id: str
    content: bytes
    updated_us: int


class NewSession(Command, frozen=True, kw_only=True):
    """Open a login session; lost unless the account is active and still of the epoch `epoch`."""

    GUARD: ClassVar[bool] = True
    session: LoginSession
    epoch: int


class RotateSession(Command, frozen=True, kw_only=True):
    """Go on to the next refresh token; lost if `generation` is not the newest or the session over."""

    GUARD: ClassVar[bool] = True
    session_id: str
    generation: int
    now_us: int
    expires_us: int


class TouchSession(Command, frozen=True, kw_only=True):
    """Remember that a session was used."""

    session_id: str
    now_us: int


class RevokeSessions(Command, frozen=True, kw_only=True):
    """End one session of an account, or all but `kept_session_id`; those that have ended stay so."""

    account_id: str
    now_us: int
    session_id: str | None = None
    kept_session_id: str | None = None


class NewApiKey(Command, frozen=True, kw_only=True):
    """Store a key by its SHA-256 digest; lost unless the account is active."""

    GUARD: ClassVar[bool] = True
    key: ApiKey
    digest: bytes


class RevokeApiKey(Command, frozen=True, kw_only=True):
    """End a key of an account; lost if it has none such or it is revoked."""

    GUARD: ClassVar[bool] = True
    account_id: str
    key_id: str
    now_us: int


class TouchApiKeys(Command, frozen=True, kw_only=True):
    """Remember when keys were last used: pairs of id and time."""

    used: tuple[tuple[str, int], ...]


class LinkIdentity(Command, frozen=True, kw_only=True):
    """Link another issuer's identity to an account; lost if it is linked already.

    Also lost if the account has as many as `most` already.
    """

    GUARD: ClassVar[bool] = True
    issuer: str
    subject: str
    account_id: str
    slot: int
    provider: str
    created_us: int
    email: str | None = None
    most: int


class UnlinkIdentity(Command, frozen=True, kw_only=True):
    """End an identity of an account; lost if it has none such, or no other way in.

    That is a password, or another identity of one of `providers`.
    """

    GUARD: ClassVar[bool] = True
    issuer: str
    subject: str
    account_id: str
    providers: tuple[str, ...]


class NewInvite(Command, frozen=True, kw_only=True):
    """Store an invite by its SHA-256 digest."""

    invite: Invite
    digest: bytes


class UseInvite(Command, frozen=True, kw_only=True):
    """Use an invite up; lost if it was used, revoked or has expired."""

    GUARD: ClassVar[bool] = True
    invite_id: str
    account_id: str
    now_us: int


class RevokeInvite(Command, frozen=True, kw_only=True):
    """Take an invite back; lost if it was used or revoked."""

    GUARD: ClassVar[bool] = True
    invite_id: str
    now_us: int


class ForgetSessions(Command, frozen=True, kw_only=True):
    """Erase up to `limit` sessions that expired before a time; with `full` a lost guard if they are fewer."""

    before_us: int
    limit: int
    full: bool = False
