"""Rows as domain values; the column lists beside each reader are its contract."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from antiphon.domain.conversations import Branch, Conversation, Segment
from antiphon.domain.items import Item, Position
from antiphon.domain.runs import Run, RunError
from antiphon.domain.usage import Usage

Row = Sequence[Any]

_usage = msgspec.json.Decoder(Usage).decode
_error = msgspec.json.Decoder(RunError).decode
_request = msgspec.json.Decoder(dict[str, Any]).decode

ITEM: Final = (
    "i.id,i.segment_id,i.depth,i.path_tokens,i.token_count,i.type,i.role,i.status,i.author_id,i.run_id,"
    "i.payload,i.created"
)
CONVERSATION: Final = (
    "c.id,c.owner_id,c.slot,c.kind,c.title,c.metadata,c.active_branch_id,c.base_segment_id,c.base_depth,"
    "c.base_tokens,c.base_item_id,c.revision,c.created,c.updated,c.expires,"
    "c.external_key,c.pinned,c.archived,c.folder"
)
CONVERSATION_FIELDS: Final = 19
BRANCH: Final = (
    "b.id,b.conversation_id,b.name,b.head_segment_id,b.head_depth,b.head_tokens,b.head_item_id,"
    "b.run_id,b.created,b.alias_of"
)
SEGMENT: Final = "s.id,s.conversation_id,s.parent_id,s.fork_depth,s.fork_tokens,s.level"
RUN: Final = (
    "r.id,r.owner_id,r.slot,r.conversation_id,r.branch_id,r.author_id,r.credential_id,r.surface,"
    "r.parent_segment_id,r.parent_depth,r.parent_tokens,r.parent_item_id,"
    "r.input_segment_id,r.input_depth,r.input_tokens,r.input_item_id,"
    "r.output_segment_id,r.output_depth,r.output_tokens,r.output_item_id,"
    "r.state,r.background,r.request,r.model,r.provider,r.wire_version,r.error,r.incomplete_reason,r.usage,"
    "r.metadata,r.cancel_requested,r.attempt,r.created,r.ended,r.rating"
)
RUN_FIELDS: Final = 35


def position(row: Row) -> Position | None:
    """Segment, depth, tokens, item."""
    return Position(row[0], row[1], row[2], row[3]) if row[0] is not None else None


def item(row: Row) -> Item:
    """Columns `ITEM`."""
    return Item(
        id=row[0], segment_id=row[1], depth=row[2], path_tokens=row[3], token_count=row[4], type=row[5],
        role=row[6], status=row[7], author_id=row[8], run_id=row[9], payload=row[10], created_us=row[11],
    )  # fmt: skip


def conversation(row: Row) -> Conversation:
    """Columns `CONVERSATION`."""
    return Conversation(
        id=row[0], owner_id=row[1], slot=row[2], kind=row[3], title=row[4], metadata=row[5],
        active_branch_id=row[6], base=position(row[7:11]), revision=row[11], created_us=row[12],
        updated_us=row[13], expires_us=row[14], external_key=row[15],
        pinned_us=row[16], archived_us=row[17], folder=row[18],
    )  # fmt: skip


def branch(row: Row) -> Branch:
    """Columns `BRANCH`."""
    head = Position(row[3], row[4], row[5], row[6])
    return Branch(
        id=row[0], conversation_id=row[1], name=row[2], head=head, run_id=row[7], created_us=row[8],
        alias_of=row[9],
    )  # fmt: skip


def segment(row: Row) -> Segment:
    """Columns `SEGMENT`."""
    return Segment(
        id=row[0],
        conversation_id=row[1],
        parent_id=row[2],
        fork_depth=row[3],
        fork_tokens=row[4],
        level=row[5],
    )


def run(row: Row) -> Run:
    """Columns `RUN`."""
    return Run(
        id=row[0], owner_id=row[1], slot=row[2], conversation_id=row[3], branch_id=row[4], author_id=row[5],
        credential_id=row[6], surface=row[7], parent=position(row[8:12]), input_end=position(row[12:16]),
        output_end=position(row[16:20]), state=row[20], background=bool(row[21]), stored=True,
        request=_request(row[22]), model=row[23], provider=row[24], wire_version=row[25],
        error=_error(row[26]) if row[26] else None, incomplete_reason=row[27],
        usage=_usage(row[28]) if row[28] else None, metadata=row[29], cancel_requested=bool(row[30]),
        attempt=row[31], created_us=row[32], ended_us=row[33], rating=row[34],
    )  # fmt: skip
