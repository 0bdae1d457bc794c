"""Port `UnitOfWork` on two stores: conversations in MongoDB, accounts, limits and the ledger in SQL.

A write set goes in an order in which every step may be the last one: what SQL has to grant (a
reservation) comes first and is given back if the commit in MongoDB is lost; what SQL has to note (the
ledger, what was used, the audit log) stands in the commit's own record and is done from there, by
whoever comes next if this server dies.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from typing import Any, Final

from antiphon.domain.errors import AntiphonError, Conflict, Unavailable
from antiphon.ports import account_writes as aw
from antiphon.ports import quota_writes as qw
from antiphon.ports import write_sets as ws
from antiphon.ports.storage import Storage
from antiphon.ports.workers import CANCEL
from antiphon.ports.write_sets import Command
from antiphon.storage.mongo import database as db
from antiphon.storage.mongo.batches import Batches, Waiting
from antiphon.storage.mongo.commands import HANDLERS, OF_BOTH, forget
from antiphon.storage.mongo.database import Database
from antiphon.storage.mongo.decisions import forget_decisions
from antiphon.storage.mongo.documents import pair_id, place_id
from antiphon.storage.mongo.draft import Draft, Key, Operation
from antiphon.storage.mongo.log import Log, Lost
from antiphon.storage.mongo.owners import Owners
from antiphon.storage.mongo.tails import REPEATABLE
from antiphon.storage.mongo.turns import Turns

BUSY: Final = "Others write the same conversations at the same time; try again."
DECISIONS_SECONDS: Final = 60.0
ROUNDS: Final = 100
"""Commits of others that one gives way to before it gives up."""


class Split:
    """A write set in its parts: what SQL grants, what MongoDB stores, what SQL notes, what both erase."""

    def __init__(self, some: Sequence[Command]) -> None:
        self.first: list[Command] = []
        self.here: list[Command] = []
        self.after: list[Command] = []
        self.last: list[Command] = []
        self.beside: list[ws.Forget] = []
        for one in some:
            kind = type(one)
            if isinstance(one, ws.Forget):
                self.beside.append(one)
            elif kind in HANDLERS:
                self.here.append(one)
                self.last += [one] if kind in OF_BOTH else []
            elif kind.__name__ in REPEATABLE:
                self.after.append(one)
            else:
                self.first.append(one)


class MongoWriter:
    """Port `UnitOfWork`."""

    def __init__(self, database: Database, log: Log, accounts: Storage) -> None:
        self._log = log
        self._database = database
        self._accounts = accounts
        self.owners = Owners(database)
        self._looked: float | None = None
        self.turns = Turns()
        self._batches = Batches(self.turns, self._commit_some)

    async def commit(self, *commands: Any) -> None:
        """See the port."""
        parts = Split(commands)
        for beside in parts.beside:
            await forget(self._database, beside)
            await self._forget_decisions()
        if not parts.here and not parts.beside:
            await self._accounts.unit_of_work.commit(*commands)
            return
        for one in list(parts.here):
            if type(one) is aw.EraseAccount and await self._is_wanted(one.account_id):
                parts.here.remove(one)
        owners = await self.owners.of(parts.here)
        if len(owners) == 1 and not (parts.first or parts.last):
            await self._batches.commit(owners.pop(), parts)
        else:
            async with self.turns.take(owners):
                await self._commit(parts, owners)
        if parts.last:
            await self._accounts.unit_of_work.commit(*parts.last)
        await self._ring(parts)

    async def _forget_decisions(self) -> None:
        """Erase old decisions along with what has expired, if that was not done a moment ago."""
        now = asyncio.get_running_loop().time()
        if self._looked is None or now - self._looked >= DECISIONS_SECONDS:
            self._looked = now
            await forget_decisions(self._database, time.time_ns() // 1000)

    async def _ring(self, parts: Split) -> None:
        """Tell other servers what they are asked for; if the bell is lost they read it with their leases."""
        if not self._accounts.workers.is_shared:
            return
        for one in parts.here:
            if isinstance(one, ws.RequestCancel):
                with contextlib.suppress(AntiphonError):
                    await self._accounts.workers.ring(CANCEL, one.run_id)

    async def _is_wanted(self, account_id: str) -> bool:
        """Whether an account is there and is not being deleted."""
        account = await self._accounts.accounts.get(account_id)
        return account is not None and account.state != "deleting"

    async def _commit(self, parts: Split, owners: set[str]) -> None:
        granted = False
        for _ in range(ROUNDS):
            try:
                heads, operations = await self.drafted([parts.here], owners)
                if parts.first and not granted:
                    await self._accounts.unit_of_work.commit(*parts.first)
                    granted = True
                await self._write(parts.after, operations, heads)
                return
            except Lost:
                continue
            except Conflict:
                if granted:
                    await self._give_back(parts)
                raise
        raise Conflict(BUSY)

    async def _commit_some(self, batch: Sequence[Waiting[Split]], owners: set[str]) -> None:
        """Commit those of a batch that go together; see `batches`."""
        going = list(batch)
        for _ in range(ROUNDS):
            drafted = await self._drafted_some(going, owners)
            if drafted is None:
                return
            heads, operations = drafted
            try:
                await self._write([command for one in going for command in one.part.after], operations, heads)
            except Lost:
                continue
            except Exception as error:
                _end(going, error)
            else:
                _end(going, None)
            return
        _end(going, Conflict(BUSY))

    async def _drafted_some(
        self, going: list[Waiting[Split]], owners: set[str]
    ) -> tuple[dict[str, int], dict[str, list[Operation]]] | None:
        """Return what a batch does, having left out those that do not go with its first.

        None where nothing is left, since the first was refused or the store does not answer.
        """
        while True:
            sets = [one.part.here for one in going]
            try:
                return await self.drafted(sets, owners, numbered=True)
            except Conflict as lost:
                if not (index := int(lost.param or 0)):
                    going[0].end(Conflict(lost.message))
                    return None
                del going[index:]
            except Unavailable as error:
                _end(going, error)
                return None
            except Exception as error:
                if len(going) == 1:
                    going[0].end(error)
                    return None
                del going[1:]  # whose fault it was is seen if each comes alone

    async def _write(
        self, tail: list[Command], operations: dict[str, list[Operation]], heads: dict[str, int]
    ) -> None:
        if operations:
            await self._log.commit(operations, tail, heads)
        elif tail:
            await self.note(tail)

    async def _give_back(self, parts: Split) -> None:
        """Undo what SQL granted to a commit that was lost."""
        runs = {one.run_id for one in parts.first if type(one) is qw.Reserve}
        if runs:
            await self._accounts.unit_of_work.commit(*(qw.Release(run_id=one) for one in sorted(runs)))

    async def note(self, tail: Sequence[Command]) -> None:
        """Do what SQL has to note."""
        await self._accounts.unit_of_work.commit(*tail)

    async def drafted(
        self, sets: Sequence[Sequence[Command]], owners: set[str], *, numbered: bool = False
    ) -> tuple[dict[str, int], dict[str, list[Operation]]]:
        """Return what write sets do to the logs, and the numbers that the logs had before.

        `owners` are those whose logs are looked at; more are added to it as they are found. Raises
        Conflict with the guard as message and, where sets are `numbered`, the index of its set as `param`.
        """
        while True:
            heads = {owner_id: await self._log.head(owner_id) for owner_id in owners}
            draft = Draft(self._database)
            await draft.fetch(places_of(sets))
            try:
                for index, one in enumerate(sets):
                    await perform(draft, one, str(index) if numbered else None)
            except Conflict:
                # Lost by what is there now, or by what somebody has decided that is not done yet?
                if {owner_id: await self._log.catch_up(owner_id) for owner_id in heads} == heads:
                    raise
                continue
            operations = draft.operations()
            if owners >= operations.keys():
                return heads, operations
            owners |= operations.keys()


def _end(some: Sequence[Waiting[Split]], fate: Exception | None) -> None:
    for one in some:
        one.end(fate)


async def perform(draft: Draft, some: Sequence[Command], index: str | None) -> None:
    """Do a write set in a draft; raises Conflict at the first guard that does not hold."""
    for one in some:
        if not await HANDLERS[type(one)](draft, one):
            raise Conflict(type(one).__name__, param=index)


def places_of(sets: Sequence[Sequence[Command]]) -> set[Key]:
    """Return the documents that commands are sure to ask for, so that they are read together."""
    found: set[Key] = set()
    for one in (command for some in sets for command in some):
        if (conversation_id := getattr(one, "conversation_id", None)) is not None:
            found.add((db.CONVERSATIONS, conversation_id))
            if (branch_id := getattr(one, "branch_id", None)) is not None:
                found.add((db.BRANCHES, pair_id(conversation_id, branch_id)))
        if type(one) is ws.FinishRun:
            found.add((db.RUNS, one.run.id))
        elif type(one) is ws.PutItems:
            found.add((db.ITEMS, place_id(one.after.segment_id, one.after.depth + 1)))
    return found
