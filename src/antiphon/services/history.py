"""Keeps the index of what was said: follows commits, catches up after a crash, forgets what is erased.

Commits are noted in memory (`CommitNotes`), mostly with what is said in them, which costs a turn next to
nothing, and indexed by a job within a second or so; what is noted by its name alone is read first. A mark
in the index tells below which id everything is indexed: ids begin with the time they were made, and an
answer's are made when it begins, so the mark lies before the begin of the oldest answer that has not
ended. After a crash everything from the mark on is read again; what is indexed already is known by its
id. A directory that was never indexed has its mark at nothing. Of several servers each indexes what it
commits, see `history_marks`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from antiphon.ports.clock import Clock
from antiphon.ports.history import History as Reads
from antiphon.ports.history import Said
from antiphon.ports.jobs import Jobs
from antiphon.ports.locks import Locks
from antiphon.ports.passage_index import IndexScopes, PassageIndex
from antiphon.services.commit_notes import CommitNotes
from antiphon.services.embeddings import Embeddings
from antiphon.services.history_marks import BEYOND, EVERYTHING, SLACK_US, HistoryMarks, Span, lowest_id
from antiphon.services.history_passages import cut_messages

GATHER_SECONDS: Final = 0.2
"""So long commits gather before they are indexed together."""
GATHERINGS: Final = 5
"""So often they go on gathering while many come and there are not enough for a batch."""
MANY: Final = 100
"""Messages that come in `GATHER_SECONDS` where a few more are not worth a transaction of their own."""
MARK_SECONDS: Final = 2.0
RETRY_SECONDS: Final = 1.0
FLUSH_SECONDS: Final = 5.0
BATCH: Final = 512
"""Messages indexed together: about 5 ms each of a thread and of the index's writer."""
UNREAD: Final = 100
"""How many of them may have to be read."""
UNEMBEDDED: Final = 1_000
"""Conversations that wait to be embedded, at most."""
SLICE: Final = 200
SLICE_BYTES: Final = 2 * 1024 * 1024
SWEEP: Final = 500
TRACES_SECONDS: Final = 60.0
TAKING_IN: Final = "history"
"""The lock under which messages come in, shared, and go, exclusively."""
LOOK_AROUND_SECONDS: Final = 10.0

log = logging.getLogger(__name__)


