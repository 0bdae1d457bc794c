"""Whatever is written, shared, unshared, hidden, forked, deleted, purged and restarted: search shows a caller
every word that it may read now, and no other."""

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
from antiphon.domain.accounts import Principal
from antiphon.domain.errors import AntiphonError, NotFound
from antiphon.domain.inputs import parse_input
from antiphon.domain.items import Item, text_of
from antiphon.services.search import SearchRequest
from tests.services.recall import Recalling, open_recalling
from tests.services.world import another_person, say

pytestmark = pytest.mark.slow
numbers = st.integers(0, 1000)
COMMON = "common"
"""Stands in every message, so that one question asks for all."""


class SearchMachine(RuleBasedStateMachine):
    """`talks` are conversations that were made, by wire id, with their owners; all are asked about always."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.directory = tempfile.TemporaryDirectory(prefix="antiphon-search-")
        self.data = Path(self.directory.name) / "data"
        self.world: Recalling = self.do(open_recalling(self.data))
        self.people: list[Principal] = [self.world.who]
        self.talks: dict[str, Principal] = {}
        self.purged: set[str] = set()
        self.words: dict[str, set[str]] = {}
        self.count = 0

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        try:
            self.do(self.world.close())
        finally:
            self.loop.close()
            self.directory.cleanup()

    # --- choosing

    def talk(self, number: int) -> tuple[str, Principal] | None:
        alive = [one for one in self.talks.items() if self.readable(one[1], one[0]) is not None]
        return alive[number % len(alive)] if alive else None

    def readable(self, who: Principal, talk: str) -> list[Item] | None:
        """The items of all of a conversation's branches as the API shows them to somebody, None if closed."""
        try:
            return self.do(self._items(who, talk))  # type: ignore[no-any-return]
        except NotFound:
            return None

    async def _items(self, who: Principal, talk: str) -> list[Item]:
        application = self.world.application
        _, page = await application.branches.page(who, talk, after=None, limit=1000)
        found: dict[str, Item] = {}
        for branch in page.data:
            listed = await application.conversations.items(
                who, talk, branch_id=ids.BRANCH + branch.id, after=None, limit=100, descending=False
            )
            found |= {item.id: item for item in listed.data}
        return list(found.values())

    def word(self) -> str:
        self.count += 1
        return f"{COMMON} w{self.count}"

    def quietly(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Do what may be refused."""
        try:
            return self.do(work)
        except AntiphonError:
            return None

    # --- rules

    @initialize()
    def begin(self) -> None:
        for name in ("ann", "ben"):
            self.people.append(self.do(another_person(self.world, name)))
        self.make(0)

    @rule(number=numbers)
    def make(self, number: int) -> None:
        who = self.people[number % 3]
        items = parse_input([say(self.word()), say(self.word())])
        made = self.do(
            self.world.application.conversations.create(who, items, metadata="{}", title=None, key=None)
        )
        self.talks[ids.CONVERSATION + made.id] = who

    @rule(number=numbers)
    def add(self, number: int) -> None:
        if found := self.talk(number):
            self.quietly(
                self.world.application.conversations.add_items(
                    found[1], found[0], parse_input([say(self.word())])
                )
            )

    @rule(number=numbers)
    def edit(self, number: int) -> None:
        if (found := self.talk(number)) and (items := self.readable(found[1], found[0])):
            item = items[number % len(items)]
            self.quietly(
                self.world.application.alternatives.edit_only(
                    found[1], found[0], item.wire_id, parse_input(self.word())
                )
            )

    @rule(number=numbers, other=numbers, role=st.sampled_from(["viewer", "editor"]))
    def share(self, number: int, other: int, role: Any) -> None:
        if found := self.talk(number):
            guest = self.people[other % 3]
            self.quietly(self.world.application.members.add(found[1], found[0], guest.name, role))

    @rule(number=numbers, other=numbers)
    def unshare(self, number: int, other: int) -> None:
        if found := self.talk(number):
            guest = self.people[other % 3]
            self.quietly(self.world.application.members.remove(found[1], found[0], guest.name))

    @rule(number=numbers, other=numbers)
    def fork(self, number: int, other: int) -> None:
        if found := self.talk(number):
            who = self.people[other % 3]
            items = self.readable(who, found[0])
            if items:
                made = self.quietly(
                    self.world.application.branches.fork(
                        who, found[0], item_id=items[number % len(items)].wire_id, title=None
                    )
                )
                if made is not None:
                    self.talks[ids.CONVERSATION + made.id] = who

    @rule(number=numbers)
    def hide(self, number: int) -> None:
        if (found := self.talk(number)) and (items := self.readable(found[1], found[0])):
            item = items[number % len(items)]
            self.quietly(self.world.application.conversations.hide_item(found[1], found[0], item.wire_id))

    @rule(number=numbers)
    def delete(self, number: int) -> None:
        if found := self.talk(number):
            self.do(self.world.application.conversations.delete(found[1], found[0]))

    @rule(number=numbers)
    def purge(self, number: int) -> None:
        if found := self.talk(number):
            self.do(self.world.application.conversations.delete(found[1], found[0], purge=True))

    @rule()
    def restart(self) -> None:
        self.do(self.world.kill())
        self.world = self.do(open_recalling(self.data))

    @rule()
    def catch_up(self) -> None:
        self.do(self.world.indexed())

    # --- what must hold

    @invariant()
    def nobody_finds_what_may_not_be_read(self) -> None:
        """Also before the index has caught up."""
        for who in self.people:
            may = {text for talk in self.talks for text in self.texts(who, talk)}
            assert self.found(who) <= may

    @invariant()
    def everybody_finds_all_that_may_be_read(self) -> None:
        self.do(self.world.indexed())
        for who in self.people:
            may = {text for talk in self.talks for text in self.texts(who, talk)}
            assert self.found(who) == may
        for talk in self.talks:
            for who in self.people:
                try:
                    found = self.found(who, conversation_id=talk)
                except NotFound:
                    assert self.readable(who, talk) is None
                else:
                    assert found == self.texts(who, talk)

    @invariant()
    def the_index_holds_nothing_that_is_erased(self) -> None:
        stored = {row[0] for row in self.world.rows("SELECT id FROM items")}
        assert set(self.world.items()) <= stored
        assert len(self.world.items()) == len(set(self.world.items()))

    def texts(self, who: Principal, talk: str) -> set[str]:
        return {text_of(item.body()) for item in self.readable(who, talk) or ()}

    def found(self, who: Principal, **fields: Any) -> set[str]:
        """What all pages show."""
        seen: set[str] = set()
        after = None
        while True:
            request = SearchRequest(query=COMMON, limit=7, after=after, **fields)
            page = self.do(self.world.application.search.search(who, request))
            texts = [hit.passage.text for hit in page.data]
            seen |= set(texts)
            after = page.cursor
            if after is None:
                return seen


TestSearch = SearchMachine.TestCase
TestSearch.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip
