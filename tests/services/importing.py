"""Conversations of another application, and short ways to import them."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from antiphon.domain.accounts import Principal
from antiphon.domain.chat_exports.chats import Kind
from antiphon.domain.items import Item
from antiphon.services.imports import Imported
from tests.domain.exports import ROOT, exported, node
from tests.services.recall import Recalling


def talk(*more: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Two answers to one question, of which the second was gone on with."""
    return exported(
        ROOT,
        node("u1", "root", "user", "Where do zebras live?", time=1_700_000_001),
        node("a1", "u1", "assistant", "In Africa.", time=1_700_000_002, metadata={"model_slug": "gpt-4o"}),
        node("a2", "u1", "assistant", "On the savanna.", time=1_700_000_003),
        node("u2", "a2", "user", "And quokkas?", time=1_700_000_004),
        node("a3", "u2", "assistant", "On Rottnest.", time=1_700_000_005),
        *more,
        **{"default_model_slug": "gpt-5"} | fields,
    )  # fmt: skip


async def take(
    world: Recalling, tmp_path: Path, *chats: Any, who: Principal | None = None, kind: Kind | None = None,
    name: str = "conversations.json",
) -> list[Imported]:  # fmt: skip
    path = tmp_path / name
    path.write_text(json.dumps(list(chats)))
    return await taken(world, path, who=who, kind=kind)


async def taken(
    world: Recalling, path: Path, *, who: Principal | None = None, kind: Kind | None = None
) -> list[Imported]:
    return [one async for one in world.application.imports.run(who or world.who, path, kind)]


def zipped(path: Path, entries: Mapping[str, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


async def items_of(world: Recalling, done: Imported, **fields: Any) -> list[Item]:
    assert done.conversation_id is not None
    return await world.path(done.conversation_id, **fields)


def count(world: Recalling) -> int:
    return int(world.rows("SELECT COUNT(*) FROM items")[0][0])
