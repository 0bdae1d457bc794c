"""What is told of a conversation as it happens, in the same shape for every way of listening."""

from __future__ import annotations

from typing import Any, Final

from antiphon.api.v1.response_objects import placed_item
from antiphon.api.v1.wire_json import encode_object
from antiphon.domain.accounts import USER
from antiphon.services.feeds import Delta, Feed, Gap, Happened, Silence, Step
from antiphon.services.presence import Around, Someone

MAX_ITEM_BYTES: Final = 256 * 1024
"""Items that come with one event, at most; further ones are named and can be retrieved."""


def step_object(feed: Feed, step: Step) -> dict[str, Any]:
    """Return a step of a feed; its `type` says what it is."""
    if isinstance(step, Happened):
        return happened_object(feed.conversation_id, step)
    if isinstance(step, Delta):
        told = {"response_id": step.run_id, "offset": step.offset, "delta": step.text}
    elif isinstance(step, Around):
        told = {name: [_someone(one) for one in getattr(step, name)] for name in ("present", "typing")}
    elif isinstance(step, Gap):
        return {"type": "reset", "conversation_id": feed.conversation_id, "revision": step.revision}
    else:
        told = {}
    return {"type": TYPES[type(step)], "conversation_id": feed.conversation_id, **told}


TYPES: Final[dict[type, str]] = {Delta: "response.delta", Around: "presence", Silence: "heartbeat"}


def ready_object(feed: Feed) -> dict[str, Any]:
    """Return what is told first: from where on it is told, and which answers run."""
    return {
        "type": "ready",
        "conversation_id": feed.conversation_id,
        "revision": feed.revision,
        "running_response_ids": feed.running,
    }


def closed_object(conversation_id: str) -> dict[str, Any]:
    """Return what is told last to whom nothing may be told any more."""
    return {"type": "closed", "conversation_id": conversation_id, "reason": "not_found"}


def happened_object(conversation_id: str, happened: Happened) -> dict[str, Any]:
    """Return a change with its items, as far as there is room for them."""
    change, data = happened.change, dict(happened.body)
    if "run_id" in data:
        data["response_id"] = data["run_id"]
    if change.kind in ("items.added", "turn.began", "turn.ended"):
        data["item_ids"] = [item.wire_id for item in happened.items]
        data["items"] = _that_fit(happened)
    return {
        "id": str(change.revision),
        "type": change.kind,
        "conversation_id": conversation_id,
        "revision": change.revision,
        "created_at": change.created_us // 1_000_000,
        "data": data,
    }


def _that_fit(happened: Happened) -> list[dict[str, Any]]:
    room, found = MAX_ITEM_BYTES, []
    for item in happened.items:
        room -= len(item.payload)
        if room < 0:
            break
        found.append(placed_item(item, happened.runs.get(item.run_id or "")))
    return found


def _someone(one: Someone) -> dict[str, str]:
    return {"user_id": USER + one.account_id, "name": one.name}


def encoded(body: dict[str, Any]) -> bytes:
    """Return an event's data; a JSON text has no line ends."""
    return encode_object(body)
