"""A store that tells when it refuses to write because it is full or read-only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from antiphon.domain.errors import StorageFull
from antiphon.ports.storage import Journal, Storage, StorageBusy, UnitOfWork
from antiphon.ports.write_sets import WriteSet
from antiphon.storage.around import AroundStorage


class RefusingUnitOfWork:
    """Port `UnitOfWork`."""

    def __init__(self, inner: UnitOfWork, refused: Callable[[], None]) -> None:
        self._inner = inner
        self._refused = refused

    async def commit(self, *commands: Any) -> None:
        """See the port."""
        try:
            await self._inner.commit(*commands)
        except StorageFull:
            self._refused()
            raise


class RefusingJournal:
    """Port `Journal`; of what keeps a tick from being written only a full store is told."""

    def __init__(self, inner: Journal, refused: Callable[[], None]) -> None:
        self._inner = inner
        self._refused = refused
        self.unfinished = inner.unfinished
        self.forget_others = inner.forget_others

    async def write_tick(self, worker_id: str, tick: int, ops: bytes, sets: Sequence[WriteSet]) -> None:
        """See the port."""
        try:
            await self._inner.write_tick(worker_id, tick, ops, sets)
        except StorageBusy as busy:
            if isinstance(busy.__cause__, StorageFull):
                self._refused()
            raise

    async def seal(
        self, worker_id: str, upto_tick: int, chunks: Sequence[tuple[str, int, int, bytes]]
    ) -> None:
        """See the port."""
        try:
            await self._inner.seal(worker_id, upto_tick, chunks)
        except StorageFull:
            self._refused()
            raise


class RefusingStorage(AroundStorage):
    """Port `Storage` around another one."""

    def __init__(self, inner: Storage, refused: Callable[[], None]) -> None:
        super().__init__(inner)
        self.unit_of_work = RefusingUnitOfWork(inner.unit_of_work, refused)
        self.journal = RefusingJournal(inner.journal, refused)
