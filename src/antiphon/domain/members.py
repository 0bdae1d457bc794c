"""Members of a conversation: who may do what in somebody else's."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from antiphon.domain.errors import Forbidden

Role = Literal["viewer", "editor", "owner"]
"""What a member may do: a viewer reads and follows, an editor also writes turns, items and branches,
the owner (exactly one) also deletes, invites and shares."""

VIEWER: Final = "viewer"
EDITOR: Final = "editor"
OWNER: Final = "owner"

_RANK: Final[dict[Role, int]] = {VIEWER: 0, EDITOR: 1, OWNER: 2}


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One person in a conversation; the owner is listed too. Times are µs UTC."""

    account_id: str
    name: str
    role: Role
    created_us: int


def require(role: Role, need: Role) -> None:
    """Raise Forbidden if a member's role is below what an act needs."""
    if _RANK[role] < _RANK[need]:
        raise Forbidden(f"This needs the role '{need}' in the conversation, yours is '{role}'.")
