"""Write sets on documents: every command reads and changes a draft; False says that its guard is lost."""

from __future__ import annotations

from typing import Final

import msgspec

from antiphon.domain.errors import Conflict
from antiphon.domain.items import Position
from antiphon.ports import account_writes as aw
from antiphon.ports import write_sets as ws
from antiphon.storage.mongo import commands_conversations, commands_purge, commands_sharing
from antiphon.storage.mongo import database as db
from antiphon.storage.mongo import documents as doc
from antiphon.storage.mongo.database import Database, Document
from antiphon.storage.mongo.draft import Draft
from antiphon.storage.mongo.handlers import Handler, erase_all, living

_json = msgspec.json.Encoder().encode


async def _put_key(d: Draft, c: ws.PutKey) -> bool:
    key = doc.pair_id(c.owner_id, c.key)
    found = await d.get(db.KEYS, key)
    if found is not None and found["expires_us"] > c.created_us:
        return False
    fields = {name: getattr(c, name) for name in c.__struct_fields__}
    d.put(db.KEYS, {"_id": key, **fields}, c.owner_id)
    return True


async def _free_key(d: Draft, c: ws.FreeKey) -> bool:
    await erase_all(d, db.KEYS, {"owner_id": c.owner_id, "run_id": c.run_id})
    return True


async def _new_conversation(d: Draft, c: ws.NewConversation) -> bool:
    new = c.conversation
    if new.external_key is not None:
        taken = {"owner_id": new.owner_id, "external_key": new.external_key}
        if await d.has(db.CONVERSATIONS, taken):
            return False
    d.put(db.CONVERSATIONS, doc.conversation_document(new), new.owner_id)
    return True


async def _new_branch(d: Draft, c: ws.NewBranch) -> bool:
    branch = c.branch
    is_new = d.is_new(db.CONVERSATIONS, branch.conversation_id)
    named = {"conversation_id": branch.conversation_id, "name": branch.name}
    if await d.has(db.BRANCHES, named, only_here=is_new):
        return False
    d.put(db.BRANCHES, doc.branch_document(branch, c.owner_id), c.owner_id)
    return True


async def _branch(d: Draft, conversation_id: str, branch_id: str) -> Document | None:
    return await d.get(db.BRANCHES, doc.pair_id(conversation_id, branch_id))


async def _rename_branch(d: Draft, c: ws.RenameBranch) -> bool:
    found = await _branch(d, c.conversation_id, c.branch_id)
    named = await d.find(db.BRANCHES, {"conversation_id": c.conversation_id, "name": c.name})
    if found is None or any(one["id"] != c.branch_id for one in named):
        return False
    d.change(db.BRANCHES, found, name=c.name)
    return True


async def _delete_branch(d: Draft, c: ws.DeleteBranch) -> bool:
    found = await _branch(d, c.conversation_id, c.branch_id)
    conversation = await d.get(db.CONVERSATIONS, c.conversation_id)
    if found is None or (conversation is not None and conversation["active_branch_id"] == c.branch_id):
        return False
    d.drop(db.BRANCHES, found)
    return True


async def _activate_branch(d: Draft, c: ws.ActivateBranch) -> bool:
    conversation = await living(d, c.conversation_id)
    if conversation is None or await _branch(d, c.conversation_id, c.branch_id) is None:
        return False
    d.change(db.CONVERSATIONS, conversation, active_branch_id=c.branch_id)
    return True


def _is_at(branch: Document, place: Position) -> bool:
    head = branch["head"]
    return bool(head["segment_id"] == place.segment_id and head["depth"] == place.depth)


async def _claim_branch(d: Draft, c: ws.ClaimBranch) -> bool:
    found = await _branch(d, c.conversation_id, c.branch_id)
    if found is None or found["run_id"] is not None or not _is_at(found, c.head):
        return False
    d.change(db.BRANCHES, found, run_id=c.run_id)
    return True


async def _advance_head(d: Draft, c: ws.AdvanceHead) -> bool:
    found = await _branch(d, c.conversation_id, c.branch_id)
    if found is None or found["run_id"] is not None or not _is_at(found, c.expected):
        return False
    d.change(db.BRANCHES, found, head=doc.plain(c.head))
    return True


async def _end_claim(d: Draft, c: ws.EndClaim) -> bool:
    found = await _branch(d, c.conversation_id, c.branch_id)
    if found is None or found["run_id"] != c.run_id:
        return True
    moves = c.head is not None and await living(d, c.conversation_id) is not None
    d.change(db.BRANCHES, found, run_id=None, **({"head": doc.plain(c.head)} if moves else {}))
    return True


async def _new_segment(d: Draft, c: ws.NewSegment) -> bool:
    d.put(
        db.SEGMENTS,
        {"_id": c.segment.id, **doc.plain(c.segment), "owner_id": c.owner_id, "slot": c.slot},
        c.owner_id,
    )
    return True


