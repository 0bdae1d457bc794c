"""How a store in SQL knows that its conversations are in MongoDB; needs no driver."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

from antiphon.domain.errors import Unavailable
from antiphon.ports.archives import Loading, Snapshot, Transfer
from antiphon.ports.storage import Storage

PAIR: Final = ("mongodb", "store")
"""An alias of nobody's, by which a store in SQL knows that its conversations are in MongoDB, and in which."""

LEFT_BEHIND: Final = (
    "The conversations of this store are in MongoDB: set MONGODB_URL as before, or begin with another store."
)

FOREIGN: Final = (
    "The database that MONGODB_URL names belongs to another store: its accounts are not these. Name an empty"
    " database, or the DATA_DIR or DATABASE_URL that it was used with."
)


async def is_elsewhere(accounts: Storage) -> bool:
    """Whether the conversations of a store in SQL are in MongoDB."""
    return await accounts.aliases.target(*PAIR) is not None


async def pair_of(accounts: Snapshot) -> str | None:
    """Return the name that a store in SQL shares with the MongoDB that has its conversations, if any."""
    found = None
    for table in await accounts.tables():
        if table.name == "aliases":
            owner, alias, target = (table.columns.index(one) for one in ("owner_id", "alias", "target_id"))
            async for row in accounts.rows(table):  # to its end: a cursor that is left is closed too late
                if (row[owner], row[alias]) == PAIR:
                    found = str(row[target])
    return found


class WholeTransfer:
    """Port `Transfer` on a store in SQL that has its conversations itself."""

    def __init__(self, inner: Transfer) -> None:
        self._inner = inner

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Snapshot]:
        """See the port; raises Unavailable too if the conversations are elsewhere."""
        async with self._inner.snapshot() as snapshot:
            if await pair_of(snapshot) is not None:
                raise Unavailable(LEFT_BEHIND)
            yield snapshot

    def loading(self, revision: str) -> AbstractAsyncContextManager[Loading]:
        """See the port."""
        return self._inner.loading(revision)
