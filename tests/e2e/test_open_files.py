"""Open files: a server takes as many as it may have, says if that is little, and says when they run out."""

from __future__ import annotations

import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from antiphon.bootstrap.open_files import LOOK_SECONDS, MOST
from tests.e2e.server_process import NewServer, ServerProcess, eventually

FEW = 120
LITTLE = "files and connections may be open"
OUT = "too many open files"


def limited(server: ServerProcess, words: str) -> ServerProcess:
    """The server as a shell starts it after `ulimit` with some words."""
    server.prefix = ["sh", "-c", f'ulimit {words} && exec "$@"', "sh"]
    server.start()
    return server


@contextmanager
def idle_clients(port: int, count: int) -> Iterator[None]:
    """Connections that ask for nothing."""
    with ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
        yield


def test_a_server_raises_its_limit_as_far_as_it_may(new_server: NewServer) -> None:
    server = limited(new_server(), "-Sn 300")
    soft, hard = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
    most = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    assert soft == most > 300
    assert LITTLE not in server.log


def test_a_server_with_few_files_says_so_and_when_they_run_out_and_goes_on(new_server: NewServer) -> None:
    server = limited(new_server(), f"-n {FEW}")
    assert server.log.count(f"at most {FEW} {LITTLE}") == 1
    with idle_clients(server.port, FEW):
        eventually(lambda: OUT in server.log, "a word about it", 10 * LOOK_SECONDS)
    eventually(lambda: server.health() == 200, "a server that serves again")
    assert server.log.count(OUT) == 1, "once a minute"
