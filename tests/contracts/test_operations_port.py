"""Ports `Operations`, `Groups` and `Retention`, and the guard that keeps an administrator."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from antiphon.domain import ids
from antiphon.domain.accounts import Account, Group, Invite
from antiphon.domain.errors import Conflict
from antiphon.domain.operations import AuditFilter
from antiphon.ports import account_writes as aw
from antiphon.ports import group_writes as gw
from antiphon.ports import operation_writes as ow
from antiphon.ports import write_sets as ws
from antiphon.ports.storage import Storage
from tests.contracts.builders import new_conversation

DAY_US = 24 * 3600 * 1_000_000
NOW_US = 1_000 * DAY_US
ALL = AuditFilter()


def account(name: str, **fields: Any) -> Account:
    slot = ids.new_slot()
    return Account(**{"id": ids.new_id(slot), "slot": slot, "name": name, "created_us": 1, **fields})


async def stored(storage: Storage, name: str, **fields: Any) -> Account:
    made = account(name, **fields)
    await storage.unit_of_work.commit(aw.NewAccount(account=made))
    return made


async def group(storage: Storage, name: str, **fields: Any) -> Group:
    made = Group(id=ids.new_id(1), name=name, created_us=1, **fields)
    await storage.unit_of_work.commit(gw.NewGroup(group=made))
    return made


def line(at_us: int, action: str = "test", **fields: Any) -> ow.Audit:
    identifier = ids.new_id(1, now_us=at_us)
    return ow.Audit(**{"id": identifier, "created_us": at_us, "actor_id": None, "action": action, **fields})


# --- audit


async def test_audit_entries_come_by_time_with_every_filter(storage: Storage) -> None:
    ada, eve = ids.new_id(1), ids.new_id(1)
    lines = [
        line(
            second * 1_000_000, action=f"a{second % 2}", actor_id=eve if second % 3 == 0 else ada,
            target=f"t{second}",
        )
        for second in range(1, 7)
    ]  # fmt: skip
    await storage.unit_of_work.commit(*lines)

    async def found(
        after: str | None = None, limit: int = 99, descending: bool = False, **wanted: Any
    ) -> list[int]:
        entries = await storage.operations.audit(
            AuditFilter(**wanted), after=after, limit=limit, descending=descending
        )
        return [entry.created_us // 1_000_000 for entry in entries]

    assert await found() == [1, 2, 3, 4, 5, 6]
    assert await found(descending=True, limit=2) == [6, 5]
    assert await found(after=lines[2].id) == [4, 5, 6]
    assert await found(after=lines[2].id, descending=True) == [2, 1]
    assert await found(since_us=3_000_000, until_us=5_000_000) == [3, 4]
    assert await found(since_us=3_000_001) == [4, 5, 6]
    assert await found(action="a0") == [2, 4, 6]
    assert await found(actor_id=eve, action="a0") == [6]
    assert await found(target="t5", actor_id=ada) == [5]
    assert await found(target="t5", actor_id=eve) == []
    (first,) = await storage.operations.audit(ALL, after=None, limit=1, descending=False)
    assert msgspec.structs.asdict(first) == msgspec.structs.asdict(lines[0])


async def test_audit_entries_are_forgotten_in_slices_the_oldest_first(storage: Storage) -> None:
    await storage.unit_of_work.commit(*(line(second * 1_000_000) for second in range(1, 7)))
    cut = f"{5_000_000 // 1000:012x}"

    async def left() -> list[int]:
        entries = await storage.operations.audit(ALL, after=None, limit=99, descending=False)
        return [entry.created_us // 1_000_000 for entry in entries]

    await storage.unit_of_work.commit(ow.ForgetAudit(before_id=cut, limit=3))
    assert await left() == [4, 5, 6]
    with pytest.raises(Conflict, match="ForgetAudit"):
        await storage.unit_of_work.commit(ow.ForgetAudit(before_id=cut, limit=3, full=True))
    assert await left() == [4, 5, 6]
    await storage.unit_of_work.commit(ow.ForgetAudit(before_id=cut, limit=3))
    assert await left() == [5, 6]


async def test_settings_are_put_replaced_and_dropped(storage: Storage) -> None:
    put = ow.PutSetting(name="a", value="1", updated_us=1)
    await storage.unit_of_work.commit(put, ow.PutSetting(name="b", value='"x"', updated_us=1))
    await storage.unit_of_work.commit(ow.PutSetting(name="a", value="2", updated_us=2))
    assert await storage.operations.runtime_settings() == {"a": "2", "b": '"x"'}
    await storage.unit_of_work.commit(ow.DropSetting(name="a"), ow.DropSetting(name="never"))
    assert await storage.operations.runtime_settings() == {"b": '"x"'}


# --- groups


async def test_groups_are_unique_by_name_and_listed_by_id(storage: Storage) -> None:
    made = [await group(storage, name) for name in ("c", "a", "b")]
    for command in (
        gw.NewGroup(group=Group(id=ids.new_id(1), name="a")),
        gw.UpdateGroup(group_id=made[0].id, name="a"),
        gw.UpdateGroup(group_id=ids.new_id(1), name="new"),
        gw.DeleteGroup(group_id=ids.new_id(1)),
        gw.RequireGroup(group_id=ids.new_id(1)),
    ):
        with pytest.raises(Conflict):
            await storage.unit_of_work.commit(command)
    await storage.unit_of_work.commit(gw.UpdateGroup(group_id=made[0].id, name="c", retention_days=0))
    assert (await storage.groups.by_name("c")) == msgspec.structs.replace(made[0], retention_days=0)
    page = storage.groups.page
    assert [one.name for one in await page(after=None, limit=2, descending=False)] == ["c", "a"]
    assert [one.name for one in await page(after=made[1].id, limit=9, descending=False)] == ["b"]
    assert [one.name for one in await page(after=None, limit=9, descending=True)] == ["b", "a", "c"]
    assert await storage.groups.get(ids.new_id(1)) is None


async def test_a_group_that_goes_leaves_nobody_in_it(storage: Storage) -> None:
    gone, kept = await group(storage, "gone"), await group(storage, "kept")
    people = [await stored(storage, f"p{number}", group_id=gone.id) for number in range(2)]
    other = await stored(storage, "other", group_id=kept.id)
    invite = Invite(
        id=ids.new_id(1), created_by=other.id, role="user", created_us=1, expires_us=2, group_id=gone.id
    )
    await storage.unit_of_work.commit(aw.NewInvite(invite=invite, digest=b"x" * 32))
    assert await storage.groups.sizes([gone.id, kept.id, ids.new_id(1)]) == {gone.id: 2, kept.id: 1}
    await storage.unit_of_work.commit(gw.DeleteGroup(group_id=gone.id))
    assert await storage.groups.sizes([gone.id, kept.id]) == {kept.id: 1}
    found = await storage.accounts.get(people[0].id)
    assert found is not None and found.group_id is None
    (left,) = await storage.credentials.invites(after=None, limit=9, descending=False)
    assert left.group_id is None


async def test_accounts_are_searched_by_the_beginning_of_the_name_and_by_group(storage: Storage) -> None:
    readers = await group(storage, "readers")
    for name in ("anna", "an%", "an_", "bert", "Anna2"):
        await stored(storage, name, group_id=readers.id if name != "anna" else None)

    async def names(**wanted: Any) -> set[str]:
        page = await storage.accounts.page(after=None, limit=99, descending=False, **wanted)
        assert [one.id for one in page] == sorted(one.id for one in page)
        return {one.name for one in page}

    assert await names(prefix="an") == {"anna", "an%", "an_"}
    assert await names(prefix="an%") == {"an%"}
    assert await names(prefix="an", group_id=readers.id) == {"an%", "an_"}


# --- the last administrator


async def test_the_last_active_administrator_is_guarded(storage: Storage) -> None:
    ada = await stored(storage, "ada", role="admin")
    user = await stored(storage, "user")
    await stored(storage, "sleeper", role="admin", state="disabled")
    keep = aw.KeepAdministrator(account_id=ada.id)
    demote = aw.UpdateAccount(account_id=ada.id, now_us=2, role="user", ends_sessions=True)
    for after in (demote, aw.DeleteAccount(account_id=ada.id, now_us=2)):
        with pytest.raises(Conflict, match="KeepAdministrator"):
            await storage.unit_of_work.commit(keep, after)
    await storage.unit_of_work.commit(aw.KeepAdministrator(account_id=user.id))
    owner = await stored(storage, "local", role="admin")
    with pytest.raises(Conflict, match="KeepAdministrator"):
        await storage.unit_of_work.commit(
            aw.KeepAdministrator(account_id=ada.id, unreachable_id=owner.id), demote
        )
    await storage.unit_of_work.commit(keep, demote)
    with pytest.raises(Conflict):
        await storage.unit_of_work.commit(aw.KeepAdministrator(account_id=ids.new_id(1)))


async def test_administrators_who_demote_each_other_at_once_leave_exactly_one(storage: Storage) -> None:
    for round_ in range(20):
        admins = [await stored(storage, f"a{round_}-{number}", role="admin") for number in range(5)]

        async def oust(one: Account) -> bool:
            change = aw.UpdateAccount(account_id=one.id, now_us=2, state="disabled", ends_sessions=True)
            try:
                await storage.unit_of_work.commit(aw.KeepAdministrator(account_id=one.id), change)
            except Conflict:
                return False
            return True

        ousted = await asyncio.gather(*(oust(one) for one in admins))
        assert sum(ousted) == len(admins) - 1 if round_ == 0 else sum(ousted) >= len(admins) - 1
        everybody = await storage.accounts.page(after=None, limit=999, descending=False)
        active = [one for one in everybody if one.role == "admin" and one.state == "active"]
        assert len(active) == 1
        await storage.unit_of_work.commit(
            aw.UpdateAccount(account_id=active[0].id, now_us=3, role="user", ends_sessions=True)
        )


# --- accounts that go


async def test_a_deleted_account_frees_its_name_and_is_erased_only_once_deleted(storage: Storage) -> None:
    ada = await stored(storage, "ada", email="ada@example.org")
    await storage.unit_of_work.commit(aw.EraseAccount(account_id=ada.id))
    assert await storage.accounts.get(ada.id) is not None
    await storage.unit_of_work.commit(aw.DeleteAccount(account_id=ada.id, now_us=50))
    with pytest.raises(Conflict):
        await storage.unit_of_work.commit(aw.DeleteAccount(account_id=ada.id, now_us=60))
    assert await storage.accounts.get(ada.id) is None and await storage.accounts.by_name("ada") is None
    again = await stored(storage, "ada", email="ada@example.org")
    assert await storage.retention.deleting(50, 9) == []
    assert list(await storage.retention.deleting(51, 9)) == [ada.id]
    await storage.unit_of_work.commit(aw.EraseAccount(account_id=ada.id))
    assert list(await storage.retention.deleting(51, 9)) == []
    assert (await storage.accounts.by_name("ada")) == again


# --- retention


async def kept(storage: Storage, owner: Account, *, updated_us: int = NOW_US, **fields: Any) -> str:
    """A conversation of somebody's; returns its id."""
    conversation, _, commands = new_conversation(
        id=ids.new_id(owner.slot), owner_id=owner.id, slot=owner.slot, updated_us=updated_us, **fields
    )
    await storage.unit_of_work.commit(*commands)
    return conversation.id


