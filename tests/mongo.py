"""A real server of MongoDB's protocol for the tests: one a run, a database a test.

`TEST_MONGODB_URL` names one, else a `mongod` on the path is started, else FerretDB where it is built
(`scripts/build_ferretdb`). Where there is none, tests that need one are skipped and say so.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from tests.certificates import Certificate
from tests.ports import free_port

BUILD = Path(__file__).parents[1] / "scripts" / "build_ferretdb"
PATIENCE_SECONDS = 20.0
ABSENT = "no server of MongoDB's protocol: name one in TEST_MONGODB_URL, or run scripts/build_ferretdb"


@cache
def command() -> tuple[str, tuple[str, ...]] | None:
    """The program to start, and its arguments beside port and place; None if there is none."""
    if mongod := shutil.which("mongod"):
        return mongod, ("--bind_ip=127.0.0.1", "--quiet")
    found = subprocess.run([BUILD, "--find"], capture_output=True, text=True, check=False)
    if found.returncode:
        return None
    return found.stdout.strip(), (
        "--handler=sqlite",
        "--debug-addr=-",
        "--telemetry=disable",
        "--log-level=error",
    )


def is_there() -> bool:
    """Whether tests that need a server can run."""
    return bool(os.environ.get("TEST_MONGODB_URL")) or command() is not None


def arguments(port: int, place: Path, *more: str) -> list[str]:
    """What starts a server on a port with its data in a place."""
    found = command()
    assert found is not None, ABSENT
    program, rest = found
    if Path(program).name == "mongod":
        return [program, *rest, f"--port={port}", f"--dbpath={place}", *more]
    return [
        program,
        *rest,
        f"--listen-addr=127.0.0.1:{port}",
        f"--state-dir={place}",
        f"--sqlite-url=file:{place}/",
        *more,
    ]


def started(port: int, place: Path, *more: str) -> subprocess.Popen[bytes]:
    """Start a server and wait until it listens."""
    place.mkdir(parents=True, exist_ok=True)
    server = subprocess.Popen(
        arguments(port, place, *more), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return server
        time.sleep(0.02)
    server.kill()
    raise RuntimeError("the server of MongoDB's protocol did not start")


def is_ferretdb() -> bool:
    """Whether servers of a test's own are FerretDB."""
    found = command()
    return found is not None and Path(found[0]).name == "ferretdb"


@contextlib.contextmanager
def closed(directory: Path, certificate: Certificate, name: str, password: str) -> Iterator[int]:
    """A FerretDB of a test's own that wants TLS and a login, which the database `admin` knows; its port."""
    port = free_port()
    server = started(
        port, directory, "--listen-addr=", f"--listen-tls=127.0.0.1:{port}",
        f"--listen-tls-cert-file={certificate.own}", f"--listen-tls-key-file={certificate.key}",
        "--test-enable-new-auth", "--setup-database=admin",
        f"--setup-username={name}", f"--setup-password={password}",
    )  # fmt: skip
    try:
        yield port
    finally:
        server.kill()
        server.wait()


@cache
def base() -> str:
    """The address of the run's server, without a database."""
    if named := os.environ.get("TEST_MONGODB_URL"):
        return named.rstrip("/")
    home, port = Path(mkdtemp(prefix="antiphon-mongo-")), free_port()
    server = started(port, home)

    def stop() -> None:
        server.kill()
        server.wait()
        shutil.rmtree(home, ignore_errors=True)

    atexit.register(stop)
    return f"mongodb://127.0.0.1:{port}"


def url(directory: Path) -> str:
    """The address of the database that belongs to a test's directory."""
    return f"{base()}/t{hashlib.sha256(str(directory).encode()).hexdigest()[:24]}"
