"""Sends one large file, whole or in parts, from a process that leaves the load generator's clock alone.

``python -m bench.uploads PORT WAY BYTES BEGIN`` prints when it began and when it had its answer, in seconds
of ``perf_counter``, which all processes of a machine share.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from time import perf_counter, sleep
from typing import Any, Final

import httptools

from bench.targets import ROOT

MIB: Final = 1 << 20
PART_BYTES: Final = 64 * MIB
ANSWER_SECONDS: Final = 120.0
_BOUNDARY: Final = b"bench0boundary"
_PURPOSE: Final = b'--%b\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n' % _BOUNDARY
_FILE: Final = (
    b'--%b\r\ncontent-disposition: form-data; name="%b"; filename="large.bin"\r\n'
    b"content-type: application/octet-stream\r\n\r\n"
)
_TAIL: Final = b"\r\n--%b--\r\n" % _BOUNDARY


class UploadError(Exception):
    """An upload was not answered with 200."""


@dataclass(frozen=True, slots=True)
class Upload:
    """What became of an upload: times in seconds of ``perf_counter``."""

    begun: float
    ended: float
    bytes: int

    @property
    def mb_per_second(self) -> float:
        """Megabytes (10^6) a second, from the first byte to the answer."""
        return self.bytes / 1e6 / (self.ended - self.begun)


class _Answer:
    """Reads one answer."""

    def __init__(self) -> None:
        self.over = False
        self.body = b""
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """Take what came."""
        self._parser.feed_data(data)

    @property
    def status(self) -> int:
        """The answer's status."""
        return int(self._parser.get_status_code())

    def on_body(self, body: bytes) -> None:
        """Part of the body."""
        self.body += body

    def on_message_complete(self) -> None:
        """The end."""
        self.over = True


class Sender:
    """One connection that files are sent over."""

    def __init__(self, port: int) -> None:
        self._connection = socket.create_connection(("127.0.0.1", port), timeout=ANSWER_SECONDS)
        self._block = os.urandom(MIB)  # with as many line ends as chance has: parsers of forms look at each

    def whole(self, size: int) -> None:
        """Send a file of random bytes, as fast as it is taken. Raises UploadError."""
        self._form(b"/v1/files", _PURPOSE + _FILE % (_BOUNDARY, b"file"), size)

    def parts(self, size: int) -> None:
        """Send the same in parts, one after another, and have them put together. Raises UploadError."""
        asked = {"filename": "large.bin", "purpose": "user_data", "bytes": size, "mime_type": "text/plain"}
        upload = self._post("/v1/uploads", asked)["id"]
        path = f"/v1/uploads/{upload}/parts".encode()
        head = _FILE % (_BOUNDARY, b"data")
        sizes = [min(PART_BYTES, size - start) for start in range(0, size, PART_BYTES)]
        made = [self._form(path, head, one)["id"] for one in sizes]
        self._post(f"/v1/uploads/{upload}/complete", {"part_ids": made})

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        data = json.dumps(body).encode()
        self._connection.sendall(_head(path.encode(), b"application/json", len(data)) + data)
        return self._answer()

    def _form(self, path: bytes, head: bytes, size: int) -> dict[str, Any]:
        kind = b"multipart/form-data; boundary=" + _BOUNDARY
        self._connection.sendall(_head(path, kind, len(head) + size + len(_TAIL)) + head)
        for start in range(0, size, MIB):
            self._connection.sendall(memoryview(self._block)[: min(MIB, size - start)])
        self._connection.sendall(_TAIL)
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        answer = _Answer()
        while not answer.over:
            data = self._connection.recv(MIB)
            if not data:
                raise UploadError("the connection was closed before the answer")
            answer.feed(data)
        if answer.status != 200:
            raise UploadError(f"status {answer.status}: {answer.body[:200]!r}")
        return dict(json.loads(answer.body))


def _head(path: bytes, kind: bytes, length: int) -> bytes:
    return (
        b"POST %b HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n"
        % (path, kind, length)
    )  # fmt: skip


WAYS: Final = {"file": Sender.whole, "parts": Sender.parts}


@contextmanager
def sending(port: int, way: str, size: int, begin: float) -> Iterator[subprocess.Popen[str]]:
    """A process that sends a file from ``begin`` on; :func:`result` waits for it. It ends with the block."""
    command = [sys.executable, "-m", "bench.uploads", str(port), way, str(size), str(begin)]
    child = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        yield child
    finally:
        with suppress(ProcessLookupError):
            child.kill()
        child.wait()


def result(child: subprocess.Popen[str]) -> Upload:
    """Wait for an upload. Raises UploadError."""
    output, _ = child.communicate(timeout=ANSWER_SECONDS)
    if child.returncode:
        raise UploadError(f"the sender ended with {child.returncode}")
    begun, ended, size = output.split()
    return Upload(float(begun), float(ended), int(size))


def main(port: str, way: str, size: str, begin: str) -> None:
    """Send, and print the times."""
    sender = Sender(int(port))
    sleep(max(0.0, float(begin) - perf_counter()))
    begun = perf_counter()
    WAYS[way](sender, int(size))
    print(begun, perf_counter(), size)
    sender.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
