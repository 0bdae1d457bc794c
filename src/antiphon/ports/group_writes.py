"""Commands that write groups."""

from __future__ import annotations

from typing import ClassVar

from msgspec import UNSET, UnsetType

from antiphon.domain.accounts import Group
from antiphon.ports.write_sets import Command


class NewGroup(Command, frozen=True, kw_only=True):
    """Create a group; lost if its name is taken."""

    GUARD: ClassVar[bool] = True
    group: Group


class UpdateGroup(Command, frozen=True, kw_only=True):
    """Change the fields that are given; lost if the group is gone or the name another's."""

    GUARD: ClassVar[bool] = True
    group_id: str
    name: str | UnsetType = UNSET
    retention_days: int | UnsetType | None = UNSET


class DeleteGroup(Command, frozen=True, kw_only=True):
    """Delete a group, its limits and what invites say of it; its accounts are in none afterwards."""

    GUARD: ClassVar[bool] = True
    group_id: str


class RequireGroup(Command, frozen=True, kw_only=True):
    """Lost unless the group exists; changes nothing."""

    GUARD: ClassVar[bool] = True
    group_id: str
