"""Write sets as SQL: every command becomes steps, statements with an expected row count.

A step whose `expect` is not None is a compare-and-set: fewer rows mean that the guard is lost.
Placeholders are `?`; an engine that numbers them translates once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from antiphon.domain.items import Position
from antiphon.domain.runs import Run
from antiphon.ports import write_sets as ws
from antiphon.storage.sql import (
    commands_accounts,
    commands_aliases,
    commands_blobs,
    commands_conversations,
    commands_groups,
    commands_operations,
    commands_purge,
    commands_quotas,
    commands_sharing,
)
from antiphon.storage.sql.steps import Compiler, Step

_json = msgspec.json.Encoder().encode


def _text(value: Any) -> str | None:
    return None if value is None else _json(value).decode()


def _place(position: Position | None) -> tuple[Any, ...]:
    if position is None:
        return (None, None, None, None)
    return (position.segment_id, position.depth, position.tokens, position.item_id)


def _put_account(c: ws.PutAccount) -> Iterator[Step]:
    yield (
        "INSERT INTO accounts (id,slot,name,role,created) VALUES (?,?,?,?,?) ON CONFLICT (name) DO NOTHING",
        (c.account.account_id, c.account.slot, c.account.name, c.account.role, c.created_us),
        None,
    )


PUT_KEY: Final = (
    "INSERT INTO idempotency (owner_id,key,slot,fingerprint,run_id,status,body,created,expires,"
    "conversation_id) VALUES (?,?,?,?,?,?,?,?,?,?)"
    " ON CONFLICT (owner_id,key) DO UPDATE SET fingerprint=excluded.fingerprint, run_id=excluded.run_id,"
    " status=excluded.status, body=excluded.body, created=excluded.created, expires=excluded.expires,"
    " conversation_id=excluded.conversation_id"
    " WHERE idempotency.expires <= excluded.created"
)


def _put_key(c: ws.PutKey) -> Iterator[Step]:
    yield (
        PUT_KEY,
        (c.owner_id, c.key, c.slot, c.fingerprint, c.run_id, c.status, c.body, c.created_us, c.expires_us,
         c.conversation_id),
        1,
    )  # fmt: skip


def _free_key(c: ws.FreeKey) -> Iterator[Step]:
    yield "DELETE FROM idempotency WHERE owner_id=? AND run_id=?", (c.owner_id, c.run_id), None


NEW_CONVERSATION: Final = (
    "INSERT INTO conversations (id,owner_id,slot,kind,title,metadata,active_branch_id,base_segment_id,"
    "base_depth,base_tokens,base_item_id,revision,created,updated,expires,external_key)"
    " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
    " ON CONFLICT (owner_id,external_key) WHERE external_key IS NOT NULL DO NOTHING"
)


def _new_conversation(c: ws.NewConversation) -> Iterator[Step]:
    n = c.conversation
    yield (
        NEW_CONVERSATION,
        (n.id, n.owner_id, n.slot, n.kind, n.title, n.metadata, n.active_branch_id, *_place(n.base),
         n.revision, n.created_us, n.updated_us, n.expires_us, n.external_key),
        1,
    )  # fmt: skip


NEW_BRANCH: Final = (
    "INSERT INTO branches (id,owner_id,slot,conversation_id,name,head_segment_id,head_depth,head_tokens,"
    "head_item_id,run_id,created,alias_of) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)"
    " ON CONFLICT (conversation_id,name) DO NOTHING"
)


def _new_branch(c: ws.NewBranch) -> Iterator[Step]:
    b = c.branch
    yield (
        NEW_BRANCH,
        (b.id, c.owner_id, c.slot, b.conversation_id, b.name, *_place(b.head), b.run_id, b.created_us,
         b.alias_of),
        1,
    )  # fmt: skip


def _rename_branch(c: ws.RenameBranch) -> Iterator[Step]:
    yield (
        "UPDATE branches SET name=? WHERE id=? AND conversation_id=? AND NOT EXISTS"
        " (SELECT 1 FROM branches o WHERE o.conversation_id=? AND o.name=? AND o.id<>?)",
        (c.name, c.branch_id, c.conversation_id, c.conversation_id, c.name, c.branch_id),
        1,
    )


def _delete_branch(c: ws.DeleteBranch) -> Iterator[Step]:
    yield (
        "DELETE FROM branches WHERE id=? AND conversation_id=? AND NOT EXISTS"
        " (SELECT 1 FROM conversations c WHERE c.id=? AND c.active_branch_id=?)",
        (c.branch_id, c.conversation_id, c.conversation_id, c.branch_id),
        1,
    )


def _activate_branch(c: ws.ActivateBranch) -> Iterator[Step]:
    yield (
        "UPDATE conversations SET active_branch_id=? WHERE id=? AND deleted IS NULL AND EXISTS"
        " (SELECT 1 FROM branches b WHERE b.id=? AND b.conversation_id=?)",
        (c.branch_id, c.conversation_id, c.branch_id, c.conversation_id),
        1,
    )


def _claim_branch(c: ws.ClaimBranch) -> Iterator[Step]:
    yield (
        "UPDATE branches SET run_id=? WHERE conversation_id=? AND id=? AND run_id IS NULL"
        " AND head_segment_id=? AND head_depth=?",
        (c.run_id, c.conversation_id, c.branch_id, c.head.segment_id, c.head.depth),
        1,
    )


SET_HEAD: Final = "head_segment_id=?, head_depth=?, head_tokens=?, head_item_id=?"


def _advance_head(c: ws.AdvanceHead) -> Iterator[Step]:
    yield (
        f"UPDATE branches SET {SET_HEAD}"
        " WHERE conversation_id=? AND id=? AND run_id IS NULL AND head_segment_id=? AND head_depth=?",
        (*_place(c.head), c.conversation_id, c.branch_id, c.expected.segment_id, c.expected.depth),
        1,
    )


def _end_claim(c: ws.EndClaim) -> Iterator[Step]:
    claim = (c.conversation_id, c.branch_id, c.run_id)
    if c.head is not None:
        yield (
            f"UPDATE branches SET run_id=NULL, {SET_HEAD} WHERE conversation_id=? AND id=? AND run_id=?"
            " AND EXISTS (SELECT 1 FROM conversations c WHERE c.id=? AND c.deleted IS NULL)",
            (*_place(c.head), *claim, c.conversation_id),
            None,
        )
    yield "UPDATE branches SET run_id=NULL WHERE conversation_id=? AND id=? AND run_id=?", claim, None


def _new_segment(c: ws.NewSegment) -> Iterator[Step]:
    s = c.segment
    yield (
        "INSERT INTO segments (id,owner_id,slot,conversation_id,parent_id,fork_depth,fork_tokens,level)"
        " VALUES (?,?,?,?,?,?,?,?)",
        (s.id, c.owner_id, c.slot, s.conversation_id, s.parent_id, s.fork_depth, s.fork_tokens, s.level),
        None,
    )


PUT_ITEM: Final = (
    "INSERT INTO items (segment_id,depth,id,owner_id,slot,path_tokens,path_hash,token_count,type,role,status,"
    "author_id,run_id,payload,created) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
    " ON CONFLICT (segment_id,depth) DO NOTHING"
)


def _put_items(c: ws.PutItems) -> Iterator[Step]:
    depth, tokens = c.after.depth, c.after.tokens
    for item in c.items:
        depth += 1
        tokens += item.token_count
        yield (
            PUT_ITEM,
            (c.after.segment_id, depth, item.id, c.owner_id, c.slot, tokens, item.path_hash, item.token_count,
             item.type, item.role, item.status, c.author_id, c.run_id, item.payload, c.created_us),
            1,
        )  # fmt: skip


OPEN_RUN: Final = (
    "INSERT INTO runs (id,owner_id,slot,conversation_id,branch_id,author_id,credential_id,surface,"
    "parent_segment_id,parent_depth,parent_tokens,parent_item_id,input_segment_id,input_depth,input_tokens,"
    "input_item_id,state,background,worker_id,attempt,request,model,provider,wire_version,metadata,created)"
    " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
)


def _open_run(c: ws.OpenRun) -> Iterator[Step]:
    r = c.run
    yield (
        OPEN_RUN,
        (r.id, r.owner_id, r.slot, r.conversation_id, r.branch_id, r.author_id, r.credential_id, r.surface,
         *_place(r.parent), *_place(r.input_end), r.state, int(r.background), c.worker_id, r.attempt,
         _text(r.request), r.model, r.provider, r.wire_version, r.metadata, r.created_us),
        None,
    )  # fmt: skip


DROP_CHUNKS: Final = "DELETE FROM run_chunks WHERE run_id=?"
FINISH_RUN: Final = (
    "UPDATE runs SET state=?, worker_id=NULL, output_segment_id=?, output_depth=?, output_tokens=?,"
    " output_item_id=?, provider=?, error=?, incomplete_reason=?, usage=?, log=?, is_script=?, ended=?"
    " WHERE id=? AND state IN ('queued','in_progress')"
)


def _finish_run(c: ws.FinishRun) -> Iterator[Step]:
    r: Run = c.run
    yield (
        FINISH_RUN,
        (r.state, *_place(r.output_end), r.provider, _text(r.error), r.incomplete_reason, _text(r.usage),
         c.log, int(c.is_script), r.ended_us, r.id),
        1,
    )  # fmt: skip
    if c.sealed:
        yield DROP_CHUNKS, (r.id,), None


def _start_run(c: ws.StartRun) -> Iterator[Step]:
    yield (
        "UPDATE runs SET state='in_progress', worker_id=?, attempt=?"
        " WHERE id=? AND state IN ('queued','in_progress') AND attempt<?",
        (c.worker_id, c.attempt, c.run_id, c.attempt),
        1,
    )
    yield DROP_CHUNKS, (c.run_id,), None  # its log begins anew


def _update_run_metadata(c: ws.UpdateRunMetadata) -> Iterator[Step]:
    yield "UPDATE runs SET metadata=? WHERE id=?", (c.metadata, c.run_id), None


def _rate_run(c: ws.RateRun) -> Iterator[Step]:
    yield "UPDATE runs SET rating=? WHERE id=?", (c.rating, c.run_id), None


def _delete_run(c: ws.DeleteRun) -> Iterator[Step]:
    yield "UPDATE runs SET deleted=? WHERE id=? AND deleted IS NULL", (c.now_us, c.run_id), None


def _request_cancel(c: ws.RequestCancel) -> Iterator[Step]:
    yield (
        "UPDATE runs SET cancel_requested=1 WHERE id=? AND state IN ('queued','in_progress')",
        (c.run_id,),
        None,
    )


def _forget(c: ws.Forget) -> Iterator[Step]:
    yield (
        "DELETE FROM idempotency WHERE (owner_id,key) IN"
        " (SELECT owner_id,key FROM idempotency WHERE expires<=? LIMIT ?)",
        (c.now_us, c.limit),
        c.limit if c.full else None,
    )
    yield (
        "DELETE FROM conversation_changes WHERE conversation_id BETWEEN ? AND ? AND created<?",
        (c.first_conversation_id, c.last_conversation_id, c.changes_before_us),
        None,
    )


PUT_LEDGER: Final = (
    "INSERT INTO ledger (run_id,owner_id,slot,author_id,credential_id,provider,model,state,tokens_in,"
    "tokens_out,tokens_cached,tokens_reasoning,estimated,cost,created,latency,cached)"
    " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
    " ON CONFLICT (owner_id,run_id) DO NOTHING"
)


def _put_ledger(c: ws.PutLedger) -> Iterator[Step]:
    u = c.usage
    yield (
        PUT_LEDGER,
        (c.run_id, c.owner_id, c.slot, c.author_id, c.credential_id, c.provider, c.model, c.state,
         u.input_tokens, u.output_tokens, u.cached_tokens, u.reasoning_tokens, int(u.estimated), c.cost,
         c.created_us, c.latency_us, int(c.cached)),
        None,
    )  # fmt: skip


_CORE: Final[dict[type, Compiler]] = {
    ws.PutAccount: _put_account, ws.PutKey: _put_key, ws.FreeKey: _free_key,
    ws.NewConversation: _new_conversation, ws.NewBranch: _new_branch,
    ws.RenameBranch: _rename_branch, ws.DeleteBranch: _delete_branch,
    ws.ActivateBranch: _activate_branch, ws.ClaimBranch: _claim_branch, ws.AdvanceHead: _advance_head,
    ws.EndClaim: _end_claim, ws.NewSegment: _new_segment, ws.PutItems: _put_items,
    ws.OpenRun: _open_run, ws.FinishRun: _finish_run, ws.StartRun: _start_run,
    ws.UpdateRunMetadata: _update_run_metadata, ws.RateRun: _rate_run, ws.DeleteRun: _delete_run,
    ws.RequestCancel: _request_cancel, ws.Forget: _forget, ws.PutLedger: _put_ledger,
}  # fmt: skip
_COMPILERS: Final = {
    **_CORE,
    **commands_accounts.COMPILERS,
    **commands_aliases.COMPILERS,
    **commands_groups.COMPILERS,
    **commands_operations.COMPILERS,
    **commands_blobs.COMPILERS,
    **commands_conversations.COMPILERS,
    **commands_purge.COMPILERS,
    **commands_quotas.COMPILERS,
    **commands_sharing.COMPILERS,
}


def steps(command: ws.Command) -> Iterator[Step]:
    """Return the SQL of a command, in the order in which it must run."""
    return _COMPILERS[type(command)](command)


PUT_TICK: Final = (
    "INSERT INTO journal (worker_id,tick,ops) VALUES (?,?,?) ON CONFLICT (worker_id,tick) DO NOTHING"
)
PUT_CHUNK: Final = "INSERT INTO run_chunks (run_id,first_seq,last_seq,ops) VALUES (?,?,?,?)"
TRIM_TICKS: Final = "DELETE FROM journal WHERE worker_id=? AND tick<=?"
FORGET_OTHERS: Final = "DELETE FROM journal WHERE worker_id<>?"
