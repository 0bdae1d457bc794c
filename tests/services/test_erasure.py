"""Whoever holds something of conversations hears of it when they are erased: before the store erases, once
more when nothing is left, and again after a kill."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from antiphon.bootstrap import SystemClock
from antiphon.domain import ids
from antiphon.domain.errors import Conflict
from antiphon.ports import purge_writes as wp
from antiphon.ports.purging import Owned
from antiphon.services import trimming
from antiphon.services.erasure import Erasures
from antiphon.services.purges import Purges
from tests.services.world import World, running_world


class Notes:
    """Holds one note an item; `told` is what it was asked, `kept` what stayed after all."""

    counted = "notes"

    def __init__(self) -> None:
        self.items: set[str] = set()
        self.told: list[tuple[str, ...]] = []
        self.kept: list[str] = []

    @asynccontextmanager
    async def forgetting_items(
        self, owner_id: str, conversation_id: str, item_ids: Sequence[str]
    ) -> AsyncIterator[int]:
        gone = self.items & set(item_ids)
        self.items -= gone
        try:
            yield len(gone)
        except BaseException:
            self.kept += item_ids
            raise

    async def forget_conversation(self, owner_id: str, conversation_id: str) -> int:
        self.told.append(("conversation", owner_id, conversation_id))
        return 0

    async def forget_owner(self, owner_id: str) -> int:
        self.told.append(("owner", owner_id))
        return 0


async def no_cache(owner_id: str) -> None:
    """There is no cache of answers here."""


def purges_of(world: World, notes: Notes, clock: SystemClock | None = None) -> Purges:
    application = world.application
    return Purges(
        world.storage, world.knowledge.stores.said, world.engine, application.runs,
        application.journal, clock or SystemClock(), response_ttl_days=30, forget=no_cache,
        erasures=Erasures([notes]),
    )  # fmt: skip


async def noted(world: World, conversation: str, notes: Notes) -> Owned:
    """The conversation, with a note for each of its items."""
    notes.items |= {item.id for item in await world.path(conversation)}
    found = await world.application.conversations.get(world.who, conversation)
    return Owned(found.id, found.owner_id, found.slot)


async def test_a_purge_forgets_every_item_and_at_last_the_conversation(tmp_path: Path) -> None:
    async with running_world(tmp_path / "data") as world:
        notes = Notes()
        conversation = await world.conversation(*"abcde")
        other = await world.conversation("x")
        await noted(world, other, notes)
        owned = await noted(world, conversation, notes)
        purged = await purges_of(world, notes).purge_conversation(owned)
        assert (purged.counts()["items"], purged.counts()["notes"]) == (5, 5)
        assert notes.items == {item.id for item in await world.path(other)}
        assert notes.told == [("conversation", world.who.account_id, owned.id)]


async def test_what_a_living_fork_shows_is_not_forgotten_before_the_fork_is(tmp_path: Path) -> None:
    async with running_world(tmp_path / "data") as world:
        notes = Notes()
        conversation = await world.conversation("a", "b")
        first = (await world.path(conversation))[0]
        made = await world.application.branches.fork(
            world.who, conversation, item_id=first.wire_id, title=None
        )
        owned = await noted(world, conversation, notes)
        purges = purges_of(world, notes)
        await purges.purge_conversation(owned)
        assert notes.items == {first.id}
        purged = await purges.purge_conversation(Owned(made.id, made.owner_id, made.slot))
        assert (notes.items, purged.counts()["notes"]) == (set(), 1)
        assert notes.told[-1] == ("conversation", world.who.account_id, owned.id)


async def test_of_a_slice_that_is_refused_everything_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trimming, "ITEMS", 1)
    async with running_world(tmp_path / "data") as world:
        notes = Notes()
        conversation = await world.conversation("a", "b")
        owned = await noted(world, conversation, notes)
        refused: list[Any] = []

        def refuse_once(commands: Sequence[Any]) -> None:
            if type(commands[0]) is wp.EraseItems and not refused:
                refused.append(commands)
                raise Conflict("EraseItems")

        last = (await world.path(conversation))[-1].id
        world.storage.unit_of_work.before = refuse_once
        purged = await purges_of(world, notes).purge_conversation(owned)
        assert notes.kept == [last]
        assert purged.counts()["items"] == 2 and notes.items == set()


async def test_a_purge_that_was_cut_off_tells_again(tmp_path: Path) -> None:
    async with running_world(tmp_path / "data") as world:
        notes = Notes()
        conversation = await world.conversation("a", "b")
        owned = await noted(world, conversation, notes)

        def cut(commands: Sequence[Any]) -> None:
            if type(commands[0]) is wp.EndPurge:
                raise KeyboardInterrupt

        world.storage.unit_of_work.before = cut
        with pytest.raises(KeyboardInterrupt):
            await purges_of(world, notes).purge_conversation(owned)
        world.storage.unit_of_work.before = None
        notes.told.clear()
        await purges_of(world, notes).recover()
        assert ("conversation", world.who.account_id, owned.id) in notes.told
        assert world.rows("SELECT COUNT(*) FROM conversations") == [(0,)]


async def test_a_deleted_account_is_forgotten_whole(tmp_path: Path) -> None:
    async with running_world(tmp_path / "data") as world:
        notes = Notes()
        await noted(world, await world.conversation("a", "b"), notes)
        await noted(world, await world.conversation("c"), notes)
        purged = await purges_of(world, notes).purge_account(world.who.account_id)
        assert (purged.counts()["notes"], notes.items) == (3, set())
        assert notes.told[-1] == ("owner", world.who.account_id)


async def test_a_single_answer_that_goes_takes_its_items_along(tmp_path: Path) -> None:
    async with running_world(tmp_path / "data") as world:
        notes = Notes()
        first = await world.turn("one")
        second = await world.turn("two", previous_response_id=ids.RESPONSE + first.run.id)
        notes.items = {row[0] for row in world.rows("SELECT id FROM items")}
        purged = await purges_of(world, notes).purge_response(world.who, second.run)
        assert purged.counts()["notes"] == 2
        assert notes.items == {row[0] for row in world.rows("SELECT id FROM items")}
