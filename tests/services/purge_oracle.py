"""What must be seen before and after a purge, and what must be nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from antiphon.domain import ids
from antiphon.domain.run_events import decode_ops
from antiphon.storage.sql.database import Db
from tests.services.tree_rules import parents
from tests.services.world import World
from tests.store import look, query, tables


@dataclass
class Story:
    """A conversation of the test: what it may say, and what became of it."""

    wire_id: str
    canaries: set[str] = field(default_factory=set)
    """Words that were written into this conversation and nowhere else."""
    responses: dict[str, None] = field(default_factory=dict)
    deleted: bool = False
    implicit: bool = False

    @property
    def id(self) -> str:
        """The id without its prefix."""
        return self.wire_id.removeprefix(ids.CONVERSATION)


async def shown(world: World, stories: list[Story]) -> dict[str, Any]:
    """Everything that living conversations and their answers show."""
    seen: dict[str, Any] = {}
    for story in stories:
        if not story.deleted:
            found = await world.application.conversations.get(world.who, story.wire_id)
            seen[story.wire_id] = (found.title, found.active_branch_id)
            for name, branch in (await world.branches(story.wire_id)).items():
                path = await world.path(story.wire_id, branch_id=branch)
                seen[branch] = (name, [(item.wire_id, item.payload) for item in path])
        for response in story.responses:
            seen[response] = await _answer(world, response)
    return seen


async def _answer(world: World, response: str) -> Any:
    answers = world.application.answers
    answer = await answers.get(world.who, response)
    own = await answers.input_items(world.who, response, after=None, limit=100, descending=False)
    asked = await answers.asked(world.who, response)
    outputs = [(out.id, out.payload) for out in answer.outputs]
    return (
        answer.run.state,
        outputs,
        [item.payload for item in own.data],
        [item.payload for item in asked],
    )


def purged(directory: Path, stories: list[Story]) -> list[Story]:
    """The stories whose purge has ended."""
    alive = {row[0] for row in query(directory, "SELECT id FROM conversations WHERE state IS NULL")}
    return [story for story in stories if story.id not in alive]


def stood_on(directory: Path) -> set[str]:
    """The items of living conversations, whose answers may quote, and those on which they stand.

    A deleted fork counts until it is swept: it has an hour.
    """
    parent = parents(directory)
    own = query(
        directory,
        "SELECT i.id FROM items i JOIN segments s ON s.id=i.segment_id"
        " JOIN conversations c ON c.id=s.conversation_id AND c.state IS NULL",
    )
    heads = query(
        directory,
        "SELECT base_item_id FROM conversations WHERE state IS NULL AND base_item_id IS NOT NULL",
    )
    found = {row[0] for row in own}
    for (head,) in heads:
        item: str | None = head
        while item is not None:
            assert item in parent, f"item {item} on the path of a living fork is gone"
            found.add(item)
            item = parent[item]
    return found


def traces(directory: Path, words: set[str], *, sparing: set[str]) -> list[str]:
    """Where any of `words` is still written.

    The items `sparing` and the files they hold aside, and what the journal has of answers that are
    still there: they may quote what they answer.
    """
    found, spared = look(directory, lambda db: _traces(db, words, sparing))
    for path in (directory / "blobs").rglob("*"):
        if path.is_file() and path.name not in spared:
            content = path.read_bytes()
            found += [f"{path.name}: {word}" for word in words if word.encode() in content]
    return found


def _traces(db: Db, words: set[str], sparing: set[str]) -> tuple[list[str], set[str]]:
    found = []
    for table in tables(db):
        rows = _journal(db) if table == "journal" else db.execute(f"SELECT * FROM {table}")
        for row in rows:
            if table == "items" and sparing & set(row):
                continue
            text = b"\0".join(v if isinstance(v, bytes) else str(v).encode() for v in row)
            found += [f"{table}: {word}" for word in words if word.encode() in text]
    held = db.execute("SELECT digest,item_id FROM blob_refs")
    return found, {row[0] for row in held if row[1] in sparing}


def _journal(db: Db) -> Iterator[tuple[str, ...]]:
    """What the journal's records hold of answers that are gone."""
    there = {row[0] for row in db.execute("SELECT id FROM runs")}
    for (record,) in db.execute("SELECT ops FROM journal"):
        for run_id, _, ops in decode_ops(record):
            if run_id not in there:
                yield run_id, str(ops)


def orphans(directory: Path) -> list[str]:
    """Rows that belong to nothing, and blobs without a row or a holder."""
    gone = "NOT IN (SELECT id FROM conversations)"
    found = []
    for table in ("branches", "conversation_changes", "hidden_items", "segments", "runs", "sweeps"):
        for (row,) in query(directory, f"SELECT conversation_id FROM {table} WHERE conversation_id {gone}"):
            found.append(f"{table} of {row}")
    for statement in (
        "SELECT run_id FROM run_chunks WHERE run_id NOT IN (SELECT id FROM runs)",
        "SELECT id FROM items WHERE segment_id NOT IN (SELECT id FROM segments)",
        "SELECT item_id FROM blob_refs WHERE item_id NOT IN (SELECT id FROM items)",
        "SELECT digest FROM blobs WHERE state<>'held' OR digest NOT IN (SELECT digest FROM blob_refs)",
        "SELECT digest FROM blob_refs WHERE digest NOT IN (SELECT digest FROM blobs)",
        "SELECT id FROM conversations WHERE state='purging'",
        "SELECT id FROM conversations c WHERE state='purged'"
        " AND NOT EXISTS (SELECT 1 FROM segments s WHERE s.conversation_id=c.id)",
    ):
        found += [f"{statement}: {row[0]}" for row in query(directory, statement)]
    kept = {row[0] for row in query(directory, "SELECT digest FROM blobs")}
    files = {path.name for path in (directory / "blobs").rglob("*") if path.is_file()}
    return found + [f"file {name}" for name in files ^ kept]
