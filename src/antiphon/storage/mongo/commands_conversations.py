"""What changes of a conversation itself, on documents; see `commands`."""

from __future__ import annotations

from typing import Final

from msgspec import UNSET

from antiphon.ports import write_sets as ws
from antiphon.storage.mongo import database as db
from antiphon.storage.mongo import documents as doc
from antiphon.storage.mongo.database import Document
from antiphon.storage.mongo.draft import Draft
from antiphon.storage.mongo.handlers import Handler, living


async def _update_conversation(d: Draft, c: ws.UpdateConversation) -> bool:
    found = await living(d, c.conversation_id)
    if found is None or (c.revision is not None and found["revision"] != c.revision):
        return False
    names = ("title", "expires_us", "pinned_us", "archived_us", "folder")
    fields: Document = {name: value for name in names if (value := getattr(c, name)) is not UNSET}
    if c.metadata is not None:
        fields["metadata"] = c.metadata
    d.change(db.CONVERSATIONS, found, **fields)
    return True


async def _title_conversation(d: Draft, c: ws.TitleConversation) -> bool:
    found = await living(d, c.conversation_id)
    if found is None or found["title"] is not None:
        return False
    d.change(db.CONVERSATIONS, found, title=c.title)
    return True


async def _delete_conversation(d: Draft, c: ws.DeleteConversation) -> bool:
    found = await living(d, c.conversation_id)
    if found is None:
        return False
    d.change(db.CONVERSATIONS, found, deleted=c.now_us, updated_us=c.now_us, external_key=None)
    return True


async def _expire_conversation(d: Draft, c: ws.ExpireConversation) -> bool:
    found = await living(d, c.conversation_id)
    if found is None or found["updated_us"] != c.updated_us:
        return False
    now = c.now_us
    d.change(db.CONVERSATIONS, found, deleted=now, expires_us=now, updated_us=now, external_key=None)
    return True


async def _renew_conversation(d: Draft, c: ws.RenewConversation) -> bool:
    found = await living(d, c.conversation_id)
    if found is None or (found["expires_us"] or 0) <= c.now_us:
        return False
    d.change(db.CONVERSATIONS, found, expires_us=c.expires_us, updated_us=c.now_us)
    return True


async def _add_change(d: Draft, c: ws.AddChange) -> bool:
    found = await d.get(db.CONVERSATIONS, c.conversation_id)
    if found is None or found["state"] is not None:
        return not c.GUARD
    revision = found["revision"] + 1
    used = {} if type(c) is ws.AddQuietChange else {"updated_us": c.now_us}
    d.change(db.CONVERSATIONS, found, revision=revision, **used)
    change = {
        "_id": doc.place_id(c.conversation_id, revision), "conversation_id": c.conversation_id,
        "revision": revision, "kind": c.kind, "body": c.body, "created_us": c.now_us,
    }  # fmt: skip
    d.put(db.CHANGES, change, c.owner_id)
    return True


async def _hide_item(d: Draft, c: ws.HideItem) -> bool:
    if await d.get(db.HIDDEN, doc.pair_id(c.conversation_id, c.item_id)) is None:
        _hide(d, c.conversation_id, c.item_id, c.owner_id)
    return True


async def _hide_as_in(d: Draft, c: ws.HideAsIn) -> bool:
    for one in await d.find(db.HIDDEN, {"conversation_id": c.origin_id}):
        _hide(d, c.conversation_id, one["item_id"], c.owner_id)
    return True


def _hide(d: Draft, conversation_id: str, item_id: str, owner_id: str) -> None:
    hidden = {
        "_id": doc.pair_id(conversation_id, item_id), "conversation_id": conversation_id, "item_id": item_id,
    }  # fmt: skip
    d.put(db.HIDDEN, hidden, owner_id)


HANDLERS: Final[dict[type, Handler]] = {
    ws.UpdateConversation: _update_conversation, ws.TitleConversation: _title_conversation,
    ws.DeleteConversation: _delete_conversation, ws.ExpireConversation: _expire_conversation,
    ws.RenewConversation: _renew_conversation, ws.AddChange: _add_change, ws.AddLastChange: _add_change,
    ws.AddQuietChange: _add_change, ws.HideItem: _hide_item, ws.HideAsIn: _hide_as_in,
}  # fmt: skip
