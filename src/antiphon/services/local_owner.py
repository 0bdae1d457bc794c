"""Whoever runs a server that is open on loopback, with the limits that hold now."""

from __future__ import annotations

from antiphon.domain.accounts import Principal
from antiphon.services.quotas import Quotas


class LocalOwner:
    """The local owner's account as a caller; looking at it reads nothing."""

    def __init__(self, account: Principal, quotas: Quotas) -> None:
        self.principal = account
        self._quotas = quotas

    async def refresh(self) -> None:
        """Look for the limits that apply now: after one has changed, and now and then."""
        self.principal = await self._quotas.limited(self.principal)
