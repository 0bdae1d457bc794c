"""What must hold of the stored tree at any moment, looked up beside the server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from antiphon.storage.sql.database import Db
from tests.store import look, query

Place = tuple[str, int]


def tree_problems(directory: Path, *, at_rest: bool = False) -> list[str]:
    """Return every broken rule; `at_rest` says that no run goes on, so no claim may be left."""
    return look(directory, lambda db: list(problems(db, at_rest)))


def problems(db: Db, at_rest: bool) -> Iterator[str]:
    """Look for broken rules on an open store; see `tree_problems`."""
    segments = {
        row[0]: row[1:]
        for row in db.execute("SELECT id,parent_id,fork_depth,fork_tokens,conversation_id FROM segments")
    }
    items: dict[str, list[tuple[int, int, int, str]]] = {}
    for segment, *rest in db.execute(
        "SELECT segment_id,depth,path_tokens,token_count,id FROM items ORDER BY segment_id,depth"
    ):
        items.setdefault(segment, []).append(tuple(rest))
    yield from _segments(segments, items)
    for segment in items.keys() - segments.keys():
        yield f"items in segment {segment}, which does not exist"
    yield from _branches(db, segments, items)
    yield from _conversations(db)
    if at_rest:
        for (branch,) in db.execute("SELECT id FROM branches WHERE run_id IS NOT NULL"):
            yield f"branch {branch} is claimed though nothing runs"
        for run, state in db.execute("SELECT id,state FROM runs WHERE state IN ('queued','in_progress')"):
            yield f"run {run} is {state} though nothing runs"


def _segments(segments: dict[str, tuple], items: dict[str, list]) -> Iterator[str]:
    for segment, (parent, fork_depth, fork_tokens, _) in segments.items():
        depth, tokens = fork_depth, fork_tokens
        for at, path_tokens, count, identifier in items.get(segment, []):
            depth, tokens = depth + 1, tokens + count
            if (at, path_tokens) != (depth, tokens):
                yield f"item {identifier} is at {at}/{path_tokens}, not {depth}/{tokens}"
            if count < 1:
                yield f"item {identifier} counts {count} tokens"
        if parent is None:
            if (fork_depth, fork_tokens) != (-1, 0):
                yield f"root segment {segment} begins at {fork_depth}/{fork_tokens}"
            continue
        found = _tokens_at(segments, items, parent, fork_depth)
        if found != fork_tokens:
            yield f"segment {segment} leaves {parent} at {fork_depth}/{fork_tokens}, where there is {found}"


def _tokens_at(segments: dict[str, tuple], items: dict[str, list], segment: str, depth: int) -> int | str:
    """The token sum at a depth of a path; a text if the path does not hold it."""
    seen: set[str] = set()
    at: str | None = segment
    while at is not None:
        if at in seen:
            return "a circle"
        if at not in segments:
            return f"no segment {at}"
        seen.add(at)
        parent, fork_depth, fork_tokens, _ = segments[at]
        if depth == fork_depth:
            return fork_tokens if parent is None else _tokens_at(segments, items, parent, depth)
        if depth > fork_depth:
            index = depth - fork_depth - 1
            line = items.get(at, [])
            return line[index][1] if index < len(line) else "no item"
        at = parent
    return 0 if depth == -1 else "nothing"


def _branches(db: Db, segments: dict[str, tuple], items: dict[str, list]) -> Iterator[str]:
    places = {(segment, row[0]): row[3] for segment, line in items.items() for row in line}
    for branch, segment, depth, tokens, item in db.execute(
        "SELECT id,head_segment_id,head_depth,head_tokens,head_item_id FROM branches"
    ):
        if segment not in segments:
            yield f"branch {branch} has its head in no segment"
            continue
        found = _tokens_at(segments, items, segment, depth)
        if found != tokens:
            yield f"branch {branch} has its head at {depth}/{tokens}, where there is {found}"
        stands = places.get((segment, depth))
        if stands is not None and stands != item:
            yield f"branch {branch} names item {item}, but {stands} is its head"


def _conversations(db: Db) -> Iterator[str]:
    for (conversation,) in db.execute(
        "SELECT id FROM conversations c WHERE deleted IS NULL AND NOT EXISTS"
        " (SELECT 1 FROM branches b WHERE b.id=c.active_branch_id AND b.conversation_id=c.id)"
    ):
        yield f"conversation {conversation} has no active branch"
    for conversation, revisions, last in db.execute(
        "SELECT c.id, COUNT(h.revision), c.revision FROM conversations c"
        " LEFT JOIN conversation_changes h ON h.conversation_id=c.id GROUP BY c.id"
    ):
        if revisions != last - 1:
            yield f"conversation {conversation} is at revision {last} after {revisions} changes"


def parents(directory: Path) -> dict[str, str | None]:
    """Return every stored item's id with the id of the item it follows, None at a root; by depth and text."""
    segments, places = _places(directory)
    return {item: _item_at(segments, places, segment, depth - 1) for (segment, depth), item in places.items()}


def heads(directory: Path) -> dict[str, str | None]:
    """Return every branch's id with the item at its head, found by its place."""
    segments, places = _places(directory)
    rows = query(directory, "SELECT id,head_segment_id,head_depth FROM branches")
    return {branch: _item_at(segments, places, segment, depth) for branch, segment, depth in rows}


def _places(directory: Path) -> tuple[dict[str, tuple], dict[Place, str]]:
    segments = query(directory, "SELECT id,parent_id,fork_depth FROM segments")
    items = query(directory, "SELECT segment_id,depth,id FROM items ORDER BY depth,payload")
    return {row[0]: (row[1], row[2]) for row in segments}, {(row[0], row[1]): row[2] for row in items}


def _item_at(
    segments: dict[str, tuple], places: dict[Place, str], segment: str | None, depth: int
) -> str | None:
    while segment is not None and depth >= 0:
        parent, fork_depth = segments[segment]
        if depth > fork_depth:
            return places[segment, depth]
        segment = parent
    return None
