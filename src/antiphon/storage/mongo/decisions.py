"""Decisions on commits of several owners, erased when no record can be read by them any more.

A decision is looked at by whoever has an open record in hand that names it, and by its writer, who finds
its commit decided away. So one goes only when it is old and no open record names it:

* All records of a commit are there before its decision, and none that was closed opens again. So when no
  open record names an old one that says yes, each was done: by its writer, or after a crash by whoever
  came next. One that is not closed yet, as it waits for company, is done again after a crash, and finds
  its decision, since it still is open.
* A reader that slept with an open record in hand, while that was done, closed and its decision erased,
  decides once more, that it does not count, and closes it: it is closed, so nothing changes, and what was
  decided anew is erased here after its time.
* One that says no stops its writer, who may be slow to come. It stays for a day, and a writer that slept
  for a minute does not decide that its commit counts (`Log`). Nor does it if it inserts the last of its
  records after the others were closed: nobody does a part of a commit.
* Killed in between, this has erased some and not others, each of which was erased for itself.
"""

from __future__ import annotations

from typing import Final

from antiphon.storage.mongo import database as db
from antiphon.storage.mongo.database import Database, Document

YES_KEPT_US: Final = 3600 * 1_000_000
NO_KEPT_US: Final = 24 * YES_KEPT_US
AT_ONCE: Final = 500


async def forget_decisions(database: Database, now_us: int) -> int:
    """Erase the decisions that nobody will ask for; returns how many went."""
    # Those of older releases do not say when they were made: they are as old as this look.
    await database.update_all(db.DECISIONS, {"at": None}, {"$set": {"at": now_us}})
    gone = 0
    for commits, kept_us in ((True, YES_KEPT_US), (False, NO_KEPT_US)):
        wanted = {"at": {"$lt": now_us - kept_us}, "commits": commits}
        while went := await _forget_some(database, wanted):
            gone += went
    return gone


async def _forget_some(database: Database, wanted: Document) -> int:
    # First which are old, then which records are open: those that name an old one were there before.
    found = await database.find(db.DECISIONS, wanted, sort=[("at", 1)], limit=AT_ONCE, fields=["_id"])
    old = {one["_id"] for one in found}
    if old:
        async for record in database.each(db.LOG, {"open": True}, fields=["token"]):
            old.discard(record["token"])
    return await database.delete(db.DECISIONS, {"_id": {"$in": sorted(old)}}) if old else 0
