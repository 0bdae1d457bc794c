"""Port `DocumentParser` on confined processes: one for each document, forked from one that is kept ready."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import itertools
import os
import signal
import socket
import stat
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterable
from io import BufferedWriter
from pathlib import Path
from typing import Final

import msgspec

from antiphon.domain.collections import Chunking
from antiphon.parsers.answers import AnswerCheck, Nonsense
from antiphon.parsers.formats import UNSUPPORTED, format_of
from antiphon.parsers.frames import LENGTH, MAX_FRAME, Answer, Failed, Job, read_answer
from antiphon.parsers.zygote_link import Lost, ZygoteLink
from antiphon.ports.document_parser import Event, Limits, Parsed, ParseFailed

WORKERS: Final = 2
IDLE_SECONDS: Final = 60.0
READ_AHEAD: Final = 1 << 16
"""Bytes after which a worker waits for us (twice this, and what the socket holds)."""


class ConfinedParser:
    """See the port. At most `workers` documents are read at once; further ones wait.

    The processes start with the first document and end `idle_seconds` after the last. `fast_pdf`
    None reads PDF with PDFium where it is installed.
    """

    def __init__(
        self, *, workers: int = WORKERS, idle_seconds: float = IDLE_SECONDS, fast_pdf: bool | None = None
    ) -> None:
        self._slots = asyncio.Semaphore(workers)
        self._idle_seconds = idle_seconds
        self._fast_pdf = importlib.util.find_spec("pypdfium2") is not None if fast_pdf is None else fast_pdf
        self._numbers = itertools.count(1)
        self._link: ZygoteLink | None = None
        self._starting = asyncio.Lock()
        self._idle_timer: asyncio.TimerHandle | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False

    def version_for(self, filename: str, head: bytes) -> str:
        """See the port. A document that is not read has the version `unsupported`."""
        try:
            return format_of(filename, head, fast_pdf=self._fast_pdf).name
        except ParseFailed:
            return UNSUPPORTED

    async def parse(
        self, path: Path, filename: str, chunking: Chunking, limits: Limits
    ) -> AsyncGenerator[Event, None]:
        """See the port."""
        job = Job(next(self._numbers), _whole(filename), chunking, limits, self._fast_pdf)
        document = await asyncio.to_thread(_open, path)
        try:
            async with contextlib.aclosing(self._work(job, document, AnswerCheck(limits))) as events:
                async for event in events:
                    yield event
        finally:
            os.close(document)

    async def cut(
        self, slices: AsyncIterable[str], filename: str, known: Parsed, chunking: Chunking, limits: Limits
    ) -> AsyncGenerator[Event, None]:
        """See the port."""
        job = Job(next(self._numbers), _whole(filename), chunking, limits, text=known)
        document = await _spool(slices, limits)
        try:
            check = AnswerCheck(limits, known.characters)
            async with contextlib.aclosing(self._work(job, document, check)) as events:
                async for event in events:
                    yield event
        finally:
            os.close(document)

    async def close(self) -> None:
        """See the port."""
        self._closed = True
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        async with self._starting:
            if self._link is not None:
                await self._link.close()
                self._link = None
        await asyncio.gather(*self._closing)

    async def _work(self, job: Job, document: int, check: AnswerCheck) -> AsyncGenerator[Event, None]:
        await self._slots.acquire()
        try:
            link, ended, answers = await self._begin(job, document)
        except BaseException:
            self._slots.release()
            raise
        ended.add_done_callback(lambda _: self._job_ended())
        try:
            async with contextlib.aclosing(_events(job.limits, answers, ended, check)) as events:
                async for event in events:
                    yield event
        finally:
            link.end(job.number)

    async def _begin(
        self, job: Job, document: int
    ) -> tuple[ZygoteLink, asyncio.Future[int | None], socket.socket]:
        """Hand a job over. Returns the socket its answers come from.

        It is no pipe, since uvloop closes the number of a pipe twice, and between the two another thread
        may have opened a file under it.
        """
        answers, theirs = socket.socketpair()
        try:
            for attempt in (1, 2):
                try:
                    link = await self._ready_link()
                    return link, await link.begin(job, document, theirs.fileno()), answers
                except Lost as error:
                    if attempt == 2 or self._closed:
                        raise ParseFailed(
                            f"Documents cannot be read now: {error}.", code="server_error"
                        ) from error
            raise AssertionError
        except BaseException:
            answers.close()
            raise
        finally:
            theirs.close()

    async def _ready_link(self) -> ZygoteLink:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None
        async with self._starting:
            if self._closed:
                raise Lost("the server is stopping")
            if self._link is None or self._link.lost:
                self._link = await ZygoteLink.start()
            return self._link

    def _job_ended(self) -> None:
        self._slots.release()
        if self._link is not None and self._link.idle and not self._closed:
            if self._idle_timer is not None:
                self._idle_timer.cancel()
            self._idle_timer = asyncio.get_running_loop().call_later(self._idle_seconds, self._rest)

    def _rest(self) -> None:
        """Nothing was read for a while: give the memory back."""
        link = self._link
        if link is not None and link.idle:
            self._link = None
            task = asyncio.create_task(link.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)


async def _events(
    limits: Limits, answers: socket.socket, ended: asyncio.Future[int | None], check: AnswerCheck
) -> AsyncGenerator[Event, None]:
    """Read a worker's answers. Only the time we wait for it counts against its limit."""
    try:
        reader, writer = await asyncio.open_connection(sock=answers, limit=READ_AHEAD)
    except BaseException:
        answers.close()
        raise
    left = limits.wall_seconds
    try:
        while True:
            began = time.monotonic()
            async with asyncio.timeout(left):
                answer = await _next(reader)
            left -= time.monotonic() - began
            if isinstance(answer, Failed):
                raise ParseFailed(answer.message[:500], code=_code(answer.code), page=answer.page)
            check.check(answer)
            yield answer
            if isinstance(answer, Parsed):
                return
    except TimeoutError as error:
        raise ParseFailed(
            f"Reading the document takes longer than {limits.wall_seconds:g} s.", code="invalid_file"
        ) from error
    except asyncio.IncompleteReadError as error:
        raise _why_it_died(await _signal_of(ended), limits) from error
    except (Nonsense, msgspec.MsgspecError) as error:
        raise ParseFailed("The document made its reader answer nonsense.", code="invalid_file") from error
    finally:
        writer.transport.abort()


