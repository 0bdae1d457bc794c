"""Whose leases hold."""

from __future__ import annotations

from antiphon.storage.mongo import database as db
from antiphon.storage.mongo.database import Database


async def living(database: Database) -> set[str]:
    """Return the workers whose leases hold."""
    now = await database.now_us()
    wanted = {"fenced": None, "expires": {"$gt": now}}
    return {one["_id"] for one in await database.find(db.WORKERS, wanted, fields=["_id"])}
