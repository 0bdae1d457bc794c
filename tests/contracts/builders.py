"""Write sets as services make them, short enough to read in a test."""

from __future__ import annotations

from typing import Any

import msgspec

from antiphon.domain import ids
from antiphon.domain.conversations import Branch, Conversation, Segment, open_segment, segment_start
from antiphon.domain.items import NewItem, Position
from antiphon.domain.runs import Run
from antiphon.domain.usage import Usage
from antiphon.ports import write_sets as ws

SLOT = 5
OWNER = ids.new_id(SLOT)
STRANGER = ids.new_id(SLOT)


def new_item(text: str, *, tokens: int = 10, digest: bytes | None = None, role: str = "user") -> NewItem:
    """An item that says something."""
    payload = {"type": "message", "role": role, "content": [{"type": "input_text", "text": text}]}
    return NewItem(
        id=ids.new_id(SLOT), type="message", role=role, status="completed",
        payload=msgspec.json.encode(payload).decode(), token_count=tokens, path_hash=digest,
    )  # fmt: skip


def put(
    after: Position, *items: NewItem, run_id: str | None = None, author: str | None = OWNER
) -> ws.PutItems:
    """Store items behind a place."""
    return ws.PutItems(
        after=after, owner_id=OWNER, slot=SLOT, author_id=author, run_id=run_id, created_us=1_000, items=items
    )


def end_of(after: Position, *items: NewItem) -> Position:
    """The place of the last of items put behind `after`."""
    tokens = after.tokens + sum(item.token_count for item in items)
    return Position(after.segment_id, after.depth + len(items), tokens, items[-1].id)


def segment(
    conversation: Conversation, after: Position | None = None
) -> tuple[Segment, ws.NewSegment, Position]:
    """A new segment with its command and the place its first item follows."""
    made = open_segment(ids.new_id(SLOT), conversation.id, after)
    return made, ws.NewSegment(segment=made, owner_id=OWNER, slot=SLOT), segment_start(made)


def new_branch(
    conversation: Conversation,
    name: str,
    head: Position,
    *,
    run_id: str | None = None,
    branch_id: str | None = None,
) -> ws.NewBranch:
    """A branch."""
    branch = Branch(
        id=branch_id or ids.new_id(SLOT),
        conversation_id=conversation.id,
        name=name,
        head=head,
        run_id=run_id,
        created_us=1_000,
    )
    return ws.NewBranch(branch=branch, owner_id=OWNER, slot=SLOT)


def new_conversation(
    *items: NewItem, kind: str = "explicit", **fields: Any
) -> tuple[Conversation, Position, list[ws.Command]]:
    """A conversation with a line of items on branch `main`: itself, its head, and its write set."""
    conversation = Conversation(
        **{
            "id": ids.new_id(SLOT),
            "owner_id": OWNER,
            "slot": SLOT,
            "kind": kind,
            "title": None,
            "metadata": "{}",
            "active_branch_id": ids.new_id(SLOT),
            "base": None,
            "revision": 1,
            "created_us": 1_000,
            "updated_us": 1_000,
            **fields,
        }
    )
    _, opening, start = segment(conversation)
    head = end_of(start, *items) if items else start
    main = new_branch(conversation, "main", head, branch_id=conversation.active_branch_id)
    commands: list[ws.Command] = [ws.NewConversation(conversation=conversation), main, opening]
    if items:
        commands.append(put(start, *items))
    return conversation, head, commands


def new_run(conversation: Conversation | None = None, **fields: Any) -> Run:
    """A stored answer that is being made."""
    return Run(
        **{
            "id": ids.new_id(SLOT),
            "owner_id": OWNER,
            "slot": SLOT,
            "conversation_id": conversation.id if conversation else None,
            "branch_id": None,
            "author_id": OWNER,
            "credential_id": None,
            "surface": "responses",
            "parent": None,
            "input_end": None,
            "state": "in_progress",
            "background": False,
            "stored": True,
            "request": {"a": [1.5, None, "ü\u2028"]},
            "model": "m/x",
            "created_us": 1_000,
            **fields,
        }
    )


def finish(run: Run, **fields: Any) -> ws.FinishRun:
    """The end of a run."""
    ended = msgspec.structs.replace(
        run, **{"state": "completed", "usage": Usage(3, 4), "ended_us": 2_000, "provider": "m", **fields}
    )
    return ws.FinishRun(run=ended, log=b"\x93\xa1C\xa1P\xa1Z", is_script=False)


def change(conversation: Conversation, kind: str = "test", body: str = "{}") -> ws.AddChange:
    """One step of a conversation's feed."""
    return ws.AddChange(
        conversation_id=conversation.id, owner_id=OWNER, slot=SLOT, kind=kind, body=body, now_us=2_000
    )
