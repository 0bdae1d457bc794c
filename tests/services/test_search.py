"""Search finds what was said in one's own conversations and shared ones, and shows nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from antiphon.bootstrap import SystemClock
from antiphon.domain import ids
from antiphon.domain.accounts import Principal
from antiphon.domain.errors import Forbidden, InvalidRequest, NotFound, ProviderError
from antiphon.domain.inputs import parse_input
from antiphon.services import search_hits
from tests.harness.local_model import minilm
from tests.services.hand import ECHO, until
from tests.services.recall import Recalling, recalling
from tests.services.world import another_person, say
from tests.store import passages


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Recalling]:
    async with recalling(tmp_path / "data") as opened:
        yield opened


async def wrote(world: Recalling, who: Principal, *texts: str) -> str:
    made = await world.application.conversations.create(
        who, parse_input([say(text) for text in texts]), metadata="{}", title="a title", key=None
    )
    return ids.CONVERSATION + made.id


async def share(world: Recalling, conversation: str, other: Principal) -> None:
    await world.application.members.add(world.who, conversation, other.name, "viewer")


async def active(world: Recalling, name: str) -> Principal:
    return await another_person(world, name)


async def test_a_hit_says_where_it_is_and_shows_the_piece_that_answers(world: Recalling) -> None:
    text = "x " * 300 + "the <b>lighthouse</b> keeper sleeps " + "y " * 300
    conversation = await wrote(world, world.who, text)
    await world.indexed()
    (hit,) = (await world.find("lighthouse keeper")).data
    assert ids.CONVERSATION + hit.shown.conversation.id == conversation
    assert hit.shown.conversation.title == "a title"
    assert ids.BRANCH + (hit.shown.branch_id or "") == await world.active(conversation)
    snippet: Any = hit.snippet
    assert [snippet.text[a:b] for a, b in snippet.highlights] == ["lighthouse", "keeper"]
    assert "&lt;b&gt;<mark>lighthouse</mark>&lt;/b&gt; <mark>keeper</mark>" in snippet.marked
    assert len(snippet.text) <= 242


async def test_every_filter_narrows(world: Recalling) -> None:
    conversation = await world.conversation()
    await world.turn("about tides", conversation_id=conversation)
    await wrote(world, world.who, "tides elsewhere")
    await world.indexed()
    now = SystemClock().now_us()
    assert len(await world.texts("tides")) == 3
    assert await world.texts("tides", role="assistant") == ["re: about tides"]
    assert await world.texts("tides", model=ECHO) == ["re: about tides"]
    assert await world.texts("tides", model="other/model") == []
    assert len(await world.texts("tides", author="me")) == 2
    assert len(await world.texts("tides", author=f"user_{world.who.account_id}")) == 2
    assert await world.texts("tides", author="nobody-of-that-name") == []
    assert len(await world.texts("tides", conversation_id=conversation)) == 2
    assert await world.texts("tides", from_us=now) == []
    assert await world.texts("tides", until_us=1) == []
    assert len(await world.texts("tides", from_us=1, until_us=now)) == 3


async def test_a_branch_is_searched_along_its_path(world: Recalling) -> None:
    conversation = await world.conversation()
    await world.turn("knots one", conversation_id=conversation)
    first = (await world.path(conversation))[0]
    await world.ended(await world.edit(first.wire_id, "knots two", conversation_id=conversation))
    await world.indexed()
    main, other = (await world.branches(conversation)).values()
    assert sorted(await world.texts("knots")) == [
        "knots one", "knots two", "re: knots one", "re: knots two",
    ]  # fmt: skip
    for branch, word in ((main, "one"), (other, "two")):
        found = await world.find("knots", conversation_id=conversation, branch_id=branch)
        assert sorted(hit.passage.text for hit in found.data) == [f"knots {word}", f"re: knots {word}"]
        assert {hit.shown.branch_id for hit in found.data} == {branch.removeprefix(ids.BRANCH)}
    with pytest.raises(InvalidRequest):
        await world.find("knots", branch_id=main)


async def test_phrases_exclusions_and_the_begun_last_word(world: Recalling) -> None:
    await wrote(world, world.who, "red sky at night", "night sky so red", "Réd sky at dawn")
    await world.indexed()
    assert sorted(await world.texts('"red sky"')) == ["Réd sky at dawn", "red sky at night"]
    assert sorted(await world.texts("sky -dawn")) == ["night sky so red", "red sky at night"]
    assert await world.texts('sky -"so red" -dawn') == ["red sky at night"]
    for query in ("", "  ", "-dawn", '""', "!!!"):
        with pytest.raises(InvalidRequest):
            await world.find(query)


async def test_what_is_hidden_or_deleted_is_not_shown_and_is_made_up_for(
    world: Recalling, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_hits, "MAX_CANDIDATES", 4)
    kept = [await wrote(world, world.who, f"gulls gulls {n}") for n in range(3)]
    for number in range(6):
        gone = await wrote(world, world.who, f"gulls {number}")
        await world.application.conversations.delete(world.who, gone)
    await world.indexed()
    assert len(await world.texts("gulls")) == 3
    item = (await world.path(kept[0]))[0]
    await world.application.conversations.hide_item(world.who, kept[0], item.wire_id)
    assert sorted(await world.texts("gulls")) == ["gulls gulls 1", "gulls gulls 2"]


async def test_pages_repeat_nothing_and_skip_nothing_while_others_write(world: Recalling) -> None:
    texts = {f"wave {n}" + " wave" * (n % 3) for n in range(25)}
    for text in texts:
        await wrote(world, world.who, text)
    await world.indexed()
    seen: list[str] = []
    after, pages = None, 0
    while True:
        found = await world.find("wave", limit=4, after=after)
        seen += [hit.passage.text for hit in found.data]
        pages += 1
        await wrote(world, world.who, f"wave newly {pages}")
        await world.indexed()
        after = found.cursor
        if after is None:
            break
    assert sorted(seen) == sorted(texts) and pages == 7
    first = await world.find("wave", limit=4)
    with pytest.raises(InvalidRequest):
        await world.find("other", after=first.cursor)
    for damaged in ("srch_", "srch_AAAA", "x", f"{first.cursor}A" * 2, "srch_é"):
        with pytest.raises(InvalidRequest):
            await world.find("wave", after=damaged)


async def test_nobody_finds_what_is_anothers_and_members_only_what_is_shared_with_them(
    world: Recalling,
) -> None:
    other = await another_person(world, "guest")
    private = await wrote(world, world.who, "cellar private")
    shared = await wrote(world, world.who, "cellar shared")
    await wrote(world, other, "cellar own")
    await world.indexed()
    assert await world.texts("cellar", who=other) == ["cellar own"]
    with pytest.raises(NotFound):
        await world.find("cellar", who=other, conversation_id=shared)
    await share(world, shared, other)
    assert sorted(await world.texts("cellar", who=other)) == ["cellar own", "cellar shared"]
    assert await world.texts("cellar", who=other, conversation_id=shared) == ["cellar shared"]
    assert sorted(await world.texts("cellar")) == ["cellar private", "cellar shared"]
    (hit,) = (await world.find("cellar", who=other, conversation_id=shared)).data
    assert hit.shown.conversation.owner_name == world.who.name
    with pytest.raises(NotFound):
        await world.find("cellar", who=other, conversation_id=private)
    await world.application.members.remove(world.who, shared, other.name)
    assert await world.texts("cellar", who=other) == ["cellar own"]


async def test_a_shared_fork_is_searched_with_what_it_shares_and_no_further(world: Recalling) -> None:
    other = await another_person(world, "guest")
    origin = await wrote(world, world.who, "deck below", "deck above")
    first = (await world.path(origin))[0]
    made = await world.application.branches.fork(world.who, origin, item_id=first.wire_id, title=None)
    fork = ids.CONVERSATION + made.id
    await world.turn("deck in the fork", conversation_id=fork)
    await share(world, fork, other)
    await world.indexed()
    expected = ["deck below", "deck in the fork", "re: deck in the fork"]
    assert sorted(await world.texts("deck", who=other)) == expected
    assert sorted(await world.texts("deck", who=other, conversation_id=fork)) == expected
    assert sorted(await world.texts("deck", conversation_id=fork)) == expected
    assert {hit.shown.conversation.id for hit in (await world.find("deck", who=other)).data} == {made.id}


async def test_a_copy_by_a_member_is_found_as_its_own(world: Recalling) -> None:
    other = await another_person(world, "guest")
    origin = await wrote(world, world.who, "sails set")
    await share(world, origin, other)
    await world.application.branches.fork(other, origin, item_id=None, title=None)
    await world.indexed()
    await world.application.conversations.delete(world.who, origin, purge=True)
    assert await world.texts("sails", who=other) == ["sails set"]
    assert await world.texts("sails") == []


async def test_where_it_is_turned_off_it_says_so(tmp_path: Path) -> None:
    async with recalling(tmp_path / "data") as world:
        await world.conversation("anything")
        world.application.search._is_on = False
        with pytest.raises(Forbidden):
            await world.find("anything")


async def test_words_are_found_in_other_forms_and_in_scripts_without_spaces(world: Recalling) -> None:
    english = "The ships were sailing to the harbours of the island, and that is what they have to do."
    await wrote(world, world.who, english)
    await wrote(world, world.who, "東京の天気は晴れです", "naïve Größe")
    await world.indexed()
    for query, text, marked in (
        ("harbour", english, ["harbours"]), ("sailed ship", english, ["ships", "sailing"]),
        ("天気", "東京の天気は晴れです", ["天気"]), ("GRÖSSE", "naïve Größe", ["Größe"]),
        ("naive", "naïve Größe", ["naïve"]),
    ):  # fmt: skip
        (hit,) = (await world.find(query)).data
        snippet: Any = hit.snippet
        assert hit.passage.text == text
        assert [snippet.text[a:b] for a, b in snippet.highlights] == marked, query


async def embedded(world: Recalling) -> None:
    """Index what was said, and embed it as the job does."""
    await world.indexed()
    job = asyncio.create_task(world.follower.embed())
    try:
        await until(lambda: [one["vectors"] for one in passages(world.directory)] == [1, 1])
    finally:
        job.cancel()


async def test_where_a_model_embeds_messages_are_found_by_their_meaning(tmp_path: Path) -> None:
    async with recalling(tmp_path / "data", embedding_model=f"local:{minilm()}") as world:
        await wrote(world, world.who, "The vessel sank in heavy seas off the coast.")
        await wrote(world, world.who, "She planted tomatoes and beans in spring.")
        await embedded(world)
        page = await world.find("a shipwreck during a storm")
        assert page.mode == "hybrid"
        assert page.data[0].passage.text.startswith("The vessel sank")
        only_words = await world.find('"shipwreck during a storm"')
        assert (only_words.mode, only_words.data) == ("lexical", [])
        assert [hit.passage.text for hit in (await world.find("garden -tomatoes")).data] == [
            "The vessel sank in heavy seas off the coast."
        ]


async def test_a_model_that_fails_leaves_the_words(world: Recalling, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(text: str) -> None:
        raise ProviderError("gone")

    await wrote(world, world.who, "still found")
    await world.indexed()
    monkeypatch.setattr(world.application.embeddings, "embed_query", refuse)
    found = await world.find("found")
    assert (found.mode, len(found.data)) == ("lexical", 1)
