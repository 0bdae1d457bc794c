"""Documents as domain values and back. JSON stays a text, as it came."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from antiphon.domain.conversations import Branch, Conversation, Segment
from antiphon.domain.items import Item, NewItem, Position
from antiphon.domain.runs import Run
from antiphon.domain.shares import ShareLink
from antiphon.ports.purging import Owned
from antiphon.ports.retention import Passed
from antiphon.storage.mongo.database import Document

_json = msgspec.json.Encoder().encode
_request = msgspec.json.Decoder(dict[str, Any]).decode
_KEPT: Final = (bytes,)
ALIVE: Final = ("queued", "in_progress")


def plain(value: Any) -> Any:
    """Return a domain value in the types that a document has."""
    return msgspec.to_builtins(value, builtin_types=_KEPT)


def place_id(segment_id: str, depth: int) -> str:
    """Return the `_id` of the item at a place: only one can be there."""
    return f"{segment_id}:{depth}"


def pair_id(one: str, other: str) -> str:
    """Return the `_id` of what two names name together."""
    return f"{one}:{other}"


def position(found: Mapping[str, Any] | None) -> Position | None:
    """Read a place."""
    return None if found is None else msgspec.convert(found, Position)


def item_document(item: NewItem, place: Position, **fields: Any) -> Document:
    """Return a new item at its place."""
    document = {
        "_id": place_id(place.segment_id, place.depth), "id": item.id, "segment_id": place.segment_id,
        "depth": place.depth, "path_tokens": place.tokens, "token_count": item.token_count,
        "type": item.type, "role": item.role, "status": item.status, "payload": item.payload, **fields,
    }  # fmt: skip
    if item.path_hash is not None:
        document["path_hash"] = item.path_hash
    return document


def item(found: Document) -> Item:
    """Read an item."""
    return msgspec.convert(found, Item, builtin_types=_KEPT)


def conversation_document(conversation: Conversation) -> Document:
    """Return a conversation; `deleted` and `state` are set later."""
    return {"_id": conversation.id, **plain(conversation), "deleted": None, "state": None}


def conversation(found: Document) -> Conversation:
    """Read a conversation."""
    return msgspec.convert(found, Conversation)


def branch_document(branch: Branch, owner_id: str) -> Document:
    """Return a branch."""
    return {"_id": pair_id(branch.conversation_id, branch.id), **plain(branch), "owner_id": owner_id}


def branch(found: Document) -> Branch:
    """Read a branch."""
    return msgspec.convert(found, Branch)


def segment(found: Document) -> Segment:
    """Read a segment."""
    return msgspec.convert(found, Segment)


def share(found: Document) -> ShareLink:
    """Read a share link."""
    return msgspec.convert(found, ShareLink)


def owned(found: Document) -> Owned:
    """Read whose a conversation is."""
    return Owned(found["_id"], found["owner_id"], found["slot"])


def passed(found: Document) -> Passed:
    """Read a conversation past its time."""
    return Passed(found["_id"], found["owner_id"], found["slot"], found["updated_us"], found["kind"])


def run_document(run: Run, worker_id: str) -> Document:
    """Return a new run; `alive` is set until it ends."""
    document = {"_id": run.id, **plain(run), "worker_id": worker_id, "deleted": None, "alive": True}
    document["request"] = _json(run.request).decode()
    for field in ("input_hash", "reserved"):  # known only while the run goes on
        document.pop(field, None)
    return document | tags(run.metadata)


def tags(metadata: str) -> Document:
    """Return a run's metadata with what it is found by."""
    found = msgspec.json.decode(metadata)
    return {"metadata": metadata, "tags": [tag(name, value) for name, value in found.items()]}


def tag(name: str, value: Any) -> str:
    """Return one of the metadata as a text to be found by."""
    return _json([name, value]).decode()


def run(found: Document) -> Run:
    """Read a run."""
    return msgspec.convert({**found, "request": _request(found["request"])}, Run, builtin_types=_KEPT)
