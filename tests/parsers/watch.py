"""What a test looks at from outside: processes, memory, connections."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

others: frozenset[int] = frozenset()
"""What this process had started before the test began: servers that tests elsewhere share."""


def children(process: int | None = None) -> list[int]:
    """The ids of a process's children, dead ones that nobody has asked for included; without the `others`."""
    parent = process or os.getpid()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            if int(stat.rpartition(")")[2].split()[1]) == parent and int(entry.name) not in others:
                found.append(int(entry.name))
    return found


def state(process: int) -> str:
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]


def zombies() -> list[int]:
    return [child for child in children() if state(child) == "Z"]


def alive(process: int) -> bool:
    try:
        return state(process) != "Z"
    except OSError:
        return False


def field(process: int, name: str) -> str:
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return line.partition(":")[2].strip()
    raise KeyError(name)


def resident(process: int | None = None) -> int:
    return int(field(process or os.getpid(), "VmRSS").split()[0]) * 1024


def proc(process: int, name: str) -> bytes:
    return Path(f"/proc/{process}/{name}").read_bytes()


def open_files(process: int | None = None) -> dict[str, str]:
    """What each of a process's descriptors leads to."""
    found = {}
    for entry in Path(f"/proc/{process or os.getpid()}/fd").iterdir():
        with suppress(FileNotFoundError):  # the one this listing is read with
            found[entry.name] = str(entry.readlink())
    return found


class Peak:
    """The most memory this process had while it was watched."""

    def __init__(self) -> None:
        self.before = self.most = resident()

    @property
    def grown(self) -> int:
        return self.most - self.before


@contextmanager
def memory() -> Iterator[Peak]:
    peak = Peak()
    over = threading.Event()

    def sample() -> None:
        while not over.wait(0.01):
            peak.most = max(peak.most, resident())

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()


class Canary:
    """A server that nobody may call."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def calls(self) -> int:
        count = 0
        while True:
            try:
                self._socket.accept()[0].close()
            except BlockingIOError:
                return count
            count += 1

    def close(self) -> None:
        self._socket.close()