async def _next(reader: asyncio.StreamReader) -> Answer:
    (length,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
    if length > MAX_FRAME:
        raise Nonsense
    answer: Answer = read_answer(await reader.readexactly(length))
    return answer


def _code(code: str) -> str:
    return code if code in ("unsupported_file", "invalid_file") else "server_error"


async def _signal_of(ended: asyncio.Future[int | None]) -> int | None:
    await asyncio.wait([ended], timeout=5)
    return ended.result() if ended.done() else None


def _why_it_died(number: int | None, limits: Limits) -> ParseFailed:
    if number == signal.SIGXCPU:
        return ParseFailed(
            f"Reading the document takes more than {limits.cpu_seconds:g} s of processor time.",
            code="invalid_file",
        )
    if number in (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGSYS):
        return ParseFailed("The document crashes its reader.", code="invalid_file")
    return ParseFailed("The process that read the document was ended from outside.", code="server_error")


def _whole(filename: str) -> str:
    """A name without what no UTF-8 holds."""
    return filename.encode("utf-8", "replace").decode()


def _open(path: Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise ParseFailed("The file's content cannot be opened.", code="server_error") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ParseFailed("The file's content cannot be opened.", code="server_error")
    return descriptor


async def _spool(slices: AsyncIterable[str], limits: Limits) -> int:
    """Lay a text down in a file without a name, and return a descriptor that reads it.

    It is written through a file object: its lock has `close` wait for a write whose task was cancelled.
    """
    written, readable = await asyncio.to_thread(_nameless_file)
    done = 0
    try:
        async for part in slices:
            done += len(part)
            if done > limits.characters:
                raise ParseFailed(
                    f"The document has more than {limits.characters:,} characters.", code="invalid_file"
                )
            await asyncio.to_thread(written.write, part.encode("utf-8", "replace"))
        await asyncio.to_thread(written.flush)
    except BaseException:
        os.close(readable)
        raise
    finally:
        written.close()
    return readable


def _nameless_file() -> tuple[BufferedWriter, int]:
    written, name = tempfile.mkstemp(prefix="antiphon-")
    try:
        return os.fdopen(written, "wb"), os.open(name, os.O_RDONLY | os.O_CLOEXEC)
    finally:
        Path(name).unlink()
