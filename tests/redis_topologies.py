"""Several Redis servers that belong together: a cluster, and a pair that Sentinel watches."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tests.e2e.server_process import eventually
from tests.redis_server import RedisServer

SLOTS = 16384
SERVICE = "chats"


@contextlib.contextmanager
def running_cluster(directory: Path, count: int = 3) -> Iterator[list[RedisServer]]:
    """A cluster of so many masters, which serves what it can when one of them is gone."""
    options = ("--cluster-enabled", "yes", "--cluster-require-full-coverage", "no", "--save", "")
    servers = [RedisServer(directory / str(number), *options) for number in range(count)]
    try:
        for number, server in enumerate(servers):
            client = server.start().client()
            slots = range(number * SLOTS // count, (number + 1) * SLOTS // count)
            client.execute_command("CLUSTER", "ADDSLOTS", *slots)
            client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            client.execute_command("CLUSTER", "MEET", "127.0.0.1", servers[0].port)
        for server in servers:
            eventually(lambda server=server: _is_whole(server, count), "a cluster that agrees", 30)
        yield servers
    finally:
        for server in servers:
            server.kill()


def _is_whole(server: RedisServer, count: int) -> bool:
    told = server.client().execute_command("CLUSTER", "INFO")
    return b"cluster_state:ok" in told and b"cluster_size:%d" % count in told


@contextlib.contextmanager
def watched_pair(directory: Path) -> Iterator[tuple[RedisServer, RedisServer, RedisServer]]:
    """A master, its copy, and a sentinel that makes the copy the master when the first is gone."""
    master = RedisServer(directory / "master")
    copy = RedisServer(directory / "copy", "--save", "", "--replicaof", "127.0.0.1", str(master.port))
    sentinel = RedisServer(directory / "sentinel", str(directory / "sentinel.conf"), "--sentinel")
    (directory / "sentinel.conf").write_text(
        f"sentinel monitor {SERVICE} 127.0.0.1 {master.port} 1\n"
        f"sentinel down-after-milliseconds {SERVICE} 500\nsentinel failover-timeout {SERVICE} 1000\n"
    )
    try:
        for server in (master, copy, sentinel):
            server.start()
        eventually(lambda: sentinel.client().sentinel_slaves(SERVICE), "the copy, known to the sentinel", 30)
        yield master, copy, sentinel
    finally:
        for server in (sentinel, copy, master):
            server.kill()
