"""Attachments, what is wrong with an export, what is broken off, and sessions of older servers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from antiphon.domain import ids
from antiphon.domain.errors import InvalidRequest, RateLimited
from antiphon.domain.files import FILE
from antiphon.domain.items import text_of
from antiphon.ports import write_sets as ws
from antiphon.services import import_trees, imports
from antiphon.services.files import NewFile
from tests.domain.exports import ROOT, exported, node, webui
from tests.services.hand import ECHO
from tests.services.importing import count, items_of, take, taken, talk, zipped
from tests.services.recall import Recalling, recalling
from tests.services.tree_rules import tree_problems
from tests.services.world import another_person

PNG = b"\x89PNG\r\n\x1a\n" + b"pixels" * 100


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Recalling]:
    async with recalling(tmp_path / "data") as opened:
        yield opened
    assert tree_problems(tmp_path / "data") == []


# --- attachments


def with_picture(*names: str) -> dict[str, Any]:
    parts = [{"content_type": "image_asset_pointer", "asset_pointer": f"sediment://{name}"} for name in names]
    attachments = [{"id": "file-lost", "name": "lost.pdf"}, {"id": "file_0aa", "name": "../../cat.png"}]
    return exported(ROOT, node("u1", "root", "user", *parts, "See", metadata={"attachments": attachments}))


async def test_attachments_in_the_archive_become_files_of_their_message(
    world: Recalling, tmp_path: Path
) -> None:
    chats = [with_picture("file_0aa"), with_picture("file_0aa") | {"conversation_id": "c2"}]
    entries = {"conversations-000.json": json.dumps(chats[:1]),
               "conversations-001.json": json.dumps(chats[1:]),
               "file_0aa-0001.dat": PNG}  # fmt: skip
    path = zipped(tmp_path / "export.zip", entries)
    one, two = await taken(world, path)
    assert one.notes == ("attachment lost.pdf is not in the export",)
    (item,) = await items_of(world, one)
    content = item.body()["content"]
    assert [part["type"] for part in content] == ["input_text", "input_image", "input_file"]
    assert content[1]["filename"] == "cat.png" and "file_id" not in content[2]
    file = await world.application.files.get(world.who, content[1]["file_id"])
    assert (file.bytes, file.filename, file.purpose) == (len(PNG), "cat.png", "user_data")
    _, version = await world.application.files.version(world.who, content[1]["file_id"], 1)
    assert b"".join([piece async for piece in world.application.files.read(version, 0, len(PNG))]) == PNG
    (other,) = await items_of(world, two)
    assert other.body()["content"][1]["file_id"] == content[1]["file_id"], (
        "one file, however often it is shown"
    )
    assert [done.state for done in await taken(world, path)] == ["same", "same"]
    answer = await world.turn("And?", conversation_id=one.conversation_id)
    assert answer.run.state == "completed"
    assert (await world.said(one.conversation_id or ""))[-1] == "re: And?"


async def test_files_within_a_message_and_a_full_store_are_told(world: Recalling, tmp_path: Path) -> None:
    files = [{"type": "image", "url": "data:image/png;base64,iVBORw0KGgo="},
             {"type": "file", "name": "big.txt", "file": {"data": {"content": "x" * 2000}}}]  # fmt: skip
    value = webui({"u": {"parentId": None, "role": "user", "content": "Hi", "files": files}}, "u")
    world.application.files.most_bytes = 1000
    (done,) = await take(world, tmp_path, value)
    assert (
        done.state == "new"
        and len(done.notes) == 1
        and "big.txt" in done.notes[0]
        and "larger" in done.notes[0]
    )
    (item,) = await items_of(world, done)
    assert [("file_id" in part) for part in item.body()["content"]] == [False, True, False]


# --- what is wrong


async def test_one_that_cannot_be_read_does_not_hide_the_others(world: Recalling, tmp_path: Path) -> None:
    broken = {"mapping": "x", "current_node": 1}
    done = await take(
        world, tmp_path, talk(), 7, broken, {"title": "T", "conversation_id": "s"}, talk(conversation_id="c2")
    )
    assert [one.state for one in done] == ["new", "failed", "failed", "empty", "new"]
    assert all(one.notes for one in done if one.state == "failed")


@pytest.mark.parametrize("content", ["", "[]", "{}", "[7]", "words", '[{"a": 1}]', "\x00", "[" * 1000])
async def test_what_is_no_export_is_refused(world: Recalling, tmp_path: Path, content: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(InvalidRequest) as refused:
        await taken(world, path)
    assert refused.value.code == "invalid_export" and count(world) == 0


async def test_of_another_kind_nothing_comes_in(world: Recalling, tmp_path: Path) -> None:
    (done,) = await take(world, tmp_path, talk(), kind="claude")
    assert done.state == "failed" and count(world) == 0


async def test_lines_circles_orphans_and_doubles_of_any_length(world: Recalling, tmp_path: Path) -> None:
    long = exported(*(node(f"m{n}", f"m{n - 1}" if n else None, "user", f"t{n}") for n in range(3_000)))
    circle = exported(node("a", "b", "user", "a"), node("b", "a", "user", "b"), conversation_id="circle")
    orphans = exported(
        node("a", "x", "user", "a\x00\ud800"), node("b", "y", "user", "b"), conversation_id="orphans"
    )
    done = await take(world, tmp_path, long, circle, orphans)
    assert [(one.state, one.added) for one in done] == [("new", 3_000), ("new", 2), ("new", 2)]
    assert len(await world.branches(done[2].conversation_id or "")) == 2
    assert [one.state for one in await take(world, tmp_path, long, circle, orphans)] == ["same"] * 3
    page = await world.application.conversations.items(
        world.who, done[0].conversation_id or "", branch_id=None, after=None, limit=1, descending=True
    )
    (last,) = page.data
    assert text_of(last.body()) == "t2999"
    assert (
        await world.turn("x", conversation_id=done[0].conversation_id, model=ECHO)
    ).run.state == "completed"


async def test_one_that_is_broken_off_is_not_seen_and_comes_whole_the_next_time(
    world: Recalling, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_trees, "MOST_COMMANDS", 2)
    commit, commits = world.storage.unit_of_work.commit, 0

    async def failing(*commands: Any) -> None:
        nonlocal commits
        commits += any(isinstance(one, ws.PutItems) for one in commands)
        if commits == 2:
            raise OSError("the disk is gone")
        await commit(*commands)

    with monkeypatch.context() as broken:
        broken.setattr(world.storage.unit_of_work, "commit", failing)
        (done,) = await take(world, tmp_path, talk())
    assert done.state == "failed" and commits == 2
    page = await world.application.conversations.page(world.who, after=None, limit=10, descending=True)
    assert page.data == []
    (again,) = await take(world, tmp_path, talk())
    assert again.state == "new" and len(await items_of(world, again)) == 4


# --- sessions


async def test_histories_are_sessions_under_their_names_and_go_on(world: Recalling, tmp_path: Path) -> None:
    said = [{"role": ("user", "assistant")[n % 2], "content": f"t{n}"} for n in range(4)]
    path = tmp_path / "dump.jsonl"
    for size, added in ((2, 2), (4, 2), (4, 0)):
        path.write_text(
            json.dumps({"key": "session:abc", "value": json.dumps(said[:size])}) + '\n{"key":"n","value":1}\n'
        )
        one, other = await taken(world, path)
        assert (one.added, one.messages, other.state) == (added, size, "left")
    session = await world.application.chat_sessions.get(world.who, "abc")
    assert await world.said(ids.CONVERSATION + session.conversation.id) == ["t0", "t1", "t2", "t3"]


async def test_documents_that_lie_apart_come_together(world: Recalling, tmp_path: Path) -> None:
    lines = [{"session_id": f"s{n % 2}", "message": f"q{n}", "response": f"r{n}", "_id": {"$oid": f"{n}"}}
             for n in range(6)]  # fmt: skip
    path = tmp_path / "chat_history.json"
    path.write_text("\n".join(json.dumps(one) for one in lines))
    one, two = await taken(world, path)
    assert await world.said(one.conversation_id or "") == ["q0", "r0", "q2", "r2", "q4", "r4"]
    assert await world.said(two.conversation_id or "") == ["q1", "r1", "q3", "r3", "q5", "r5"]
    session = await world.application.chat_sessions.get(world.who, "s1")
    assert ids.CONVERSATION + session.conversation.id == two.conversation_id


def branching() -> list[dict[str, Any]]:
    """A chat, a branch of it, and one of that: ten messages."""

    def pair(question: str, *branches: str) -> dict[str, Any]:
        return {"question": question, "response": f"on {question}", "response_id": f"r-{question}",
                "branches": list(branches), "timestamp": "2024-05-01"}  # fmt: skip

    return [{"chat_id": "b", "qa_pairs": [pair("q3", "d"), pair("q4")]},
            {"chat_id": "c", "qa_pairs": [pair("q1", "b"), pair("q2")]},
            {"chat_id": "d", "qa_pairs": [pair("q5")]}]  # fmt: skip


async def test_a_branching_chat_and_its_branches_are_one_tree_of_forks(
    world: Recalling, tmp_path: Path
) -> None:
    (done,) = await take(world, tmp_path, *branching())
    assert await world.said(done.conversation_id or "") == ["q1", "on q1", "q2", "on q2"]
    branches = await world.branches(done.conversation_id or "")
    seen = ["q1", "on q1", "q3", "on q3", "q4", "on q4"]
    assert await world.said(done.conversation_id or "", branch_id=branches["main-2"]) == seen
    leads_to = world.application.imports.leads_to
    fork = await leads_to(world.who, "branching", "b")
    assert fork != done.conversation_id and await world.said(fork) == seen
    assert count(world) == 10, "what is shared is stored once"
    await world.indexed()
    found = [hit for hit in (await world.find("q4")).data if hit.passage.text.endswith("q4")]
    assert {ids.CONVERSATION + hit.shown.conversation.id for hit in found} == {fork} and len(found) == 2
    other = await another_person(world)
    assert await leads_to(other, "branching", "b") == "b"
    shown = await world.application.branch_forks.shown(world.who, fork)
    message = world.application.imports.message
    assert await message(world.who, shown, "r-q1") != "r-q1" == await message(other, shown, "r-q1")


@contextmanager
def failing_at(world: Recalling, number: int) -> Iterator[list[int]]:
    """The commit of that number fails, counted from here on; tells how long each was that was tried."""
    commit, tried = world.storage.unit_of_work.commit, list[int]()

    async def failing(*commands: Any) -> None:
        tried.append(len(commands))
        if len(tried) == number:
            raise OSError("the disk is gone")
        await commit(*commands)

    with pytest.MonkeyPatch.context() as broken:
        broken.setattr(world.storage.unit_of_work, "commit", failing)
        yield tried


async def test_a_tree_that_is_broken_off_anywhere_is_not_seen_and_comes_whole_the_next_time(
    world: Recalling, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_trees, "MOST_COMMANDS", 3)
    monkeypatch.setattr(imports, "MOST_COMMANDS", 3)
    failed = 0
    for commits in range(1, 100):
        with failing_at(world, commits) as tried:
            (done,) = await take(world, tmp_path, *branching())
        if done.state == "new":
            break
        failed += 1
        page = await world.application.conversations.page(world.who, after=None, limit=10, descending=True)
        assert (done.state, page.data) == ("failed", [])
    assert failed >= 8 and len(tried) < commits
    page = await world.application.conversations.page(world.who, after=None, limit=10, descending=True)
    assert len(page.data) == 3
    (again,) = await take(world, tmp_path, *branching())
    assert again.state == "same"


async def test_an_account_imports_one_file_at_a_time(world: Recalling, tmp_path: Path) -> None:
    file = await stored_file(world, json.dumps([talk(), talk(conversation_id="c2")]).encode())
    first = world.application.imports.stored(world.who, file, None)
    assert (await anext(first)).state == "new"
    with pytest.raises(RateLimited):
        await anext(world.application.imports.stored(world.who, file, None))
    await first.aclose()
    assert [one.state async for one in world.application.imports.stored(world.who, file, None)] == [
        "same",
        "new",
    ]


async def stored_file(world: Recalling, content: bytes) -> str:
    async def pieces() -> AsyncIterator[bytes]:
        yield content

    files = world.application.files
    async with files.receiving(world.who, pieces()) as kept:
        file = await files.create(world.who, kept, NewFile(filename="a.json", purpose="user_data"), key=None)
    return FILE + file.id


async def test_what_was_broken_off_while_it_grew_gets_its_branches_the_next_time(
    world: Recalling, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first,) = await take(world, tmp_path, talk())
    more = [node(f"n{n}", f"n{n - 1}" if n else "a3", "user", f"more {n}") for n in range(5)]
    side = [node(f"s{n}", "a1", "user", f"side {n}") for n in range(3)]
    monkeypatch.setattr(import_trees, "MOST_COMMANDS", 2)
    monkeypatch.setattr(imports, "MOST_COMMANDS", 2)
    states = []
    for commits in (3, 7, 9):
        with failing_at(world, commits):
            (done,) = await take(world, tmp_path, talk(*more, *side))
        states.append(done.state)
    assert "failed" in states
    await take(world, tmp_path, talk(*more, *side))
    (again,) = await take(world, tmp_path, talk(*more, *side))
    assert again.state == "same" and count(world) == 13
    conversation = first.conversation_id or ""
    branches = await world.branches(conversation)
    ends = {(await world.said(conversation, branch_id=branch))[-1] for branch in branches.values()}
    assert {"more 4", "side 0", "side 1", "side 2"} <= ends


async def test_a_session_that_was_opened_and_never_used_is_filled(world: Recalling, tmp_path: Path) -> None:
    session = await world.application.chat_sessions.open(world.who, "abc", ephemeral=False)
    path = tmp_path / "dump.jsonl"
    path.write_text(json.dumps({"key": "abc", "value": [{"role": "user", "content": "hello"}]}))
    (done,) = await taken(world, path)
    assert done.conversation_id == ids.CONVERSATION + session.conversation.id
    assert await world.said(done.conversation_id) == ["hello"]
