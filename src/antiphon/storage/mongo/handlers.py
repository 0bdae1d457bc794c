"""What the handlers of commands have in common."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from antiphon.storage.mongo import database as db
from antiphon.storage.mongo.database import Document
from antiphon.storage.mongo.draft import Draft

Handler = Callable[[Draft, Any], Awaitable[bool]]
"""Does a command in a draft; False if its guard does not hold."""


async def living(d: Draft, conversation_id: str) -> Document | None:
    """Return a conversation that is not deleted, or None."""
    found = await d.get(db.CONVERSATIONS, conversation_id)
    return found if found is not None and found["deleted"] is None else None


async def erase_all(
    d: Draft, collection: str, wanted: Mapping[str, Any], *, limit: int = 0, owner_id: str | None = None
) -> None:
    """Erase what meets a condition; `owner_id` is whose it is where the documents do not say so."""
    for one in await d.find(collection, wanted, limit=limit):
        d.drop(collection, one if owner_id is None else {**one, "p": owner_id})
