"""Conversations, branches, segments and changes on the wire."""

from __future__ import annotations

from typing import Any

import msgspec

from antiphon.domain import ids
from antiphon.domain.conversations import Branch, Conversation
from antiphon.domain.items import Item, text_of
from antiphon.services.branches import Comparison, Segments
from antiphon.services.erasure import Purged

PREVIEW_CHARACTERS = 120


def conversation_object(conversation: Conversation) -> dict[str, Any]:
    """Return a conversation: OpenAI's keys, then the tree extension's.

    A member who is not its owner is also told whose it is, and what they may do there; where it stands in
    its owner's lists is the owner's alone.
    """
    base = conversation.base
    role, owner = conversation.role, conversation.owner_name
    shared = {"antiphon": {"owner": owner, "role": role}} if role is not None else {}
    return {
        "id": ids.CONVERSATION + conversation.id,
        "object": "conversation",
        "created_at": conversation.created_us // 1_000_000,
        "metadata": msgspec.json.decode(conversation.metadata),
        "title": conversation.title,
        "updated_at": conversation.updated_us // 1_000_000,
        "active_branch_id": ids.BRANCH + conversation.active_branch_id,
        "revision": conversation.revision,
        "kind": conversation.kind,
        "pinned": conversation.pinned_us is not None and role is None,
        "archived": conversation.archived_us is not None and role is None,
        "folder": conversation.folder if role is None else None,
        "expires_at": conversation.expires_us // 1_000_000 if conversation.expires_us else None,
        "forked_from_item_id": _some_item(base.item_id) if base else None,
        **shared,
    }


def _some_item(identifier: str | None) -> str | None:
    return f"item_{identifier}" if identifier else None


def deleted_object(conversation_id: str, purged: Purged | None) -> dict[str, Any]:
    """Return what OpenAI answers to a deletion, and what a purge erased."""
    deleted = {"id": ids.CONVERSATION + conversation_id, "object": "conversation.deleted", "deleted": True}
    return deleted | purged_counts(purged)


def purged_counts(purged: Purged | None) -> dict[str, Any]:
    """Return what a purge erased, as a field of the answer to a deletion."""
    return {"purged": purged.counts()} if purged is not None else {}


def branch_object(conversation: Conversation, branch: Branch) -> dict[str, Any]:
    """Return a branch; `head_item_id` is null while it has no items.

    One that stands for a fork names it; its head is where the fork left.
    """
    fork = {"alias_of": ids.CONVERSATION + branch.alias_of} if branch.alias_of is not None else {}
    return {
        "id": ids.BRANCH + branch.id,
        "object": "conversation.branch",
        "conversation_id": ids.CONVERSATION + conversation.id,
        "name": branch.name,
        "head_item_id": _some_item(branch.head.item_id),
        "head_segment_id": ids.SEGMENT + branch.head.segment_id,
        "item_count": branch.head.depth + 1,
        "token_count": branch.head.tokens,
        "active": branch.id == conversation.active_branch_id,
        "running_response_id": ids.RESPONSE + branch.run_id if branch.run_id else None,
        "created_at": branch.created_us // 1_000_000,
        **fork,
    }


def _preview(item: Item | None) -> dict[str, Any] | None:
    if item is None:
        return None
    text = " ".join(text_of(item.body()).split())
    shown = text if len(text) <= PREVIEW_CHARACTERS else text[: PREVIEW_CHARACTERS - 1] + "…"
    return {"id": item.wire_id, "type": item.type, "role": item.role, "preview": shown}


def segment_object(summary: Segments) -> dict[str, Any]:
    """Return a segment of the tree: where it leaves its parent, how long it is, how it begins and ends."""
    segment = summary.segment
    return {
        "id": ids.SEGMENT + segment.id,
        "object": "conversation.segment",
        "parent_segment_id": ids.SEGMENT + segment.parent_id if segment.parent_id else None,
        "fork_depth": segment.fork_depth,
        "item_count": summary.count,
        "first_item": _preview(summary.first_item),
        "last_item": _preview(summary.last_item),
    }


def comparison_object(
    comparison: Comparison, left: tuple[str, list[dict[str, Any]]], right: tuple[str, list[dict[str, Any]]]
) -> dict[str, Any]:
    """Return two branches side by side, each by its id and its items as they are told."""
    return {
        "object": "conversation.comparison",
        "common_depth": comparison.common.depth if comparison.common else -1,
        "left": {
            "branch_id": left[0],
            "data": left[1],
            "has_more": comparison.left_has_more,
        },
        "right": {
            "branch_id": right[0],
            "data": right[1],
            "has_more": comparison.right_has_more,
        },
    }