async def test_a_conversations_own_end_is_found_the_oldest_first(storage: Storage) -> None:
    owner = await stored(storage, "owner")
    later, sooner = await kept(storage, owner, expires_us=20), await kept(storage, owner, expires_us=10)
    await kept(storage, owner, expires_us=21)
    await kept(storage, owner)
    found = await storage.retention.expired(20, 9)
    assert [one.conversation_id for one in found] == [sooner, later]
    assert (found[0].owner_id, found[0].slot, found[0].updated_us) == (owner.id, owner.slot, NOW_US)
    assert len(await storage.retention.expired(20, 1)) == 1
    hide = ws.ExpireConversation(conversation_id=sooner, now_us=30, updated_us=NOW_US)
    await storage.unit_of_work.commit(hide)
    assert [one.conversation_id for one in await storage.retention.expired(20, 9)] == [later]
    assert await storage.conversations.get(owner.id, sooner) is None
    for lost in (hide, ws.ExpireConversation(conversation_id=later, now_us=30, updated_us=NOW_US - 1)):
        with pytest.raises(Conflict):
            await storage.unit_of_work.commit(lost)


async def test_the_account_says_how_long_then_its_group_then_its_role(storage: Storage) -> None:
    week, ever = (
        await group(storage, "week", retention_days=7),
        await group(storage, "ever", retention_days=0),
    )
    people = {
        "own": await stored(storage, "own", retention_days=2, group_id=week.id),
        "own for ever": await stored(storage, "own for ever", retention_days=0, group_id=week.id),
        "group": await stored(storage, "group", group_id=week.id),
        "group for ever": await stored(storage, "group for ever", group_id=ever.id),
        "user": await stored(storage, "user"),
        "admin": await stored(storage, "admin", role="admin"),
    }
    whose = {
        await kept(storage, who, updated_us=NOW_US - days * DAY_US - 1): (name, days)
        for name, who in people.items()
        for days in (1, 2, 7, 10, 30)
    }

    async def outdated(user: int, admin: int) -> set[tuple[str, int]]:
        found, last = await storage.retention.outdated(
            NOW_US, {"user": user, "admin": admin}, after="", limit=1_000
        )
        assert last == ""
        return {whose[one.conversation_id] for one in found}

    own = {("own", 2), ("own", 7), ("own", 10), ("own", 30)}
    grouped = {("group", 7), ("group", 10), ("group", 30)}
    assert await outdated(0, 0) == own | grouped
    assert await outdated(10, 0) == own | grouped | {("user", 10), ("user", 30)}
    assert await outdated(0, 30) == own | grouped | {("admin", 30)}