async def _put_items(d: Draft, c: ws.PutItems) -> bool:
    depth, tokens = c.after.depth, c.after.tokens
    is_new = d.is_new(db.SEGMENTS, c.after.segment_id)
    for item in c.items:
        depth += 1
        tokens += item.token_count
        place = doc.place_id(c.after.segment_id, depth)
        if d.is_new(db.ITEMS, place) or (not is_new and await d.get(db.ITEMS, place)):
            return False
        at = Position(c.after.segment_id, depth, tokens)
        document = doc.item_document(
            item, at, owner_id=c.owner_id, slot=c.slot, author_id=c.author_id, run_id=c.run_id,
            created_us=c.created_us,
        )  # fmt: skip
        d.put(db.ITEMS, document, c.owner_id)
    return True


async def _open_run(d: Draft, c: ws.OpenRun) -> bool:
    d.put(db.RUNS, doc.run_document(c.run, c.worker_id), c.run.owner_id)
    return True


async def _finish_run(d: Draft, c: ws.FinishRun) -> bool:
    found = await d.get(db.RUNS, c.run.id)
    if found is None or not found["alive"]:
        return False
    run = c.run
    d.change(
        db.RUNS, found, state=run.state, worker_id=None, alive=None, output_end=doc.plain(run.output_end),
        provider=run.provider, error=doc.plain(run.error), incomplete_reason=run.incomplete_reason,
        usage=doc.plain(run.usage), log=c.log, is_script=c.is_script, ended_us=run.ended_us,
    )  # fmt: skip
    if c.sealed:
        await erase_all(d, db.CHUNKS, {"run_id": run.id}, owner_id=run.owner_id)
    return True


async def _start_run(d: Draft, c: ws.StartRun) -> bool:
    found = await d.get(db.RUNS, c.run_id)
    if found is None or not found["alive"] or found["attempt"] >= c.attempt:
        return False
    d.change(db.RUNS, found, state="in_progress", worker_id=c.worker_id, attempt=c.attempt)
    await erase_all(d, db.CHUNKS, {"run_id": c.run_id}, owner_id=found["owner_id"])  # its log begins anew
    return True


async def _update_run_metadata(d: Draft, c: ws.UpdateRunMetadata) -> bool:
    found = await d.get(db.RUNS, c.run_id)
    if found is not None:
        d.change(db.RUNS, found, **doc.tags(c.metadata))
    return True


async def _rate_run(d: Draft, c: ws.RateRun) -> bool:
    found = await d.get(db.RUNS, c.run_id)
    if found is not None:
        d.change(db.RUNS, found, rating=c.rating)
    return True


async def _delete_run(d: Draft, c: ws.DeleteRun) -> bool:
    found = await d.get(db.RUNS, c.run_id)
    if found is not None and found["deleted"] is None:
        d.change(db.RUNS, found, deleted=c.now_us)
    return True


async def _request_cancel(d: Draft, c: ws.RequestCancel) -> bool:
    found = await d.get(db.RUNS, c.run_id)
    if found is not None and found["alive"]:
        d.change(db.RUNS, found, cancel_requested=True)
    return True


async def _erase_account(d: Draft, c: aw.EraseAccount) -> bool:
    await erase_all(d, db.MEMBERS, {"account_id": c.account_id})
    await erase_all(d, db.KEYS, {"owner_id": c.account_id})
    await erase_all(d, db.ALIASES, {"owner_id": c.account_id})
    await erase_all(d, db.ALIASES, {"target_id": c.account_id})
    return True


async def forget(database: Database, c: ws.Forget) -> None:
    """Erase what has expired, beside all logs: nothing is decided by it."""
    found = await database.find(db.KEYS, {"expires_us": {"$lte": c.now_us}}, limit=c.limit, fields=["_id"])
    expired = {"_id": {"$in": [one["_id"] for one in found]}, "expires_us": {"$lte": c.now_us}}
    gone = await database.delete(db.KEYS, expired)
    if c.full and gone < c.limit:
        raise Conflict(type(c).__name__)  # those that went may be gone: they had expired
    old = {
        "conversation_id": {"$gte": c.first_conversation_id, "$lte": c.last_conversation_id},
        "created_us": {"$lt": c.changes_before_us},
    }
    await database.delete(db.CHANGES, old)


_CORE: Final[dict[type, Handler]] = {
    ws.PutKey: _put_key, ws.FreeKey: _free_key, ws.NewConversation: _new_conversation,
    ws.NewBranch: _new_branch, ws.RenameBranch: _rename_branch,
    ws.DeleteBranch: _delete_branch, ws.ActivateBranch: _activate_branch, ws.ClaimBranch: _claim_branch,
    ws.AdvanceHead: _advance_head, ws.EndClaim: _end_claim, ws.NewSegment: _new_segment,
    ws.PutItems: _put_items, ws.OpenRun: _open_run, ws.FinishRun: _finish_run,
    ws.StartRun: _start_run, ws.UpdateRunMetadata: _update_run_metadata, ws.RateRun: _rate_run,
    ws.DeleteRun: _delete_run, ws.RequestCancel: _request_cancel,
}  # fmt: skip
HANDLERS: Final[dict[type, Handler]] = {
    **_CORE, **commands_conversations.HANDLERS, **commands_purge.HANDLERS,
    **commands_sharing.HANDLERS, aw.EraseAccount: _erase_account,
}  # fmt: skip
"""Commands of MongoDB; all others are of SQL."""

OF_BOTH: Final = frozenset([aw.EraseAccount])
"""What of an account is in SQL goes after what is here."""
