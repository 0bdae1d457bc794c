"""Forms made to hurt, on the routes that take files: a refusal, soon, for little memory; nothing stays."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e.library import blobs, client_of, multipart, upload
from tests.e2e.server_process import ServerProcess, eventually, running
from tests.e2e.test_bad_input import require_error
from tests.e2e.test_hostile_bodies import HOST, MEMORY, MIB, measured
from tests.e2e.watcher import STALLS, begin_peak, longest_stall, pace, peak_bytes
from tests.e2e.wire import call

pytestmark = pytest.mark.alone

LIMIT = 16 * MIB
MULTIPART = {"content-type": "multipart/form-data; boundary=b"}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that takes files of 16 MiB."""
    settings = {"DRAIN_SECONDS": "1", "MAX_FILE_BYTES": str(LIMIT)}
    with running(tmp_path_factory.mktemp("forms"), settings, patch=STALLS) as server:
        yield server
        assert "Traceback" not in server.log, server.log[server.log.index("Traceback") :][:4000]


@pytest.fixture(autouse=True)
def _clean(node: ServerProcess) -> Iterator[None]:
    """Nothing of a refused body stays, and the event loop was never busy for long."""
    longest_stall(node)
    yield
    eventually(lambda: not blobs(node), "nothing is left on the disk")
    stall = longest_stall(node)
    assert stall <= 0.2 or stall <= 0.2 * pace()


@pytest.fixture
async def paths(node: ServerProcess) -> list[str]:
    """The routes that take a form, on objects that exist."""
    new = {"filename": "a", "purpose": "batch", "bytes": 10 * MIB, "mime_type": "text/plain"}
    opened = await call(node.port, "POST", "/v1/uploads", new)
    return ["/v1/files", f"/v1/uploads/{opened.json()['id']}/parts"]


def field(name: str, value: bytes, extra: bytes = b"") -> bytes:
    head = b'--b\r\ncontent-disposition: form-data; name="%b"%b\r\n\r\n' % (name.encode(), extra)
    return head + value + b"\r\n"


def file(value: bytes = b"x", name: str = "file") -> bytes:
    return field(name, value, b'; filename="a.txt"')


