"""Watches a server from outside while it is ill-treated: does it answer, how soon, at what cost."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from tests.e2e.server_process import ServerProcess

TICKS = os.sysconf("SC_CLK_TCK")
PAUSE_SECONDS = 0.01
AT_LEAST = 20


class HealthWatch:
    """Asks `/health` again and again from a process of its own, and keeps how long each answer took."""

    def __init__(self, port: int) -> None:
        self.seconds: list[float] = []
        self.failures = 0
        self._child = subprocess.Popen(
            [sys.executable, __file__, str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._child.stdout is not None
        assert self._child.stdout.readline() == "ready\n"

    def end(self) -> None:
        """Stop asking, but not before a few answers came."""
        said, _ = self._child.communicate("", timeout=30)
        found = json.loads(said)
        self.seconds, self.failures = found["seconds"], found["failures"]

    def quantile(self, share: float) -> float:
        """The latency below which that share of the answers lies."""
        ordered = sorted(self.seconds)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


@contextlib.contextmanager
def health_watched(port: int) -> Iterator[HealthWatch]:
    """Watch for the time of the block."""
    watch = HealthWatch(port)
    try:
        yield watch
    finally:
        watch.end()


STALLS = """
import asyncio, pathlib, time
import antiphon.process as process
tame = process._tame_collector

async def sample():
    stalls = pathlib.Path("stalls").open("a", buffering=1)
    last = time.thread_time()
    while True:
        await asyncio.sleep(0.001)
        now = time.thread_time()
        if now - last > 0.01:
            stalls.write(f"{now - last}\\n")
        last = now

def tamed():
    tame()
    process.sampler = asyncio.get_running_loop().create_task(sample())

process._tame_collector = tamed
"""
"""A server's `patch`: writes down what the event loop's thread worked between two rounds, if that was much.

It is processor time, so that neither the neighbours' work nor the test's own counts.
"""


def longest_stall(server: ServerProcess) -> float:
    """The longest stall since this was asked last, 0 if none was long."""
    stalls = server.directory / "stalls"
    lines = stalls.read_text().split()
    os.truncate(stalls, 0)
    return max(map(float, lines), default=0.0)


def cpu_seconds(server: ServerProcess) -> float:
    """The processor time the server has used: a measure that other processes do not disturb."""
    fields = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def begin_peak(server: ServerProcess) -> int:
    """Begin to measure the greatest resident memory anew; returns what is resident now."""
    Path(f"/proc/{server.pid}/clear_refs").write_text("5")
    return server.rss_bytes()


def peak_bytes(server: ServerProcess) -> int:
    """The greatest resident memory since `begin_peak`."""
    status = Path(f"/proc/{server.pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def main(port: int) -> None:
    """Ask until standard input ends, then print what was found."""
    seconds: list[float] = []
    failures = 0
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    print("ready", flush=True)
    while len(seconds) < AT_LEAST or not select.select([sys.stdin], [], [], PAUSE_SECONDS)[0]:
        began = time.perf_counter()
        try:
            connection.request("GET", "/health")
            answered = connection.getresponse()
            answered.read()
            failures += answered.status != 200
        except (OSError, http.client.HTTPException):
            failures += 1
            connection.close()
        seconds.append(time.perf_counter() - began)
    print(json.dumps({"seconds": seconds, "failures": failures}))


if __name__ == "__main__":
    main(int(sys.argv[1]))


_USUAL_SECONDS = 0.03
"""What the work of `pace` is reckoned to take where the limits of the tests were set: there the longest step
of a body of 32 MiB, which is this and little else, took 30 ms. Twice that was measured on a slow day."""


def pace() -> float:
    """How many times its usual time work takes on this machine right now, at least 1.

    A shared machine is twice as slow for hours: limits of seconds are multiplied by it. The work is the
    decoding of a string of 32 MiB: as in the server's longest steps half of it is memory that is had anew.
    """
    text = b'"' + b"QUJD" * (8 << 20) + b'"'
    took = []
    for _ in range(3):
        begun = time.perf_counter()
        msgspec.json.decode(text)
        took.append(time.perf_counter() - begun)
    return max(1.0, min(took) / _USUAL_SECONDS)
