"""Twenty writers on one conversation at the same moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise
from typing import Any, ClassVar

from antiphon.domain import ids
from antiphon.domain.errors import InvalidRequest, NotFound
from antiphon.domain.inputs import parse_input
from antiphon.services.answers import Answer
from tests.services.hand import ECHO, HAND
from tests.services.tree_model import Model, Talk
from tests.services.tree_rules import heads as points
from tests.services.tree_rules import parents
from tests.services.world import World, say

MAY_BE_TOLD = {
    "branch_active", "branch_name_taken", "previous_response_not_finished", "missing_required_parameter",
}  # fmt: skip
"""What a caller may be told because others write too. Never a conflict, a lock or a fault."""


class Burst:
    """Writers that all begin from what the model knows and run at once."""

    WRITES: ClassVar = (
        "append", "turn", "turn_on_branch", "cancel", "edit", "edit_only", "regenerate", "branch", "rename",
        "delete_branch", "activate", "hide", "fork", "previous", "parent",
    )  # fmt: skip

    def __init__(self, world: World, model: Model, talk: Talk, text: Callable[[], str]) -> None:
        self.world = world
        self.model = model
        self.talk = talk
        self.text = text
        self.items = talk.seen
        self.users = [item for item in self.items if self._role(item) == "user"]
        self.names = list(talk.branches)
        self.responses = [wire for wire, (of, _) in model.responses.items() if of is talk]
        self.answers: list[Answer] = []
        self.appended: list[list[str]] = []

    def _role(self, item: str) -> str:
        ((role,),) = self.world.rows("SELECT role FROM items WHERE id=?", item)
        return str(role)

    async def run(self, writes: list[tuple[str, int]]) -> None:
        """Do all at once, then hold the world against what everybody was told."""
        heads = dict(self.talk.branches)
        done = await asyncio.gather(
            *(getattr(self, f"do_{name}")(number) for name, number in writes), return_exceptions=True
        )
        for one in done:
            refused = isinstance(one, NotFound) or (
                isinstance(one, InvalidRequest) and one.code in MAY_BE_TOLD
            )
            if isinstance(one, BaseException) and not refused:
                raise one
        await self._reconcile(heads)

    async def _reconcile(self, heads: dict[str, str | None]) -> None:
        stored = parents(self.world.directory)
        for known, parent in self.model.parent.items():
            assert stored[known] == parent, "what was there before has moved"
        for items in self.appended:
            for before, after in pairwise(items):
                assert stored[after] == before
        for answer in self.answers:
            self._check_told(answer, stored)
        told = {item for items in self.appended for item in items}
        told |= {out.id for answer in self.answers for out in answer.outputs}
        told |= {wire.rpartition("_")[2] for a in self.answers for wire in a.run.request["input_item_ids"]}
        assert told <= stored.keys(), "something acknowledged is lost"
        for item in stored:
            if item not in self.model.parent:
                self.talk.members[item] = None
        self.model.parent = stored
        await self._read_branches(heads)

    def _check_told(self, answer: Answer, stored: dict[str, str | None]) -> None:
        run = answer.run
        line = [wire.rpartition("_")[2] for wire in run.request["input_item_ids"]]
        asked = line[-1] if line else (run.request["parent_id"] or "").rpartition("_")[2] or None
        line += [out.id for out in answer.outputs]
        told = run.request["parent_id"]
        for before, item in zip([told.rpartition("_")[2] if told else None, *line], line, strict=False):
            assert stored[item] == before, "a turn is not where it said it is"
        for out in answer.outputs:
            self.model.asked[out.id] = asked
        self.model.responses[ids.RESPONSE + run.id] = (self.talk, line[-1] if line else asked)

    async def _read_branches(self, heads: dict[str, str | None]) -> None:
        """Take over where branches are now; heads may have moved to descendants only."""
        found: dict[str, str | None] = {}
        stored = points(self.world.directory)
        names = await self.world.branches(self.talk.wire_id)
        for name in sorted(names):
            wire = names[name]
            head = found[wire] = stored[wire.removeprefix(ids.BRANCH)]
            if heads.get(wire) is not None:
                assert heads[wire] in self.model.line(head), "a head has left its line"
        self.talk.branches = found
        self.talk.active = await self.world.active(self.talk.wire_id)
        self.talk.hidden = self._hidden_in(self.talk.wire_id.removeprefix(ids.CONVERSATION))

    def _hidden_in(self, conversation_id: str) -> set[str]:
        rows = self.world.rows("SELECT item_id FROM hidden_items WHERE conversation_id=?", conversation_id)
        return {row[0] for row in rows}

    # --- writers

    def _pick(self, choices: list[str], number: int) -> str:
        if not choices:
            raise NotFound("nothing to choose from")
        return choices[number % len(choices)]

    async def _answered(self, begun: Any) -> None:
        self.answers.append(await self.world.ended(begun))

    async def do_append(self, number: int) -> None:
        items = parse_input([say(self.text()) for _ in range(1 + number % 2)])
        add = self.world.application.conversations.add_items
        self.appended.append([item.id for item in await add(self.world.who, self.talk.wire_id, items)])

    async def do_turn(self, number: int) -> None:
        await self._answered(await self.world.begin(self.text(), conversation_id=self.talk.wire_id))

    async def do_turn_on_branch(self, number: int) -> None:
        wire = self._pick(self.names, number)
        await self._answered(
            await self.world.begin(self.text(), conversation_id=self.talk.wire_id, branch_id=wire)
        )

    async def do_cancel(self, number: int) -> None:
        begun = await self.world.begin(
            self.text(), conversation_id=self.talk.wire_id, model=HAND, background=True
        )
        await self.world.application.answers.cancel(self.world.who, ids.RESPONSE + begun.run_id)
        await self._answered(begun)

    async def do_edit(self, number: int) -> None:
        item = self._pick(self.users, number)
        await self._answered(
            await self.world.edit(f"msg_{item}", self.text(), conversation_id=self.talk.wire_id)
        )

    async def do_edit_only(self, number: int) -> None:
        item = self._pick(self.users, number)
        edit = self.world.application.alternatives.edit_only
        items = await edit(self.world.who, self.talk.wire_id, f"msg_{item}", parse_input(self.text()))
        self.appended.append([one.id for one in items])

    async def do_regenerate(self, number: int) -> None:
        item = self._pick(self.items, number)
        await self._answered(await self.world.regenerate(f"msg_{item}", conversation_id=self.talk.wire_id))

    async def do_branch(self, number: int) -> None:
        item = self._pick(self.items, number)
        create = self.world.application.branches.create
        await create(
            self.world.who, self.talk.wire_id, name=None, item_id=f"msg_{item}", activate=number % 3 == 0
        )

    async def do_rename(self, number: int) -> None:
        wire = self._pick(self.names, number)
        name = f"name {number % 4}"
        await self.world.application.branches.rename(self.world.who, self.talk.wire_id, wire, name)

    async def do_delete_branch(self, number: int) -> None:
        wire = self._pick(self.names, number)
        await self.world.application.branches.delete(self.world.who, self.talk.wire_id, wire)

    async def do_activate(self, number: int) -> None:
        wire = self._pick(self.names, number)
        await self.world.application.branches.activate(self.world.who, self.talk.wire_id, wire)

    async def do_hide(self, number: int) -> None:
        item = self._pick(self.items, number)
        await self.world.application.conversations.hide_item(self.world.who, self.talk.wire_id, f"msg_{item}")

    async def do_fork(self, number: int) -> None:
        item = self._pick(self.items, number)
        made = await self.world.application.branches.fork(
            self.world.who, self.talk.wire_id, item_id=f"msg_{item}", title=None
        )
        branch = ids.BRANCH + made.active_branch_id
        line = dict.fromkeys(self.model.line(item))
        hidden = self._hidden_in(made.id)  # others may hide more at the same time
        assert self.talk.hidden <= hidden, "a fork shows what was deleted before"
        fork = Talk(ids.CONVERSATION + made.id, {branch: item}, branch, hidden=hidden, members=line)
        self.model.talks.append(fork)

    async def do_previous(self, number: int) -> None:
        wire = self._pick(self.responses, number)
        await self._answered(await self.world.begin(self.text(), previous_response_id=wire))

    async def do_parent(self, number: int) -> None:
        item = self._pick(self.items, number)
        fields = {"parent_item_id": f"msg_{item}", "new_branch": "beside", "activate": number % 2 == 0}
        await self._answered(
            await self.world.begin(self.text(), conversation_id=self.talk.wire_id, model=ECHO, **fields)
        )
