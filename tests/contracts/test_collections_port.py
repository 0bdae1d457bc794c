"""Ports of collections and their members: no state is written over one that came later."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from antiphon.domain.collections import Chunking, Collection, Counts, Member
from antiphon.domain.errors import Conflict
from antiphon.domain.files import File
from antiphon.ports.knowledge import Knowledge
from tests.contracts.builders import OWNER, STRANGER
from tests.contracts.documents import (
    DAY,
    NOW,
    new_batch,
    new_collection,
    new_file,
    new_key,
    new_member,
    put_collection,
    put_file,
    put_member,
)


async def member(knowledge: Knowledge, of: Member) -> Member:
    found = await knowledge.members.get(OWNER, of.collection_id, of.file_id)
    assert found is not None
    return found


async def settled(knowledge: Knowledge, of: Member, **fields: Any) -> Member:
    wanted = msgspec.structs.replace(of, **{"state": "completed", "usage_bytes": 5, **fields})
    assert await knowledge.members.settle(wanted)
    return await member(knowledge, of)


async def test_a_collection_is_put_found_changed_and_deleted(knowledge: Knowledge) -> None:
    one = await put_collection(knowledge, description="d", metadata='{"a":"b"}')
    assert await knowledge.collections.get(OWNER, one.id) == one
    assert await knowledge.collections.get(STRANGER, one.id) is None
    changed = msgspec.structs.replace(one, name="other", expires_after_days=1, expires_us=NOW + DAY)
    assert await knowledge.collections.change(changed)
    assert await knowledge.collections.get(OWNER, one.id) == changed
    assert not await knowledge.collections.change(msgspec.structs.replace(changed, owner_id=STRANGER))
    assert not await knowledge.collections.delete(STRANGER, one.id)
    assert await knowledge.collections.delete(OWNER, one.id)
    assert not await knowledge.collections.delete(OWNER, one.id)
    assert not await knowledge.collections.change(changed)


async def test_pages_of_collections_go_both_ways(knowledge: Knowledge) -> None:
    made = [await put_collection(knowledge) for _ in range(6)]
    page = knowledge.collections.page
    assert await page(OWNER, after=None, limit=4, descending=False) == made[:4]
    assert await page(OWNER, after=made[3].id, limit=4, descending=False) == made[4:]
    assert await page(OWNER, after=made[3].id, limit=2, descending=True) == made[2:0:-1]
    assert await page(OWNER, after=None, before=made[4].id, limit=2, descending=False) == made[2:4]
    assert await page(OWNER, after=None, before=made[1].id, limit=2, descending=True) == [made[3], made[2]]
    assert await page(STRANGER, after=None, limit=4, descending=False) == []


async def test_use_moves_an_end_that_has_not_come(knowledge: Knowledge) -> None:
    kept = await put_collection(knowledge, expires_after_days=2, expires_us=NOW + 2 * DAY)
    ended = await put_collection(knowledge, expires_after_days=1, expires_us=NOW)
    forever = await put_collection(knowledge)
    await knowledge.collections.touch(OWNER, [kept.id, ended.id, forever.id], NOW + 7)
    found = [await knowledge.collections.get(OWNER, one.id) for one in (kept, ended, forever)]
    assert [one and (one.active_us, one.expires_us) for one in found] == [
        (NOW + 7, NOW + 7 + 2 * DAY), (NOW, NOW), (NOW + 7, None),
    ]  # fmt: skip
    assert await knowledge.collections.expired(NOW, 9) == [], "an empty one needs nothing done"
    await put_member(knowledge, ended, await put_file(knowledge))
    assert await knowledge.collections.expired(NOW, 9) == [ended]
    await knowledge.collections.empty(OWNER, ended.id)
    assert await knowledge.collections.expired(NOW, 9) == []
    assert await knowledge.collections.get(OWNER, ended.id) == ended


async def test_a_collection_begins_with_members_or_not_at_all(knowledge: Knowledge) -> None:
    collection, file = new_collection(), await put_file(knowledge)
    theirs = await put_file(knowledge, owner=STRANGER)
    members = [new_member(collection, file), new_member(collection, theirs)]
    with pytest.raises(Conflict, match="PutMembers"):
        await knowledge.collections.put(collection, members, key=new_key())
    assert await knowledge.collections.get(OWNER, collection.id) is None
    await knowledge.collections.put(collection, members[:1], key=new_key())
    assert (await knowledge.batches.counts(collection.id)).in_progress == 1
    with pytest.raises(Conflict, match="PutKey"):
        await knowledge.collections.put(new_collection(), key=new_key())


async def test_a_member_comes_back_and_is_indexed_again_for_what_is_new(knowledge: Knowledge) -> None:
    collection, file = await put_collection(knowledge), await put_file(knowledge)
    first = await put_member(knowledge, collection, file, attributes={"a": 1, "b": True, "c": "x"})
    assert await member(knowledge, first) == first
    done = await settled(knowledge, first)
    again = new_member(collection, file, attributes={"a": 2})
    await knowledge.members.put([again])
    found = await member(knowledge, first)
    assert (found.state, found.attributes, found.id) == ("completed", {"a": 2}, done.id)
    cut = Chunking(400, 0, automatic=False)
    await knowledge.members.put([msgspec.structs.replace(again, chunking=cut)])
    found = await member(knowledge, first)
    assert (found.state, found.chunking, found.attempts) == ("in_progress", cut, 0)
    gone, _ = new_file()
    with pytest.raises(Conflict, match="PutMembers"):
        await knowledge.members.put([new_member(collection, gone)])
    assert await knowledge.members.get(STRANGER, collection.id, file.id) is None


async def test_settling_never_writes_over_what_came_later(knowledge: Knowledge) -> None:
    collection, file = await put_collection(knowledge), await put_file(knowledge)
    at_work = await put_member(knowledge, collection, file)
    done = msgspec.structs.replace(at_work, state="completed")

    await knowledge.members.put([new_member(collection, file, chunking=Chunking(300))])
    assert not await knowledge.members.settle(done), "to be cut in another way"
    newer = await member(knowledge, at_work)
    await knowledge.files.put(*new_file("b", id=file.id, version=2))
    assert not await knowledge.members.settle(msgspec.structs.replace(newer, state="completed"))
    newest = await member(knowledge, at_work)
    assert (newest.version, newest.state) == (2, "in_progress")
    assert await knowledge.members.remove(OWNER, collection.id, file.id)
    assert not await knowledge.members.remove(OWNER, collection.id, file.id)
    assert not await knowledge.members.settle(newest)
    await put_member(knowledge, collection, msgspec.structs.replace(file, version=2))
    assert not await knowledge.members.settle(newest), "removed and added again"


async def test_a_new_version_is_waited_for_wherever_the_file_is(knowledge: Knowledge) -> None:
    file = await put_file(knowledge)
    states = {"completed": None, "failed": "server_error"}
    for state, code in states.items():
        of = await put_member(knowledge, await put_collection(knowledge), file)
        await settled(knowledge, of, state=state, error_code=code, error=code)
    cancelled = await put_collection(knowledge)
    batch = new_batch(cancelled)
    await knowledge.members.put([new_member(cancelled, file, batch_id=batch.id)], batch)
    await knowledge.batches.cancel(OWNER, cancelled.id, batch.id)
    await knowledge.files.put(*new_file("b", id=file.id, version=2))
    found = await knowledge.batches.of_file(file.id)
    assert {one.version for one in found} == {2}
    assert sorted(one.state for one in found) == ["cancelled", "in_progress", "in_progress"]
    assert {one.error for one in found} == {None}


async def test_members_are_listed_by_when_they_were_added(knowledge: Knowledge) -> None:
    collection = await put_collection(knowledge)
    batch = new_batch(collection)
    files = [await put_file(knowledge) for _ in range(6)]
    added = [
        new_member(collection, file, batch_id=batch.id if n % 2 else None) for n, file in enumerate(files)
    ]
    await knowledge.members.put(added, batch)
    await settled(knowledge, added[3])

    async def page(**fields: Any) -> list[str]:
        wanted = {"after": None, "limit": 9, "descending": False, **fields}
        return [one.file_id for one in await knowledge.members.page(OWNER, collection.id, **wanted)]

    ids = [file.id for file in files]
    assert await page() == ids
    assert await page(after=ids[1], limit=2) == ids[2:4]
    assert await page(after=ids[4], limit=2, descending=True) == [ids[3], ids[2]]
    assert await page(before=ids[4], limit=2) == ids[2:4]
    assert await page(state="completed") == [ids[3]]
    assert await page(batch_id=batch.id) == ids[1::2]
    assert await page(batch_id=batch.id, state="in_progress", after=ids[1]) == [ids[5]]
    assert await knowledge.members.page(STRANGER, collection.id, after=None, limit=9, descending=False) == []


async def test_counts_and_cancelling_a_batch(knowledge: Knowledge) -> None:
    collection = await put_collection(knowledge)
    batch, files = new_batch(collection), [await put_file(knowledge) for _ in range(4)]
    await knowledge.members.put(
        [new_member(collection, file, batch_id=batch.id) for file in files[:3]], batch
    )
    alone = await put_member(knowledge, collection, files[3])
    first = await knowledge.members.get(OWNER, collection.id, files[0].id)
    assert first is not None
    await settled(knowledge, first)
    assert await knowledge.batches.counts(collection.id) == Counts(in_progress=3, completed=1, usage_bytes=5)
    await knowledge.batches.cancel(STRANGER, collection.id, batch.id)
    assert await knowledge.batches.batch(STRANGER, collection.id, batch.id) is None
    await knowledge.batches.cancel(OWNER, collection.id, batch.id)
    found = await knowledge.batches.batch(OWNER, collection.id, batch.id)
    assert found is not None and found.cancelled
    assert await knowledge.batches.counts(collection.id, batch.id) == Counts(
        completed=1, cancelled=2, usage_bytes=5
    )
    assert (await member(knowledge, alone)).state == "in_progress"


async def test_what_waits_is_begun_by_owner_in_order_after_its_pause(knowledge: Knowledge) -> None:
    waiting, collection = knowledge.waiting, await put_collection(knowledge)
    assert await waiting.owner("", NOW) is None
    first, second = [await put_member(knowledge, collection, await put_file(knowledge)) for _ in range(2)]
    theirs = new_collection(owner_id=STRANGER)
    await knowledge.collections.put(theirs)
    await put_member(knowledge, theirs, await put_file(knowledge, owner=STRANGER))
    low, high = sorted((OWNER, STRANGER))
    assert await waiting.owner("", NOW) == low
    assert await waiting.owner(low, NOW) == high
    assert await waiting.owner(high, NOW) is None
    begun = await waiting.next(OWNER, NOW)
    assert begun == msgspec.structs.replace(first, attempts=1)
    later = msgspec.structs.replace(begun, not_before_us=NOW + 5)
    assert await knowledge.members.settle(later)
    assert await waiting.next(OWNER, NOW) == msgspec.structs.replace(second, attempts=1)
    again = await waiting.next(OWNER, NOW + 5)
    assert again is not None and (again.file_id, again.attempts) == (first.file_id, 2)
    await settled(knowledge, again)
    await settled(knowledge, second)
    assert await waiting.next(OWNER, NOW + 9) is None
    assert await waiting.owner("", NOW + 9) == STRANGER


async def test_what_is_held_nobody_else_begins_until_it_is_let_go(knowledge: Knowledge) -> None:
    """And whoever began it hears that somebody else did, or that it is wanted otherwise."""
    waiting, collection = knowledge.waiting, await put_collection(knowledge)
    of = await put_member(knowledge, collection, await put_file(knowledge))
    begun = await waiting.next(OWNER, NOW, until_us=NOW + 10)
    assert begun is not None and (begun.attempts, begun.not_before_us) == (1, NOW + 10)
    assert await waiting.next(OWNER, NOW + 9, until_us=NOW + 20) is None
    assert await waiting.owner("", NOW + 9) is None
    assert await waiting.hold(begun, NOW + 30)
    assert await waiting.next(OWNER, NOW + 29, until_us=NOW + 99) is None
    other = await waiting.next(OWNER, NOW + 30, until_us=NOW + 50)
    assert other is not None and other.attempts == 2
    assert not await waiting.hold(begun, NOW + 99)
    assert await waiting.hold(other, NOW + 60)
    await knowledge.members.put([msgspec.structs.replace(of, chunking=Chunking(300, 0, automatic=False))])
    assert not await waiting.hold(other, NOW + 99)
    again = await waiting.next(OWNER, NOW + 1, until_us=NOW + 9)
    assert again is not None and again.attempts == 1


# --- equal contents in one collection


async def twins(knowledge: Knowledge, **fields: Any) -> tuple[Collection, Member, Member, File]:
    """Two files with one content; the first is indexed and stands for the second."""
    collection = await put_collection(knowledge)
    one, other = await put_file(knowledge, "same"), await put_file(knowledge, "same")
    first = await put_member(knowledge, collection, one, **fields)
    second = await put_member(knowledge, collection, other, **fields)
    assert await knowledge.waiting.twin(second, one.digest) is None
    first = await settled(knowledge, first)
    assert await knowledge.waiting.twin(second, one.digest) == first
    second = await settled(knowledge, second, duplicate_of=one.id)
    return collection, first, second, one


async def test_equal_content_is_found_if_cut_and_described_alike(knowledge: Knowledge) -> None:
    collection, first, _, file = await twins(knowledge, attributes={"a": 1})
    for fields in ({"attributes": {"a": 2}}, {"chunking": Chunking(300), "attributes": {"a": 1}}):
        third = await put_member(knowledge, collection, await put_file(knowledge, "same"), **fields)
        assert await knowledge.waiting.twin(third, file.digest) is None
    elsewhere = await put_member(knowledge, await put_collection(knowledge), file, attributes={"a": 1})
    assert await knowledge.waiting.twin(elsewhere, file.digest) is None
    assert await knowledge.waiting.twin(first, file.digest) is None, "no duplicate stands for its original"


@pytest.mark.parametrize("what", ["removed", "deleted", "new version", "described", "itself described"])
async def test_a_duplicate_is_indexed_by_itself_once_its_original_differs(
    knowledge: Knowledge, what: str
) -> None:
    collection, first, second, file = await twins(knowledge)
    if what == "removed":
        await knowledge.members.remove(OWNER, collection.id, first.file_id)
    elif what == "deleted":
        await knowledge.files.delete(OWNER, first.file_id)
    elif what == "new version":
        await knowledge.files.put(*new_file("b", id=file.id, version=2))
    else:
        of = second if what.startswith("itself") else first
        described = await knowledge.members.describe(OWNER, collection.id, of.file_id, {"z": 1})
        assert described is not None and described.attributes == {"z": 1}
    found = await member(knowledge, second)
    assert (found.state, found.duplicate_of) == ("in_progress", None)


async def test_equal_attributes_change_nothing_for_duplicates(knowledge: Knowledge) -> None:
    collection, first, second, _ = await twins(knowledge, attributes={"a": 1, "b": 2})
    await knowledge.members.describe(OWNER, collection.id, first.file_id, {"b": 2, "a": 1})
    assert await member(knowledge, second) == second
    assert await knowledge.members.describe(STRANGER, collection.id, first.file_id, {}) is None


async def test_a_member_does_not_become_the_duplicate_of_what_has_gone(knowledge: Knowledge) -> None:
    collection = await put_collection(knowledge)
    of = await put_member(knowledge, collection, await put_file(knowledge))
    gone, _ = new_file()
    assert not await knowledge.members.settle(
        msgspec.structs.replace(of, state="completed", duplicate_of=gone.id)
    )


# --- what stands


async def test_collections_stand_in_order_until_they_go(knowledge: Knowledge) -> None:
    made = [await put_collection(knowledge) for _ in range(3)]
    target = f"user:{OWNER}"
    await knowledge.batches.stand(OWNER, target, [made[2].id, made[0].id])
    assert await knowledge.batches.standing(OWNER, target) == (made[2].id, made[0].id)
    assert await knowledge.batches.standing(STRANGER, target) == ()
    await knowledge.collections.delete(OWNER, made[2].id)
    assert await knowledge.batches.standing(OWNER, target) == (made[0].id,)
    await knowledge.batches.stand(OWNER, target, [made[1].id])
    await knowledge.batches.forget_owner(OWNER)
    assert await knowledge.batches.standing(OWNER, target) == ()
