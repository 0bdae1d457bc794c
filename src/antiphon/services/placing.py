"""Where new items go: after a place, or into a conversation that is made for them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from antiphon.domain import ids
from antiphon.domain.accounts import Principal
from antiphon.domain.conversations import MAIN_BRANCH, Branch, Conversation, open_segment, segment_start
from antiphon.domain.inputs import InputItem, new_item
from antiphon.domain.items import Item, NewItem, Position
from antiphon.ports import write_sets as ws
from antiphon.services.turn_plans import new_branch


def new_conversation(
    who: Principal,
    conversation_id: str,
    items: Sequence[InputItem],
    now_us: int,
    *,
    title: str | None = None,
    metadata: str = "{}",
    kind: str = "explicit",
    expires_us: int | None = None,
    external_key: str | None = None,
) -> tuple[Conversation, list[ws.Command]]:
    """Return a conversation that begins with `items`, and the commands that make it.

    They are lost (`NewConversation`) if its owner has one of that key.
    """
    segment = open_segment(ids.new_id(who.slot), conversation_id, None)
    new = [new_item(item, who.slot) for item in items]
    head = advance(segment_start(segment), new)
    branch = msgspec.structs.replace(new_branch(who, conversation_id, MAIN_BRANCH, head), created_us=now_us)
    conversation = Conversation(
        id=conversation_id, owner_id=who.account_id, slot=who.slot, kind=kind, title=title,
        metadata=metadata, active_branch_id=branch.id, base=None, revision=1, created_us=now_us,
        updated_us=now_us, expires_us=expires_us, external_key=external_key,
    )  # fmt: skip
    return conversation, [
        ws.NewConversation(conversation=conversation),
        ws.NewBranch(branch=branch, owner_id=who.account_id, slot=who.slot),
        ws.NewSegment(segment=segment, owner_id=who.account_id, slot=who.slot),
        *put_items(who, segment_start(segment), new, now_us),
    ]


def advance(after: Position, new: Sequence[NewItem]) -> Position:
    """Return the position of the last of `new` when they follow `after`."""
    if not new:
        return after
    tokens = after.tokens + sum(item.token_count for item in new)
    return Position(after.segment_id, after.depth + len(new), tokens, new[-1].id)


def move_head(branch: Branch, head: Position) -> ws.AdvanceHead:
    """Return what has a branch end elsewhere; lost if a turn holds it or it has moved since it was read."""
    return ws.AdvanceHead(
        conversation_id=branch.conversation_id, branch_id=branch.id, expected=branch.head, head=head
    )  # fmt: skip


def put_items(who: Principal, after: Position, new: Sequence[NewItem], now_us: int) -> list[ws.Command]:
    """Return the command that stores `new` after a position; none if there are none."""
    if not new:
        return []
    return [
        ws.PutItems(
            after=after, owner_id=who.account_id, slot=who.slot, author_id=who.actor_id, run_id=None,
            created_us=now_us, items=tuple(new),
        )
    ]  # fmt: skip


def placed(who: Principal, after: Position, new: Sequence[NewItem], now_us: int) -> list[Item]:
    """Return `new` as the items they became."""
    items, depth, tokens = [], after.depth, after.tokens
    for one in new:
        depth, tokens = depth + 1, tokens + one.token_count
        items.append(
            Item(
                id=one.id, segment_id=after.segment_id, depth=depth, path_tokens=tokens,
                token_count=one.token_count, type=one.type, role=one.role, status=one.status,
                author_id=who.actor_id, run_id=None, payload=one.payload, created_us=now_us,
            )
        )  # fmt: skip
    return items
