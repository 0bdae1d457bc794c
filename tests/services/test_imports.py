"""What people have elsewhere comes in whole, once, and is then like anything that was said here."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from antiphon.domain import ids
from antiphon.domain.items import text_of
from tests.domain.exports import node
from tests.services.importing import count, items_of, take, talk
from tests.services.recall import Recalling, recalling
from tests.services.tree_rules import tree_problems
from tests.services.world import another_person


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Recalling]:
    async with recalling(tmp_path / "data") as opened:
        yield opened
    assert tree_problems(tmp_path / "data") == []


async def test_a_tree_comes_in_with_its_branches_times_models_and_title(
    world: Recalling, tmp_path: Path
) -> None:
    (done,) = await take(world, tmp_path, talk(is_archived=True))
    assert (done.state, done.messages, done.added, done.branches) == ("new", 5, 5, 2)
    path = await items_of(world, done)
    assert [text_of(one.body()) for one in path] == [
        "Where do zebras live?", "On the savanna.", "And quokkas?", "On Rottnest."]  # fmt: skip
    assert [one.created_us // 1_000_000 for one in path] == [
        1_700_000_001,
        1_700_000_003,
        1_700_000_004,
        1_700_000_005,
    ]
    assert [one.author_id is None for one in path] == [False, True, False, True]
    branches = await world.branches(done.conversation_id or "")
    assert list(branches) == ["main", "main-2"] and branches["main"] == await world.active(
        done.conversation_id or ""
    )
    other = await items_of(world, done, branch_id=branches["main-2"])
    assert [text_of(one.body()) for one in other] == ["Where do zebras live?", "In Africa."]
    assert [one.body()["imported"].get("model") for one in other] == [None, "gpt-4o"]
    siblings = await world.application.branches.siblings(
        world.who, done.conversation_id or "", other[1].wire_id, 10)  # fmt: skip
    assert [text_of(one.body()) for one in siblings] == ["In Africa.", "On the savanna."]
    found = await world.application.conversations.get(world.who, done.conversation_id or "")
    assert (found.title, found.created_us, found.kind) == ("A talk", 1_700_000_000_250_000, "explicit")
    assert json.loads(found.metadata) == {
        "imported_from": "chatgpt", "imported_id": "c1", "model": "gpt-5",
    }  # fmt: skip
    assert found.updated_us == 1_700_000_100_000_000
    assert (found.archived_us, found.pinned_us) == (1_700_000_100_000_000, None)


async def test_conversations_are_listed_by_the_time_they_began(world: Recalling, tmp_path: Path) -> None:
    await world.conversation("made here, now")
    chats = [
        talk(conversation_id=f"c{day}", title=f"{day}", create_time=1_600_000_000 + day * 86_400)
        for day in (2, 3, 1)
    ]
    await take(world, tmp_path, *chats)
    page = await world.application.conversations.page(world.who, after=None, limit=10, descending=True)
    assert [one.title for one in page.data] == [None, "3", "2", "1"]


async def test_a_second_time_nothing_comes_twice(world: Recalling, tmp_path: Path) -> None:
    await take(world, tmp_path, talk())
    before = count(world)
    (again,) = await take(world, tmp_path, talk())
    assert (again.state, again.added) == ("same", 0) and count(world) == before
    assert len(await world.branches(again.conversation_id or "")) == 2


async def test_what_has_come_since_is_added_where_it_belongs(world: Recalling, tmp_path: Path) -> None:
    (first,) = await take(world, tmp_path, talk())
    more = (node("u3", "a3", "user", "Thanks!"), node("a4", "u3", "assistant", "Gladly."))
    branch = node("u4", "a1", "user", "Which part?")
    (grown,) = await take(world, tmp_path, talk(branch, *more))
    assert (grown.state, grown.added, grown.branches) == ("grown", 3, 0), "both ends went on"
    assert grown.conversation_id == first.conversation_id
    assert (await world.said(first.conversation_id or ""))[-2:] == ["Thanks!", "Gladly."]
    branches = await world.branches(first.conversation_id or "")
    assert list(branches) == ["main", "main-2"]
    assert (await world.said(first.conversation_id or "", branch_id=branches["main-2"]))[-1] == "Which part?"
    (again,) = await take(world, tmp_path, talk(branch, *more))
    assert again.state == "same" and count(world) == 8


async def test_what_was_changed_stands_beside_what_it_was(world: Recalling, tmp_path: Path) -> None:
    (first,) = await take(world, tmp_path, talk())
    changed = talk()
    changed["mapping"]["u2"]["message"]["content"]["parts"] = ["And wombats?"]
    (grown,) = await take(world, tmp_path, changed)
    assert (grown.state, grown.added, grown.branches) == ("grown", 2, 1)
    conversation = first.conversation_id or ""
    assert (await world.said(conversation))[2] == "And quokkas?", "the line that is read here stays"
    branches = await world.branches(conversation)
    assert await world.said(conversation, branch_id=branches["main-3"]) == [
        "Where do zebras live?", "On the savanna.", "And wombats?", "On Rottnest."]  # fmt: skip
    (again,) = await take(world, tmp_path, changed)
    assert again.state == "same"
    (back,) = await take(world, tmp_path, talk())
    assert back.state == "same" and count(world) == 7


async def test_it_is_gone_on_with_here_and_what_comes_later_does_not_disturb(
    world: Recalling, tmp_path: Path
) -> None:
    (done,) = await take(world, tmp_path, talk())
    conversation = done.conversation_id or ""
    answer = await world.turn("And emus?", conversation_id=conversation)
    assert answer.run.state == "completed"
    assert (await world.said(conversation))[-2:] == ["And emus?", "re: And emus?"]
    (grown,) = await take(world, tmp_path, talk(node("u3", "a3", "user", "Thanks!")))
    assert (grown.added, grown.branches) == (1, 1)
    assert (await world.said(conversation))[-1] == "re: And emus?"
    item = (await world.path(conversation))[0]
    await world.ended(await world.regenerate(item.wire_id, conversation_id=conversation))
    (again,) = await take(world, tmp_path, talk(node("u3", "a3", "user", "Thanks!")))
    assert again.state == "same"


async def test_what_was_hidden_here_does_not_come_back(world: Recalling, tmp_path: Path) -> None:
    (done,) = await take(world, tmp_path, talk())
    item = (await items_of(world, done))[1]
    await world.application.conversations.hide_item(world.who, done.conversation_id or "", item.wire_id)
    (again,) = await take(world, tmp_path, talk())
    assert again.state == "same" and len(await items_of(world, done)) == 3


async def test_what_was_deleted_here_comes_again_when_it_is_imported_again(
    world: Recalling, tmp_path: Path
) -> None:
    (done,) = await take(world, tmp_path, talk())
    await world.application.conversations.delete(world.who, done.conversation_id or "", purge=True)
    (again,) = await take(world, tmp_path, talk())
    assert again.state == "new" and again.conversation_id != done.conversation_id
    assert len(await items_of(world, again)) == 4


async def test_words_are_found_with_their_time_author_and_model(world: Recalling, tmp_path: Path) -> None:
    (done,) = await take(world, tmp_path, talk())
    await world.indexed()
    assert await world.texts("zebras") == ["Where do zebras live?"]
    assert await world.texts("africa", model="gpt-4o") == ["In Africa."]
    assert await world.texts("rottnest", model="gpt-4o") == []
    assert await world.texts("rottnest", model="gpt-5", until_us=1_700_000_006_000_000) == ["On Rottnest."]
    assert await world.texts("quokkas", author="me") == ["And quokkas?"]
    (hit,) = (await world.find("africa")).data
    assert ids.CONVERSATION + hit.shown.conversation.id == done.conversation_id


async def test_everybody_has_a_copy_of_their_own(world: Recalling, tmp_path: Path) -> None:
    other = await another_person(world)
    (mine,), (theirs,) = await take(world, tmp_path, talk()), await take(world, tmp_path, talk(), who=other)
    assert theirs.state == "new" and theirs.conversation_id != mine.conversation_id
    page = await world.application.conversations.page(other, after=None, limit=10, descending=True)
    assert [ids.CONVERSATION + one.id for one in page.data] == [theirs.conversation_id]
