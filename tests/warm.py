"""Processes of `antiphon` that begin as copies of one that has imported it: most of a start are imports.

A copy has the environment, directory, descriptors and arguments it is given, and ends as `python -m antiphon`
does. What measures starts or memory (`alone`), or patches a module before it is imported, starts cold.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

MODULES: Final = (
    "antiphon.cli.main", "antiphon.cli.serve", "antiphon.process", "antiphon.bootstrap", "antiphon.api.app",
    "uvicorn.lifespan.on", "uvicorn.loops.uvloop", "uvicorn.protocols.websockets.websockets_sansio_impl",
)  # fmt: skip
MOST_BYTES: Final = 1 << 20
_START: Final = "import sys; from tests.warm import stem; stem(int(sys.argv[1]))"

POSSIBLE: Final = hasattr(os, "pidfd_open")  # on Linux
allowed = POSSIBLE
"""Whether the running test has nothing against it."""


class Process:
    """A running copy: what tests need of `subprocess.Popen`, whose errors it raises."""

    def __init__(self, line: _Line, pid: int, words: Sequence[str]) -> None:
        self.pid = pid
        self.args = ["antiphon", *words]
        self.returncode: int | None = None
        self._line = line
        self._lock = threading.Lock()
        self._end = os.pidfd_open(pid)

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        with self._lock:
            if self.returncode is None and select.select([self._end], [], [], 0)[0]:
                self.returncode = self._line.ask({"ended": self.pid})
                os.close(self._end)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; returns its exit code."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while self.poll() is None:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            with contextlib.suppress(OSError, ValueError):  # another thread has seen the end
                select.select([self._end], [], [], left)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


class _Line:
    """The socket to the process that is copied."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        root = Path(__file__).parent.parent
        with other:
            self.stem = subprocess.Popen(
                [sys.executable, "-c", _START, str(other.fileno())], cwd=root, pass_fds=[other.fileno()],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            )  # fmt: skip
        atexit.register(self.close)

    def close(self) -> None:
        """Let it go."""
        self._socket.close()
        self.stem.wait()

    def ask(self, what: dict[str, Any], descriptors: Sequence[int] = ()) -> int:
        """Return the answer to an order: a number."""
        with self._lock:
            socket.send_fds(self._socket, [json.dumps(what).encode()], list(descriptors))
            answer = self._socket.recv(MOST_BYTES)
        assert answer, "the process that is copied has ended"
        return int(answer)


_line: _Line | None = None
_starting = threading.Lock()


def start(
    words: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path,
    stdout: int,
    stderr: int,
    stdin: int | None = None,
) -> Process:
    """Start `antiphon WORDS` with these descriptors; without `stdin` it reads nothing."""
    global _line
    with _starting:
        if _line is None:
            _line = _Line()
    with Path(os.devnull).open("rb") as nothing:
        descriptors = [nothing.fileno() if stdin is None else stdin, stdout, stderr]
        order = {"words": list(words), "env": dict(env), "cwd": str(cwd)}
        return Process(_line, _line.ask(order, descriptors), words)


Running = Process | subprocess.Popen[bytes]


def popen(words: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: int) -> Running:
    """Start `antiphon WORDS`, warm if that is allowed; all it says goes to the descriptor `log`."""
    if allowed:
        return start(words, env=env, cwd=cwd, stdout=log, stderr=log)
    command = [sys.executable, "-m", "antiphon", *words]
    return subprocess.Popen(command, env=env, cwd=cwd, stdout=log, stderr=log)


def run(
    words: Sequence[str], *, env: Mapping[str, str], cwd: Path, timeout: float, input: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run `antiphon WORDS` to its end, as `subprocess.run` does with captured text."""
    if not allowed:
        return subprocess.run(
            [sys.executable, "-m", "antiphon", *words], env=env, cwd=cwd, timeout=timeout, input=input,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as told:
        given.write(input.encode())
        given.seek(0)
        process = start(
            words, env=env, cwd=cwd, stdin=given.fileno(), stdout=out.fileno(), stderr=told.fileno()
        )
        try:
            process.wait(timeout)
        finally:
            process.kill()
        said = []
        for file in (out, told):
            file.seek(0)
            said.append(file.read().decode())
    return subprocess.CompletedProcess(process.args, process.wait(), *said)


def stem(descriptor: int) -> None:
    """Copy this process for each order, until nobody holds the socket's other end."""
    line = socket.socket(fileno=descriptor)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends with whoever holds the other end
    for name in MODULES:
        importlib.import_module(name)
    while True:
        message, descriptors, _, _ = socket.recv_fds(line, MOST_BYTES, 3)
        if not message:
            return
        order = json.loads(message)
        if "ended" in order:
            _, status = os.waitpid(order["ended"], 0)
            line.send(b"%d" % os.waitstatus_to_exitcode(status))
            continue
        pid = os.fork()
        if not pid:
            line.close()
            _become(order, descriptors)
            return
        for one in descriptors:
            os.close(one)
        line.send(b"%d" % pid)


def _become(order: dict[str, Any], descriptors: Sequence[int]) -> None:
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(order["env"])
    time.tzset()
    os.chdir(order["cwd"])
    sys.argv = ["antiphon", *order["words"]]
    app = importlib.import_module("antiphon.cli.main").app
    app(prog_name="antiphon")
