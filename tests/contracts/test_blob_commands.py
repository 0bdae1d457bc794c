"""Which items hold which blob: content is erased only after nobody can come to hold it."""

from __future__ import annotations

import pytest

from antiphon.domain.errors import Conflict
from antiphon.domain.items import NewItem, Position
from antiphon.ports import blob_writes as wb
from antiphon.ports.storage import Storage
from tests.contracts.builders import OWNER, SLOT, STRANGER
from tests.contracts.test_purge_port import erase, made, without_views

DIGEST = "a" * 64


def announce(digest: str = DIGEST, now_us: int = 5) -> wb.AnnounceBlob:
    return wb.AnnounceBlob(owner_id=OWNER, slot=SLOT, digest=digest, size=1, now_us=now_us)


def hold(head: Position, depth: int, item: NewItem, digest: str = DIGEST) -> wb.HoldBlob:
    return wb.HoldBlob(
        owner_id=OWNER, slot=SLOT, digest=digest, segment_id=head.segment_id, depth=depth, item_id=item.id
    )


DOOM = wb.DoomBlob(owner_id=OWNER, digest=DIGEST)
FORGET = wb.ForgetBlob(owner_id=OWNER, digest=DIGEST)


async def test_a_held_blob_cannot_be_doomed_until_its_last_item_goes(storage: Storage) -> None:
    conversation, head, items = await made(storage, "a", "b")
    commit = storage.unit_of_work.commit
    await commit(announce(), hold(head, 0, items[0]), hold(head, 1, items[1]))
    await without_views(storage, conversation)
    for depth in (1, 0):
        assert await storage.garbage.unheld_blobs(10**9, 10) == []
        with pytest.raises(Conflict):
            await commit(DOOM)
        await commit(erase(conversation, head, depth, depth))
    assert await storage.garbage.unheld_blobs(4, 10) == [], "loose since 5"
    assert await storage.garbage.unheld_blobs(5, 10, owner_id=OWNER) == [(OWNER, DIGEST)]
    assert await storage.garbage.unheld_blobs(5, 10, owner_id=STRANGER) == []
    await commit(DOOM)
    assert await storage.garbage.unheld_blobs(0, 10) == [(OWNER, DIGEST)], "a doomed one is always due"
    for lost in (announce(), hold(head, 0, items[0])):
        with pytest.raises(Conflict):
            await commit(lost)
    await commit(FORGET)
    assert await storage.garbage.unheld_blobs(10**9, 10) == []
    await commit(announce(), hold(head, 0, items[0]))


async def test_a_blob_that_was_not_announced_cannot_be_held_nor_doomed(storage: Storage) -> None:
    _, head, items = await made(storage, "a")
    for lost in (hold(head, 0, items[0]), DOOM):
        with pytest.raises(Conflict):
            await storage.unit_of_work.commit(lost)
    await storage.unit_of_work.commit(announce())
    await storage.unit_of_work.commit(FORGET)
    assert await storage.garbage.unheld_blobs(5, 10) == [(OWNER, DIGEST)], "only a doomed one is forgotten"
