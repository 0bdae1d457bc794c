"""Conversations as trees: segments, branches and the rules of placing and naming.

A segment is an unbroken line of items; a branch is a named pointer to a head. Nothing here is
ever rewritten: an edit or another answer is a sibling in a new segment.
"""

from __future__ import annotations

from typing import Final

import msgspec

from antiphon.domain.items import Item, Position
from antiphon.domain.members import Role

MAIN_BRANCH: Final = "main"
EPHEMERAL: Final = "ephemeral"
"""The kind of a conversation that is a chat session's memory: it ends some time after its last use."""


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """A tree of items with an owner.

    `kind` is explicit when a caller created it, implicit when a chain of responses did, ephemeral
    when it is the memory of a chat session. `external_key` is the name its owner's client gave it.
    A fork shows its base path: everything up to `base`, shared with its origin. `role` and
    `owner_name` are set when a member who is not the owner reads it. From `expires_us` on it is to
    be deleted. Its owner has pinned it, or put it away, since `pinned_us` or `archived_us`,
    and keeps it in the folder of the name `folder`, or in none.
    """

    id: str
    owner_id: str
    slot: int
    kind: str
    title: str | None
    metadata: str
    active_branch_id: str
    base: Position | None
    revision: int
    created_us: int
    updated_us: int
    role: Role | None = None
    owner_name: str | None = None
    expires_us: int | None = None
    external_key: str | None = None
    pinned_us: int | None = None
    archived_us: int | None = None
    folder: str | None = None


MAX_METADATA, MAX_METADATA_KEY, MAX_METADATA_VALUE = 16, 64, 512
"""How many pairs a conversation's metadata has at most, and how long keys and values are."""
MAX_FOLDER: Final = 100
"""Characters of a folder's name."""


class Folder(msgspec.Struct, frozen=True):
    """A name under which an owner keeps conversations, and how many; it is there as long as one is."""

    name: str
    conversations: int


class Chosen(msgspec.Struct, frozen=True):
    """Which conversations a list shows: None for either, whether they are pinned or archived or not.

    Of a `folder` only those in it, of "" only those in none.
    """

    pinned: bool | None = None
    archived: bool | None = None
    folder: str | None = None


ALL: Final = Chosen()


class Branch(msgspec.Struct, frozen=True, kw_only=True):
    """A named head; `run_id` is the running turn that claims it.

    With `alias_of` it stands for a fork of the same owner: what it shows is what the fork shows, and `head`
    is only where the fork left.
    """

    id: str
    conversation_id: str
    name: str
    head: Position
    run_id: str | None
    created_us: int
    alias_of: str | None = None


class BranchFork(msgspec.Struct, frozen=True):
    """A branch and the living fork that it stands for."""

    branch: Branch
    fork: Conversation


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """An immutable row: where a line of items leaves its parent.

    `fork_depth` is the depth of the last item shared with the parent, -1 at the root;
    `fork_tokens` the token sum of the path up to it.
    """

    id: str
    conversation_id: str
    parent_id: str | None
    fork_depth: int
    fork_tokens: int
    level: int


class PathRange(msgspec.Struct, frozen=True):
    """Items `first` to `last` (depths, both included) of one segment on a path."""

    segment_id: str
    first: int
    last: int


def open_segment(segment_id: str, conversation_id: str, after: Position | None, level: int = 0) -> Segment:
    """Return the segment that continues `after` (or starts a tree) in `conversation_id`."""
    return Segment(
        id=segment_id,
        conversation_id=conversation_id,
        parent_id=after.segment_id if after else None,
        fork_depth=after.depth if after else -1,
        fork_tokens=after.tokens if after else 0,
        level=level,
    )


def segment_start(segment: Segment) -> Position:
    """Return the place from which a fresh segment's first item follows."""
    return Position(segment.id, segment.fork_depth, segment.fork_tokens)


def may_continue(parent: Item | None, segment_conversation_id: str, conversation_id: str) -> bool:
    """Whether a child of `parent` may try for the next place of the parent's own segment.

    Not if the segment belongs to another conversation (a fork never grows its origin), nor
    after a run's input, whose next place is kept for that run's output.
    """
    return segment_conversation_id == conversation_id and not (parent is not None and parent.is_run_input)


def free_name(wanted: str, taken: set[str], *, spread: int = 0) -> str:
    """Return `wanted`, or `wanted-2`, `wanted-3`, … whichever is first not in `taken`.

    `spread` counts further free numbers to pass over, so that many who choose at once do not all
    choose the same.
    """
    if wanted not in taken and not spread:
        return wanted
    number = 2
    while f"{wanted}-{number}" in taken or spread > 0:
        spread -= f"{wanted}-{number}" not in taken
        number += 1
    return f"{wanted}-{number}"
