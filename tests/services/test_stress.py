"""Twenty writers on one conversation without any rest, as a crowd would: no order is forced here."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from antiphon.domain.errors import InvalidRequest, NotFound
from tests.services.tree_bursts import MAY_BE_TOLD, Burst
from tests.services.tree_model import Model, Talk
from tests.services.tree_rules import parents, tree_problems
from tests.services.world import World

WRITERS = 20
WRITES_EACH = 15


class Crowd(Burst):
    """Writers that go on writing, each from what it knows now."""

    async def write(self, seed: int) -> list[BaseException]:
        """One writer; returns what it may not be told."""
        dice = random.Random(seed)
        faults: list[BaseException] = []
        for _ in range(WRITES_EACH):
            name = dice.choice(self.WRITES)
            try:
                await getattr(self, f"do_{name}")(dice.randrange(1000))
            except NotFound:
                continue
            except InvalidRequest as refused:
                if refused.code not in MAY_BE_TOLD:
                    faults.append(refused)
            except Exception as error:
                faults.append(error)
            if dice.random() < 0.3:
                await self._look_again()
        return faults

    async def do_fork(self, number: int) -> None:
        """Fork without noting the fork: others have moved on since the model was read."""
        item = self._pick(self.items, number)
        await self.world.application.branches.fork(
            self.world.who, self.talk.wire_id, item_id=f"msg_{item}", title=None
        )

    async def _look_again(self) -> None:
        names = await self.world.branches(self.talk.wire_id)
        self.names = list(names.values())
        items = await self.world.path(self.talk.wire_id)
        self.items = [item.id for item in items] or self.items
        self.users = [item.id for item in items if item.role == "user"] or self.users


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_twenty_writers_leave_a_tree_with_everything_in_it(world: World, seed: int) -> None:
    conversation = await world.conversation("one", "two", "three")
    path = await world.path(conversation)
    active = await world.active(conversation)
    talk = Talk(conversation, {active: path[-1].id}, active, members={item.id: None for item in path})
    model = Model(parent=parents(world.directory), talks=[talk])
    count = iter(range(100_000))
    crowd = Crowd(world, model, talk, lambda: f"text {next(count)}")
    faults: list[Any] = []
    for one in await asyncio.gather(*(crowd.write(seed * 1000 + writer) for writer in range(WRITERS))):
        faults += one
    assert faults == []
    assert tree_problems(world.directory, at_rest=True) == []
    await crowd._reconcile({})
    for branch in talk.branches:
        listed = [item.id for item in await world.path(conversation, branch_id=branch)]
        assert listed == model.shown(talk, branch)
