"""The process that readers are forked from: it has loaded what they need, holds nothing and has one thread.

It takes orders over a socket, forks a confined worker for each, and tells how each ended. When the
server closes the socket, or is gone, it ends its workers and itself.
"""

from __future__ import annotations

import array
import contextlib
import encodings
import gc
import importlib
import os
import pkgutil
import select
import signal
import socket
import sys
from types import ModuleType

import pypdf

from antiphon.parsers import worker
from antiphon.parsers.confinement import confine, missing
from antiphon.parsers.frames import LENGTH, MAX_FRAME, Ended, Job, Kill, Ready, Word, frame, read_order

_JOB_DESCRIPTORS = 2
_CHILD_DOCUMENT = 3
_CHILD_ANSWER = 4
_LOADED_LATE = ("heapq", "warnings", "_strptime")
"""What the standard library would load in the middle of the work."""


def main(descriptor: int) -> None:
    """Serve orders that arrive at a socket, until its other end is closed."""
    for package in (encodings, pypdf):
        _load(package)
    for name in _LOADED_LATE:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    _Zygote(socket.socket(fileno=descriptor)).serve()


def _load(package: ModuleType) -> None:
    """Load all of a package: a confined worker can open no file, not even a module's."""
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        with contextlib.suppress(ImportError):  # encodings of other systems, codecs that are not installed
            importlib.import_module(module.name)


class _Zygote:
    def __init__(self, server: socket.socket) -> None:
        self._server = server
        self._buffer = b""
        self._descriptors: list[int] = []
        self._workers: dict[int, int] = {}  # process id → job

    def serve(self) -> None:
        waking, woken = os.pipe()
        os.set_blocking(woken, False)
        os.set_blocking(waking, False)
        signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        self._tell(Ready(missing()))
        while True:
            ready, _, _ = select.select([self._server.fileno(), waking], [], [])
            if waking in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(waking, 4096)
            self._reap()
            if self._server.fileno() in ready and not self._receive():
                break
        for process in self._workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        os._exit(0)

    def _tell(self, word: Word) -> None:
        with contextlib.suppress(OSError):
            self._server.sendall(frame(word))

    def _receive(self) -> bool:
        """Take in what arrived; False once the server has closed the socket."""
        size = array.array("i").itemsize
        data, ancillary, _, _ = self._server.recvmsg(1 << 16, socket.CMSG_SPACE(16 * size))
        for level, kind, given in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                numbers = array.array("i")
                numbers.frombytes(given[: len(given) // size * size])
                self._descriptors += numbers
        if not data:
            return False
        self._buffer += data
        while len(self._buffer) >= LENGTH.size:
            (length,) = LENGTH.unpack_from(self._buffer)
            if length > MAX_FRAME:
                return False
            end = LENGTH.size + length
            if len(self._buffer) < end:
                break
            order = read_order(self._buffer[LENGTH.size : end])
            self._buffer = self._buffer[end:]
            self._obey(order)
        return True

    def _obey(self, order: Job | Kill) -> None:
        if isinstance(order, Job):
            descriptors = self._descriptors[:_JOB_DESCRIPTORS]
            self._descriptors = self._descriptors[_JOB_DESCRIPTORS:]
            self._fork(order, descriptors)
            return
        for process, number in self._workers.items():
            if number == order.number:
                os.kill(process, signal.SIGKILL)  # not reaped yet, so the id is still its own

    def _fork(self, job: Job, descriptors: list[int]) -> None:
        parent = os.getpid()
        try:
            process = os.fork()
        except OSError:
            self._tell(Ended(job.number, signal.SIGKILL))
            process = -1
        if process == 0:
            _become_worker(job, descriptors, parent)
        for descriptor in descriptors:
            os.close(descriptor)
        if process > 0:
            self._workers[process] = job.number

    def _reap(self) -> None:
        while self._workers:
            process, status = os.waitpid(-1, os.WNOHANG)
            if process == 0:
                return
            number = self._workers.pop(process, None)
            if number is not None:
                self._tell(Ended(number, os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0))


def _become_worker(job: Job, descriptors: list[int], parent: int) -> None:
    """Keep the job's two descriptors and nothing else, confine this process, work and end."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        document, answer = (os.dup2(os.dup(one), 100 + index) for index, one in enumerate(descriptors))
        os.dup2(document, _CHILD_DOCUMENT)
        os.dup2(answer, _CHILD_ANSWER)
        os.closerange(_CHILD_ANSWER + 1, 65_536)
        confine(job.limits, parent)
        worker.run(job, _CHILD_DOCUMENT, _CHILD_ANSWER)
        code = 0
    finally:
        os._exit(code)


if __name__ == "__main__":
    main(int(sys.argv[1]))
