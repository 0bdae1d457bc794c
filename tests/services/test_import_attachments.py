"""Attachments of an export and a later one: a list of names doubles nothing, what is missing is told."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from antiphon.domain.chat_exports import chats
from antiphon.services import import_trees
from tests.domain.exports import ROOT, exported, node
from tests.services.importing import count, items_of, taken, zipped
from tests.services.recall import Recalling, recalling
from tests.services.tree_rules import tree_problems

PNG = b"\x89PNG\r\n\x1a\n" + b"pixels" * 100
NAMES = "conversation_asset_file_names.json"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Recalling]:
    async with recalling(tmp_path / "data") as opened:
        yield opened
    assert tree_problems(tmp_path / "data") == []


def drawn() -> str:
    """A picture in the midst of a talk, which its message has no name for."""
    picture = {"content_type": "multimodal_text", "parts": [{
        "content_type": "image_asset_pointer", "asset_pointer": "sediment://file_0cafe"}]}  # fmt: skip
    return json.dumps([exported(
        ROOT, node("u", "root", "user", "Draw a cat."), node("t", "u", "tool", content=picture, name="dalle"),
        node("v", "t", "user", "Thanks!"),
    )])  # fmt: skip


def exports(folder: Path) -> tuple[Path, Path]:
    """The same talk as exports of two times have it: by itself, and with a list of names."""
    listed = {"file_0cafe.dat": "user-abc/cat.png"}
    return (
        zipped(folder / "old.zip", {"conversations.json": drawn(), "file_0cafe-1.png": PNG}),
        zipped(folder / "new.zip", {"conversations-000.json": drawn(), "file_0cafe.dat": PNG,
                                    NAMES: json.dumps(listed)}),
    )  # fmt: skip


async def shown(world: Recalling, done: Any) -> dict[str, Any]:
    part: dict[str, Any] = (await items_of(world, done))[1].body()["content"][0]
    return part


@pytest.mark.parametrize("with_names_first", [False, True])
async def test_a_list_of_names_makes_no_other_message(
    world: Recalling, tmp_path: Path, with_names_first: bool
) -> None:
    first, second = exports(tmp_path) if not with_names_first else reversed(exports(tmp_path))
    (done,) = await taken(world, first)
    assert (await shown(world, done))["filename"] == ("cat.png" if with_names_first else "file_0cafe.png")
    (again,) = await taken(world, second)
    assert (again.state, again.added, count(world)) == ("same", 0, 3)


async def test_what_came_in_while_names_counted_is_known_again(
    world: Recalling, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = chats.fingerprint

    def before(draft: chats.Draft) -> str:
        return chats.earlier_fingerprint(draft) or now(draft)

    _, export = exports(tmp_path)
    with monkeypatch.context() as older:
        older.setattr(chats, "fingerprint", before)
        older.setattr(import_trees, "fingerprint", before)
        await taken(world, export)
    (again,) = await taken(world, export)
    assert (again.state, count(world)) == ("same", 3)


async def test_files_that_come_later_than_their_messages_are_told_each_time(
    world: Recalling, tmp_path: Path
) -> None:
    alone = tmp_path / "conversations.json"
    alone.write_text(drawn())
    for _ in range(2):
        (done,) = await taken(world, alone)
        assert done.notes == ("attachment file_0cafe is not in the export",)
    old, _ = exports(tmp_path)
    (done,) = await taken(world, old)
    (note,) = done.notes
    assert done.state == "same" and note.startswith("attachment file_0cafe is in this export, and did not")
    await world.application.conversations.delete(world.who, done.conversation_id or "", purge=True)
    (done,) = await taken(world, old)
    assert (done.state, done.notes) == ("new", ()) and "file_id" in await shown(world, done)
