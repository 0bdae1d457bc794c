"""A store that announces what it changes, before a commit and after it: to feeds and to kept readings.

A commit that only extends running answers costs nothing, any other one look at its commands.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from antiphon.ports import write_sets as ws
from antiphon.ports.aliases import PutAlias
from antiphon.ports.change_watch import ChangeWatch
from antiphon.ports.storage import Journal, Storage, UnitOfWork
from antiphon.ports.write_sets import WriteSet
from antiphon.storage.around import AroundStorage


class AnnouncedUnitOfWork:
    """Port `UnitOfWork`."""

    def __init__(self, inner: UnitOfWork, watch: ChangeWatch) -> None:
        self._inner = inner
        self._watch = watch

    async def commit(self, *commands: Any) -> None:
        """See the port."""
        touched = touched_by(commands)
        if not touched:
            await self._inner.commit(*commands)
            return
        self._watch.begin(touched)
        try:
            await self._inner.commit(*commands)
        finally:
            self._watch.end(touched)


class AnnouncedJournal:
    """Port `Journal`."""

    def __init__(self, inner: Journal, watch: ChangeWatch) -> None:
        self._inner = inner
        self._watch = watch
        self.seal = inner.seal
        self.unfinished = inner.unfinished
        self.forget_others = inner.forget_others

    async def write_tick(self, worker_id: str, tick: int, ops: bytes, sets: Sequence[WriteSet]) -> None:
        """See the port."""
        touched = touched_by(command for one in sets for command in one) if sets else set()
        if not touched:
            await self._inner.write_tick(worker_id, tick, ops, sets)
            return
        self._watch.begin(touched)
        try:
            await self._inner.write_tick(worker_id, tick, ops, sets)
        finally:
            self._watch.end(touched)


def touched_by(commands: Iterable[Any]) -> set[str]:
    """Return the conversations that a write set touches, and the owners whose names it moves."""
    touched: set[str] = set()
    for command in commands:
        kind: type = type(command)
        if kind is ws.NewConversation:
            touched.add(command.conversation.owner_id)
        elif kind is PutAlias:
            touched.add(command.owner_id)
        elif _speaks_of_one(kind) and command.conversation_id is not None:
            touched.add(command.conversation_id)
    return touched


@cache
def _speaks_of_one(kind: type) -> bool:
    """Whether commands of a kind name a conversation; kept, since a look for what is not there is dear."""
    return hasattr(kind, "conversation_id")


class AnnouncedStorage(AroundStorage):
    """Port `Storage` around another one."""

    def __init__(self, inner: Storage, watch: ChangeWatch) -> None:
        super().__init__(inner)
        self.unit_of_work = AnnouncedUnitOfWork(inner.unit_of_work, watch)
        self.journal = AnnouncedJournal(inner.journal, watch)
