"""Decisions on commits of several owners are erased when nobody can ask for them any more, not before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from antiphon.ports import write_sets as ws
from antiphon.ports.storage import Storage
from antiphon.storage.mongo import database as db
from antiphon.storage.mongo import decisions as kept
from antiphon.storage.mongo import log as logs
from antiphon.storage.mongo.decisions import forget_decisions
from antiphon.storage.mongo.store import MongoStorage
from tests import mongo
from tests.contracts.builders import OWNER, SLOT, STRANGER, new_conversation, new_item
from tests.contracts.test_mongo_store import Cut, accounts, cut_before, opened, store

pytestmark = pytest.mark.skipif(not mongo.is_there(), reason=mongo.ABSENT)
__all__ = ["accounts", "store"]

HOUR_US = 3600 * 1_000_000


def key(name: str) -> ws.PutKey:
    """What stands with a member, beside what is the owner's."""
    return ws.PutKey(
        owner_id=STRANGER, slot=SLOT, key=name, fingerprint=b"f", run_id=None, status=200, body=b"{}",
        created_us=1, expires_us=10**9,
    )  # fmt: skip


async def decided(store: MongoStorage) -> list[bool]:
    return [one["commits"] for one in await store._database.find(db.DECISIONS, {}, sort=[("at", 1)])]


async def later(store: MongoStorage, hours: float) -> int:
    """Erase what is old, so many hours from now."""
    return await forget_decisions(store._database, logs._now_us() + int(hours * HOUR_US))


async def test_decisions_go_with_time_those_that_say_no_after_a_day(
    store: MongoStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "AT_ONCE", 2)
    for n in range(5):
        await store.unit_of_work.commit(key(f"k{n}"), *new_conversation(new_item("a"))[2])
    await store._log.close_done()
    held = await store._log.hold(OWNER, await store._log.catch_up(OWNER))
    assert held is not None and await store._log.let_go(held)
    await store._log._decide("t" * 32, commits=False)
    assert await decided(store) == [True] * 6 + [False]
    assert (await later(store, 0.9), await later(store, 1.1)) == (0, 6)
    assert (await later(store, 23.9), await later(store, 24.1)) == (0, 1)
    assert await decided(store) == []


@pytest.mark.parametrize("collection", [db.ITEMS, db.KEYS, db.CONVERSATIONS])
async def test_a_commit_cut_off_half_done_is_done_after_decisions_were_erased(
    store: MongoStorage, accounts: Storage, tmp_path: Path, collection: str
) -> None:
    """Its server died long ago, and nobody has come since: the decision stays until its records are done."""
    conversation, _, commands = new_conversation(new_item("a"))
    cut_before(store, "write", collection)
    with pytest.raises(Cut):
        await store.unit_of_work.commit(key("k"), *commands)
    async with opened(accounts, tmp_path) as other:
        assert await later(other, 48) == 0
        await other.journal.unfinished(10)
        assert await other.runs.key(STRANGER, "k", 5) is not None
        assert await other.history.has_items(conversation.id)
        await other._log.close_done()
        assert await later(other, 48) == 1


async def test_records_that_are_done_but_open_find_their_decision_after_a_crash(
    store: MongoStorage, accounts: Storage, tmp_path: Path
) -> None:
    conversation, _, commands = new_conversation(new_item("a"))
    await store.unit_of_work.commit(key("k"), *commands)
    assert await store._database.find(db.LOG, {"open": True}) != []
    async with opened(accounts, tmp_path) as other:
        assert await later(other, 48) == 0
        await other.journal.unfinished(10)
        assert await other.conversations.get(OWNER, conversation.id) is not None
        assert await other._database.find(db.LOG, {"open": True}) != [], "they wait for company again"
        assert await later(other, 48) == 0


async def test_a_writer_that_slept_past_what_others_decided_commits_nothing(
    store: MongoStorage, accounts: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its commit was decided away, and that erased: of two owners neither has anything of its first try."""
    conversation, _, commands = new_conversation(new_item("a"))
    real, slept = logs._now_us, 0.0
    monkeypatch.setattr(logs, "_now_us", lambda: real() + int(slept * HOUR_US))
    propose = store._log.propose
    tries = 0

    async def sleeping(*args: Any) -> Any:
        nonlocal slept, tries
        records = await propose(*args)
        tries += 1
        if tries == 1:
            monkeypatch.setattr(logs, "ABORT_SECONDS", 0.05)
            async with opened(accounts, tmp_path) as other:
                await other._log.catch_up_all(everything=True)
                await other._log.close_done()
                assert await decided(other) == [False]
                assert await later(other, 25) == 1
            slept = 25
        return records

    monkeypatch.setattr(store._log, "propose", sleeping)
    await store.unit_of_work.commit(key("k"), *commands)
    assert tries == 2, "it was lost, and done anew"
    assert (await decided(store)).count(True) == 1
    found = await store.conversations.get(OWNER, conversation.id)
    assert found is not None and found.revision == 1


async def test_a_hold_that_was_slept_through_did_not_last(
    store: MongoStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = logs._now_us
    held = await store._log.hold(OWNER, await store._log.catch_up(OWNER))
    assert held is not None
    monkeypatch.setattr(logs, "_now_us", lambda: real() + 25 * HOUR_US)
    assert not await store._log.let_go(held)


async def test_housekeeping_erases_decisions_those_of_older_releases_too(store: MongoStorage) -> None:
    await store.unit_of_work.commit(key("k"), *new_conversation(new_item("a"))[2])
    await store._log.close_done()
    long_ago = {"at": logs._now_us() - 2 * HOUR_US}
    await store._database.update_all(db.DECISIONS, {}, {"$set": long_ago})
    await store._database.insert(db.DECISIONS, {"_id": "old", "token": "old", "commits": True})
    forget = ws.Forget(
        now_us=1, changes_before_us=0, first_conversation_id="", last_conversation_id="", limit=9
    )
    await store.unit_of_work.commit(forget)
    assert [one["_id"] for one in await store._database.find(db.DECISIONS, {})] == ["old"]
    assert await later(store, 1.1) == 1
