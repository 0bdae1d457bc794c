"""Limits and counters go with whom they are for: an erased account, a revoked key, a deleted group."""

from __future__ import annotations

import msgspec
import pytest

from antiphon.domain import ids
from antiphon.domain.accounts import Account, Group
from antiphon.domain.errors import Conflict
from antiphon.domain.limits import DAY_US, new_limit
from antiphon.ports import account_writes as aw
from antiphon.ports import group_writes as gw
from antiphon.ports import quota_writes as qw
from antiphon.ports.quotas import Counter
from antiphon.ports.storage import Storage
from tests.contracts.builders import SLOT
from tests.contracts.test_accounts_port import new_key, stored
from tests.contracts.test_quotas_ports import WINDOW, counter, reserve, settle


async def with_keys(storage: Storage, name: str, keys: int) -> tuple[Account, list[str]]:
    """Store an account with keys, and return it with the scopes of all."""
    account = await stored(storage, name)
    made = [new_key(account, f"{name}{number}") for number in range(keys)]
    await storage.unit_of_work.commit(*made)
    return account, [f"user:{account.id}", *(f"key:{one.key.id}" for one in made)]


async def limited_and_counted(storage: Storage, scopes: list[str]) -> str:
    """Limit scopes and count in two windows of each; returns a run that still holds one of each."""
    used, run_id = ids.new_id(SLOT), ids.new_id(SLOT)
    limits = [new_limit(scope, "tokens", "day", 5) for scope in scopes]
    await storage.unit_of_work.commit(*(qw.SetLimit(limit=one, created_us=1) for one in limits))
    names = [one.counter("") for one in limits]
    await storage.unit_of_work.commit(
        *(reserve(used, 3, counter=name, window_start=WINDOW - DAY_US) for name in names)
    )
    await storage.unit_of_work.commit(settle(used, 3))
    await storage.unit_of_work.commit(*(reserve(run_id, 1, counter=name) for name in names))
    return run_id


async def left(storage: Storage, scopes: list[str]) -> tuple[list[str], list[str]]:
    """Which of some scopes have limits, and which have counters."""
    limits = {one.scope for one in await storage.quotas.limits(None, after=None, limit=99)}
    counted = []
    for scope in scopes:
        windows = [(f"{scope}||tokens|day", WINDOW - DAY_US), (f"{scope}||tokens|day", WINDOW)]
        if await storage.quotas.counters(windows) != [Counter(), Counter()]:
            counted.append(scope)
    return [scope for scope in scopes if scope in limits], counted


async def test_an_erased_account_takes_limits_and_counters_along_and_so_do_its_keys(storage: Storage) -> None:
    (ada, hers), (_, others) = await with_keys(storage, "ada", 2), await with_keys(storage, "bob", 1)
    others.append("group:g")
    all_of_them = [*hers, *others]
    running = await limited_and_counted(storage, all_of_them)
    await storage.unit_of_work.commit(aw.EraseAccount(account_id=ada.id))
    assert await left(storage, all_of_them) == (all_of_them, all_of_them), "she is not deleted"
    await storage.unit_of_work.commit(aw.DeleteAccount(account_id=ada.id, now_us=9))
    await storage.unit_of_work.commit(aw.EraseAccount(account_id=ada.id))
    assert await left(storage, all_of_them) == (others, others)
    await storage.unit_of_work.commit(settle(running, 4))
    assert await left(storage, all_of_them) == (others, others)
    assert await counter(storage, "group:g||tokens|day") == Counter(used=4, reserved=0)
    assert await storage.quotas.abandoned(WINDOW + 9, after="", limit=9) == []


async def test_a_revoked_key_takes_its_limits_and_counters_along(storage: Storage) -> None:
    ada, scopes = await with_keys(storage, "ada", 2)
    await limited_and_counted(storage, scopes)
    ended = aw.RevokeApiKey(account_id=ids.new_id(SLOT), key_id=scopes[1].removeprefix("key:"), now_us=9)
    with pytest.raises(Conflict):
        await storage.unit_of_work.commit(ended)
    assert await left(storage, scopes) == (scopes, scopes)
    await storage.unit_of_work.commit(msgspec.structs.replace(ended, account_id=ada.id))
    rest = [scopes[0], scopes[2]]
    assert await left(storage, scopes) == (rest, rest)


async def test_a_deleted_group_takes_its_limits_and_counters_along(storage: Storage) -> None:
    groups = [Group(id=ids.new_id(SLOT), name=name, created_us=1) for name in ("one", "two")]
    await storage.unit_of_work.commit(*(gw.NewGroup(group=one) for one in groups))
    scopes = [f"group:{one.id}" for one in groups]
    await limited_and_counted(storage, scopes)
    await storage.unit_of_work.commit(gw.DeleteGroup(group_id=groups[0].id))
    assert await left(storage, scopes) == (scopes[1:], scopes[1:])
