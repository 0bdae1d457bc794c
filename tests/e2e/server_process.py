"""A real server as a process that tests may kill, starve and start again on the same data."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from tests import warm
from tests.e2e.sdk.launch import clean_environment
from tests.harness.upstream import Upstream
from tests.ports import free_port
from tests.store import FILE_NAME, ON_MONGO, query, store_settings

CANARY = "sk-canary-7f3a9c51e8d24b60"
"""The provider's key: whatever the server says or logs, this may not be part of it."""

START_SECONDS = 30.0
LISTENING = "0A"
"""In `/proc/net/tcp`."""
_RUN = "from antiphon.cli.main import app; app(args=[{!r}], prog_name='antiphon')"

Found = TypeVar("Found")


def eventually(look: Callable[[], Found | None], what: str, seconds: float = 10.0) -> Found:
    """Return what `look` finds once it finds something; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.01)


def files_of(process: int) -> set[str]:
    """What a process has open."""
    found = set[str]()
    for path in Path(f"/proc/{process}/fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            found.add(str(path.readlink()))
    return found


class ServerProcess:
    """`antiphon serve` on one data directory; every start is a new process on the same port.

    `patch` is Python run before the server starts, for constants that no setting reaches; `command` what is
    run in the place of `serve`.
    """

    def __init__(
        self, directory: Path, settings: Mapping[str, str] | None = None, *, patch: str = ""
    ) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.settings = dict(settings or {})
        self.patch = patch
        self.command = "serve"
        self.prefix: list[str] = []
        self.port = free_port()
        self.log_path = directory / "server.log"
        self.process: warm.Running | None = None

    @property
    def pid(self) -> int:
        """The running process."""
        assert self.process is not None
        return self.process.pid

    @property
    def log(self) -> str:
        """Everything all processes of this server wrote so far."""
        return self.log_path.read_text(errors="replace")

    def launch(self) -> None:
        """Start the process; returns before it serves."""
        assert self.process is None or self.process.poll() is not None
        environment = clean_environment() | {
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "DATA_DIR": str(self.data),
            **store_settings(self.data),
            **self.settings,
        }
        with self.log_path.open("ab") as log:
            if not self.patch and not self.prefix:
                self.process = warm.popen(
                    [self.command], env=environment, cwd=self.directory, log=log.fileno()
                )
                return
            program = ["-m", "antiphon", self.command]
            if self.patch:
                program = ["-c", f"{self.patch}\n{_RUN.format(self.command)}"]
            self.process = subprocess.Popen(
                [*self.prefix, sys.executable, *program],
                env=environment,
                cwd=self.directory,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def start(self) -> float:
        """Start and wait for `/health` to say 200; returns the seconds it took."""
        began = time.monotonic()
        self.launch()
        eventually(lambda: self._ended() or self.health() == 200, "a healthy server", START_SECONDS)
        assert not self._ended(), f"the server ended by itself:\n{self.log[-4000:]}"
        return time.monotonic() - began

    def _ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def health(self, path: str = "/health") -> int:
        """The status of a health route; 0 if nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except OSError:
            return 0
        finally:
            connection.close()

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def terminate(self) -> None:
        """SIGTERM; returns at once."""
        os.kill(self.pid, signal.SIGTERM)

    def wait(self, seconds: float) -> int:
        """The exit code, negative for a signal; fails after `seconds`."""
        assert self.process is not None
        return self.process.wait(seconds)

    def stop(self) -> None:
        """End the process in whatever state it is; does nothing if it has ended."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.kill()

    def rss_bytes(self) -> int:
        """The resident memory of the process."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
        assert found is not None
        return int(found.group(1)) * 1024

    def open_files(self) -> int:
        """How many descriptors the process holds."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def connections(self) -> int:
        """How many connections of clients the process holds, whether they are still there or not."""
        own = files_of(self.pid)
        return sum(name in own for name, state in self._sockets() if state != LISTENING)

    def listening(self) -> str:
        """The socket at which it waits for clients, as the system names it among the files of a process."""
        (name,) = [name for name, state in self._sockets() if state == LISTENING]
        return name

    def _sockets(self) -> Iterator[tuple[str, str]]:
        """The sockets at the server's port, whosever they are, and their states."""
        for line in Path(f"/proc/{self.pid}/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            if int(fields[1].partition(":")[2], 16) == self.port:
                yield f"socket:[{fields[9]}]", fields[3]

    def query(self, statement: str, *values: Any, name: str = FILE_NAME) -> list[tuple[Any, ...]]:
        """Read a database from outside, read-only."""
        if ON_MONGO and name == FILE_NAME and not statement.startswith("PRAGMA"):
            return query(self.data, statement, *values)
        connection = sqlite3.connect(f"file:{self.data / name}?mode=ro", uri=True, timeout=10)
        try:
            return connection.execute(statement, values).fetchall()
        finally:
            connection.close()

    def require_integrity(self) -> None:
        """SQLite finds nothing wrong with the file."""
        assert self.query("PRAGMA integrity_check") == [("ok",)]


def upstream_settings(upstream: Upstream, **settings: str) -> dict[str, str]:
    """Settings of a server whose provider `openai` is the scripted upstream."""
    return {"OPENAI_API_KEY": CANARY, "OPENAI_BASE_URL": upstream.base_url, **settings}


NewServer = Callable[..., ServerProcess]
"""Makes a server of a test's own: settings by name, and `patch`."""


@contextlib.contextmanager
def running(
    directory: Path, settings: Mapping[str, str] | None = None, *, patch: str = ""
) -> Iterator[ServerProcess]:
    """A started server, ended with the block."""
    server = ServerProcess(directory, settings, patch=patch)
    try:
        server.start()
        yield server
    finally:
        server.stop()
