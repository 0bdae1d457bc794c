"""Groups of accounts, which share limits and a retention."""

from __future__ import annotations

import re
from typing import Final, NoReturn

import msgspec
from msgspec import UNSET, UnsetType

from antiphon.domain import ids
from antiphon.domain.accounts import Group
from antiphon.domain.errors import Conflict, Unprocessable
from antiphon.ports import group_writes as gw
from antiphon.ports.clock import Clock
from antiphon.ports.storage import Storage
from antiphon.services.access import not_found
from antiphon.services.administration import Administrator, audit
from antiphon.services.conversations import cursor_of
from antiphon.services.paging import Page

GROUP_ID: Final = "grp_"
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class SizedGroup(msgspec.Struct, frozen=True):
    """A group and how many accounts are in it."""

    group: Group
    size: int


class Groups:
    """Create, read, change and delete groups; accounts are put into them by `Users`."""

    def __init__(self, storage: Storage, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock

    async def create(self, admin: Administrator, *, name: str, retention_days: int | None) -> SizedGroup:
        """Create a group; raises Conflict if the name is taken."""
        now = self._clock.now_us()
        identifier = ids.new_id(admin.who.slot, now_us=now)
        group = Group(id=identifier, name=group_name(name), retention_days=retention_days, created_us=now)
        note = audit(
            admin, self._clock, "group.create", GROUP_ID + group.id, name=group.name,
            retention_days=retention_days,
        )  # fmt: skip
        try:
            await self._storage.unit_of_work.commit(gw.NewGroup(group=group), note)
        except Conflict:
            _refuse_name(group.name)
        return SizedGroup(group, 0)

    async def get(self, admin: Administrator, group_id: str) -> SizedGroup:
        """Return a group; raises NotFound."""
        group = await self.find(group_id)
        sizes = await self._storage.groups.sizes([group.id])
        return SizedGroup(group, sizes.get(group.id, 0))

    async def find(self, group_id: str) -> Group:
        """Return the group of a wire id; raises NotFound."""
        identifier = ids.parse(group_id, GROUP_ID)
        found = await self._storage.groups.get(identifier) if identifier else None
        return found or not_found("Group", group_id)

    async def page(
        self, admin: Administrator, *, after: str | None, limit: int, descending: bool
    ) -> Page[SizedGroup]:
        """Return groups, newest first if `descending`."""
        cursor = cursor_of(after, GROUP_ID)
        found = await self._storage.groups.page(after=cursor, limit=limit + 1, descending=descending)
        shown = found[:limit]
        sizes = await self._storage.groups.sizes([group.id for group in shown])
        return Page([SizedGroup(group, sizes.get(group.id, 0)) for group in shown], len(found) > limit)

    async def update(
        self,
        admin: Administrator,
        group_id: str,
        *,
        name: str | UnsetType = UNSET,
        retention_days: int | UnsetType | None = UNSET,
    ) -> SizedGroup:
        """Change what is given; raises NotFound, Conflict if the name is taken."""
        group = await self.find(group_id)
        wanted = UNSET if name is UNSET else group_name(name)
        given = {"name": wanted, "retention_days": retention_days}
        detail = {key: value for key, value in given.items() if value is not UNSET}
        try:
            await self._storage.unit_of_work.commit(
                gw.UpdateGroup(group_id=group.id, name=wanted, retention_days=retention_days),
                audit(admin, self._clock, "group.update", GROUP_ID + group.id, **detail),
            )
        except Conflict:
            await self.find(group_id)
            _refuse_name(str(wanted))
        return await self.get(admin, group_id)

    async def delete(self, admin: Administrator, group_id: str) -> Group:
        """Delete a group; its accounts are in none afterwards. Raises NotFound."""
        group = await self.find(group_id)
        try:
            await self._storage.unit_of_work.commit(
                gw.DeleteGroup(group_id=group.id),
                audit(admin, self._clock, "group.delete", GROUP_ID + group.id, name=group.name),
            )
        except Conflict:
            not_found("Group", group_id)
        return group


def group_name(name: str) -> str:
    """Return a name as it is stored: in lower case; raises Unprocessable if it cannot be one."""
    lower = name.strip().lower()
    if not _NAME.fullmatch(lower):
        raise Unprocessable(
            "A name has 1 to 64 letters, digits, dots, dashes and underscores; the first is no mark.",
            code="invalid_value",
            param="name",
        )
    return lower


def _refuse_name(name: str) -> NoReturn:
    raise Conflict(f"There is a group '{name}' already.", code="name_taken", param="name") from None
