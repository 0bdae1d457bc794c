"""How a store in SQL knows that its conversations are in MongoDB; needs no driver."""

from __future__ import annotations

from typing import Final

from antiphon.ports.storage import Storage

PAIR: Final = ("mongodb", "store")
"""An alias of nobody's, by which a store in SQL knows that its conversations are in MongoDB, and in which."""

LEFT_BEHIND: Final = (
    "The conversations of this store are in MongoDB: set MONGODB_URL as before, or begin with another store."
)


async def is_elsewhere(accounts: Storage) -> bool:
    """Whether the conversations of a store in SQL are in MongoDB."""
    return await accounts.aliases.target(*PAIR) is not None