END = b"--b--\r\n"
FORMS: dict[str, Callable[[], bytes]] = {
    "a hundred thousand parts": lambda: field("a", b"x") * 10**5 + END,
    "a million fields": lambda: b"".join(field(f"f{n}", b"x") for n in range(10**5)) * 10 + END,
    "a hundred thousand files": lambda: file() * 10**5 + END,
    "a field of ten megabytes": lambda: field("purpose", b"x" * (10 * MIB)) + END,
    "a hundred thousand part headers": lambda: (
        b"--b\r\n" + b"x-a: y\r\n" * 10**5 + b"\r\n\r\nx\r\n" + END
    ),
    "a part header without end": lambda: b"--b\r\nx-a: " + b"y" * (10 * MIB),
    "a header name without end": lambda: b"--b\r\n" + b"y" * (10 * MIB),
    "no boundary at all": lambda: b"x" * (10 * MIB),
    "a preamble of boundaries": lambda: b"--b" * (3 * MIB),
    "an epilogue without end": lambda: file(name="file") + file(name="data") + END + b"x" * (10 * MIB),
    "almost boundaries": lambda: b"--b\r\n" + b"\r\n--" * (3 * MIB),
    "a part without a name": lambda: b"--b\r\ncontent-disposition: form-data\r\n\r\nx\r\n" + END,
    "a part without headers": lambda: b"--b\r\n\r\nx\r\n" + END,
    "an end that is missing": lambda: field("purpose", b"batch") + file() + file(name="data"),
    "nothing": lambda: b"",
    "an end only": lambda: END,
    "a body of another kind": lambda: b'{"file": "x"}',
    "a long boundary line": lambda: b"--b" + b" " * (10 * MIB),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
async def test_a_form_that_hurts_is_refused(node: ServerProcess, paths: list[str], name: str) -> None:
    body = FORMS[name]()
    for path in paths:
        check = measured(node)
        answered = await call(node.port, "POST", path, body, MULTIPART)
        require_error(answered, f"{name} at {path}")
        check(f"{name} at {path}")


KINDS = {
    "no boundary": "multipart/form-data", "an empty one": "multipart/form-data; boundary=",
    "a long one": f"multipart/form-data; boundary={'b' * 5000}", "mixed": "multipart/mixed; boundary=b",
    "json": "application/json", "nothing": "",
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
async def test_what_is_no_form_is_refused(node: ServerProcess, paths: list[str], name: str) -> None:
    for path in paths:
        answered = await call(node.port, "POST", path, file() + END, {"content-type": KINDS[name]})
        require_error(answered, name)
        assert answered.json()["error"]["code"] == "invalid_content_type"


@pytest.mark.parametrize("framing", ["announced", "chunked"])
async def test_a_gigabyte_is_refused_and_the_rest_not_read(
    node: ServerProcess, paths: list[str], framing: str
) -> None:
    for path in paths:
        check = measured(node)
        length = f"content-length: {10**9}" if framing == "announced" else "transfer-encoding: chunked"
        reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
        kind = f"content-type: {MULTIPART['content-type']}"
        writer.write(f"POST {path} HTTP/1.1\r\n{length}\r\n{kind}\r\n".encode() + HOST + b"\r\n")
        answer = asyncio.create_task(reader.readline())
        _, pieces = multipart(10**9) if path == "/v1/files" else (0, _part(10**9))
        sent = 0
        async for piece in pieces:
            whole = piece if framing == "announced" else b"%x\r\n%b\r\n" % (len(piece), piece)
            writer.write(whole)
            drained = asyncio.create_task(writer.drain())
            await asyncio.wait({drained, answer}, return_when=asyncio.FIRST_COMPLETED, timeout=10)
            sent += len(piece)
            if answer.done():
                break
        assert b" 413 " in await asyncio.wait_for(answer, 10)
        assert sent < 160 * MIB
        writer.transport.abort()
        check(f"{framing} at {path}")


async def _part(size: int) -> Any:
    _, pieces = multipart(size)
    async for piece in pieces:
        yield piece.replace(b'name="file"', b'name="data"').replace(
            b'--b\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n', b""
        )


async def test_a_client_that_leaves_in_the_middle_leaves_nothing(node: ServerProcess) -> None:
    length, pieces = multipart(8 * MIB)
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
    head = f"POST /v1/files HTTP/1.1\r\ncontent-length: {length}\r\n"
    writer.write(head.encode() + f"content-type: {MULTIPART['content-type']}\r\n".encode() + HOST + b"\r\n")
    for _ in range(4):
        writer.write(await anext(pieces))
    await writer.drain()
    await asyncio.to_thread(eventually, lambda: len(blobs(node)) == 1, "it is being written")
    writer.transport.abort()
    del reader


async def test_a_file_of_the_largest_size_costs_no_memory(node: ServerProcess) -> None:
    before = begin_peak(node)
    async with client_of(node) as http:
        for _ in range(3):
            kept = await upload(http, b"x" * LIMIT)
            assert (await http.get(f"/files/{kept}")).json()["bytes"] == LIMIT
            got = await http.get(f"/files/{kept}/content")
            assert len(got.content) == LIMIT
            assert (await http.delete(f"/files/{kept}")).status_code == 200
    assert peak_bytes(node) - before <= MEMORY


NAMES = {
    "../../etc/passwd": "passwd", "..\\..\\boot.ini": "boot.ini", "a\tb.txt": "ab.txt", "....": "file",
    "x" * 300 + ".txt": "x" * 251 + ".txt", "naïve — 文.md": "naïve — 文.md", "": "file",
    "a%0d%0aset-cookie: x.txt": "a%0d%0aset-cookie: x.txt", "/": "file", "\u202etxt.exe": "txt.exe",
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
async def test_names_are_only_shown(node: ServerProcess, name: str) -> None:
    head = b'; filename="%b"' % name.replace("\\", "\\\\").encode()
    body = field("purpose", b"batch") + field("file", b"x", head) + END
    made = await call(node.port, "POST", "/v1/files", body, MULTIPART)
    kept = made.json()
    assert kept["filename"] == NAMES[name]
    got = await call(node.port, "GET", f"/v1/files/{kept['id']}/content")
    assert got.headers["content-disposition"].startswith("attachment; filename=")
    assert got.headers["content-disposition"].isascii()
    assert got.headers["x-content-type-options"] == "nosniff"
    assert got.headers["content-security-policy"].startswith("sandbox")
    assert (await call(node.port, "DELETE", f"/v1/files/{kept['id']}")).status == 200


async def test_a_name_with_a_zero_byte_is_refused_or_cleaned(node: ServerProcess) -> None:
    body = field("purpose", b"batch") + field("file", b"x", b'; filename="a\0b.txt"') + END
    made = await call(node.port, "POST", "/v1/files", body, MULTIPART)
    if made.status == 200:
        assert made.json()["filename"] == "ab.txt"
        await call(node.port, "DELETE", f"/v1/files/{made.json()['id']}")
    else:
        require_error(made, "a zero byte")
