"""Deleted accounts: what they leave is purged, then the account itself is erased.

A deleted account is found again by its state, so a crash or a restart loses nothing.
"""

from __future__ import annotations

import logging
from typing import Any, Final, Protocol

from antiphon.domain import ids
from antiphon.domain.accounts import USER
from antiphon.ports.account_writes import EraseAccount
from antiphon.ports.clock import Clock
from antiphon.ports.operation_writes import Audit
from antiphon.ports.storage import Storage
from antiphon.services.pacing import Round

LOOK_SECONDS: Final = 5.0
GRACE_US: Final = 5_000_000
"""What was begun in the moment of the deletion has ended by then; nothing new can begin."""
AT_ONCE: Final = 10

log = logging.getLogger(__name__)


class AccountPurge(Protocol):
    """Erases what belongs to an account."""

    async def purge_account(self, account_id: str) -> Any:
        """Erase all that the account owns; what is gone already costs nothing."""
        ...


class Departures:
    """Purges the deleted accounts, one after the other."""

    def __init__(self, storage: Storage, purge: AccountPurge, clock: Clock) -> None:
        self._storage = storage
        self._purge = purge
        self._clock = clock

    async def settle(self) -> None:
        """Erase the accounts deleted a moment ago or before a restart."""
        before = self._clock.now_us() - GRACE_US
        find = self._storage.retention.deleting
        this = Round(self._clock)
        await this.work_off(lambda: find(before, AT_ONCE), self._erase, AT_ONCE)
        this.finish()

    async def _erase(self, account_id: str) -> None:
        now = self._clock.now_us()
        await self._purge.purge_account(account_id)
        await self._storage.unit_of_work.commit(
            EraseAccount(account_id=account_id),
            Audit(
                id=ids.new_id(ids.slot_of(account_id), now_us=now),
                created_us=now,
                actor_id=None,
                action="user.erase",
                target=USER + account_id,
            ),
        )
        log.info("account %s is erased", account_id)
