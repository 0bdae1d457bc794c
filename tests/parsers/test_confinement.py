"""A reading process can compute and answer, no more; whatever happens to it, the next document is read."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import uvloop

from antiphon.domain.collections import Chunking
from antiphon.parsers.process import ConfinedParser
from antiphon.ports.document_parser import Event, Limits, Parsed, ParseFailed, Progress, TextSlice
from tests.parsers import documents as made
from tests.parsers import watch
from tests.parsers.conftest import Read, gather

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what a process may do is told by /proc")

LONG = "\n\n".join(f"Paragraph {n} of a long text that takes a while to be read." for n in range(200_000))

ATTEMPTS = """
import os, socket, sys, threading
from antiphon.parsers.confinement import confine
from antiphon.ports.document_parser import Limits
import ctypes, mmap, signal
ready, told = os.pipe()
if os.fork() == 0:
    libc = ctypes.CDLL(None, use_errno=True)
    confine(Limits(memory_bytes=256 << 20), os.getppid())
    def attempt(name, act):
        try:
            act()
        except BaseException as error:
            os.write(1, f"{name}: {type(error).__name__}\\n".encode())
        else:
            os.write(1, f"{name}: DONE\\n".encode())
    attempt("socket", lambda: socket.socket())
    attempt("unix", lambda: socket.socket(socket.AF_UNIX))
    attempt("pair", lambda: socket.socketpair())
    attempt("read", lambda: os.open("/etc/passwd", os.O_RDONLY))
    attempt("write", lambda: os.open("/tmp/antiphon-escape", os.O_CREAT | os.O_WRONLY))
    attempt("list", lambda: os.listdir("/"))
    attempt("unlink", lambda: os.unlink("/tmp/antiphon-nothing"))
    attempt("fork", lambda: os.fork())
    attempt("thread", lambda: threading.Thread(target=print).start())
    attempt("exec", lambda: os.execv("/bin/true", ["true"]))
    attempt("kill", lambda: os.kill(os.getppid(), 0))
    attempt("limits", lambda: __import__("resource").setrlimit(7, (1024, 1024)))
    attempt("memory", lambda: bytearray(512 << 20))
    attempt("pipe", lambda: os.pipe())
    def raw(number):
        if libc.syscall(number, 0, 0, 0, 0, 0, 0) < 0:
            raise OSError(ctypes.get_errno())
    attempt("io_uring", lambda: raw(425))
    attempt("ptrace", lambda: raw(101 if os.uname().machine == "x86_64" else 117))
    os._exit(0)
