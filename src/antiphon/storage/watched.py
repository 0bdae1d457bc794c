"""A store that tells of the messages it commits: of those of write sets and of answers that end.

Wraps the two ports through which items come in. Nothing is written for it: a commit without
messages costs one look at its commands. Where the commands say all there is to know of a message,
it is told along, so that nobody has to read what was written a moment ago.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from antiphon.domain.chat_exports.chats import imported_model
from antiphon.domain.items import NewItem
from antiphon.ports.history import CommitWatch, Said
from antiphon.ports.storage import Journal, Storage, UnitOfWork
from antiphon.ports.write_sets import FinishRun, NewSegment, OpenRun, PutItems, WriteSet
from antiphon.storage.around import AroundStorage

MESSAGE: Final = "message"

Messages = dict[str, Said | None]


class WatchedUnitOfWork:
    """Port `UnitOfWork`."""

    def __init__(self, inner: UnitOfWork, watch: CommitWatch, find: Callable[..., Messages]) -> None:
        self._inner = inner
        self._watch = watch
        self._find = find

    async def commit(self, *commands: Any) -> None:
        """See the port."""
        found = self._find(commands)
        if not found:
            await self._inner.commit(*commands)
            return
        number, committed = self._watch.begin(found), False
        try:
            await self._inner.commit(*commands)
            committed = True
        finally:
            self._watch.end(number, committed=committed)


class WatchedJournal:
    """Port `Journal`."""

    def __init__(self, inner: Journal, watch: CommitWatch, find: Callable[..., Messages]) -> None:
        self._inner = inner
        self._watch = watch
        self._find = find
        self.seal = inner.seal
        self.unfinished = inner.unfinished
        self.forget_others = inner.forget_others

    async def write_tick(self, worker_id: str, tick: int, ops: bytes, sets: Sequence[WriteSet]) -> None:
        """See the port."""
        found: Messages = {}
        for one in sets:
            found |= self._find(one)
        if not found:
            await self._inner.write_tick(worker_id, tick, ops, sets)
            return
        number, committed = self._watch.begin(found), False
        try:
            await self._inner.write_tick(worker_id, tick, ops, sets)
            committed = True
        finally:
            self._watch.end(number, committed=committed)


def messages_in(commands: WriteSet) -> Messages:
    """Return the messages a write set stores, as they would be read; None where it does not say it all."""
    found: Messages = {}
    for put in commands:
        if type(put) is not PutItems:
            continue
        home, model = _home(put, commands)
        for item in put.items:
            if item.type == MESSAGE:
                found[item.id] = None if home is None else _said(item, put, home, model)
    return found


def names_in(commands: WriteSet) -> Messages:
    """Return the messages a write set stores, all of which have to be read."""
    return dict.fromkeys(messages_in(commands))


def _home(put: PutItems, commands: WriteSet) -> tuple[str | None, str | None]:
    """Return the conversation that items are put into and the model that made them, as far as it is said.

    A run's are its conversation's, others those of the segment they open.
    """
    for command in commands:
        if type(command) is OpenRun or type(command) is FinishRun:
            if command.run.id == put.run_id:
                return command.run.conversation_id, command.run.model if put.author_id is None else None
        elif type(command) is NewSegment and (put.run_id, put.after.segment_id) == (None, command.segment.id):
            return command.segment.conversation_id, None
    return None, None


def _said(item: NewItem, put: PutItems, home: str, model: str | None) -> Said:
    return Said(
        item_id=item.id, owner_id=put.owner_id, conversation_id=home, role=item.role,
        model=model if model or put.author_id else imported_model(item.payload), author_id=put.author_id,
        created_us=put.created_us, payload=item.payload,
    )  # fmt: skip


class WatchedStorage(AroundStorage):
    """Port `Storage` around another one.

    Others write to a store that is `shared`: what is committed here may be erased there before
    anybody here hears of it, so there every message has to be read.
    """

    def __init__(self, inner: Storage, watch: CommitWatch, *, shared: bool = False) -> None:
        super().__init__(inner)
        find = names_in if shared else messages_in
        self.unit_of_work = WatchedUnitOfWork(inner.unit_of_work, watch, find)
        self.journal = WatchedJournal(inner.journal, watch, find)
