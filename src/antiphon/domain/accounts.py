"""Who is asking."""

from __future__ import annotations

import msgspec


class Principal(msgspec.Struct, frozen=True):
    """A caller whose credential has been checked.

    `account_id` owns what the caller creates; `slot` partitions it. `credential_id` names the
    key or session used, None for the local owner of a server open on loopback.
    """

    account_id: str
    slot: int
    name: str
    role: str = "user"
    credential_id: str | None = None
    scopes: frozenset[str] = frozenset({"*"})