os.wait()
"""


def test_every_way_out_is_closed() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ATTEMPTS], capture_output=True, text=True, timeout=60, check=True
    )
    outcomes = dict(line.split(": ") for line in done.stdout.splitlines())
    assert len(outcomes) == 16, done
    assert [name for name, outcome in outcomes.items() if outcome == "DONE"] == []
    assert outcomes["memory"] == "MemoryError"
    assert not Path("/tmp/antiphon-escape").exists()


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


async def begun(parser: ConfinedParser, path: Path) -> AsyncGenerator[Event, None]:
    """A reading that is in its middle: its first event has come."""
    write(path, LONG)
    events = parser.parse(path, "long.txt", Chunking(), Limits())
    assert isinstance(await anext(events), TextSlice)
    return events


def family() -> tuple[int, list[int]]:
    """The reading process of this test, and its workers."""
    (zygote,) = watch.children()
    return zygote, watch.children(zygote)


async def until(condition, seconds: float = 30) -> None:  # type: ignore[no-untyped-def]
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110, another process's state sets no event
            await asyncio.sleep(0.01)


async def test_a_worker_has_nothing_but_its_document(parser: ConfinedParser, tmp_path: Path) -> None:
    os.environ["ANTIPHON_TEST_SECRET"] = "open sesame"
    try:
        secret = os.open(tmp_path, os.O_RDONLY)
        os.set_inheritable(secret, True)
        async with contextlib.aclosing(await begun(parser, tmp_path / "a")):
            zygote, (worker,) = family()
            assert watch.field(worker, "Seccomp") == "2"
            assert watch.field(worker, "NoNewPrivs") == "1"
            assert watch.field(worker, "Threads") == watch.field(zygote, "Threads") == "1"
            limits = watch.proc(worker, "limits").decode()
            assert "Max file size             0" in limits
            assert "Max core file size        0" in limits
            (space,) = (line for line in limits.splitlines() if line.startswith("Max address space"))
            assert 1 << 30 < int(space.split()[3]) < 3 << 29
            for process in (zygote, worker):
                with contextlib.suppress(PermissionError):
                    assert b"sesame" not in watch.proc(process, "environ")
            with contextlib.suppress(PermissionError):
                found = watch.open_files(worker)
                assert sorted(found) == ["0", "1", "2", "3", "4"]
                assert {found["0"], found["1"], found["2"]} == {"/dev/null"}
                assert found["3"] == str(tmp_path / "a") and found["4"].startswith("socket:")
    finally:
        del os.environ["ANTIPHON_TEST_SECRET"]
        os.close(secret)


async def test_a_reader_that_asks_for_no_more_stops_the_work(parser: ConfinedParser, tmp_path: Path) -> None:
    """The worker waits, and the server keeps next to nothing of a text of 12 MB."""
    async with contextlib.aclosing(await begun(parser, tmp_path / "a")):
        _, (worker,) = family()
        with watch.memory() as peak:
            await until(lambda: watch.state(worker) == "S", 30)
            await asyncio.sleep(0.5)
            assert watch.state(worker) == "S"
    assert peak.grown < 8 << 20


async def test_waiting_for_the_reader_does_not_count_as_work(parser: ConfinedParser, tmp_path: Path) -> None:
    path = write(tmp_path / "a", LONG[:1_500_000])
    events = parser.parse(path, "a.txt", Chunking(), Limits(wall_seconds=5))
    await anext(events)
    await asyncio.sleep(5.5)  # longer than the document may take
    rest = [event async for event in events]
    assert isinstance(rest[-1], Parsed)


async def test_a_worker_that_says_nothing_is_ended_too(parser: ConfinedParser, tmp_path: Path) -> None:
    """It would not notice by itself that nobody listens: the tree of this page takes a minute to build."""
    page = write(tmp_path / "a", "<html>" + ("<div>" * 19_000 + "</div>" * 19_000) * 60)
    await (await begun(parser, tmp_path / "b")).aclose()  # its trial at the start is no worker
    await until(lambda: family()[1] == [])
    reading = asyncio.ensure_future(anext(parser.parse(page, "a.html", Chunking(), Limits())))
    await until(lambda: family()[1] != [])
    zygote, (worker,) = family()
    await until(lambda: float(watch.proc(worker, "stat").split()[13]) > 20)  # 0.2 s of work
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await until(lambda: not watch.alive(worker))
    assert watch.alive(zygote)


async def test_closing_ends_the_worker_at_once(parser: ConfinedParser, tmp_path: Path) -> None:
    before = watch.open_files()
    for _ in range(3):
        events = await begun(parser, tmp_path / "a")
        _, (worker,) = family()
        await events.aclose()
        await until(lambda: not watch.alive(worker))  # noqa: B023
    await until(lambda: family()[1] == [])
    await parser.close()
    assert watch.children() == []
    assert set(watch.open_files().items()) <= set(before.items())


async def test_cancelling_ends_the_worker_at_once(parser: ConfinedParser, tmp_path: Path) -> None:
    (tmp_path / "a").write_text(LONG * 5)
    started = asyncio.Event()

    async def reading() -> None:
        async for _ in parser.parse(tmp_path / "a", "a.txt", Chunking(), Limits()):
            started.set()

    task = asyncio.create_task(reading())
    await started.wait()
    _, (worker,) = family()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not watch.alive(worker))


@pytest.mark.parametrize("whom", ["worker", "zygote", "both"])
async def test_what_is_killed_in_the_middle_does_not_hurt_the_next(
    parser: ConfinedParser, read: Read, tmp_path: Path, whom: str
) -> None:
    events = await begun(parser, tmp_path / "a")
    zygote, (worker,) = family()
    if whom in ("worker", "both"):
        os.kill(worker, signal.SIGKILL)
    if whom in ("zygote", "both"):
        os.kill(zygote, signal.SIGKILL)
    with pytest.raises(ParseFailed) as failure:
        async for _ in events:
            pass
    assert failure.value.code == "server_error"
    await until(lambda: not watch.alive(worker))
    assert (await read(b"Next.", "next.txt")).text == "Next."
    await until(lambda: watch.zombies() == [])


async def test_a_stopped_reading_process_is_replaced(
    parser: ConfinedParser, read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("antiphon.parsers.zygote_link.KILL_SECONDS", 0.3)
    events = await begun(parser, tmp_path / "a")
    zygote, (worker,) = family()
    os.kill(zygote, signal.SIGSTOP)
    await events.aclose()
    await until(lambda: not watch.alive(worker) and not watch.alive(zygote))
    assert (await read(b"Next.", "next.txt")).text == "Next."


async def test_the_processes_rest_when_there_is_nothing_to_read(tmp_path: Path) -> None:
    parser = ConfinedParser(idle_seconds=2.0)
    (tmp_path / "a").write_text("Text.")
    assert watch.children() == []
    for _ in range(2):
        [event async for event in parser.parse(tmp_path / "a", "a", Chunking(), Limits())]
        assert len(watch.children()) == 1
        await until(lambda: watch.children() == [])
    await parser.close()
    await parser.close()
    with pytest.raises(ParseFailed) as failure:
        [event async for event in parser.parse(tmp_path / "a", "a", Chunking(), Limits())]
    assert failure.value.code == "server_error"


async def test_no_more_are_read_at_once_than_is_allowed(parser: ConfinedParser, tmp_path: Path) -> None:
    paths = []
    for number in range(12):
        path = tmp_path / f"{number}"
        path.write_bytes(made.pdf([f"Document {number}, page {page}." for page in range(30)]))
        paths.append(path)
    most = 0

    async def reading(path: Path) -> str:
        nonlocal most
        events = []
        async for event in parser.parse(path, "a.pdf", Chunking(), Limits()):
            events.append(event)
            if isinstance(event, Progress) and event.done == 15:
                most = max(most, len(watch.children(watch.children()[0])))
        return gather(events).text

    texts = await asyncio.gather(*map(reading, paths))
    assert [text.split(",")[0] for text in texts] == [f"Document {number}" for number in range(12)]
    assert most == 2


async def test_closing_the_parser_ends_readings_that_go_on(parser: ConfinedParser, tmp_path: Path) -> None:
    events = await begun(parser, tmp_path / "a")
    await parser.close()
    assert watch.children() == []
    with pytest.raises(ParseFailed):
        async for _ in events:
            pass


async def test_a_missing_document_and_one_that_is_none(parser: ConfinedParser, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "nothing", tmp_path, tmp_path / "fifo"):
        with pytest.raises(ParseFailed) as failure:
            [event async for event in parser.parse(path, "a", Chunking(), Limits())]
        assert failure.value.code == "server_error"


async def test_no_file_is_left_behind(
    parser: ConfinedParser, read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    found = await read(b"Some text.", "a.txt")

    async def slices(fail: bool):  # type: ignore[no-untyped-def]
        yield found.text[:4]
        assert list(folder.iterdir()) == []
        if fail:
            raise ValueError
        yield found.text[4:]

    events = [e async for e in parser.cut(slices(False), "a.txt", found.parsed, Chunking(), Limits())]
    assert isinstance(events[-1], Parsed)
    with pytest.raises(ValueError):
        [e async for e in parser.cut(slices(True), "a.txt", found.parsed, Chunking(), Limits())]
    assert list(folder.iterdir()) == []


def test_it_works_on_the_servers_event_loop(tmp_path: Path) -> None:
    async def reading() -> str:
        parser = ConfinedParser()
        path = tmp_path / "a"
        path.write_text("Text.")
        try:
            events = [event async for event in parser.parse(path, "a", Chunking(), Limits())]
            interrupted = await begun(parser, tmp_path / "b")
            await interrupted.aclose()
            events = [event async for event in parser.parse(path, "a", Chunking(), Limits())]
        finally:
            await parser.close()
        return gather(events).text

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(reading()) == "Text."
    assert watch.children() == []


def test_workers_die_with_the_server(tmp_path: Path) -> None:
    """A server that is killed leaves no process behind."""
    (tmp_path / "a").write_text(LONG * 3)
    program = f"""
import asyncio, pathlib
from antiphon.domain.collections import Chunking
from antiphon.parsers.process import ConfinedParser
from antiphon.ports.document_parser import Limits
async def main():
    events = ConfinedParser().parse(pathlib.Path({str(tmp_path / "a")!r}), "a", Chunking(), Limits())
    await anext(events)
    print("begun", flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None and server.stdout.readline() == "begun\n"
        (zygote,) = watch.children(server.pid)
        (worker,) = watch.children(zygote)
        server.kill()
        server.wait()
        deadline = time.monotonic() + 10
        while (watch.alive(zygote) or watch.alive(worker)) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not watch.alive(zygote) and not watch.alive(worker)
