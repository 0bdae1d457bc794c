"""The index of what was said follows the commits, catches up after a crash, and forgets what is erased."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from antiphon.bootstrap import SystemClock
from antiphon.domain import ids
from antiphon.domain.inputs import parse_input
from antiphon.domain.items import text_of
from antiphon.domain.passages import Cut
from antiphon.ports.history import Said
from antiphon.services import history, history_passages
from antiphon.services.commit_notes import CommitNotes
from antiphon.storage.sql.knowledge import FILE_NAME
from tests.services.hand import ECHO, HAND, until
from tests.services.recall import Recalling, open_recalling, recalling
from tests.services.world import another_person, say
from tests.store import look, passages, tables


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Recalling]:
    async with recalling(tmp_path / "data") as opened:
        yield opened


async def test_questions_and_answers_are_found_once_they_are_committed(world: Recalling) -> None:
    conversation = await world.conversation("the first words")
    await world.turn("where is the harbour", conversation_id=conversation)
    await world.indexed()
    assert await world.texts("first") == ["the first words"]
    assert sorted(await world.texts("harbour")) == ["re: where is the harbour", "where is the harbour"]


async def test_the_job_follows_by_itself_and_soon(world: Recalling) -> None:
    follower = world.follower
    job = asyncio.create_task(follower.run())
    try:
        await world.indexed()
        await world.conversation("anchors aweigh")
        async with asyncio.timeout(20):
            await until(lambda: len(world.items()) == 1)
        assert await world.texts("anchors") == ["anchors aweigh"]
        assert (follower.lag_seconds, follower.waiting, follower.catching_up) == (0.0, 0, False)
    finally:
        job.cancel()
        with suppress(asyncio.CancelledError):
            await job


async def test_what_is_no_message_is_not_indexed_and_neither_are_data_urls(world: Recalling) -> None:
    url = "data:image/png;base64," + "QUJD" * 50
    parts = [
        {"type": "input_text", "text": f"a kite ![x]({url}) flies"},
        {"type": "input_image", "image_url": url},
    ]
    await world.application.conversations.create(
        world.who,
        parse_input([
            {"role": "user", "content": parts},
            {"type": "function_call", "call_id": "c", "name": "kitefn", "arguments": '{"kite":1}'},
            {"type": "function_call_output", "call_id": "c", "output": "kite output"},
        ]),
        metadata="{}", title=None, key=None,
    )  # fmt: skip
    await world.indexed()
    (found,) = await world.texts("kite")
    assert "QUJD" not in found and found.split() == ["a", "kite", "![x](", ")", "flies"]


async def test_a_history_that_was_there_before_is_indexed_newest_first_and_can_be_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "SLICE", 4)
    monkeypatch.setattr(history, "MARK_SECONDS", 0.0)
    monkeypatch.setattr(history, "SLACK_US", 0)
    async with recalling(tmp_path / "data") as before:
        for number in range(20):
            await before.conversation(f"word{number} common")
    world = await open_recalling(tmp_path / "data")
    follower = world.follower
    for _ in range(2):
        await follower.step()
    assert len(world.items()) == 8 and await world.texts('"word19"') == ["word19 common"]
    await world.kill()
    async with recalling(tmp_path / "data") as again:
        await again.indexed()
        assert len(again.items()) == len(set(again.items())) == 20
        assert again.index.added <= 12 + 4  # the slice whose mark was not written may come again


async def test_after_a_crash_everything_that_was_acknowledged_is_found_once(tmp_path: Path) -> None:
    for number in range(4):
        world = await open_recalling(tmp_path / "data")
        await world.indexed()
        assert len(world.items()) == len(set(world.items())) == 3 * number
        conversation = await world.conversation(f"crash{number} before")
        await world.turn(f"crash{number} asked", conversation_id=conversation)
        await world.kill()
    async with recalling(tmp_path / "data") as world:
        await world.indexed()
        for number in range(4):
            assert len(await world.texts(f'"crash{number}"')) == 3


async def test_an_answer_that_began_long_before_the_mark_is_not_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "MARK_SECONDS", 0.0)
    monkeypatch.setattr(history, "SLACK_US", 0)
    world = await open_recalling(tmp_path / "data")
    conversation = await world.conversation()
    begun = await world.begin("a long story", conversation_id=conversation, model=HAND)
    call = await world.hand.next()
    call.say("it begins with a lighthouse")
    await until(lambda: begun.live is not None and begun.live.committed > 3)
    for _ in range(3):
        await world.conversation("meanwhile")
        await world.indexed()
    await world.kill()
    async with recalling(tmp_path / "data") as again:
        await again.indexed()
        assert len(await again.texts("lighthouse")) == 1


async def test_too_many_notes_become_a_scan(tmp_path: Path) -> None:
    async with recalling(tmp_path / "data") as world:
        follower = world.follower
        await world.indexed()
        follower._notes._most = 2
        for number in range(6):
            await world.conversation(f"crowd{number}")
        assert follower.waiting == 2
        await world.indexed()
        assert len(world.items()) == 6


async def test_an_index_that_takes_no_writes_loses_nothing(world: Recalling) -> None:
    await world.indexed()
    world.index.failing = True
    await world.conversation("patience")
    with pytest.raises(OSError):
        await world.indexed()
    follower = world.follower
    assert follower.waiting == 1
    world.index.failing = False
    await world.indexed()
    assert await world.texts("patience") == ["patience"]


async def test_a_purge_empties_the_index_at_once_and_counts_what_went(world: Recalling) -> None:
    conversation = await world.conversation("secretword one", "secretword two")
    await world.conversation("other")
    await world.indexed()
    _, purged = await world.application.conversations.delete(world.who, conversation, purge=True)
    assert purged is not None and purged.counts()["passages"] == 2
    assert len(world.items()) == 1
    assert ids.parse(conversation, ids.CONVERSATION) not in world.sources()


async def test_what_is_being_indexed_while_it_is_purged_does_not_stay(world: Recalling) -> None:
    await world.indexed()
    for _ in range(10):
        conversation = await world.conversation(*(f"fleeting {n}" for n in range(5)))
        purge = world.application.conversations.delete(world.who, conversation, purge=True)
        await asyncio.gather(purge, world.indexed())
    await world.indexed()
    assert world.items() == [] and world.sources() == []


async def test_what_a_fork_shares_stays_found_until_the_fork_goes(world: Recalling) -> None:
    conversation = await world.conversation("shared part", "own part")
    first = (await world.path(conversation))[0]
    made = await world.application.branches.fork(world.who, conversation, item_id=first.wire_id, title=None)
    await world.indexed()
    await world.application.conversations.delete(world.who, conversation, purge=True)
    assert await world.texts("part") == ["shared part"]
    (hit,) = (await world.find("part")).data
    assert hit.shown.conversation.id == made.id
    await world.application.conversations.delete(world.who, ids.CONVERSATION + made.id, purge=True)
    assert world.items() == [] and world.sources() == []


async def test_a_deleted_account_leaves_nothing_in_the_index(world: Recalling) -> None:
    other = await another_person(world)
    await world.application.conversations.create(
        other, parse_input([say("theirs")]), metadata="{}", title=None, key=None
    )
    await world.conversation("mine")
    await world.indexed()
    purged = await world.application.purges.purge_account(other.account_id)
    assert purged.counts()["passages"] == 1
    assert len(world.items()) == 1


async def test_a_message_that_cannot_be_read_hurts_no_other(
    world: Recalling, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = history_passages.message_text

    def picky(payload: str) -> str:
        if "poison" in payload:
            raise ValueError
        return whole(payload)

    monkeypatch.setattr(history_passages, "message_text", picky)
    await world.conversation("poison", "remedy")
    await world.indexed()
    assert await world.texts("remedy poison") == ["remedy"]


async def test_a_commit_without_messages_is_not_noted_and_one_in_flight_holds_the_mark(
    world: Recalling,
) -> None:
    notes = CommitNotes(SystemClock())
    number = notes.begin({"b": None, "a": None})
    assert notes.lowest == "a" and len(notes) == 0
    notes.end(number, committed=False)
    assert list(notes.first(10, 10, 10)) == ["b", "a"]
    await world.indexed()
    conversation = await world.conversation()
    follower = world.follower
    assert follower.waiting == 0
    await world.application.conversations.update(world.who, conversation, title="t", metadata=None)
    assert follower.waiting == 0


async def test_what_is_noted_with_a_message_is_what_would_be_read(world: Recalling) -> None:
    """Of all but what is put into a conversation that is there already without being asked at once."""
    first = await world.turn("asked without a conversation")
    conversation = await world.conversation("put in", "at the beginning")
    await world.turn("asked", conversation_id=conversation)
    answered = (await world.path(conversation))[-1].wire_id
    await world.ended(await world.regenerate(answered, conversation_id=conversation))
    for begun in await world.fan_out("asked of two", [ECHO, ECHO], conversation_id=conversation):
        await world.wait(begun)
    shared = (await world.path(conversation))[0]
    fork = await world.application.branches.fork(world.who, conversation, item_id=shared.wire_id, title=None)
    await world.turn("asked in the fork", conversation_id=ids.CONVERSATION + fork.id)
    await world.turn("asked after an answer", previous_response_id=ids.RESPONSE + first.run.id)
    await world.application.conversations.add_items(
        world.who, conversation, parse_input([say("put in later")]), key=None
    )
    found = world.follower._notes.first(100, 100, 1_000_000)
    read = {one.item_id: one for one in await world.storage.history.messages(list(found))}
    assert found.keys() == read.keys()
    told = {item_id: said for item_id, said in found.items() if said is not None}
    assert len(told) > 12 and told.items() <= read.items()
    left = [text_of(msgspec.json.decode(read[item_id].payload)) for item_id in read.keys() - told.keys()]
    assert left == ["put in later"]


async def test_messages_that_are_erased_before_they_are_indexed_leave_the_notes(world: Recalling) -> None:
    await world.indexed()
    conversation = await world.conversation("fleeting one", "fleeting two")
    notes = world.follower._notes
    assert all(notes.first(10, 10, 1_000).values())
    await world.application.conversations.delete(world.who, conversation, purge=True)
    assert world.follower.waiting == 0
    await world.indexed()
    assert world.items() == [] and world.sources() == []


def a_message(item_id: str, payload: str = "{}") -> Said:
    return Said(
        item_id=item_id, owner_id="o", conversation_id="c", role="user", model=None, author_id="o",
        created_us=1, payload=payload,
    )  # fmt: skip


def noted(notes: CommitNotes, *messages: Said) -> None:
    notes.end(notes.begin({one.item_id: one for one in messages}), committed=True)


def test_what_is_erased_while_its_commit_is_under_way_is_noted_by_its_name() -> None:
    notes = CommitNotes(SystemClock())
    number = notes.begin({"a": a_message("a"), "b": a_message("b")})
    notes.forget(["a"])
    notes.end(number, committed=True)
    assert notes.first(10, 10, 10) == {"a": None, "b": a_message("b")}


def test_notes_hold_so_much_text_and_no_more() -> None:
    notes = CommitNotes(SystemClock(), most_characters=10)
    noted(notes, a_message("a", "123456"), a_message("b", "12345"), a_message("c", "1234"))
    assert [said is not None for said in notes.first(10, 10, 100).values()] == [True, False, True]
    notes.done(["a", "c"])
    noted(notes, a_message("d", "0123456789"))
    assert notes.first(10, 10, 100) == {"b": None, "d": a_message("d", "0123456789")}


def test_a_batch_of_notes_ends_where_it_is_long_or_much_has_to_be_read() -> None:
    notes = CommitNotes(SystemClock())
    noted(notes, *(a_message(name, "12345") for name in "abcd"))
    notes.add("wxyz")
    assert [len(notes.first(*limits)) for limits in ((3, 9, 99), (9, 9, 11), (9, 2, 99), (9, 9, 99))] == [
        3, 3, 6, 8,
    ]  # fmt: skip


async def test_much_gathers_until_there_is_a_batch_and_little_does_not_wait(
    world: Recalling, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "BATCH", 20)
    monkeypatch.setattr(history, "MANY", 5)
    notes, slept = CommitNotes(SystemClock()), list[float]()
    monkeypatch.setattr(world.follower, "_notes", notes)

    async def waited(coming: int) -> int:
        async def sleep(seconds: float) -> None:
            slept.append(seconds)
            noted(notes, *(a_message(f"{len(slept)}.{number}") for number in range(coming)))

        slept.clear()
        monkeypatch.setattr(history, "asyncio", SimpleNamespace(sleep=sleep))
        await world.follower._gather()
        notes.done(notes.first(1_000, 1_000, 1_000_000))
        return len(slept)

    assert [await waited(coming) for coming in (0, 4, 5, 8, 20)] == [1, 1, 4, 3, 1]
    assert sum([history.GATHER_SECONDS] * history.GATHERINGS) <= 1.0, "so long may a message wait"


async def test_a_minute_after_a_purge_no_table_of_the_index_holds_a_word_of_it(world: Recalling) -> None:
    word = "canaryoftheindex"
    conversation = await world.conversation(f"{word} one", f"two {word}s")
    await world.turn(f"three {word}", conversation_id=conversation)
    for number in range(40):
        await world.conversation(f"others say {number} and {number * 7}")
    await world.indexed()
    assert traces(world, word)
    await world.application.conversations.delete(world.who, conversation, purge=True)
    await world.follower.erase_traces()
    assert traces(world, word) == []
    assert len(await world.texts("others", limit=50)) == 40


def traces(world: Recalling, word: str) -> list[str]:
    """The tables of the index that hold a word."""
    found = []
    for table in look(world.directory, tables, name=FILE_NAME):
        for row in world.rows(f"SELECT * FROM {table}", name=FILE_NAME):
            if any(word.encode() in (one if isinstance(one, bytes) else str(one).encode()) for one in row):
                found.append(table)
                break
    return found + [one["item"] for one in passages(world.directory) if word in one["text"]]


async def test_a_long_message_that_was_cut_off_is_indexed_whole(tmp_path: Path) -> None:
    text = "\n\n".join(f"paragraph {number} " + "with many words in it " * 40 for number in range(60))
    async with recalling(tmp_path / "data") as world:
        await world.conversation(f"{text}\n\nthe very end")
        add = world.index._inner.add_messages

        async def half(cuts: Sequence[Cut]) -> None:
            await add([(source, passages[: len(passages) // 2]) for source, passages in cuts])
            raise OSError("gone")

        world.index._inner = SimpleNamespace(add_messages=half)
        with pytest.raises(OSError):
            await world.indexed()
        assert len(world.items()) > 20
        await world.kill()
    async with recalling(tmp_path / "data") as again:
        await again.indexed()
        for place in ("paragraph 0", "paragraph 30", "the very end"):
            assert any(place in one for one in await again.texts(f'"{place}"')), place
