"""The server's end of the process that readers are forked from: starts it, gives orders, hears of ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import sys
from typing import Final

from antiphon.parsers.frames import LENGTH, MAX_FRAME, Ended, Job, Kill, Ready, Word, frame, read_word

START_SECONDS: Final = 30.0
KILL_SECONDS: Final = 10.0

_BOOT: Final = (
    "import sys; sys.path[:] = sys.argv[2:]; from antiphon.parsers.zygote import main; main(int(sys.argv[1]))"
)
_ENVIRONMENT: Final = {"LC_ALL": "C.UTF-8", "MALLOC_ARENA_MAX": "1"}
"""All that a reading process finds in its environment: no key and no address is in it."""

log = logging.getLogger(__name__)


class Lost(Exception):
    """The reading process cannot be started, or has died."""


class ZygoteLink:
    """A running reading process. Made by `start`; of no use once `lost` is set."""

    def __init__(self, process: asyncio.subprocess.Process, orders: socket.socket) -> None:
        self.lost = False
        self._process = process
        self._orders = orders
        self._sending = asyncio.Lock()
        self._jobs: dict[int, asyncio.Future[int | None]] = {}
        self._ready: asyncio.Future[Ready] = asyncio.get_running_loop().create_future()
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    async def start(cls) -> ZygoteLink:
        """Start the process and wait until it is ready. Raises Lost."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-I", "-S", "-c", _BOOT, str(theirs.fileno()), *filter(None, sys.path),
                    pass_fds=(theirs.fileno(),),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.DEVNULL,
                    stderr=asyncio.subprocess.DEVNULL,
                    env=_ENVIRONMENT,
                    cwd="/",
                )  # fmt: skip
            except OSError as error:
                ours.close()
                raise Lost(str(error)) from error
        ours.setblocking(False)
        link = cls(process, ours)
        link._keep(link._listen(ours.dup()))
        try:
            async with asyncio.timeout(START_SECONDS):
                ready = await link._ready
        except BaseException as error:
            link.kill()
            if isinstance(error, TimeoutError | Lost):
                raise Lost("the reading process does not start") from error
            raise
        for what in ready.missing:
            log.warning("documents are read without %s", what)
        return link

    def _keep(self, work: asyncio._CoroutineLike[None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @property
    def idle(self) -> bool:
        """Whether no job is running."""
        return not self._jobs

    async def begin(self, job: Job, document: int, answer: int) -> asyncio.Future[int | None]:
        """Have a job done with two descriptors, which stay the caller's.

        The future gets the signal that ended the job's process (0 if none), or None if it was lost
        with the whole reading process. Raises Lost.
        """
        data = frame(job)
        ended = asyncio.get_running_loop().create_future()
        async with self._sending:
            if self.lost:
                raise Lost("the reading process has ended")
            self._jobs[job.number] = ended
            try:
                sent = socket.send_fds(self._orders, [data], [document, answer])
                if sent < len(data):
                    await asyncio.get_running_loop().sock_sendall(self._orders, data[sent:])
            except OSError as error:
                del self._jobs[job.number]
                self.kill()
                raise Lost(str(error)) from error
        return ended

    def end(self, number: int) -> None:
        """End the process of a job; does nothing if it has ended. Does not wait."""
        ended = self._jobs.get(number)
        if ended is not None and not self.lost:
            self._keep(self._end(number, ended))

    async def _end(self, number: int, ended: asyncio.Future[int | None]) -> None:
        async with self._sending:
            if not ended.done() and not self.lost:
                with contextlib.suppress(OSError):
                    await asyncio.get_running_loop().sock_sendall(self._orders, frame(Kill(number)))
        await asyncio.wait([ended], timeout=KILL_SECONDS)
        if not ended.done():
            log.error("the reading process does not obey and is ended")
            self.kill()

    def kill(self) -> None:
        """End the reading process with all its workers at once."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def close(self) -> None:
        """End the reading process and wait for its end."""
        self._hang_up()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._orders.close()

    def _hang_up(self) -> None:
        self.lost = True
        with contextlib.suppress(OSError):
            self._orders.shutdown(socket.SHUT_RDWR)

    async def _listen(self, ours: socket.socket) -> None:
        try:
            reader, writer = await asyncio.open_connection(sock=ours)
            try:
                while True:
                    (length,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
                    if length > MAX_FRAME:
                        break
                    self._hear(read_word(await reader.readexactly(length)))
            finally:
                writer.close()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._gone()
        try:
            async with asyncio.timeout(KILL_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self.kill()
            await self._process.wait()

    def _hear(self, word: Word) -> None:
        if isinstance(word, Ready):
            if not self._ready.done():
                self._ready.set_result(word)
        else:
            self._settle(word)

    def _settle(self, word: Ended) -> None:
        ended = self._jobs.pop(word.number, None)
        if ended is not None and not ended.done():
            ended.set_result(word.signal)

    def _gone(self) -> None:
        self._hang_up()
        if not self._ready.done():
            self._ready.set_exception(Lost("the reading process has ended"))
        jobs, self._jobs = self._jobs, {}
        for ended in jobs.values():
            if not ended.done():
                ended.set_result(None)
