"""Random trees with forks, edits, hidden items and deletions, purged in any order and cut off anywhere:
who lives sees what it saw, and what is purged is nowhere."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from antiphon.bootstrap import SystemClock
from antiphon.domain import ids
from antiphon.domain.inputs import parse_input
from antiphon.ports import purge_writes as wp
from antiphon.services.answers import Answer
from antiphon.services.idempotency import Key
from antiphon.services.purges import DAY_US
from antiphon.services.trimming import GRACE_US
from tests.services.hand import ECHO, HAND, SILENT
from tests.services.purge_oracle import Story, orphans, purged, shown, stood_on, traces
from tests.services.tree_rules import tree_problems
from tests.services.world import World, open_world
from tests.store import query

pytestmark = pytest.mark.slow
numbers = st.integers(0, 1000)
ERASING = (
    wp.BeginPurge,
    wp.EraseItems,
    wp.EraseRuns,
    wp.EraseViews,
    wp.EraseSegment,
    wp.EndPurge,
    wp.EraseKeys,
)


class Cut(BaseException):
    """The end of the process, as far as the test can play it."""


class PurgeMachine(RuleBasedStateMachine):
    """The machine; `stories` are its conversations."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.directory = tempfile.TemporaryDirectory(prefix="antiphon-purge-")
        self.data = Path(self.directory.name) / "data"
        self.world: World = self.do(open_world(self.data))
        self.stories: list[Story] = []
        self.count = 0

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        try:
            self.do(self.world.application.purges.purge_account(self.world.who.account_id))
            for table in ("conversations", "segments", "items", "runs", "branches", "blobs", "idempotency"):
                assert query(self.data, f"SELECT * FROM {table}") == [], table
            assert traces(self.data, {"canary"}, sparing=set()) == []
            assert query(self.data, "SELECT COUNT(*) FROM ledger") == [(self.turns,)]
            self.do(self.world.close())
        finally:
            self.loop.close()
            self.directory.cleanup()

    turns = 0

    # --- choosing and writing

    def word(self, story: Story) -> str:
        self.count += 1
        word = f"canary{self.count:05}x"
        story.canaries.add(word)
        return word

    def message(self, story: Story, picture: bool) -> list[Any]:
        content: list[Any] = [{"type": "input_text", "text": self.word(story)}]
        if picture:
            url = f"data:image/png;base64,{self.word(story)}" + "QUJD" * 17_000
            content.append({"type": "input_image", "image_url": url})
        return parse_input([{"type": "message", "role": "user", "content": content}])

    def alive(self, number: int) -> Story | None:
        found = [story for story in self.stories if not story.deleted]
        return found[number % len(found)] if found else None

    def item(self, story: Story, number: int, role: str | None = None) -> str | None:
        path = [item for item in self.do(self.world.path(story.wire_id)) if role in (None, item.role)]
        return path[number % len(path)].wire_id if path else None

    def told(self, story: Story, answer: Answer) -> None:
        story.responses[ids.RESPONSE + answer.run.id] = None

    def fields(self, story: Story) -> dict[str, Any]:
        """What a turn says besides its input."""
        self.turns += 1
        return {
            "instructions": self.word(story),
            "metadata": f'{{"a":"{self.word(story)}"}}',
            "echo": {"conversation": True, "instructions": self.word(story)},
        }

    # --- rules

    @initialize()
    def begin(self) -> None:
        self.make()

    @rule()
    def create(self) -> None:
        self.make()

    def make(self) -> None:
        story = Story("")
        made = self.do(
            self.world.application.conversations.create(
                self.world.who,
                self.message(story, picture=True),
                metadata=f'{{"a":"{self.word(story)}"}}',
                title=self.word(story),
                key=Key(self.word(story), b"f", render=lambda made: (made.title or "").encode()),
            )
        )
        story.wire_id = ids.CONVERSATION + made.id
        self.stories.append(story)

    @rule()
    def ask(self) -> None:
        story = Story("", implicit=True)
        request = {**self.fields(story), "echo": {}}
        answer = self.do(self.world.turn(items=tuple(self.message(story, picture=False)), **request))
        story.wire_id = ids.CONVERSATION + (answer.run.conversation_id or "")
        self.told(story, answer)
        self.stories.append(story)

    @rule(which=numbers, picture=st.booleans())
    def append(self, which: int, picture: bool) -> None:
        if story := self.alive(which):
            items = self.message(story, picture)
            self.do(self.world.application.conversations.add_items(self.world.who, story.wire_id, items))

    @rule(which=numbers, picture=st.booleans(), model=st.sampled_from((ECHO, ECHO, SILENT)))
    def turn(self, which: int, picture: bool, model: str) -> None:
        if story := self.alive(which):
            items = tuple(self.message(story, picture))
            turn = self.world.turn(
                items=items, conversation_id=story.wire_id, model=model, **self.fields(story)
            )
            self.told(story, self.do(turn))

    @rule(which=numbers, response=numbers)
    def continue_response(self, which: int, response: int) -> None:
        found = [(story, wire) for story in self.stories for wire in story.responses]
        if found:
            story, wire = found[response % len(found)]
            items = tuple(self.message(story, picture=False))
            self.told(
                story, self.do(self.world.turn(items=items, previous_response_id=wire, **self.fields(story)))
            )

    @rule(which=numbers, what=numbers, again=st.booleans())
    def edit_or_regenerate(self, which: int, what: int, again: bool) -> None:
        story = self.alive(which)
        item = self.item(story, what, None if again else "user") if story else None
        if story is None or item is None:
            return
        if again:
            begun = self.do(self.world.regenerate(item, conversation_id=story.wire_id, **self.fields(story)))
        else:
            begun = self.do(
                self.world.edit(item, self.word(story), conversation_id=story.wire_id, **self.fields(story))
            )
        self.told(story, self.do(self.world.ended(begun)))

    @rule(which=numbers, what=numbers)
    def branch(self, which: int, what: int) -> None:
        story = self.alive(which)
        item = self.item(story, what) if story else None
        if story is not None and item is not None:
            create = self.world.application.branches.create
            name = self.word(story)
            self.do(create(self.world.who, story.wire_id, name=name, item_id=item, activate=what % 2 == 0))

    @rule(which=numbers, what=numbers)
    def delete_branch(self, which: int, what: int) -> None:
        if story := self.alive(which):
            names = self.do(self.world.branches(story.wire_id))
            others = sorted(set(names.values()) - {self.do(self.world.active(story.wire_id))})
            if others:
                delete = self.world.application.branches.delete
                self.do(delete(self.world.who, story.wire_id, others[what % len(others)]))

    @rule(which=numbers, what=numbers)
    def hide(self, which: int, what: int) -> None:
        story = self.alive(which)
        item = self.item(story, what) if story else None
        if story is not None and item is not None:
            self.do(self.world.application.conversations.hide_item(self.world.who, story.wire_id, item))

    @rule(which=numbers, what=numbers)
    def fork(self, which: int, what: int) -> None:
        origin = self.alive(which)
        if origin is not None:
            story = Story("")
            item = self.item(origin, what)
            title = self.word(story)
            # A fork carries its origin's metadata, so these words are its own as well.
            made = self.do(
                self.world.application.branches.fork(
                    self.world.who, origin.wire_id, item_id=item, title=title
                )
            )
            for word in list(origin.canaries):
                if word in made.metadata:
                    origin.canaries.discard(word)
                    story.canaries.discard(word)
            story.wire_id = ids.CONVERSATION + made.id
            self.stories.append(story)

    # --- going

    @rule(which=numbers)
    def delete(self, which: int) -> None:
        if story := self.alive(which):
            self.do(self.world.application.conversations.delete(self.world.who, story.wire_id))
            story.deleted = True

    @rule(response=numbers, purge=st.booleans())
    def delete_response(self, response: int, purge: bool) -> None:
        found = [(story, wire) for story in self.stories for wire in story.responses]
        if not found:
            return
        story, wire = found[response % len(found)]
        del story.responses[wire]
        if story.implicit:
            self.delete_chained(story, wire, purge)
        else:
            delete = self.world.application.answers.delete
            self.unchanged(delete(self.world.who, wire, purge=purge))
        if purge:
            assert query(self.data, "SELECT id FROM runs WHERE id=?", wire.removeprefix(ids.RESPONSE)) == []

    def delete_chained(self, story: Story, wire: str, purge: bool) -> None:
        """The chain itself may lose its end, or go; everybody else sees what they saw."""
        others = [one for one in self.stories if one is not story]
        before = self.do(shown(self.world, others))
        self.do(self.world.application.answers.delete(self.world.who, wire, purge=purge))
        assert self.do(shown(self.world, others)) == before
        rows = query(self.data, "SELECT 1 FROM conversations WHERE id=? AND deleted IS NULL", story.id)
        story.deleted = not rows

    def unchanged(self, work: Coroutine[Any, Any, Any]) -> None:
        before = self.do(shown(self.world, self.stories))
        self.do(work)
        assert self.do(shown(self.world, self.stories)) == before

    def purging(self, story: Story) -> Coroutine[Any, Any, Any]:
        story.deleted = True
        story.responses.clear()
        return self.world.application.conversations.delete(self.world.who, story.wire_id, purge=True)

    @rule(which=numbers)
    def purge(self, which: int) -> None:
        if story := self.alive(which):
            self.unchanged(self.purging(story))
            assert story in purged(self.data, self.stories)

    @rule(which=numbers)
    def purge_while_it_answers(self, which: int) -> None:
        if story := self.alive(which):
            items = tuple(self.message(story, picture=True))
            request = {"items": items, "conversation_id": story.wire_id, "model": HAND, **self.fields(story)}
            self.do(self.world.begin(**request))
            call = self.do(self.world.hand.next())
            call.say(self.word(story))
            self.unchanged(self.purging(story))
            assert call.closed.is_set()

    @rule(which=numbers, after=st.integers(0, 12))
    def purge_cut_off(self, which: int, after: int) -> None:
        """The process dies before the n-th slice; the next one finishes what was begun."""
        story = self.alive(which)
        if story is None:
            return
        left = after + 1

        def count(commands: Sequence[Any]) -> None:
            nonlocal left
            left -= isinstance(commands[0], ERASING) if commands else 0
            if left <= 0:
                raise Cut

        work = self.purging(story)
        before = self.do(shown(self.world, self.stories))
        self.world.storage.unit_of_work.before = count
        with contextlib.suppress(Cut):
            self.do(work)
        self.do(self.world.kill())
        self.world = self.do(open_world(self.data))
        self.do(self.world.application.purges.recover())
        if after == 0:
            story.deleted = False
            self.do(self.purging(story))
        assert self.do(shown(self.world, self.stories)) == before

    @rule()
    def sweep(self) -> None:
        """Two hours later: what nothing reaches goes, nobody sees a difference."""
        self.unchanged(self.later(2 * GRACE_US))

    @rule()
    def a_month_later(self) -> None:
        """Long deleted conversations go with their answers."""
        for story in self.stories:
            if story.deleted:
                story.responses.clear()
        self.unchanged(self.later(31 * DAY_US))
        gone = purged(self.data, self.stories)
        assert all(story in gone for story in self.stories if story.deleted)

    async def later(self, us: int) -> None:
        purges = self.world.application.purges
        for _ in range(3):  # what one pass leaves due is done by the next
            await purges.purge_expired(SystemClock().now_us() + us)

    # --- what must always hold

    @invariant()
    def it_is_a_tree(self) -> None:
        assert tree_problems(self.data, at_rest=True) == []

    @invariant()
    def nothing_of_the_purged_is_left_but_what_forks_stand_on(self) -> None:
        words = {word for story in purged(self.data, self.stories) for word in story.canaries}
        if words:
            assert traces(self.data, words, sparing=stood_on(self.data)) == []
            assert orphans(self.data) == []


PurgeMachine.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
test_purges_in_any_order = PurgeMachine.TestCase
