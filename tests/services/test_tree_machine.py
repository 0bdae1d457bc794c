"""A conversation under every write in any order, one by one and twenty at a time: always a tree."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from antiphon.domain import ids
from antiphon.domain.errors import InvalidRequest
from antiphon.domain.inputs import parse_input
from antiphon.services.answers import Answer
from tests.services.hand import BROKEN, ECHO, HAND, SILENT
from tests.services.tree_bursts import Burst
from tests.services.tree_model import Model, Talk
from tests.services.tree_rules import parents, tree_problems
from tests.services.world import World, open_world, say

pytestmark = pytest.mark.slow
numbers = st.integers(0, 1000)


class TreeMachine(RuleBasedStateMachine):
    """The machine; `model` says what must be there."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.directory = tempfile.TemporaryDirectory(prefix="antiphon-tree-")
        self.world: World = self.do(open_world(Path(self.directory.name) / "data"))
        self.model = Model()
        self.count = 0

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        try:
            self.do(self.world.close())
            assert tree_problems(self.world.directory, at_rest=True) == []
        finally:
            self.loop.close()
            self.directory.cleanup()

    # --- choosing

    def text(self) -> str:
        self.count += 1
        return f"text {self.count}"

    def talk(self, number: int) -> Talk:
        alive = [talk for talk in self.model.talks if not talk.deleted]
        return alive[number % len(alive)]

    def item(self, talk: Talk, number: int) -> str | None:
        seen = talk.seen
        return seen[number % len(seen)] if seen else None

    def branch(self, talk: Talk, number: int) -> str:
        return list(talk.branches)[number % len(talk.branches)]

    def wire(self, item: str) -> str:
        return f"msg_{item}"

    def ended(self, talk: Talk, after: str | None, answer: Answer, branch: str | None) -> str | None:
        """Note what a turn left behind; returns the end of its answer."""
        run = answer.run
        told = run.request["parent_id"]
        assert (told.rpartition("_")[2] if told else None) == after
        assert (ids.BRANCH + run.branch_id if run.branch_id else None) == branch
        asked = self.model.add(
            talk, after, [wire.rpartition("_")[2] for wire in run.request["input_item_ids"]]
        )
        outputs = [out.id for out in answer.outputs]
        end = self.model.add(talk, asked, outputs)
        for item in outputs:
            self.model.asked[item] = asked
        self.model.responses[ids.RESPONSE + run.id] = (talk, end)
        return end if outputs else None

    # --- rules

    @initialize()
    def begin(self) -> None:
        wire = self.do(self.world.conversation())
        active = self.do(self.world.active(wire))
        self.model.talks.append(Talk(wire, {active: None}, active))

    @rule(which=numbers, where=numbers, many=st.integers(1, 3))
    def append(self, which: int, where: int, many: int) -> None:
        talk = self.talk(which)
        branch = self.branch(talk, where)
        items = parse_input([say(self.text()) for _ in range(many)])
        add = self.world.application.conversations.add_items
        made = self.do(add(self.world.who, talk.wire_id, items, branch_id=branch))
        talk.branches[branch] = self.model.add(talk, talk.branches[branch], [item.id for item in made])

    @rule(
        which=numbers, where=numbers, named=st.booleans(), model=st.sampled_from((ECHO, ECHO, SILENT, BROKEN))
    )
    def turn(self, which: int, where: int, named: bool, model: str) -> None:
        talk = self.talk(which)
        branch = self.branch(talk, where) if named else talk.active
        fields = {"branch_id": branch} if named else {}
        answer = self.do(self.world.turn(self.text(), conversation_id=talk.wire_id, model=model, **fields))
        end = self.ended(talk, talk.branches[branch], answer, branch)
        if end is not None:
            talk.branches[branch] = end

    @rule(which=numbers)
    def cancelled_turn(self, which: int) -> None:
        talk = self.talk(which)

        async def run() -> Answer:
            begun = await self.world.begin(
                self.text(), conversation_id=talk.wire_id, model=HAND, background=True
            )
            call = await self.world.hand.next()
            if which % 2:
                call.say("half")
                await begun.live.wait()
            return await self.world.application.answers.cancel(self.world.who, ids.RESPONSE + begun.run_id)

        end = self.ended(talk, talk.branches[talk.active], self.do(run()), talk.active)
        if end is not None:
            talk.branches[talk.active] = end

    @rule(which=numbers)
    def continue_response(self, which: int) -> None:
        if not self.model.responses:
            return
        wire = list(self.model.responses)[which % len(self.model.responses)]
        talk, after = self.model.responses[wire]
        answer = self.do(self.world.turn(self.text(), previous_response_id=wire))
        self.ended(talk, after, answer, None)

    @rule(which=numbers, what=numbers)
    def edit(self, which: int, what: int) -> None:
        talk = self.talk(which)
        item = self.item(talk, what)
        if item is None or self.role(item) != "user":
            return
        answer = self.do(
            self.world.ended(
                self.do(self.world.edit(self.wire(item), self.text(), conversation_id=talk.wire_id))
            )
        )
        self.opened(talk, self.model.parent[item], answer)

    @rule(which=numbers, what=numbers)
    def regenerate(self, which: int, what: int) -> None:
        talk = self.talk(which)
        item = self.item(talk, what)
        if item is None:
            return
        again = self.world.regenerate(self.wire(item), conversation_id=talk.wire_id)
        asked = self.model.asked.get(item, item)
        if talk.hidden.issuperset(self.model.line(asked)):  # nothing that was asked is left to answer
            with pytest.raises(InvalidRequest):
                self.do(again)
            return
        self.opened(talk, asked, self.do(self.world.ended(self.do(again))))

    def role(self, item: str) -> str:
        ((role,),) = self.world.rows("SELECT role FROM items WHERE id=?", item)
        return str(role)

    def opened(self, talk: Talk, after: str | None, answer: Answer) -> None:
        branch = ids.BRANCH + (answer.run.branch_id or "")
        assert branch not in talk.branches
        talk.branches[branch] = self.ended(talk, after, answer, branch)
        talk.active = branch

    @rule(which=numbers)
    def fan_out(self, which: int) -> None:
        talk = self.talk(which)
        after = talk.branches[talk.active]

        async def run() -> list[Answer]:
            models = [ECHO, SILENT, ECHO]
            begun = await self.world.fan_out(self.text(), models, conversation_id=talk.wire_id)
            return [await self.world.ended(one) for one in begun]

        first, *others = self.do(run())
        talk.branches[talk.active] = self.ended(talk, after, first, talk.active)
        asked = self.model.parent[first.outputs[0].id]
        for answer in others:
            branch = ids.BRANCH + (answer.run.branch_id or "")
            talk.branches[branch] = self.ended(talk, asked, answer, branch) or asked

    @rule(which=numbers, what=numbers, activate=st.booleans())
    def make_branch(self, which: int, what: int, activate: bool) -> None:
        talk = self.talk(which)
        item = self.item(talk, what)
        create = self.world.application.branches.create
        wire = self.wire(item) if item is not None else None
        _, made = self.do(create(self.world.who, talk.wire_id, name=None, item_id=wire, activate=activate))
        talk.branches[ids.BRANCH + made.id] = item
        if activate:
            talk.active = ids.BRANCH + made.id

    @rule(which=numbers, where=numbers)
    def rename_branch(self, which: int, where: int) -> None:
        talk = self.talk(which)
        rename = self.world.application.branches.rename
        self.do(rename(self.world.who, talk.wire_id, self.branch(talk, where), f"name {self.text()}"))

    @rule(which=numbers, where=numbers)
    def activate_branch(self, which: int, where: int) -> None:
        talk = self.talk(which)
        talk.active = self.branch(talk, where)
        self.do(self.world.application.branches.activate(self.world.who, talk.wire_id, talk.active))

    @rule(which=numbers, where=numbers)
    def delete_branch(self, which: int, where: int) -> None:
        talk = self.talk(which)
        branch = self.branch(talk, where)
        if branch != talk.active:
            self.do(self.world.application.branches.delete(self.world.who, talk.wire_id, branch))
            del talk.branches[branch]

    @rule(which=numbers, what=numbers)
    def hide(self, which: int, what: int) -> None:
        talk = self.talk(which)
        item = self.item(talk, what)
        if item is not None:
            self.do(
                self.world.application.conversations.hide_item(self.world.who, talk.wire_id, self.wire(item))
            )
            talk.hidden.add(item)

    @rule(which=numbers, what=numbers)
    def fork(self, which: int, what: int) -> None:
        talk = self.talk(which)
        item = self.item(talk, what)
        wire = self.wire(item) if item is not None else None
        made = self.do(
            self.world.application.branches.fork(self.world.who, talk.wire_id, item_id=wire, title=None)
        )
        base = item if item is not None else talk.branches[talk.active]
        branch = ids.BRANCH + made.active_branch_id
        fork = Talk(
            ids.CONVERSATION + made.id, {branch: base}, branch, members=dict.fromkeys(self.model.line(base)),
            hidden=set(talk.hidden),
        )  # fmt: skip
        self.model.talks.append(fork)

    @rule(which=numbers)
    def delete_conversation(self, which: int) -> None:
        talk = self.talk(which)
        if all(other.deleted or other is talk for other in self.model.talks):
            return
        self.do(self.world.application.conversations.delete(self.world.who, talk.wire_id))
        talk.deleted = True

    @rule(
        which=numbers,
        writes=st.lists(st.tuples(st.sampled_from(Burst.WRITES), numbers), min_size=2, max_size=20),
    )
    def burst(self, which: int, writes: list[tuple[str, int]]) -> None:
        """Up to twenty writers at once; what they were told must be so, and the rest is read back."""
        talk = self.talk(which)
        burst = Burst(self.world, self.model, talk, self.text)
        self.do(burst.run(writes))

    # --- what must always hold

    @invariant()
    def everything_acknowledged_is_there_and_follows_what_it_followed(self) -> None:
        assert parents(self.world.directory) == self.model.parent

    @invariant()
    def every_branch_lists_its_path(self) -> None:
        for talk in self.model.talks:
            if talk.deleted:
                continue
            found = self.do(self.world.branches(talk.wire_id))
            assert set(found.values()) == set(talk.branches)
            assert self.do(self.world.active(talk.wire_id)) == talk.active
            for branch in talk.branches:
                listed = [item.id for item in self.do(self.world.path(talk.wire_id, branch_id=branch))]
                assert listed == self.model.shown(talk, branch)

    @invariant()
    def it_is_a_tree_and_nothing_is_claimed(self) -> None:
        assert tree_problems(self.world.directory, at_rest=True) == []


TreeMachine.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
test_any_order_of_writes = TreeMachine.TestCase
