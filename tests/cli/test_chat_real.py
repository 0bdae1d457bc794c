"""The chat against the real server: the tree grows as it should, and an answer survives what breaks it."""

import asyncio
import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from antiphon.cli.answers import Answer, AnswerStream
from antiphon.cli.api_client import ApiClient, ClientError
from antiphon.cli.chat import Chat
from antiphon.cli.chat_session import ChatSession
from antiphon.cli.chat_view import View
from antiphon.cli.main import app
from antiphon.providers.scripted import numbered_token
from tests.e2e.sdk.launch import Server, clean_environment, running_server
from tests.harness.faultproxy import Break, FaultProxy, Faults
from tests.ports import free_port

SCRIPTED = {"LIST_SCRIPTED_MODELS": "true"}
LONG = "Count. tokens=5000 delay_ms=5"


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("chat"), SCRIPTED) as server:
        yield server


class Talk:
    def __init__(self, origin: str) -> None:
        self.out = io.StringIO()
        view = View(Console(file=self.out, width=200, highlight=False))
        view.errors = view.console
        self.chat = Chat(ChatSession(ApiClient(origin), model="scripted/echo"), view)

    def __call__(self, line: str) -> str:
        self.out.seek(0)
        self.out.truncate()
        self.chat.handle(line)
        return self.out.getvalue()

    def items(self) -> list[str]:
        """The latest items in reading order, without their numbers."""
        return [line.split(maxsplit=1)[1].rstrip() for line in self("/items").splitlines()[1:]]


def numbered(count: int) -> str:
    return "".join(numbered_token("0", index) for index in range(count))


def test_a_talk_along_branches(real: Server) -> None:
    talk = Talk(real.origin)
    assert talk("first") == "first\n"
    assert talk("second") == "second\n"
    assert talk("/edit a better second") == "a better second\n"
    assert talk.items() == [
        "user: first", "assistant: first", "user: a better second", "assistant: a better second",
    ]  # fmt: skip
    assert talk("/retry scripted/numbered").startswith("t0:")
    assert talk.items()[-1].startswith("assistant: t0:")
    talk("/branch early 3")
    assert talk.items() == ["user: first"]
    talk("another way")
    talk("/switch main")
    assert talk.items()[2:] == ["user: second", "assistant: second"]
    tree = talk("/tree")
    assert all(name in tree for name in ("(main*)", "(edit)", "(retry)", "(early)"))
    assert "another way" in tree


def test_a_fork_goes_on_by_itself(real: Server) -> None:
    talk = Talk(real.origin)
    talk("shared")
    origin = talk.chat.session.conversation_id
    talk("/fork")
    talk("only in the fork")
    assert len(talk.items()) == 4
    talk(f"/open {origin}")
    assert talk.items() == ["user: shared", "assistant: shared"]
    assert "shared" in talk("/list")


def test_one_question_through_the_command(real: Server, runner: CliRunner) -> None:
    options = ["--base-url", real.base_url, "--model", "scripted/echo"]
    result = runner.invoke(app, ["chat", *options, "Hello"])
    assert (result.exit_code, result.output) == (0, "Hello\n")
    failed = runner.invoke(app, ["chat", *options[:3], "scripted/fail-after", "Hello"])
    assert failed.exit_code == 1
    assert "failed" in failed.stderr


def test_the_doctor_finds_the_running_server(real: Server, runner: CliRunner, tmp_path: Path) -> None:
    port = real.origin.rpartition(":")[2]
    data = real.log_path.parent / "data"
    result = runner.invoke(app, ["doctor", "--port", port, "--data-dir", str(data)])
    assert result.exit_code == 0, result.output
    assert "data lock: held by a running server" in result.stdout
    assert "antiphon.db: sound" in result.stdout
    assert f"a server answers at {real.origin}" in result.stdout


def test_stopping_ends_the_run(real: Server) -> None:
    client = ApiClient(real.origin)
    body = {"model": "scripted/slow", "input": "Go on. tokens=500"}
    stream = AnswerStream(client, "/v1/responses", body)
    for event in stream:
        if event.type.endswith("delta"):
            stream.stop()
            break
    assert client.get(f"/v1/responses/{stream.response_id}")["status"] == "cancelled"


# --- what breaks


@contextmanager
def broken_line(server: Server, faults: Faults) -> Iterator[FaultProxy]:
    """A proxy before the server, on a loop of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    proxy = FaultProxy("127.0.0.1", int(server.origin.rpartition(":")[2]))
    proxy.down = faults
    asyncio.run_coroutine_threadsafe(proxy.__aenter__(), loop).result(10)
    try:
        yield proxy
    finally:
        asyncio.run_coroutine_threadsafe(proxy.__aexit__(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@pytest.mark.parametrize("how", [Break.RESET, Break.CUT, Break.HALF_CLOSE])
@pytest.mark.parametrize("after_bytes", [8_001, 15_000])
def test_every_token_comes_once_over_a_line_that_keeps_breaking(
    real: Server, how: Break, after_bytes: int
) -> None:
    with broken_line(real, Faults(breaks=how, after_bytes=after_bytes)) as proxy:
        client = ApiClient(f"http://127.0.0.1:{proxy.port}")
        body = {"model": "scripted/numbered", "input": "Count. tokens=400 delay_ms=1"}
        answer = Answer()
        for event in AnswerStream(client, "/v1/responses", body):
            answer.apply(event)
        assert proxy.accepted > 2
    assert (answer.status, answer.text) == ("completed", numbered(400))


@contextmanager
def process_on(port: int, directory: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A server that may be killed and followed by another on the same port and data."""
    command = [sys.executable, "-m", "antiphon", "serve", "--port", str(port)]
    command += ["--data-dir", str(directory / "data")]
    with (directory / "server.log").open("ab") as log:
        process = subprocess.Popen(command, env=clean_environment(), cwd=directory, stdout=log, stderr=log)
    try:
        _await_health(ApiClient(f"http://127.0.0.1:{port}"))
        yield process
    finally:
        process.kill()
        process.wait()


def _await_health(client: ApiClient) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            client.get("/health")
            return
        except ClientError:
            assert time.monotonic() < deadline, "no server"
            time.sleep(0.05)


def test_a_killed_server_loses_nothing_that_was_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer ends as failed once the server is back; the text shown before is kept, and shown once."""
    monkeypatch.setattr("antiphon.cli.answers.RETRY_PAUSE_SECONDS", (0.2,) * 150)
    port = free_port()
    client = ApiClient(f"http://127.0.0.1:{port}")
    stream = AnswerStream(client, "/v1/responses", {"model": "scripted/numbered", "input": LONG})
    answer, events = Answer(), iter(stream)
    with process_on(port, tmp_path) as first:
        while len(answer.text) < 500:
            answer.apply(next(events))
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        with process_on(port, tmp_path):
            for event in events:
                answer.apply(event)
            kept = client.get(f"/v1/responses/{stream.response_id}")
    assert answer.status == kept["status"] == "failed"
    assert numbered(5000).startswith(answer.text)
    assert kept["output"][0]["content"][0]["text"] == answer.text
