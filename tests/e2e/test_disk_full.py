"""A full disk: writes are refused, reads go on, nothing unsaved is shown, and room is found by itself."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.events import events_of, require_gapless, require_terminal, run_id_of, stored_text, text_of
from tests.e2e.server_process import NewServer, ServerProcess
from tests.e2e.wire import Exchange, begin, call, ended, get, until
from tests.harness.tokens import check_prefix, expected_text

DISK_BYTES = 12 << 20
LONG = "paced-n900-i5-hash"
HASTY = """
import antiphon.services.housekeeping as housekeeping
import antiphon.services.runs.journal as journal
journal.GIVE_UP_SECONDS = 1.0
journal.SEAL_SECONDS = 0.5
housekeeping.SWEEP_SECONDS = 0.5
"""

Fill = Callable[[], None]


class SmallDisk:
    """A file system of a few megabytes over the server's data directory, or a limit on file sizes."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self._ballast = server.data / "ballast"

    def fill(self) -> None:
        """Leave not one byte."""
        with contextlib.suppress(OSError), self._ballast.open("wb", buffering=0) as ballast:
            while True:
                ballast.write(b"\0" * 4096)

    def free(self) -> None:
        """Give all room back."""
        self._ballast.unlink()


class FileSizeLimit(SmallDisk):
    """Every write of the server fails as on a broken disk; needs no rights."""

    def fill(self) -> None:
        """Refuse all writes."""
        _, most = resource.prlimit(self.server.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.server.pid, resource.RLIMIT_FSIZE, (1, most))

    def free(self) -> None:
        """Allow them again."""
        _, most = resource.prlimit(self.server.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.server.pid, resource.RLIMIT_FSIZE, (most, most))


@pytest.fixture(params=["tmpfs", "rlimit"])
def disk_of(request: pytest.FixtureRequest) -> Iterator[Callable[[ServerProcess], SmallDisk]]:
    """Puts a server's data on a disk that can be filled; call before its start."""
    mounted: list[Path] = []

    def make(server: ServerProcess) -> SmallDisk:
        if request.param == "rlimit":
            return FileSizeLimit(server)
        server.data.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(server.data)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            pytest.skip(f"NOT TESTED: no small disk can be made here: {error}")
        if done.returncode:
            pytest.skip(f"NOT TESTED: no small disk can be made here: {done.stderr.strip()}")
        mounted.append(server.data)
        return SmallDisk(server)

    yield make
    for path in mounted:
        subprocess.run(["umount", "-l", str(path)], check=True)


async def streams_of(server: ServerProcess, names: list[str]) -> dict[str, Exchange]:
    """Streams that have begun to speak."""
    streams = {}
    for name in names:
        body = {"model": f"openai/{LONG}", "input": f"stream={name}", "stream": True}
        streams[name] = await begin(server.port, "POST", "/v1/responses", body)
    for stream in streams.values():
        await stream.until(lambda one=stream: one.body.count(b"output_text.delta") > 20)  # type: ignore[misc]
    return streams


def ready(server: ServerProcess) -> Callable[[], bool]:
    """Whether `/health/ready` says 200."""
    return lambda: server.health("/health/ready") == 200


async def require_refusal(server: ServerProcess, path: str, body: Any) -> None:
    """A write is refused with 507 or 503 in OpenAI's shape, and says when to come back."""
    answer = await call(server.port, "POST", path, body)
    assert answer.status in (503, 507), (path, answer.status, bytes(answer.body[:300]))
    assert answer.json()["error"].keys() == {"message", "type", "param", "code"}
    assert int(answer.headers["retry-after"]) > 0


async def until_writes_are_refused(server: ServerProcess) -> None:
    """Small writes may still fit into what the log has; write until none does."""
    item = {"type": "message", "role": "user", "content": "x" * 20_000}
    async with asyncio.timeout(30):
        while True:
            answer = await call(server.port, "POST", "/v1/conversations", {"items": [item] * 5})
            if answer.status != 200:
                break
    assert answer.status in (503, 507), (answer.status, bytes(answer.body[:300]))


async def test_streams_halt_and_go_on(
    new_server: NewServer, disk_of: Callable[[ServerProcess], SmallDisk]
) -> None:
    server = new_server(DRAIN_SECONDS="1")
    disk = disk_of(server)
    await asyncio.to_thread(server.start)
    made = (await call(server.port, "POST", "/v1/conversations", {"title": "old"})).json()
    old = (await call(server.port, "POST", "/v1/responses", {"model": "scripted/text", "input": "x"})).json()
    streams = await streams_of(server, [f"halt{index}" for index in range(4)])
    disk.fill()
    await until_writes_are_refused(server)
    await until(lambda: not ready(server)(), "readiness goes when the journal cannot be written")
    await require_refusal(server, "/v1/responses", {"model": "scripted/text", "input": "y"})
    await require_refusal(server, "/v1/responses", {"model": "scripted/text", "input": "y", "stream": True})
    await require_refusal(server, "/v1/conversations", {})
    await require_refusal(server, f"/v1/conversations/{made['id']}/branches", {"name": "side"})
    assert (await get(server.port, f"/v1/responses/{old['id']}")) == old
    assert (await get(server.port, f"/v1/conversations/{made['id']}")) == made
    for name, stream in streams.items():
        run_id = run_id_of(stream.body, stream.headers)
        shown = stored_text(await get(server.port, f"/v1/responses/{run_id}"))
        assert shown == text_of(events_of(stream.body)), f"{name}: shown is what was delivered"
    disk.free()
    await until(ready(server), "readiness comes back")
    for name, stream in streams.items():
        await stream.end()
        require_gapless(events_of(stream.body))
        assert require_terminal(stream.body).name == "response.completed"
        assert text_of(events_of(stream.body)) == expected_text(name, 900)
    after = await call(server.port, "POST", "/v1/responses", {"model": "scripted/text", "input": "z"})
    assert after.json()["status"] == "completed"
    server.require_integrity()


