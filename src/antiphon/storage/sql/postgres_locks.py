"""What a write set holds to itself on PostgreSQL while it is written.

SQLite has one writer, so a guard that looks at other rows (`NOT EXISTS …`) is right there by
itself. PostgreSQL runs write sets side by side: a guard's statement looks at one moment, and what
another set has not committed yet is not in it. So sets that look at the same things take turns. The
turn is taken before the first statement, which therefore sees all that went before; all of a set's
keys are taken in one order, so that no two sets wait for each other.

What needs no key: a guard about the very row it changes, which PostgreSQL looks at again after it has
waited for it (claims, counters, idempotency keys), and what a unique index decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Any, Final

from antiphon.ports import account_writes as aw
from antiphon.ports import blob_writes as wb
from antiphon.ports import purge_writes as wp
from antiphon.ports import sharing_writes as sw
from antiphon.ports import write_sets as ws
from antiphon.ports.write_sets import Command

Keys = Callable[[Any], Iterable[str]]


def _conversation(c: Any) -> Iterable[str]:
    return ("conversation " + c.conversation_id,)


def _account(c: Any) -> Iterable[str]:
    return ("account " + c.account_id,)


def _blobs(owner_id: str) -> str:
    return "blobs " + owner_id


def _segment(segment_id: str) -> str:
    return "segment " + segment_id


def _erase_items(c: wp.EraseItems) -> Iterable[str]:
    return (*_conversation(c), _segment(c.segment_id), _blobs(c.owner_id))


def _erase_segment(c: wp.EraseSegment) -> Iterable[str]:
    return (*_conversation(c), _segment(c.segment_id))


KEYS: Final[dict[type, Keys]] = {
    # Branches, heads and the active one; whether a conversation is there at all.
    ws.NewBranch: lambda c: ("conversation " + c.branch.conversation_id,),
    ws.RenameBranch: _conversation, ws.DeleteBranch: _conversation, ws.ActivateBranch: _conversation,
    ws.EndClaim: _conversation, ws.DeleteConversation: _conversation, ws.AddChange: _conversation,
    ws.AddLastChange: _conversation, ws.AddQuietChange: _conversation, ws.HideItem: _conversation,
    ws.HideAsIn: lambda c: ("conversation " + c.origin_id,),
    sw.PutMember: _conversation, sw.PutShare: lambda c: ("conversation " + c.link.conversation_id,),
    # What nothing stands on may go; who stands on it says so first.
    ws.NewSegment: lambda c: ("conversation " + c.segment.conversation_id,),
    wp.BeginPurge: _conversation, wp.EndPurge: _conversation, wp.EraseViews: _conversation,
    wp.EndSweep: _conversation, wp.EraseItems: _erase_items, wp.EraseSegment: _erase_segment,
    wp.RequireItem: lambda c: (_segment(c.position.segment_id),),
    wb.HoldBlob: lambda c: (_blobs(c.owner_id),), wb.DoomBlob: lambda c: (_blobs(c.owner_id),),
    # Ways to log in: what ends them sees those that are being made.
    aw.UpdateAccount: _account, aw.DeleteAccount: _account, aw.EraseAccount: _account,
    aw.NewSession: lambda c: ("account " + c.session.account_id,),
    aw.NewApiKey: lambda c: ("account " + c.key.account_id,),
    aw.LinkIdentity: _account, aw.UnlinkIdentity: _account,
    aw.KeepAdministrator: lambda _: ("administrators",),
}  # fmt: skip


def keys_of(one: Iterable[Command]) -> set[str]:
    """Return what a write set holds to itself."""
    return {key for c in one if (of := KEYS.get(type(c))) is not None for key in of(c)}


def begin(keys: Iterable[str], patience_ms: int | None = None) -> str:
    """Return the statements that open a transaction and take the turns at `keys`.

    Whoever waits longer than `patience_ms` for one of them, or for a row, is refused.
    """
    patience = () if patience_ms is None else (f"SET LOCAL lock_timeout={patience_ms}",)
    turns = (f"SELECT pg_advisory_xact_lock({_number(key)})" for key in sorted(keys))
    return ";".join(("BEGIN", *patience, *turns))


def _number(key: str) -> int:
    """Return the key as the 64 bits that PostgreSQL locks; two keys that share them only wait."""
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "big", signed=True)
