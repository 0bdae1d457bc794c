"""Port `Aliases`: an alias is its owner's and unique, leads to one id, and goes with either."""

from __future__ import annotations

import asyncio

import pytest

from antiphon.domain.errors import Conflict
from antiphon.ports.account_writes import EraseAccount, UpdateAccount
from antiphon.ports.aliases import PutAlias
from antiphon.ports.purge_writes import BeginPurge
from antiphon.ports.storage import Storage
from tests.contracts.builders import OWNER, SLOT, STRANGER, new_conversation
from tests.harness.people import make_account


def alias(name: str, target: str, *, owner: str = OWNER, moves: bool = False) -> PutAlias:
    return PutAlias(owner_id=owner, slot=SLOT, alias=name, target_id=target, moves=moves)


async def test_an_alias_leads_its_owner_and_nobody_else(storage: Storage) -> None:
    await storage.unit_of_work.commit(alias("user:7", "a" * 32), alias("user:7", "b" * 32, owner=STRANGER))
    assert await storage.aliases.target(OWNER, "user:7") == "a" * 32
    assert await storage.aliases.target(STRANGER, "user:7") == "b" * 32
    assert await storage.aliases.target(OWNER, "user:8") is None
    assert await storage.aliases.of(OWNER, "user:", ["a" * 32, "b" * 32]) == {"a" * 32: "user:7"}


async def test_one_that_is_taken_is_lost_unless_it_moves(storage: Storage) -> None:
    await storage.unit_of_work.commit(alias("x", "a" * 32))
    with pytest.raises(Conflict, match="PutAlias"):
        await storage.unit_of_work.commit(alias("y", "c" * 32), alias("x", "b" * 32))
    assert await storage.aliases.target(OWNER, "y") is None, "nothing of the set is there"
    await storage.unit_of_work.commit(alias("x", "b" * 32, moves=True))
    assert await storage.aliases.target(OWNER, "x") == "b" * 32


async def test_the_last_of_a_prefix_is_found(storage: Storage) -> None:
    assert await storage.aliases.last(OWNER, "n#") is None
    await storage.unit_of_work.commit(
        *(alias(f"n#{number:04d}", f"{number:032d}") for number in (1, 12, 9)), alias("o#0099", "f" * 32)
    )
    assert await storage.aliases.last(OWNER, "n#") == "n#0012"
    assert await storage.aliases.last(STRANGER, "n#") is None


async def test_of_two_who_take_one_at_once_one_gets_it(storage: Storage) -> None:
    taking = [storage.unit_of_work.commit(alias("n#1", f"{number:032d}")) for number in range(6)]
    done = await asyncio.gather(*taking, return_exceptions=True)
    assert sum(isinstance(one, Conflict) for one in done) == 5


async def test_an_alias_goes_with_what_it_leads_to(storage: Storage) -> None:
    made, _, commands = new_conversation()
    await storage.unit_of_work.commit(*commands, alias("a", made.id), alias("b", "c" * 32))
    await storage.unit_of_work.commit(BeginPurge(conversation_id=made.id, now_us=9))
    assert await storage.aliases.target(OWNER, "a") is None
    assert await storage.aliases.target(OWNER, "b") == "c" * 32


async def test_an_alias_goes_with_its_owner_and_with_the_person_it_leads_to(storage: Storage) -> None:
    gone = await make_account(storage, "gone")
    await storage.unit_of_work.commit(
        alias("a", "c" * 32, owner=gone.id), alias("user#1", gone.id), alias("user#2", "c" * 32)
    )
    await storage.unit_of_work.commit(UpdateAccount(account_id=gone.id, now_us=9, state="deleting"))
    await storage.unit_of_work.commit(EraseAccount(account_id=gone.id))
    assert await storage.aliases.target(gone.id, "a") is None
    assert await storage.aliases.target(OWNER, "user#1") is None
    assert await storage.aliases.target(OWNER, "user#2") == "c" * 32
