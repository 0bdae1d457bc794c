"""Ports `PassageIndex` and `IndexScopes`: what is published is found whole at once, what is gone is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from antiphon.domain.errors import Conflict
from antiphon.domain.filters import Comparison
from antiphon.domain.passages import Cut, HistoryFilter, IndexQuery
from tests.contracts.index_world import INDEXES, MODEL, NAMES, IndexWorld, new_source, passage, vector

SCOPE, OTHER = "a" * 32, "b" * 32
HISTORY = "h" + "c" * 32


@pytest.fixture(params=NAMES)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[IndexWorld]:
    async with INDEXES[request.param](tmp_path / "data") as opened:
        yield opened


async def test_a_file_is_found_once_it_is_published_and_not_before(world: IndexWorld) -> None:
    source = new_source(SCOPE, language="en")
    world.member(SCOPE, source.ref_id)
    await world.put(source, "red fox", "blue whale", publish=False)
    assert await world.found([SCOPE], "fox") == [set(), set()]
    assert await world.scopes.staged(10) == [source.id]
    assert await world.scopes.languages([SCOPE]) == ()
    assert await world.index.publish(source.id)
    assert await world.found([SCOPE], "fox") == [{"red fox"}, {"red fox", "blue whale"}]
    assert await world.scopes.staged(10) == []
    assert await world.scopes.languages([SCOPE, OTHER]) == ("en",)
    assert world.execute("SELECT source_id FROM members") == [(source.id,)]
    counted = await world.search([SCOPE], "fox")
    assert (counted.total, counted.embedded) == (2, 2)


async def test_of_what_is_staged_only_what_nobody_holds_is_given_up(world: IndexWorld) -> None:
    held, free, gone = (new_source(SCOPE) for _ in range(3))
    for source in (held, free):
        world.member(SCOPE, source.ref_id)
    for source in (held, free, gone):
        await world.put(source, "red fox", publish=False)
    world.execute("UPDATE members SET not_before=? WHERE file_id=?", 100, held.ref_id)
    assert await world.scopes.staged(10, free_at_us=99) == [free.id, gone.id]
    assert await world.scopes.staged(10, free_at_us=100) == [held.id, free.id, gone.id]
    world.execute("UPDATE members SET state='cancelled'")
    assert len(await world.scopes.staged(10, free_at_us=99)) == 3


async def test_a_passage_comes_back_as_it_was_whatever_is_in_it(world: IndexWorld) -> None:
    odd = "red\0fox \uffff1 \U0001f600"
    source = new_source(SCOPE, title=odd)
    world.member(SCOPE, source.ref_id)
    long = "x" * 5_000
    one = msgspec.structs.replace(passage(0, odd, heading=odd), body_terms=f"red fox {long} it's a\\b :* & |")
    await world.index.add(source, [one])
    assert await world.index.publish(source.id)
    for text in ("fox", "it's", "a\\b", ":*", "& | !", long):
        found = await world.search([SCOPE], text)
        (read,) = await world.index.passages([SCOPE], [1])
        assert (read.text, read.heading) == (odd, odd)
        assert len(found.lexical) <= 1
    assert len((await world.search([SCOPE], "fox")).lexical) == 1
    assert await world.vectors.missing(MODEL, source.id, 9)


async def test_repeating_what_was_done_changes_nothing(world: IndexWorld) -> None:
    source = await world.file(SCOPE, "red fox", "blue whale")
    await world.index.add(source, [passage(0, "red fox"), passage(1, "blue whale")])
    assert await world.index.publish(source.id)
    found = await world.search([SCOPE], "red whale")
    assert len(found.lexical) == len(found.dense) == found.total == 2


async def test_a_file_without_passages_can_be_published(world: IndexWorld) -> None:
    source = await world.file(SCOPE)
    assert (await world.search([SCOPE], "x")).total == 0
    await world.index.withdraw([source.id])
    await world.index.sweep(100)
    assert world.execute("SELECT count(*) FROM sources") == [(0,)]


async def test_every_search_sees_the_old_version_or_the_new_never_both_or_none(world: IndexWorld) -> None:
    old = await world.file(SCOPE, *(f"old fox {number}" for number in range(40)))
    texts = [f"new fox {number}" for number in range(40)]
    new = new_source(SCOPE, ref_id=old.ref_id, version=2)
    await world.put(new, *texts, publish=False)
    seen: list[tuple[set[str], set[str]]] = []

    async def watch() -> None:
        while not publishing.done():
            found = await world.index.search(
                IndexQuery(
                    scopes=(SCOPE,), terms=("fox",), vector=vector("fox").tobytes(), model="test/model"
                )
            )
            lexical = await world.index.passages([SCOPE], [hit.passage_id for hit in found.lexical])
            assert len(found.lexical) == len(found.dense) == 40
            assert {hit.passage_id for hit in found.lexical} == {hit.passage_id for hit in found.dense}
            seen.append(({one.text[:3] for one in lexical}, set()))
            searched.set()

    searched = asyncio.Event()

    async def searches(count: int) -> None:
        while len(seen) < count:
            searched.clear()
            await searched.wait()

    async def publish() -> None:
        await searches(2)
        assert await world.index.publish(new.id, replaces=old.id)
        await searches(len(seen) + 4)

    publishing = asyncio.ensure_future(asyncio.wait_for(publish(), 30))
    await asyncio.gather(watch(), watch(), publishing)
    assert await world.found([SCOPE], "fox") == [set(texts), set(texts)]
    assert seen[0] == ({"old"}, set()) and seen[-1] == ({"new"}, set())


async def test_a_file_taken_out_meanwhile_is_not_published(world: IndexWorld) -> None:
    source = new_source(SCOPE)
    world.member(SCOPE, source.ref_id)
    await world.put(source, "red fox", publish=False)
    world.remove(SCOPE, source.ref_id)
    assert not await world.index.publish(source.id)
    assert not await world.index.publish(source.id)
    assert not await world.index.publish("f" * 32)
    assert await world.scopes.staged(10) == []
    assert await world.index.sweep(10) == 1


async def test_an_older_version_that_comes_late_does_not_replace_a_newer(world: IndexWorld) -> None:
    newer = await world.file(SCOPE, "new fox")
    world.execute("UPDATE sources SET version=5")
    late = new_source(SCOPE, ref_id=newer.ref_id, version=4)
    await world.put(late, "old fox", publish=False)
    assert not await world.index.publish(late.id)
    assert await world.found([SCOPE], "fox") == [{"new fox"}, {"new fox"}]


async def test_what_leaves_a_collection_leaves_the_search_in_the_same_moment(world: IndexWorld) -> None:
    source = await world.file(SCOPE, "red fox")
    staying = await world.file(SCOPE, "grey fox")
    elsewhere = await world.file(OTHER, "red fox")
    world.remove(SCOPE, source.ref_id)
    assert await world.found([SCOPE], "fox") == [{"grey fox"}, {"grey fox"}]
    assert (await world.search([SCOPE], "fox")).total == 1
    await world.index.withdraw([staying.id])
    assert await world.found([SCOPE], "fox") == [set(), set()]
    assert await world.found([OTHER], "fox") == [{"red fox"}, {"red fox"}]
    assert world.execute("SELECT source_id FROM members ORDER BY source_id IS NOT NULL") == [
        (None,),
        (elsewhere.id,),
    ]


async def test_the_sweep_erases_all_of_what_was_withdrawn_and_nothing_else(world: IndexWorld) -> None:
    """In bites of any size; a vector stays as long as one passage of the owner has its text."""
    texts = [f"fox number{number}" for number in range(50)]
    gone = await world.file(SCOPE, *texts, "shared text")
    await world.file(SCOPE, "shared text", "another whale")
    await world.file(OTHER, *texts[:3], owner="p")
    await world.index.withdraw([gone.id])
    swept = [await world.index.sweep(20) for _ in range(5)]
    assert swept == [20, 20, 11, 0, 0]
    assert world.count() == 5
    assert world.vectors_of() == {"o": 2, "p": 3}
    assert await world.found([SCOPE], "fox shared") == [{"shared text"}, {"shared text", "another whale"}]


async def test_passages_are_given_to_their_own_scope_only(world: IndexWorld) -> None:
    await world.file(SCOPE, "red fox")
    found = await world.search([SCOPE], "fox")
    ids = [found.dense[0].passage_id]
    assert await world.index.passages([OTHER], ids) == []
    assert await world.index.passages([], ids) == []
    (one,) = await world.index.passages([OTHER, SCOPE], [ids[0] + 1, *ids])
    assert (one.text, one.scope, one.start, one.end, one.item_id) == ("red fox", SCOPE, 0, 7, None)


async def test_neighbours_are_those_of_the_source(world: IndexWorld) -> None:
    await world.file(SCOPE, "one", "two", "three", "four")
    await world.file(SCOPE, "other")
    (three,) = await world.index.passages([SCOPE], [3])
    assert [one.text for one in await world.index.neighbours(three, 1, 5)] == ["two", "three", "four"]


async def test_a_scope_has_one_owner(world: IndexWorld) -> None:
    await world.file(SCOPE, "red fox")
    with pytest.raises(Conflict):
        await world.index.add(new_source(SCOPE, owner="p"), [passage(0, "text")])


async def test_attributes_are_those_of_now(world: IndexWorld) -> None:
    source = await world.file(SCOPE, "red fox", attributes={"year": 2020, "draft": True, "share": 0.5})
    await world.file(SCOPE, "red fox too", attributes={"year": 2021})
    filter_ = Comparison("eq", "year", 2020)
    assert await world.found([SCOPE], "fox", filter=filter_) == [{"red fox"}, {"red fox"}]
    (one,) = await world.index.passages([SCOPE], [1])
    assert one.attributes == {"year": 2020, "draft": True, "share": 0.5}
    world.describe(SCOPE, source.ref_id, {"year": 1999})
    assert await world.found([SCOPE], "fox", filter=filter_) == [set(), set()]
    assert await world.found([SCOPE], "fox", filter=Comparison("ne", "year", 2021)) == [
        {"red fox"},
        {"red fox"},
    ]


async def messages(world: IndexWorld) -> list[str]:
    """Index three conversations of four messages of two passages; returns their sources."""
    sources = []
    for conversation in range(3):
        source = new_source(HISTORY, kind="history", ref_id=f"{conversation}" * 32)
        sources.append(source.id)
        for item in range(4):
            said: dict[str, Any] = {"role": "user", "created_us": 100 * conversation + item, "author_id": "o"}
            if item % 2 == 0:
                said |= {"role": "assistant", "model": "m1"}
            number, text = f"{conversation}{item}", f"fox {conversation} {item}"
            await world.index.add_messages([(source, [
                passage(0, text, item_id=number, **said),
                passage(1, text + " more", item_id=number, role="tool", created_us=7),
            ])])  # fmt: skip
            await world.embed("o", [text, text + " more"])
    return sources


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (HistoryFilter(role="user"), {f"fox {c} {i}" for c in range(3) for i in (1, 3)}),
        (HistoryFilter(model="m1", from_us=100, until_us=202), {"fox 1 0", "fox 1 2", "fox 2 0"}),
        (HistoryFilter(author_id="o", conversation_ids=("1" * 32,)), {f"fox 1 {i}" for i in range(4)}),
        (HistoryFilter(role="user", except_ids=("1" * 32, "2" * 32)), {"fox 0 1", "fox 0 3"}),
        (HistoryFilter(role="nobody"), set()),
        (HistoryFilter(conversation_ids=()), set()),
    ],
)
async def test_messages_are_found_at_once_and_by_what_is_asked_of_them(
    world: IndexWorld, asked: HistoryFilter, expected: set[str]
) -> None:
    await messages(world)
    assert await world.found([HISTORY], "fox", history=asked) == [expected, expected]


async def test_many_conversations_come_in_together_and_each_message_once(world: IndexWorld) -> None:
    """However they are mixed with what is there, and more of them than one transaction takes."""
    sources = [
        new_source(HISTORY if number % 3 else OTHER, kind="history", language="en") for number in range(300)
    ]

    def said(*items: int) -> list[Cut]:
        return [
            (source, [passage(0, f"fox number{item}", item_id=f"{item}") for item in items])
            for source in sources
        ]

    await world.index.add_messages(said(1, 2)[:200])
    await world.index.withdraw([sources[0].id])
    await world.index.add_messages(said(2, 3))
    await world.index.add_messages([])
    await world.index.add_messages(said(1, 2, 3)[:7])
    found = await world.search([HISTORY, OTHER], "number3", limit=1_000)
    assert (found.total, len(found.lexical)) == (199 * 3 + 100 * 2, 299)
    assert (await world.search([OTHER], "fox")).total == 66 * 3 + 33 * 2
    counted = {no: count for no, (count, _) in world.passages_of().items()}
    assert dict(world.execute("SELECT no,passages FROM sources")) == counted
    assert world.count() == found.total + 2
    with pytest.raises(Conflict):
        await world.index.add_messages([
            (new_source(HISTORY, owner="p", kind="history"), [passage(0, "text", item_id="x")])
        ])  # fmt: skip


async def test_a_conversation_takes_the_language_of_its_last_message(world: IndexWorld) -> None:
    source = new_source(HISTORY, kind="history")
    for number, language in enumerate((None, "en", None, "de")):
        said = passage(0, "fox", item_id=f"{number}")
        await world.index.add_messages([(msgspec.structs.replace(source, language=language), [said])])
    assert await world.scopes.languages([HISTORY]) == ("de",)


async def test_erased_messages_are_gone_and_a_conversation_goes_on_growing(world: IndexWorld) -> None:
    first, *_ = await messages(world)
    assert (await world.search([HISTORY], "fox")).embedded == 24
    assert await world.scopes.forget_items(first, ["00", "02", "nothing"]) == 4
    found = await world.search([HISTORY], "fox")
    assert (found.total, found.embedded, len(found.lexical), len(found.dense)) == (20, 20, 20, 20)
    source = new_source(HISTORY, kind="history")
    await world.index.add_messages([(source, [passage(0, "late fox", item_id="late")])])
    await world.embed("o", ["late fox"])
    found = await world.search([HISTORY], "late fox")
    assert found.embedded == 21
    (late,) = await world.index.passages([HISTORY], [found.dense[0].passage_id])
    assert (late.text, late.item_id, late.kind) == ("late fox", "late", "history")
    assert [one.text for one in await world.index.neighbours(late, 5, 5)] == ["late fox"]
    assert await world.scopes.forget_items("unknown", ["00"]) == 0


@pytest.mark.parametrize(
    ("text", "asked", "expected"),
    [
        ("red", {"phrases": (("red sky",),)}, {"red sky at night"}),
        ("red", {"phrases": (("nothing", "sky so"),)}, {"night sky so red"}),
        ("red", {"phrases": (("red sky",), ("sky so",))}, set()),
        ("sky", {"excluded": ("night",)}, {"skylark at dawn sky"}),
        ("sky", {"excluded": ("sky at", "dawn")}, {"night sky so red"}),
        ("nothing", {"prefix": "skyl"}, {"skylark at dawn sky"}),
        ("nothing", {"prefix": 'sk"y'}, {"red sky at night", "night sky so red", "skylark at dawn sky"}),
        ("", {"prefix": "re"}, {"red sky at night", "night sky so red"}),
    ],
)
async def test_phrases_exclusions_and_the_beginning_of_a_word(
    world: IndexWorld, text: str, asked: dict[str, Any], expected: set[str]
) -> None:
    source = new_source(HISTORY, kind="history")
    texts = ("red sky at night", "night sky so red", "skylark at dawn sky")
    said = [passage(n, one, item_id=f"{n}") for n, one in enumerate(texts)]
    await world.index.add_messages([(source, said)])
    assert (await world.found([HISTORY], text, **asked))[0] == expected


async def test_what_is_indexed_whole_is_known(world: IndexWorld) -> None:
    source = new_source(HISTORY, kind="history")
    said = [passage(1, "b", item_id="half"), passage(0, "a", item_id="whole")]
    await world.index.add_messages([(source, said)])
    asked = [(source.id, "half"), (source.id, "whole"), (source.id, "none"), ("unknown", "whole")]
    assert await world.scopes.holding(asked) == {"whole"}
    assert await world.scopes.holding([]) == set()


async def test_erased_words_leave_no_trace_once_they_are_asked_to(world: IndexWorld) -> None:
    source = new_source(HISTORY, kind="history")
    said = [passage(n, f"canary{n} among others", item_id=f"{n}") for n in range(30)]
    for one in said:
        await world.index.add_messages([(source, [one])])
    assert not await world.scopes.erase_traces(), "nothing was erased"
    await world.scopes.forget_items(source.id, ["7"])
    while await world.scopes.erase_traces():
        pass
    assert await world.found([HISTORY], "canary7") == [set(), set()]
    assert world.words_of("canary7") == 0 and world.words_of("canary8") == 1
    assert (await world.search([HISTORY], "among")).total == 29
    assert len((await world.search([HISTORY], "among")).lexical) == 29


async def test_nothing_is_left_of_a_forgotten_owner(world: IndexWorld) -> None:
    await world.file(SCOPE, *(f"fox {number}" for number in range(40)))
    await world.file(OTHER, "fox", owner="p")
    await messages(world)
    assert await world.scopes.forget_owner("o") == 64
    for table in ("sources", "scopes"):
        assert world.execute(f"SELECT count(*) FROM {table} WHERE owner_id='o'") == [(0,)]
    assert (world.count(), world.vectors_of()) == (1, {"p": 1})
    assert await world.found([SCOPE, OTHER, HISTORY], "fox") == [{"fox"}, {"fox"}]


@pytest.mark.parametrize("name", NAMES)
async def test_all_of_it_is_there_after_a_restart(name: str, tmp_path: Path) -> None:
    async with INDEXES[name](tmp_path / "data") as world:
        await world.file(SCOPE, "red fox")
    async with INDEXES[name](tmp_path / "data") as world:
        assert await world.found([SCOPE], "fox") == [{"red fox"}, {"red fox"}]


async def test_terms_are_never_a_query_language(world: IndexWorld) -> None:
    """What FTS would take for operators, columns or quotes are words or nothing."""
    await world.file(SCOPE, "red fox", "and or not near")
    for text in (
        '"',
        "fox OR",
        'a" OR place:"s1',
        "*",
        "body : fox",
        "NEAR(fox red)",
        "-fox",
        "^fox",
        "fox*",
    ):
        await world.search([SCOPE], text)
    assert (await world.found([SCOPE], "AND OR NOT"))[0] == {"and or not near"}
    assert (await world.found([SCOPE], "s1 d1"))[0] == set()
