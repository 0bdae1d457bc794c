"""Whatever happens in whatever order, both legs find exactly what is there now.

The searches go through the vectors kept in memory, which read on from the store; a second reader that has
room for none of them must find the same.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from antiphon.domain.passages import Source
from tests.contracts.index_world import IN_MONGODB, IN_SQL, IndexWorld, new_source, passage, run

SCOPES = ("a" * 32, "b" * 32)
HISTORY = "h" + "d" * 32

steps = st.lists(
    st.tuples(
        st.sampled_from(
            ("file", "replace", "stage", "remove", "withdraw", "say", "forget", "embed", "sweep", "look")
        ),
        st.integers(0, 30),
    ),
    min_size=5,
    max_size=40,
)


class Model:
    """What should be found."""

    def __init__(self, world: IndexWorld) -> None:
        self.world = world
        self.live: dict[str, tuple[Source, list[str]]] = {}
        self.said: dict[str, str] = {}
        self.embedded: set[str] = set()
        self.chat = new_source(HISTORY, kind="history")
        self.count = 0

    def texts(self, number: int) -> list[str]:
        self.count += 1
        return [f"fox {self.count} {one}" for one in range(number % 4 + 1)]

    async def step(self, what: str, number: int) -> None:
        await getattr(self, what)(number)

    async def file(self, number: int) -> None:
        texts = self.texts(number)
        source = await self.world.file(SCOPES[number % 2], *texts, embed=number % 3 > 0)
        self.live[source.id] = (source, texts)
        self.embedded |= set(texts) if number % 3 else set()

    async def stage(self, number: int) -> None:
        source = new_source(SCOPES[number % 2])
        self.world.member(source.scope, source.ref_id)
        await self.world.put(source, *self.texts(number), publish=False, embed=number % 2 > 0)

    def pick(self, number: int) -> tuple[Source, list[str]] | None:
        return list(self.live.values())[number % len(self.live)] if self.live else None

    async def replace(self, number: int) -> None:
        if (picked := self.pick(number)) is None:
            return
        old, texts = picked
        new = new_source(old.scope, ref_id=old.ref_id, version=old.version + 1)
        texts = [*texts[1:], *self.texts(number)]
        await self.world.put(new, *texts, embed=True)
        del self.live[old.id]
        self.live[new.id] = (new, texts)
        self.embedded |= set(texts)

    async def remove(self, number: int) -> None:
        if (picked := self.pick(number)) is not None:
            self.world.remove(picked[0].scope, picked[0].ref_id)
            del self.live[picked[0].id]

    async def withdraw(self, number: int) -> None:
        if (picked := self.pick(number)) is not None:
            await self.world.index.withdraw([picked[0].id])
            del self.live[picked[0].id]

    async def say(self, number: int) -> None:
        (text, *_) = self.texts(0)
        await self.world.index.add_messages([(self.chat, [passage(0, text, item_id=f"i{self.count}")])])
        self.said[f"i{self.count}"] = text
        if number % 2:
            await self.world.embed("o", [text])
            self.embedded.add(text)

    async def forget(self, number: int) -> None:
        items = list(self.said)[number % 5 :: 3]
        assert await self.world.scopes.forget_items(self.chat.id, items) == len(items)
        for item in items:
            self.embedded.discard(self.said.pop(item))

    async def embed(self, number: int) -> None:
        missing = await self.world.vectors.missing_anywhere("test/model", number + 1)
        await self.world.embed("o", [one.text for _, one in missing])
        self.embedded |= {one.text for _, one in missing}

    async def sweep(self, number: int) -> None:
        await self.world.index.sweep(number + 1)

    async def look(self, number: int) -> None:
        for scopes in ([SCOPES[0]], [SCOPES[1]], [HISTORY], [*SCOPES, HISTORY]):
            texts = {text for source, texts in self.live.values() if source.scope in scopes for text in texts}
            texts |= set(self.said.values()) if HISTORY in scopes else set()
            lexical, dense = await self.world.found(scopes, "fox", limit=200)
            assert lexical == texts
            assert dense == texts & self.embedded
            counted = await self.world.search(scopes, "fox")
            assert (counted.total, counted.embedded) == (len(texts), len(dense))


@pytest.mark.parametrize("name", IN_SQL)
@pytest.mark.parametrize("cache_bytes", [1 << 26, 4_000, 0])
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(taken=steps)
def test_what_is_found_is_what_is_there(
    tmp_path_factory: pytest.TempPathFactory, name: str, cache_bytes: int, taken: list[tuple[str, int]]
) -> None:
    hold(tmp_path_factory, name, cache_bytes, taken)


@pytest.mark.parametrize("name", IN_MONGODB)
@pytest.mark.parametrize("cache_bytes", [1 << 26, 0])
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(taken=steps)
def test_it_is_in_mongodb_too(
    tmp_path_factory: pytest.TempPathFactory, name: str, cache_bytes: int, taken: list[tuple[str, int]]
) -> None:
    hold(tmp_path_factory, name, cache_bytes, taken)


def hold(
    tmp_path_factory: pytest.TempPathFactory, name: str, cache_bytes: int, taken: list[tuple[str, int]]
) -> None:
    """Take the steps, and compare with what ought to be there."""

    async def work(world: IndexWorld) -> None:
        model = Model(world)
        for what, number in [*taken, ("look", 0)]:
            await model.step(what, number)
        while await world.index.sweep(10):
            pass
        await model.look(0)
        check_nothing_is_left_over(world)

    options: dict[str, Any] = {"cache_bytes": cache_bytes}
    run(tmp_path_factory.mktemp("machine"), name, work, **options)


def check_nothing_is_left_over(world: IndexWorld) -> None:
    """Every row belongs to something that is there, and the index says the same as its content."""
    sources = dict(world.execute("SELECT no,passages FROM sources"))
    counted = world.passages_of()
    assert counted.keys() <= sources.keys()
    assert {no: counted.get(no, (0, 0))[0] for no in sources} == sources
    wrong = "(SELECT coalesce(sum({0}),0) FROM sources s WHERE s.scope_no=c.no AND s.state='live')"
    assert world.execute(f"SELECT count(*) FROM scopes c WHERE total<>{wrong.format('passages')}") == [(0,)]
    if world.documents is not None:
        assert {no: counted.get(no, (0, 0))[1] for no in sources} == dict(
            world.execute("SELECT no,words FROM sources")
        )
        assert world.execute(f"SELECT count(*) FROM scopes c WHERE words<>{wrong.format('words')}") == [(0,)]
        return
    for orphan in (
        "passage_texts WHERE no NOT IN (SELECT no FROM passages)",
        "passages WHERE no NOT IN (SELECT no FROM passage_texts)",
        "vectors v WHERE NOT EXISTS (SELECT 1 FROM passages p JOIN sources s ON s.no=p.source_no"
        " WHERE p.text_hash=v.text_hash AND s.owner_id=v.owner_id)",
    ):
        assert world.execute(f"SELECT count(*) FROM {orphan}") == [(0,)], orphan
    if world.engine == "sqlite":
        world.execute("INSERT INTO words(words,rank) VALUES('integrity-check',1)")
        assert world.execute("PRAGMA integrity_check") == [("ok",)]
        return
    counts = "SELECT coalesce(sum(length),0) FROM passages p WHERE p.source_no=s.no"
    assert world.execute(f"SELECT count(*) FROM sources s WHERE words<>({counts})") == [(0,)]
    assert world.execute(f"SELECT count(*) FROM scopes c WHERE words<>{wrong.format('words')}") == [(0,)]
