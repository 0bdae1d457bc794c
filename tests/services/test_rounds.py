"""One round of each job that erases takes all that is due, however much came in since the last."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from antiphon.bootstrap import SystemClock
from antiphon.ports import write_sets as ws
from antiphon.services import housekeeping, purges
from antiphon.services.housekeeping import CHANGES_KEPT_US, Housekeeping
from antiphon.services.runs.recover import Recovery
from tests.contracts.builders import change, new_conversation, new_item
from tests.services.test_erasure import Notes, purges_of
from tests.services.world import World, running_world

COUNT = 1_500
AT_ONCE = 100


class Still(SystemClock):
    """A clock by which nothing takes any time, so that there are no rests."""

    def monotonic(self) -> float:
        return 0.0


async def expired(world: World, count: int) -> None:
    """Put so many conversations of the owner in the store whose time has long come."""
    who = world.who
    for _ in range(0, count, AT_ONCE):
        commands: list[ws.Command] = []
        for _ in range(AT_ONCE):
            fields = {"owner_id": who.account_id, "slot": who.slot, "expires_us": 2_000}
            commands += new_conversation(**fields)[2]
        await world.storage.unit_of_work.commit(*commands)


def left(world: World, table: str) -> int:
    ((count,),) = world.rows(f"SELECT COUNT(*) FROM {table}")
    return int(count)


def keeping(world: World) -> Housekeeping:
    """The server's own jobs."""
    storage, application, clock = world.storage, world.application, SystemClock()
    recovery = Recovery(storage.journal, storage.unit_of_work, application.models, clock)
    return Housekeeping(
        storage.unit_of_work, storage.conversations, recovery, application.journal, application.runs, clock,
        storage.workers, world.leases,
    )  # fmt: skip


async def test_all_that_has_expired_is_erased_in_one_round(world: World) -> None:
    await expired(world, COUNT)
    purged = await purges_of(world, Notes(), Still()).purge_expired(SystemClock().now_us())
    assert purged.counts()["conversations"] == COUNT
    assert left(world, "conversations") == 0


async def test_all_sweeps_that_are_due_are_done_in_one_round(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purges, "BATCH", 3)
    for n in range(8):
        made = await world.conversation(f"u{n}")
        await world.application.conversations.delete(world.who, made)
    assert left(world, "sweeps") == 8
    await world.application.purges.purge_expired(SystemClock().now_us() + 2 * 3600 * 1_000_000)
    assert (left(world, "sweeps"), left(world, "conversations")) == (0, 0)


class Broken(Notes):
    """Holds something that it cannot let go of for one conversation."""

    def __init__(self, conversation_id: str) -> None:
        super().__init__()
        self.conversation_id = conversation_id
        self.asked = 0

    async def forget_conversation(self, owner_id: str, conversation_id: str) -> int:
        if conversation_id == self.conversation_id:
            self.asked += 1
            raise ValueError(conversation_id)
        return await super().forget_conversation(owner_id, conversation_id)


async def test_one_that_cannot_be_erased_holds_up_nothing_and_is_tried_once_a_round(world: World) -> None:
    first = await world.conversation("u")
    conversation = await world.application.conversations.get(world.who, first)
    await world.application.conversations.delete(world.who, first)
    await expired(world, AT_ONCE)
    notes = Broken(conversation.id)
    keeper = purges_of(world, notes, Still())
    for asked in (1, 2):
        with pytest.raises(ValueError, match=conversation.id):
            await keeper.purge_expired(SystemClock().now_us() + 31 * purges.DAY_US)
        assert notes.asked == asked
        assert world.rows("SELECT id, state FROM conversations") == [(conversation.id, "purging")]
    notes.conversation_id = ""
    await keeper.purge_expired(SystemClock().now_us())
    assert left(world, "conversations") == 0


async def test_all_expired_keys_are_forgotten_in_one_round(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "FORGET_ROWS", 4)
    for n in range(11):
        await world.storage.unit_of_work.commit(
            ws.PutKey(
                owner_id=world.who.account_id, slot=world.who.slot, key=f"k{n}", fingerprint=b"f",
                run_id=None, status=200, body=b"{}", created_us=1, expires_us=2,
            )
        )  # fmt: skip
    await keeping(world).forget()
    assert left(world, "idempotency") == 0


async def test_old_changes_of_all_conversations_are_forgotten_in_one_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "FORGET_CONVERSATIONS", 2)
    async with running_world(tmp_path / "data") as world:
        for _ in range(5):
            conversation, _, commands = new_conversation(new_item("a"))
            await world.storage.unit_of_work.commit(*commands, change(conversation))
        new, _, commands = new_conversation(new_item("a"))
        recent = msgspec.structs.replace(change(new), now_us=SystemClock().now_us() - CHANGES_KEPT_US // 2)
        await world.storage.unit_of_work.commit(*commands, recent)
        await keeping(world).forget()
        assert world.rows("SELECT DISTINCT conversation_id FROM conversation_changes") == [(new.id,)]
