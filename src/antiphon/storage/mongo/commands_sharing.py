"""The commands of members, share links, copies, aliases and blobs on documents; see `commands`."""

from __future__ import annotations

from typing import Final

from antiphon.ports import blob_writes as wb
from antiphon.ports import sharing_writes as sw
from antiphon.ports.aliases import PutAlias
from antiphon.storage.mongo import database as db
from antiphon.storage.mongo import documents as doc
from antiphon.storage.mongo.draft import Draft
from antiphon.storage.mongo.handlers import Handler, living

HELD, LOOSE, DOOMED = "held", "loose", "doomed"


async def _put_member(d: Draft, c: sw.PutMember) -> bool:
    key = doc.pair_id(c.conversation_id, c.account_id)
    if await living(d, c.conversation_id) is None or await d.get(db.MEMBERS, key) is not None:
        return False
    member = {
        "_id": key, "conversation_id": c.conversation_id, "account_id": c.account_id, "role": c.role,
        "created_us": c.created_us,
    }  # fmt: skip
    d.put(db.MEMBERS, member, c.owner_id)
    return True


async def _set_member_role(d: Draft, c: sw.SetMemberRole) -> bool:
    found = await d.get(db.MEMBERS, doc.pair_id(c.conversation_id, c.account_id))
    if found is not None:
        d.change(db.MEMBERS, found, role=c.role)
    return found is not None


async def _remove_member(d: Draft, c: sw.RemoveMember) -> bool:
    found = await d.get(db.MEMBERS, doc.pair_id(c.conversation_id, c.account_id))
    if found is not None:
        d.drop(db.MEMBERS, found)
    return found is not None


async def _put_share(d: Draft, c: sw.PutShare) -> bool:
    if await living(d, c.link.conversation_id) is None:
        return False
    link = {"_id": c.link.id, **doc.plain(c.link), "digest": c.digest}
    d.put(db.SHARES, link, c.link.owner_id)
    return True


async def _revoke_share(d: Draft, c: sw.RevokeShare) -> bool:
    found = await d.get(db.SHARES, c.share_id)
    if found is None or found["conversation_id"] != c.conversation_id or found["revoked_us"] is not None:
        return False
    d.change(db.SHARES, found, revoked_us=c.now_us)
    return True


async def _hide_conversation(d: Draft, c: sw.HideConversation) -> bool:
    found = await d.get(db.CONVERSATIONS, c.conversation_id)
    if found is not None:
        d.change(db.CONVERSATIONS, found, deleted=found["created_us"])
    return True


async def _reveal_conversation(d: Draft, c: sw.RevealConversation) -> bool:
    found = await d.get(db.CONVERSATIONS, c.conversation_id)
    if found is None or found["deleted"] is None or found["state"] is not None:
        return False
    created = c.now_us if c.created_us is None else c.created_us
    updated = c.now_us if c.updated_us is None else c.updated_us
    d.change(db.CONVERSATIONS, found, deleted=None, created_us=created, updated_us=updated)
    return True


async def _put_alias(d: Draft, c: PutAlias) -> bool:
    key = doc.pair_id(c.owner_id, c.alias)
    if await d.get(db.ALIASES, key) is not None and not c.moves:
        return False
    alias = {"_id": key, "owner_id": c.owner_id, "alias": c.alias, "target_id": c.target_id}
    d.put(db.ALIASES, alias, c.owner_id)
    return True


async def _announce_blob(d: Draft, c: wb.AnnounceBlob) -> bool:
    key = doc.pair_id(c.owner_id, c.digest)
    found = await d.get(db.BLOBS, key)
    if found is not None and found["state"] == DOOMED:
        return False
    if found is not None:
        d.change(db.BLOBS, found, changed=c.now_us)
        return True
    blob = {
        "_id": key, "owner_id": c.owner_id, "digest": c.digest, "size": c.size, "state": LOOSE,
        "changed": c.now_us,
    }  # fmt: skip
    d.put(db.BLOBS, blob, c.owner_id)
    return True


async def _hold_blob(d: Draft, c: wb.HoldBlob) -> bool:
    found = await d.get(db.BLOBS, doc.pair_id(c.owner_id, c.digest))
    if found is None or found["state"] == DOOMED:
        return False
    d.change(db.BLOBS, found, state=HELD)
    key = f"{c.segment_id}:{c.depth}:{c.digest}"
    if await d.get(db.BLOB_REFS, key) is None:
        held = {
            "_id": key, "segment_id": c.segment_id, "depth": c.depth, "digest": c.digest,
            "owner_id": c.owner_id, "item_id": c.item_id,
        }  # fmt: skip
        d.put(db.BLOB_REFS, held, c.owner_id)
    return True


async def _doom_blob(d: Draft, c: wb.DoomBlob) -> bool:
    found = await d.get(db.BLOBS, doc.pair_id(c.owner_id, c.digest))
    if found is None or found["state"] == HELD:
        return False
    d.change(db.BLOBS, found, state=DOOMED)
    return True


async def _forget_blob(d: Draft, c: wb.ForgetBlob) -> bool:
    found = await d.get(db.BLOBS, doc.pair_id(c.owner_id, c.digest))
    if found is not None and found["state"] == DOOMED:
        d.drop(db.BLOBS, found)
    return True


async def loosen(d: Draft, owner_id: str, segment_id: str, first: int, last: int, now_us: int) -> None:
    """Let the items of a range hold no blob any more."""
    within = {"segment_id": segment_id, "depth": {"$gte": first, "$lte": last}}
    going = await d.find(db.BLOB_REFS, within)
    for one in going:
        d.drop(db.BLOB_REFS, one)
    for digest in sorted({one["digest"] for one in going}):
        blob = await d.get(db.BLOBS, doc.pair_id(owner_id, digest))
        if blob is None or blob["state"] != HELD:
            continue
        if not await d.has(db.BLOB_REFS, {"owner_id": owner_id, "digest": digest}):
            d.change(db.BLOBS, blob, state=LOOSE, changed=now_us)


HANDLERS: Final[dict[type, Handler]] = {
    sw.PutMember: _put_member, sw.SetMemberRole: _set_member_role, sw.RemoveMember: _remove_member,
    sw.PutShare: _put_share, sw.RevokeShare: _revoke_share, sw.HideConversation: _hide_conversation,
    sw.RevealConversation: _reveal_conversation, PutAlias: _put_alias, wb.AnnounceBlob: _announce_blob,
    wb.HoldBlob: _hold_blob, wb.DoomBlob: _doom_blob, wb.ForgetBlob: _forget_blob,
}  # fmt: skip