class History:
    """The indexer, which purges also speak to (see `services.erasure.Erasing`).

    One that does not follow only forgets.
    """

    counted = "passages"

    def __init__(
        self,
        reads: Reads,
        index: PassageIndex,
        scopes: IndexScopes,
        notes: CommitNotes,
        embeddings: Embeddings,
        clock: Clock,
        locks: Locks,
        *,
        server_id: str | None = None,
        follows: bool = True,
    ) -> None:
        self.follows = follows
        self._reads = reads
        self._index = index
        self._scopes = scopes
        self._notes = notes
        self._embeddings = embeddings
        self._unembedded: dict[str, str] = {}
        self._some_unembedded = asyncio.Event()
        self._clock = clock
        self._spans: list[Span] = []
        self._begun = False
        self._marked_at = float("-inf")
        self._unmarked = False
        # Held from the reading of messages to the end of their indexing, and exclusively while they are
        # erased: nothing that is being erased comes in, on whichever server.
        self._locks = locks
        self._marks = HistoryMarks(scopes, clock, server_id)
        self._stepping = asyncio.Lock()
        self.messages = 0
        self.passages = 0

    # --- state, for metrics

    @property
    def lag_seconds(self) -> float:
        """How long ago the oldest message was committed that is not indexed yet, 0 if there is none."""
        return self._notes.lag_seconds

    @property
    def waiting(self) -> int:
        """Messages that were committed and are not indexed yet."""
        return len(self._notes)

    @property
    def catching_up(self) -> bool:
        """Whether older messages are still to be read: after a crash, or for the first time."""
        return bool(self._spans) or not self._begun

    # --- following

    def schedule(self, jobs: Jobs) -> None:
        """Hand over the jobs; without following there is only what erases."""
        jobs.every(TRACES_SECONDS, "erase traces of erased words", self.erase_traces)
        if self.follows:
            jobs.once("index conversations", self.run)
            jobs.once("embed conversations", self.embed)
            if self._marks.is_shared:
                jobs.every(LOOK_AROUND_SECONDS, "look after other servers", self.look_around)

    async def run(self) -> None:
        """Follow commits for ever."""
        while True:
            try:
                if not await self.step():
                    await self._notes.some()
                if not self.catching_up:
                    await self._gather()
            except Exception:
                log.exception("the index of conversations could not be written; it is tried again")
                await asyncio.sleep(RETRY_SECONDS)

    async def _gather(self) -> None:
        """Wait for more to index together: not once there is a batch, not long if little comes."""
        for _ in range(GATHERINGS):
            if len(self._notes) >= BATCH:
                return
            await asyncio.sleep(GATHER_SECONDS)
            if len(self._notes) < MANY:
                return

    async def embed(self) -> None:
        """Embed what has been indexed, for ever; what stays without, the embeddings' own loop finds."""
        while True:
            await self._some_unembedded.wait()
            self._some_unembedded.clear()
            waiting, self._unembedded = self._unembedded, {}
            try:
                for source_id, owner_id in waiting.items():
                    await self._embeddings.embed_source(owner_id, source_id)
            except Exception:
                log.exception("conversations could not be embedded")
            await asyncio.sleep(MARK_SECONDS)

    async def flush(self) -> None:
        """Index what waits and write the mark, for as long as a stopping server has time."""
        try:
            async with asyncio.timeout(FLUSH_SECONDS):
                while self._notes:
                    await self.step()
                if self._begun:
                    async with self._stepping:
                        await self._mark()
        except Exception as error:  # the next start reads on from the last mark
            log.warning("the index of conversations was left behind", exc_info=error)

    async def step(self) -> bool:
        """Index some of what waits, else some of what is older; returns False if there was nothing."""
        async with self._stepping:
            if not self._begun:
                await self._begin()
            missed = self._notes.take_missed()
            if missed is not None:
                self._spans.insert(0, Span(missed, BEYOND))
            if self._notes:
                await self._index_noted()
            elif self._spans:
                await self._read_older()
            else:
                await self._mark_if_due()
                return False
            self._unmarked = True
            await self._mark_if_due()
            return True

    async def _begin(self) -> None:
        self._spans = await self._marks.begin()
        self._begun = True

    async def look_around(self) -> None:
        """Tell that this server lives, and read what servers that do not have left."""
        async with self._stepping:
            if not self._begun:
                return
            began = await self._reads.oldest_open_run_us()
            left = await self._marks.take_over(self._upto(began), tuple(self._spans))
            self._spans += left
            await self._mark()
        if left:
            log.warning("messages of a server that is gone are looked for")
            self._notes.wake()

    async def stand_in(self) -> None:
        """See `HistoryMarks.stand_in`."""
        await self._marks.stand_in()

    async def hand_over(self) -> None:
        """See `HistoryMarks.hand_over`."""
        await self._marks.hand_over()

    async def _index_noted(self) -> None:
        async with self._locks.shared(TAKING_IN):  # what is erased before has left the notes
            noted = self._notes.first(BATCH, UNREAD, SLICE_BYTES)
            unread = [item_id for item_id, said in noted.items() if said is None]
            messages = [said for said in noted.values() if said is not None]
            if unread:
                messages += await self._reads.messages(unread)
            await self._take_in(messages)
            self._notes.done(noted)

    async def _read_older(self) -> None:
        """Read one slice of the first span, newest first.

        The reading of a whole history rests for as long as it worked, so as not to be felt; what a crash
        has left is wanted at once, and mostly indexed already.
        """
        began = self._clock.monotonic()
        span = self._spans[0]
        async with self._locks.shared(TAKING_IN):
            page = await self._reads.between(span.first, span.before, SLICE, SLICE_BYTES)
            known = await self._scopes.holding([(one.conversation_id, one.item_id) for one in page.data])
            await self._take_in([one for one in page.data if one.item_id not in known])
        if page.before is None:
            self._spans.pop(0)
        else:
            self._spans[0] = Span(span.first, page.before)
        if span.first == EVERYTHING:
            await asyncio.sleep(self._clock.monotonic() - began)

    async def _take_in(self, messages: Sequence[Said]) -> None:
        cuts = await asyncio.to_thread(cut_messages, messages)
        await self._index.add_messages(cuts)
        self.messages += len(messages)
        self.passages += sum(len(passages) for _, passages in cuts)
        if self._embeddings.model is not None and len(self._unembedded) < UNEMBEDDED:
            self._unembedded |= {source.id: source.owner_id for source, _ in cuts}
            self._some_unembedded.set()

    # --- the mark

    async def _mark_if_due(self) -> None:
        if self._unmarked and self._clock.monotonic() - self._marked_at >= MARK_SECONDS:
            await self._mark()

    async def _mark(self) -> None:
        """Write how far everything is indexed: not beyond the begin of any answer that has not ended."""
        began = await self._reads.oldest_open_run_us()
        # Looked at afterwards, so that an answer that has just ended is found among the notes.
        await self._marks.write(self._upto(began), tuple(self._spans))
        self._marked_at, self._unmarked = self._clock.monotonic(), False

    def _upto(self, began_us: int | None) -> str:
        now = self._clock.now_us()
        oldest = lowest_id(min(now, now if began_us is None else began_us) - SLACK_US)
        noted = self._notes.lowest
        return oldest if noted is None else min(oldest, noted)

    # --- forgetting

    async def erase_traces(self) -> None:
        """Rid the index of the words of what was erased, resting as long as each part took."""
        began = self._clock.monotonic()
        while await self._scopes.erase_traces():
            await asyncio.sleep(self._clock.monotonic() - began)
            began = self._clock.monotonic()

    @asynccontextmanager
    async def forgetting_items(
        self, owner_id: str, conversation_id: str, item_ids: Sequence[str]
    ) -> AsyncIterator[int]:
        """See `Erasing`. A kill between both commits of a slice that was refused leaves it unindexed."""
        async with self._locks.exclusive(TAKING_IN):
            count = await self._scopes.forget_items(conversation_id, item_ids)
            try:
                yield count
            except BaseException:
                self._notes.add(item_ids)
                raise
            self._notes.forget(item_ids)

    async def forget_conversation(self, owner_id: str, conversation_id: str) -> int:
        """See `Erasing`: every item was forgotten with its slice, so only the source is left."""
        async with self._locks.exclusive(TAKING_IN):
            if not await self._reads.has_items(conversation_id):
                await self._index.withdraw([conversation_id])
                while await self._index.sweep(SWEEP):
                    pass
        return 0

    async def forget_owner(self, owner_id: str) -> int:
        """See `Erasing`."""
        async with self._locks.exclusive(TAKING_IN):
            return await self._scopes.forget_owner(owner_id)
