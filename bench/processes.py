"""Starts the processes of a measurement on their cores, and makes sure that none outlives it."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Final

from bench.machine import pin

START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 20.0
_POLL_SECONDS: Final = 0.002
_PR_SET_PDEATHSIG: Final = 1
_LIBC: Final = ctypes.CDLL(None)


class StartError(Exception):
    """A process that a measurement needs did not come up."""


@dataclass(frozen=True, slots=True)
class Process:
    """A running process. ``start_seconds`` is the time from exec to the first answer on its port."""

    pid: int
    port: int
    start_seconds: float


@contextmanager
def running(
    command: Sequence[str],
    *,
    port: int,
    log: Path,
    core: int | None,
    cwd: Path,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Process]:
    """Run ``command`` on ``core`` until the block ends. It is up once ``GET /health`` answers 200.

    Raises StartError with the end of its log if that does not happen in time.
    """
    with log.open("ab") as output:
        begun = monotonic()
        child = subprocess.Popen(
            command,
            cwd=cwd,
            env=None if environment is None else dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_prepare(core),
        )
    try:
        _wait(child, port, log)
        yield Process(child.pid, port, monotonic() - begun)
    finally:
        _stop(child)


def free_port() -> int:
    """A TCP port of the loopback interface that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def healthy(port: int) -> bool:
    """Whether ``GET /health`` answers 200."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        return connection.recv(64).startswith(b"HTTP/1.1 200")
    return False


def _prepare(core: int | None) -> Callable[[], None]:
    """What the child does before exec: take its core, and die with the benchmark however that ends."""

    def prepare() -> None:
        pin(core)
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

    return prepare


def _wait(child: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = monotonic() + START_SECONDS
    while not healthy(port):
        if child.poll() is not None or monotonic() > deadline:
            tail = log.read_text(errors="replace")[-2000:]
            raise StartError(f"{child.args!r} did not come up (exit status {child.returncode}):\n{tail}")
        sleep(_POLL_SECONDS)


def _stop(child: subprocess.Popen[bytes]) -> None:
    """SIGTERM, and SIGKILL to its own process group if it does not go."""
    child.terminate()
    try:
        child.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
