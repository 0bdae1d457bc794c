"""The only reader of runs: a follower is a cursor over the committed log, not a queue.

Any number of followers, from any sequence number, live or long after the end. A slow one
keeps nothing: it renders on from its cursor when its transport has room again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final
from weakref import WeakSet, WeakValueDictionary

from antiphon.domain.errors import ProviderError
from antiphon.domain.run_events import Op, RunLog, decode_ops, expand
from antiphon.domain.runs import Run
from antiphon.ports.storage import Runs
from antiphon.services.runs.live import LiveRun

PING_SECONDS: Final = 15.0
STALLED_SECONDS: Final = 60.0
SWEEP_SECONDS: Final = 5.0
SWEEP_SLICE: Final = 50


class Interrupted(Exception):
    """The run goes on elsewhere or not at all; the client should resume later."""


class Follower:
    """One reader of one run.

    `task` is what to cancel when the client takes nothing for a minute.
    `beat` is when its client was last sent something (seconds, monotonic); its writer renews it.
    `reader` is the account that reads, for as long as it may: see `revoke`.
    `cursor` is the next sequence number to show. Use: render `log.ops[cursor:committed]`, move
    the cursor, then `await more()` until `finished`.
    """

    __slots__ = (
        "__weakref__",
        "_followers",
        "_listener",
        "_live",
        "_now",
        "_run",
        "_wakeup",
        "beat",
        "cursor",
        "log",
        "on_silence",
        "reader",
        "revoked",
        "task",
    )  # fmt: skip

    def __init__(
        self,
        log: RunLog,
        cursor: int,
        *,
        live: LiveRun | None,
        run: Run,
        followers: Followers,
        reader: str | None = None,
    ) -> None:
        self.log = log
        self.cursor = cursor
        self.reader = reader
        self.revoked = False
        self._now = asyncio.get_running_loop().time
        self.beat = self._now()
        self.task: asyncio.Task[object] | None = None
        self._live = live
        self._run = run
        self._followers = followers
        self._wakeup: asyncio.Future[None] | None = None
        self._listener: Callable[[], None] | None = None
        self.on_silence: Callable[[], None] | None = None

    @property
    def run(self) -> Run:
        """The run as it may be shown now."""
        return self._live.run if self._live is not None else self._run

    @property
    def failure(self) -> ProviderError | None:
        """How the provider failed, if it did and this process had asked it."""
        return self._live.failure if self._live is not None else None

    @property
    def committed(self) -> int:
        """How many ops may be shown."""
        if self.revoked:
            return self.cursor
        return self._live.committed if self._live is not None else len(self.log.ops)

    @property
    def whole(self) -> bool:
        """Whether everything there will ever be can be shown."""
        return self._live is None or self._live.closed

    @property
    def finished(self) -> bool:
        """Whether everything there will ever be has been passed."""
        return self.whole and not self.revoked and self.cursor >= self.committed

    def hold_less(self) -> None:
        """Let go of what can be made again: this client keeps the log of a run that has ended in memory.

        Does nothing while the run goes on, or if others listen to it: they share its texts.
        """
        live = self._live
        if live is not None and live.closed and len(live.listeners) <= 1:
            self.log.forget_texts()

    async def more(self) -> bool:
        """Wait until something can be shown; False after 15 silent seconds.

        Then it is time to look whether the client is still there, and to ping it.

        Raises Interrupted if this process lost the run, or the reader its right.
        """
        live = self._live
        if self.revoked:
            raise Interrupted(self.run.id)
        if live is None or self.cursor < live.committed or live.closed:
            return True
        if self.lost:
            raise Interrupted(live.run.id)
        self._wakeup = live.wait()
        self._followers.add(self)
        await self._wakeup
        self._wakeup = None
        if self.revoked:
            raise Interrupted(live.run.id)
        news = self.cursor < live.committed or live.closed
        if not news and self.lost:
            raise Interrupted(live.run.id)
        return news

    def _stop_listening(self) -> None:
        if self._listener is not None and self._live is not None:
            self._live.listeners.remove(self._listener)
        self._listener = None

    def listen(self, listener: Callable[[], None]) -> None:
        """Have `listener` called, on the event loop, whenever there is news, instead of waiting.

        A call costs a tenth of waking a task; it must neither wait nor raise.
        """
        self._followers.add(self)
        if self._live is not None:
            self._listener = listener
            self._live.listeners.append(listener)

    @property
    def lost(self) -> bool:
        """Whether nothing more can be shown: the process may not go on with the run, or the reader."""
        return self.revoked or (self._live is not None and self._live.lost)

    def revoke(self) -> None:
        """Show nothing from now on and wake whoever writes, who then ends with Interrupted."""
        self.revoked = True
        if self.task is not None:
            self.task.cancel()
        elif self._listener is not None:
            self._listener()
        elif self._wakeup is not None and not self._wakeup.done():
            self._wakeup.set_result(None)

    def progress(self) -> None:
        """Say that the client is sent something now."""
        self.beat = self._now()

    @property
    def silent(self) -> bool:
        """Whether the client has heard nothing for so long that it needs a ping."""
        return self._now() - self.beat >= PING_SECONDS - SWEEP_SECONDS

    def nudge(self) -> None:
        """Wake a waiting follower without news; does nothing if it is not waiting."""
        if self.on_silence is not None:
            self.on_silence()
        elif self._wakeup is not None and not self._wakeup.done():
            self._wakeup.set_result(None)

    @property
    def waiting(self) -> bool:
        """Whether the follower waits for its run (and not for its client)."""
        return self._wakeup is not None or (self.on_silence is not None and self.task is None)

    def release(self) -> None:
        """Forget the follower; call when its client has gone."""
        self._stop_listening()
        self.on_silence = None  # its writer holds the follower: a cycle would wait for the collector
        self._followers.discard(self)


class Followers:
    """All open followers: opens them, pings the silent, ends those whose client takes nothing."""

    def __init__(self, store: Runs) -> None:
        self._store = store
        self._open: set[Follower] = set()
        self._guests: WeakSet[Follower] = WeakSet()
        self._logs: WeakValueDictionary[str, RunLog] = WeakValueDictionary()
        self._sweeper: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._open)

    def add(self, follower: Follower) -> None:
        """Watch a follower."""
        self._open.add(follower)

    def discard(self, follower: Follower) -> None:
        """Stop watching a follower."""
        self._open.discard(follower)

    def follow_live(self, live: LiveRun, after: int = -1, *, reader: str | None = None) -> Follower:
        """Follow a run that this process generates, from the event after `after`.

        `reader` is the account that asks; one that is not the run's owner is watched (`guests`).
        """
        follower = Follower(live.log, after + 1, live=live, run=live.run, followers=self, reader=reader)
        self._watch_guest(follower)
        return follower

    async def follow(self, run: Run, after: int = -1, *, reader: str | None = None) -> Follower:
        """Follow a run that has ended, from the event after `after`."""
        log = await self.stored_log(run)
        follower = Follower(log, after + 1, live=None, run=run, followers=self, reader=reader)
        self._watch_guest(follower)
        return follower

    def _watch_guest(self, follower: Follower) -> None:
        if follower.reader is not None and follower.reader != follower.run.owner_id:
            self._guests.add(follower)

    @property
    def guests(self) -> list[Follower]:
        """Followers whose reader is not the owner of what it reads, and may lose the right to it."""
        return list(self._guests)

    async def stored_log(self, run: Run) -> RunLog:
        """Return a finished run's log; readers of one answer share it."""
        found = self._logs.get(run.id)
        if found is None:
            found = RunLog(await self._stored_ops(run), shared=True)
            found = self._logs.setdefault(run.id, found)
        return found

    async def _stored_ops(self, run: Run) -> list[Op]:
        raw, is_script = await self._store.log(run)
        entries = decode_ops(raw)
        if not is_script:
            return entries
        items = {item.id: item.body() for item in await self._store.outputs(run)}
        return expand(entries, items)

    def start(self) -> None:
        """Begin to ping and to end stalled followers."""
        self._sweeper = asyncio.create_task(self._sweep(), name="follower-sweeper")

    async def close(self) -> None:
        """Stop; open followers are left to their connections."""
        if self._sweeper is not None:
            self._sweeper.cancel()

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            for count, follower in enumerate(list(self._open)):
                if count % SWEEP_SLICE == 0:
                    await asyncio.sleep(0)  # thousands at once would hold up everybody's tokens
                now = loop.time()
                if follower.waiting:
                    if follower.silent:
                        follower.nudge()
                elif now - follower.beat > STALLED_SECONDS and follower.task is not None:
                    follower.task.cancel()