async def test_a_disk_that_stays_full(
    new_server: NewServer, disk_of: Callable[[ServerProcess], SmallDisk]
) -> None:
    server = new_server(patch=HASTY, DRAIN_SECONDS="1")
    disk = disk_of(server)
    await asyncio.to_thread(server.start)
    streams = await streams_of(server, [f"stuck{index}" for index in range(4)])
    disk.fill()
    await until_writes_are_refused(server)
    for stream in streams.values():
        await stream.end()
        assert not any(event.name == "response.completed" for event in events_of(stream.body))
    assert await asyncio.to_thread(server.health, "/health/live") == 200
    disk.free()
    await until(ready(server), "readiness comes back although nobody sends a turn")
    for name, stream in streams.items():
        run_id = run_id_of(stream.body, stream.headers)
        received = text_of(events_of(stream.body))
        response = await ended(server.port, run_id)
        assert (response["status"], response["error"]["code"]) == ("failed", "server_error")
        text = stored_text(response)
        assert text.startswith(received), f"{name}: {len(received)} received, {len(text)} stored"
        assert check_prefix(name, text) is None, check_prefix(name, text)
        last = events_of(stream.body)[-1].data["sequence_number"]
        rest = await call(server.port, "GET", f"/v1/responses/{run_id}?stream=true&starting_after={last}")
        require_gapless(events_of(rest.body), first=last + 1)
        require_terminal(rest.body)
    await streams_of(server, ["again"])
    server.require_integrity()


async def test_killed_while_full(
    new_server: NewServer, disk_of: Callable[[ServerProcess], SmallDisk]
) -> None:
    server = new_server(patch=HASTY.replace("1.0", "30.0"))
    disk = disk_of(server)
    await asyncio.to_thread(server.start)
    streams = await streams_of(server, [f"dead{index}" for index in range(4)])
    disk.fill()
    await until_writes_are_refused(server)
    await asyncio.to_thread(server.kill)
    for stream in streams.values():
        await stream.end()
    with contextlib.suppress(OSError):  # a limit ended with its process
        disk.free()
    await asyncio.to_thread(server.start)
    for name, stream in streams.items():
        run_id = run_id_of(stream.body, stream.headers)
        response = await get(server.port, f"/v1/responses/{run_id}")
        text = stored_text(response)
        assert response["status"] == "failed"
        assert check_prefix(name, text) is None, check_prefix(name, text)
        assert text.startswith(text_of(events_of(stream.body)))
    server.require_integrity()


async def test_seals_that_fail_on_a_full_disk_lose_nothing(
    new_server: NewServer, disk_of: Callable[[ServerProcess], SmallDisk]
) -> None:
    """The disk is full for a moment, seals fail, room returns, more is sealed, and then the process dies."""
    server = new_server(patch=HASTY.replace("1.0", "30.0").replace("= 0.5", "= 0.2", 1))
    disk = disk_of(server)
    await asyncio.to_thread(server.start)
    streams = await streams_of(server, ["moment"])
    stream = streams["moment"]
    disk.fill()
    await until_writes_are_refused(server)
    await until(lambda: not ready(server)(), "readiness goes")
    sealed = "SELECT coalesce(max(last_seq),0) FROM run_chunks"
    before = server.query(sealed)[0][0]
    disk.free()
    await stream.until(lambda: server.query(sealed)[0][0] > before + 60)
    await asyncio.to_thread(server.kill)
    await stream.end()
    await asyncio.to_thread(server.start)
    response = await get(server.port, f"/v1/responses/{run_id_of(stream.body, stream.headers)}")
    text = stored_text(response)
    assert check_prefix("moment", text) is None, check_prefix("moment", text)
    assert text.startswith(text_of(events_of(stream.body)))


async def test_a_file_for_which_there_is_no_room_is_refused_and_leaves_nothing(
    new_server: NewServer, disk_of: Callable[[ServerProcess], SmallDisk]
) -> None:
    server = new_server(DRAIN_SECONDS="1")
    disk = disk_of(server)
    await asyncio.to_thread(server.start)
    form = {"content-type": "multipart/form-data; boundary=b"}
    head = b'--b\r\ncontent-disposition: form-data; name="%b"%b\r\n\r\n%b\r\n'
    purpose = head % (b"purpose", b"", b"batch")
    kept = purpose + head % (b"file", b'; filename="a"', b"kept") + b"--b--\r\n"
    made = (await call(server.port, "POST", "/v1/files", kept, form)).json()
    disk.fill()
    large = purpose + head % (b"file", b'; filename="b"', b"x" * (2 << 20)) + b"--b--\r\n"
    refused = await call(server.port, "POST", "/v1/files", large, form)
    assert refused.status in (503, 507), (refused.status, bytes(refused.body[:300]))
    assert int(refused.headers["retry-after"]) > 0
    content = await call(server.port, "GET", f"/v1/files/{made['id']}/content")
    assert (content.status, bytes(content.body)) == (200, b"kept"), "reads go on"
    disk.free()
    await until(lambda: server.health("/health/ready") == 200, "room is found")
    listed = await get(server.port, "/v1/files")
    assert [one["id"] for one in listed["data"]] == [made["id"]]
    documents = [one for one in (server.data / "documents").rglob("*") if one.is_file()]
    assert [one.name for one in documents] == [made["antiphon"]["sha256"]]
    assert (await call(server.port, "POST", "/v1/files", large, form)).status == 200
