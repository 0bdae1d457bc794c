"""A store with a look before every write: where tests hold up, refuse or count."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from antiphon.ports import write_sets as ws
from antiphon.ports.storage import Journal, Recovered, Storage, UnitOfWork
from antiphon.storage.around import AroundStorage


class WatchedUnitOfWork:
    """Port `UnitOfWork` with a look before every write set."""

    def __init__(self, inner: UnitOfWork) -> None:
        self._inner = inner
        self.before: Callable[[Sequence[ws.Command]], Any] | None = None

    async def commit(self, *commands: Any) -> None:
        """Call `before`, wait for what it returns, then write."""
        if self.before is not None:
            held = self.before(commands)
            if held is not None:
                await held
        await self._inner.commit(*commands)


class WatchedJournal:
    """Port `Journal` with a look before every record and every seal."""

    def __init__(self, inner: Journal) -> None:
        self._inner = inner
        self.before_tick: Callable[[str, int, bytes, Sequence[ws.WriteSet]], Any] | None = None
        self.before_seal: Callable[[], Any] | None = None
        self.before_unfinished: Callable[[], Any] | None = None

    async def write_tick(self, worker_id: str, tick: int, ops: bytes, sets: Sequence[ws.WriteSet]) -> None:
        """Call `before_tick`, wait for what it returns, then write."""
        if self.before_tick is not None:
            held = self.before_tick(worker_id, tick, ops, sets)
            if held is not None:
                await held
        await self._inner.write_tick(worker_id, tick, ops, sets)

    async def seal(
        self, worker_id: str, upto_tick: int, chunks: Sequence[tuple[str, int, int, bytes]]
    ) -> None:
        """Call `before_seal`, then write."""
        if self.before_seal is not None:
            self.before_seal()
        await self._inner.seal(worker_id, upto_tick, chunks)

    async def unfinished(self, limit: int, *, after: str = "") -> Sequence[Recovered]:
        """Await what `before_unfinished` returns, once, then read."""
        if self.before_unfinished is not None:
            before, self.before_unfinished = self.before_unfinished, None
            await before()
        return await self._inner.unfinished(limit, after=after)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class WatchedStorage(AroundStorage):
    """Port `Storage` whose writes can be held up and refused."""

    def __init__(self, inner: Storage) -> None:
        super().__init__(inner)
        self.inner = inner
        self.unit_of_work = WatchedUnitOfWork(inner.unit_of_work)
        self.journal = WatchedJournal(inner.journal)
