"""Erasing for good, in slices: purges, what has expired, and what nothing reaches any more.

The writer is never held for long: every slice is one small write set, and between any two the
server may be killed. A conversation whose purge has begun says so in its row, a sweep that is due
in a row of its own, a blob that is going in its state: whoever looks next goes on from there.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from antiphon.domain.accounts import Principal
from antiphon.domain.conversations import Conversation
from antiphon.domain.errors import Conflict
from antiphon.domain.items import Position
from antiphon.domain.runs import Run
from antiphon.ports import blob_writes as wb
from antiphon.ports import purge_writes as wp
from antiphon.ports import write_sets as ws
from antiphon.ports.blob_store import BlobStore
from antiphon.ports.clock import Clock
from antiphon.ports.purging import Owned
from antiphon.ports.storage import Storage
from antiphon.services.erasure import Erasures, Purged
from antiphon.services.pacing import Round
from antiphon.services.placing import move_head
from antiphon.services.runs.engine import Engine
from antiphon.services.runs.journal import RunJournal
from antiphon.services.runs.live import LiveRun, LiveRuns
from antiphon.services.trimming import GRACE_US, Trimming

RUNS: Final = 16
ROWS: Final = 128
ROUNDS: Final = 1000
BATCH: Final = 50
"""Conversations that housekeeping looks for at a time."""

DAY_US: Final = 24 * 3600 * 1_000_000
CANCEL_SECONDS: Final = 5.0
POLL_SECONDS: Final = 0.05


class Purges:
    """Purges conversations, answers and accounts; `response_ttl_days` is how long answers outlive theirs.

    `forget` drops what caches hold of an account.
    """

    def __init__(
        self,
        storage: Storage,
        blobs: BlobStore,
        engine: Engine,
        runs: LiveRuns,
        journal: RunJournal,
        clock: Clock,
        *,
        response_ttl_days: int,
        forget: Callable[[str], Awaitable[None]],
        erasures: Erasures | None = None,
    ) -> None:
        self._storage = storage
        self._commit = storage.unit_of_work.commit
        self._blobs = blobs
        self._engine = engine
        self._runs = runs
        self._journal = journal
        self._clock = clock
        self._ttl_us = response_ttl_days * DAY_US
        self._forget = forget
        self._erasures = erasures or Erasures()
        self._trimming = Trimming(storage, self._erasures, clock)
        self._busy: set[str] = set()

    # --- what callers ask for

    async def purge_conversation(self, conversation: Owned) -> Purged:
        """Erase a conversation but for what living forks share; raises Conflict if its purge has begun."""
        purged = self._erasures.begin()
        await self._commit(wp.BeginPurge(conversation_id=conversation.id, now_us=self._clock.now_us()))
        await self._finish(conversation, purged)
        await self._settle(conversation.owner_id, purged)
        return purged

    async def purge_response(self, who: Principal, run: Run) -> Purged:
        """Erase an answer that has ended: its log at once, its items unless something else reaches them.

        In a chain that named no conversation its items go unless continued; the first turn takes
        the chain along.
        """
        purged = self._erasures.begin()
        conversation_id = run.conversation_id
        if conversation_id is None:
            return purged
        owned = Owned(conversation_id, who.account_id, who.slot)
        alone, retreat = await self._unless_continued(who, run)
        if alone:
            with contextlib.suppress(Conflict):
                return await self.purge_conversation(owned)
        await self._journal.seal()
        erase = await self._erasing(owned, run.id)
        try:
            await self._commit(*erase, *retreat)
        except Conflict:
            await self._commit(*erase)  # it was continued meanwhile
        purged.responses = 1
        await self._sweep(owned, purged)
        await self._settle(who.account_id, purged)
        return purged

    async def purge_account(self, account_id: str) -> Purged:
        """Erase all conversations of an account, deleted ones too; its ledger stays."""
        purged = self._erasures.begin()
        while found := await self._storage.garbage.conversations(account_id, BATCH):
            for conversation in found:
                if not await self._purge(conversation, purged):
                    await asyncio.sleep(POLL_SECONDS)  # another purge of it is at work
        while keys := await self._storage.remains.account_keys(account_id, ROWS):
            await self._commit(wp.EraseKeys(keys=tuple((account_id, key) for key in keys)))
        await self._settle(account_id, purged)
        await self._erasures.forget_owner(account_id, purged)
        return purged

    async def purge_expired(self, now_us: int) -> Purged:
        """Do all that is due: purges cut off, what expired or was deleted long ago, sweeps, blobs.

        It rests in between, so that turns go on.
        """
        purged, this = self._erasures.begin(), Round(self._clock)
        await self._resume(purged, this)
        garbage = self._storage.garbage

        async def erase(conversation: Owned) -> None:
            await self._purge(conversation, purged)
            await self._settle(conversation.owner_id, purged)

        async def sweep(conversation: Owned) -> None:
            await self._sweep(conversation, purged, now_us=now_us)

        await this.work_off(lambda: garbage.expired(now_us, now_us - self._ttl_us, BATCH), erase, BATCH)
        await this.work_off(lambda: garbage.sweeps(now_us, BATCH), sweep, BATCH)
        purged.blobs += await self._erase_blobs(now_us - GRACE_US, None, this)
        this.finish()
        return purged

    async def recover(self) -> Purged:
        """Finish what the last process left; what it was uploading, nothing will ever hold.

        Where others share the store, what is being uploaded may be theirs: it waits out the grace.
        """
        purged = await self.purge_expired(self._clock.now_us())
        if self._storage.workers.is_shared:
            return purged
        purged.blobs += await self._erase_blobs(self._clock.now_us(), None)
        return purged

    async def _resume(self, purged: Purged, this: Round) -> None:
        """Finish the purges that were cut off."""
        after = ""

        async def find() -> list[Owned]:
            nonlocal after
            found = await self._storage.garbage.purging(BATCH, after=after)
            after = found[-1].id if found else after
            return found

        async def finish(conversation: Owned) -> None:
            if conversation.id not in self._busy:
                await self._finish(conversation, purged)
                await self._settle(conversation.owner_id, purged)

        await this.work_off(find, finish, BATCH)

    # --- a conversation

    async def _purge(self, conversation: Owned, purged: Purged) -> bool:
        """Begin a purge, or go on with one; returns False, leaving it alone, if it is at work already."""
        with contextlib.suppress(Conflict):
            await self._commit(wp.BeginPurge(conversation_id=conversation.id, now_us=self._clock.now_us()))
        if conversation.id in self._busy:
            return False
        await self._finish(conversation, purged)
        return True

    async def _finish(self, conversation: Owned, purged: Purged) -> None:
        """Erase all that a conversation being purged still has, abandoned forks first."""
        waiting = [conversation]
        self._busy.add(conversation.id)
        try:
            while waiting:
                current = waiting[-1]
                forks = await self._begin_forks(current)
                if forks:
                    waiting += forks
                    continue
                waiting.pop()
                await self._erase(current, purged)
        finally:
            self._busy.discard(conversation.id)

    async def _begin_forks(self, conversation: Owned) -> list[Owned]:
        """Begin to purge deleted forks that nothing reaches: nobody else keeps what they stand on."""
        begun = []
        for fork in await self._storage.remains.abandoned_forks(conversation.id, BATCH):
            with contextlib.suppress(Conflict):
                await self._commit(wp.BeginPurge(conversation_id=fork.id, now_us=self._clock.now_us()))
                begun.append(fork)
        return begun

    async def _erase(self, conversation: Owned, purged: Purged) -> None:
        await self._end_turns(conversation.id)
        await self._journal.seal()  # what the turns said last still stands in its records
        remains = self._storage.remains
        conversation_id = conversation.id
        while keys := await remains.keys(conversation_id, ROWS):
            await self._commit(wp.EraseKeys(keys=tuple(keys)))
        purged.responses += await self._erase_runs(conversation_id, None)
        while await remains.has_views(conversation_id):
            await self._commit(wp.EraseViews(conversation_id=conversation_id, limit=ROWS))
        await self._trimming.trim(conversation, purged)
        await self._erasures.forget_conversation(conversation.owner_id, conversation_id, purged)
        await self._commit(wp.EndPurge(conversation_id=conversation_id))
        purged.conversations += 1

    async def _end_turns(self, conversation_id: str) -> None:
        """Cancel the turns of a conversation and wait for their ends."""
        turns = [live for live in self._runs if live.run.conversation_id == conversation_id]
        for live in turns:
            self._engine.cancel(live)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CANCEL_SECONDS):
                for live in turns:
                    await self._ended(live)

    async def _ended(self, live: LiveRun) -> None:
        # One whose begin was refused leaves the register without a word, so it is looked at too.
        while live.run.id in self._runs and not (live.closed or live.lost):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await live.wait()

    async def _erase_runs(self, conversation_id: str, deleted_before_us: int | None) -> int:
        count = 0
        find = self._storage.remains.runs
        while found := await find(conversation_id, RUNS, deleted_before_us=deleted_before_us):
            await self._commit(*self._cancels(found), wp.EraseRuns(run_ids=tuple(found)))
            count += len(found)
        return count

    def _cancels(self, run_ids: Sequence[str]) -> list[ws.Command]:
        """Return what tells other processes that runs of theirs go; their ends find no row any more."""
        is_shared = self._storage.workers.is_shared
        return [ws.RequestCancel(run_id=run_id) for run_id in run_ids] if is_shared else []

    # --- an answer

    async def _unless_continued(self, who: Principal, run: Run) -> tuple[bool, list[ws.Command]]:
        """Return whether a chain is nothing but this answer, and what takes its end back before it."""
        end = run.output_end or run.input_end
        if end is None or end.item_id is None or run.conversation_id is None:
            return False, []
        conversation = await self._storage.conversations.get(who.account_id, run.conversation_id)
        if conversation is None or conversation.kind != "implicit":
            return False, []
        branch = await self._storage.conversations.branch_at(conversation.id, end.item_id)
        if branch is None or await self._storage.tree.is_continued(end):
            return False, []
        if run.parent is None and await self._is_alone(conversation, run):
            return True, []
        before = run.parent or Position((run.input_end or end).segment_id, -1, 0)
        return False, [move_head(branch, before)]

    async def _is_alone(self, conversation: Conversation, run: Run) -> bool:
        """Whether a chain has this one answer and one branch."""
        runs = await self._storage.remains.runs(conversation.id, 2)
        branches = await self._storage.conversations.branches(conversation.id, after=None, limit=2)
        return runs == [run.id] and len(branches) == 1

    async def _erasing(self, conversation: Owned, run_id: str) -> list[ws.Command]:
        """Return the one write set that erases an answer and leaves a sweep for its items."""
        keys = await self._storage.remains.run_keys(run_id, ROWS)
        commands: list[ws.Command] = [
            wp.EraseRuns(run_ids=(run_id,)),
            wp.Sweep(
                conversation_id=conversation.id, owner_id=conversation.owner_id, slot=conversation.slot,
                due_us=self._clock.now_us(),
            ),
        ]  # fmt: skip
        if keys:
            commands.append(wp.EraseKeys(keys=tuple(keys)))
        return commands

    # --- what nothing reaches

    async def _sweep(self, conversation: Owned, purged: Purged, *, now_us: int | None = None) -> None:
        """Erase a conversation's long deleted answers and what nothing reaches in it.

        A deleted one without answers is reached by nobody: it goes whole, but for what forks share.
        """
        if await self._storage.remains.is_abandoned(conversation.id):
            await self._purge(conversation, purged)
            return
        now = now_us if now_us is not None else self._clock.now_us()
        before = purged.responses + purged.items
        purged.responses += await self._erase_runs(conversation.id, now - GRACE_US)
        await self._trimming.trim(conversation, purged)
        if await self._storage.remains.is_purged(conversation.id):
            await self._erasures.forget_conversation(conversation.owner_id, conversation.id, purged)
        await self._commit(wp.EndSweep(conversation_id=conversation.id, now_us=now))
        if purged.responses + purged.items > before:
            await self._forget(conversation.owner_id)

    async def _settle(self, owner_id: str, purged: Purged) -> None:
        """Do what a purge has left for its owner: what was kept for it only, blobs, and what caches hold."""
        for _ in range(ROUNDS):
            found = await self._storage.garbage.leftovers(owner_id, self._clock.now_us(), BATCH)
            if not found:
                break
            for conversation in found:
                await self._sweep(conversation, purged)
        purged.blobs += await self._erase_blobs(self._clock.now_us(), owner_id)
        await self._forget(owner_id)

    async def _erase_blobs(
        self, loose_before_us: int, owner_id: str | None, this: Round | None = None
    ) -> int:
        """Erase blobs that nothing holds; one that somebody comes to hold stays."""
        count = 0
        find = self._storage.garbage.unheld_blobs
        skipped: set[tuple[str, str]] = set()
        while found := set(await find(loose_before_us, ROWS + len(skipped), owner_id=owner_id)) - skipped:
            for owner, digest in found:
                try:
                    await self._commit(wb.DoomBlob(owner_id=owner, digest=digest))
                except Conflict:
                    skipped.add((owner, digest))
                    continue
                await self._blobs.delete(owner, digest)
                await self._commit(wb.ForgetBlob(owner_id=owner, digest=digest))
                count += 1
            if this is not None:
                await this.rest()
        return count
