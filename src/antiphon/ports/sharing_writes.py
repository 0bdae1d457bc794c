"""Commands of members, share links and copies; see `ports.write_sets`."""

from __future__ import annotations

from typing import ClassVar

from antiphon.domain.members import Role
from antiphon.domain.shares import ShareLink
from antiphon.ports.write_sets import Command


class PutMember(Command, frozen=True, kw_only=True):
    """Make an account a member; lost if it is one, or if the conversation is gone."""

    GUARD: ClassVar[bool] = True
    conversation_id: str
    account_id: str
    owner_id: str
    slot: int
    role: Role
    created_us: int


class SetMemberRole(Command, frozen=True, kw_only=True):
    """Give a member another role; lost if it is none."""

    GUARD: ClassVar[bool] = True
    conversation_id: str
    account_id: str
    role: Role


class RemoveMember(Command, frozen=True, kw_only=True):
    """End a membership; lost if there is none."""

    GUARD: ClassVar[bool] = True
    conversation_id: str
    account_id: str


class PutShare(Command, frozen=True, kw_only=True):
    """Store a share link by its digest; lost if the conversation is gone."""

    GUARD: ClassVar[bool] = True
    link: ShareLink
    digest: bytes


class RevokeShare(Command, frozen=True, kw_only=True):
    """End a share link; lost if it has ended or is none of the conversation's."""

    GUARD: ClassVar[bool] = True
    conversation_id: str
    share_id: str
    now_us: int


class HideConversation(Command, frozen=True, kw_only=True):
    """Keep a conversation that is created in this set invisible until it is whole.

    It is stored as a deleted one, so what is left of a copy that was never finished goes like one.
    """

    conversation_id: str


class RevealConversation(Command, frozen=True, kw_only=True):
    """Make a hidden conversation visible; lost if it is gone.

    As made at `created_us` and last used at `updated_us` (None: now).
    """

    GUARD: ClassVar[bool] = True
    conversation_id: str
    now_us: int
    created_us: int | None = None
    updated_us: int | None = None
