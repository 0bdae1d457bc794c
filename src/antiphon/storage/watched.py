"""A store that tells of the messages it commits: of those of write sets and of answers that end.

Wraps the two ports through which items come in. Nothing is written for it: a commit without
messages costs one look at its commands.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from antiphon.ports import write_sets as ws
from antiphon.ports.history import CommitWatch
from antiphon.ports.storage import Journal, Storage, UnitOfWork
from antiphon.ports.write_sets import WriteSet

MESSAGE: Final = "message"


class WatchedUnitOfWork:
    """Port `UnitOfWork`."""

    def __init__(self, inner: UnitOfWork, watch: CommitWatch) -> None:
        self._inner = inner
        self._watch = watch

    async def commit(self, *commands: Any) -> None:
        """See the port."""
        found = messages_in(commands)
        if not found:
            await self._inner.commit(*commands)
            return
        number, committed = self._watch.begin(found), False
        try:
            await self._inner.commit(*commands)
            committed = True
        finally:
            self._watch.end(number, found, committed=committed)


class WatchedJournal:
    """Port `Journal`."""

    def __init__(self, inner: Journal, watch: CommitWatch) -> None:
        self._inner = inner
        self._watch = watch
        self.seal = inner.seal
        self.unfinished = inner.unfinished
        self.forget_others = inner.forget_others

    async def write_tick(self, worker_id: str, tick: int, ops: bytes, sets: Sequence[WriteSet]) -> None:
        """See the port."""
        found = messages_in(command for one in sets for command in one) if sets else []
        if not found:
            await self._inner.write_tick(worker_id, tick, ops, sets)
            return
        number, committed = self._watch.begin(found), False
        try:
            await self._inner.write_tick(worker_id, tick, ops, sets)
            committed = True
        finally:
            self._watch.end(number, found, committed=committed)


def messages_in(commands: Iterable[Any]) -> list[str]:
    """Return the ids of the messages that a write set stores."""
    return [
        item.id
        for command in commands
        if type(command) is ws.PutItems
        for item in command.items
        if item.type == MESSAGE
    ]


class WatchedStorage:
    """Port `Storage` around another one."""

    def __init__(self, inner: Storage, watch: CommitWatch) -> None:
        self.unit_of_work = WatchedUnitOfWork(inner.unit_of_work, watch)
        self.journal = WatchedJournal(inner.journal, watch)
        self.tree = inner.tree
        self.runs = inner.runs
        self.garbage = inner.garbage
        self.remains = inner.remains
        self.members = inner.members
        self.shares = inner.shares
        self.quotas = inner.quotas
        self.ledger = inner.ledger
        self.secrets = inner.secrets
        self.accounts = inner.accounts
        self.credentials = inner.credentials
        self.groups = inner.groups
        self.operations = inner.operations
        self.retention = inner.retention
        self.conversations = inner.conversations
        self.aliases = inner.aliases
        self.branch_forks = inner.branch_forks
        self.chat_sessions = inner.chat_sessions
        self.history = inner.history
        self.workers = inner.workers
        self.check = inner.check
        self.close = inner.close