async def test_a_sweep_goes_through_all_conversations_slice_by_slice(storage: Storage) -> None:
    owner = await stored(storage, "owner", retention_days=1)
    made = [await kept(storage, owner, updated_us=1) for _ in range(7)]
    found: list[str] = []
    after, rounds = "", 0
    while True:
        passed, after = await storage.retention.outdated(
            NOW_US, {"user": 0, "admin": 0}, after=after, limit=3
        )
        found += [one.conversation_id for one in passed]
        rounds += 1
        if not after:
            break
    assert found == sorted(made) and rounds == 3


async def test_an_end_is_kept_changed_and_taken_away(storage: Storage) -> None:
    owner = await stored(storage, "owner")
    identifier = await kept(storage, owner, expires_us=50)

    async def end() -> int | None:
        found = await storage.conversations.get(owner.id, identifier)
        assert found is not None
        return found.expires_us

    assert await end() == 50
    change = ws.UpdateConversation(conversation_id=identifier, title="T")
    await storage.unit_of_work.commit(change)
    assert await end() == 50
    await storage.unit_of_work.commit(msgspec.structs.replace(change, expires_us=70))
    assert await end() == 70
    await storage.unit_of_work.commit(msgspec.structs.replace(change, expires_us=None))
    assert await end() is None
