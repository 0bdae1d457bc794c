"""The commands of `blob_writes` as SQL; see `commands`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from antiphon.ports import blob_writes as wb
from antiphon.storage.sql.steps import Compiler, Step

ANNOUNCE: Final = (
    "INSERT INTO blobs (owner_id,digest,slot,size,state,changed) VALUES (?,?,?,?,'loose',?)"
    " ON CONFLICT (owner_id,digest) DO UPDATE SET changed=excluded.changed WHERE blobs.state<>'doomed'"
)


def _announce_blob(c: wb.AnnounceBlob) -> Iterator[Step]:
    yield ANNOUNCE, (c.owner_id, c.digest, c.slot, c.size, c.now_us), 1


def _hold_blob(c: wb.HoldBlob) -> Iterator[Step]:
    yield (
        "UPDATE blobs SET state='held' WHERE owner_id=? AND digest=? AND state<>'doomed'",
        (c.owner_id, c.digest),
        1,
    )
    yield (
        "INSERT INTO blob_refs (segment_id,depth,digest,owner_id,slot,item_id) VALUES (?,?,?,?,?,?)"
        " ON CONFLICT (segment_id,depth,digest) DO NOTHING",
        (c.segment_id, c.depth, c.digest, c.owner_id, c.slot, c.item_id),
        None,
    )


def _doom_blob(c: wb.DoomBlob) -> Iterator[Step]:
    yield (
        "UPDATE blobs SET state='doomed' WHERE owner_id=? AND digest=? AND state<>'held'",
        (c.owner_id, c.digest),
        1,
    )


def _forget_blob(c: wb.ForgetBlob) -> Iterator[Step]:
    yield (
        "DELETE FROM blobs WHERE owner_id=? AND digest=? AND state='doomed'",
        (c.owner_id, c.digest),
        None,
    )


LOOSEN: Final = (
    "UPDATE blobs SET state='loose', changed=? WHERE owner_id=? AND state='held'"
    " AND digest IN (SELECT digest FROM blob_refs WHERE segment_id=? AND depth BETWEEN ? AND ?)"
    " AND NOT EXISTS (SELECT 1 FROM blob_refs r WHERE r.owner_id=blobs.owner_id AND r.digest=blobs.digest"
    " AND NOT (r.segment_id=? AND r.depth BETWEEN ? AND ?))"
)
DROP_REFS: Final = "DELETE FROM blob_refs WHERE segment_id=? AND depth BETWEEN ? AND ?"


def loosen(owner_id: str, segment_id: str, first: int, last: int, now_us: int) -> Iterator[Step]:
    """Return the steps by which items of a range hold no blob any more."""
    place = (segment_id, first, last)
    yield LOOSEN, (now_us, owner_id, *place, *place), None
    yield DROP_REFS, place, None


COMPILERS: Final[dict[type, Compiler]] = {
    wb.AnnounceBlob: _announce_blob, wb.HoldBlob: _hold_blob, wb.DoomBlob: _doom_blob,
    wb.ForgetBlob: _forget_blob,
}  # fmt: skip
