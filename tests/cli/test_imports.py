"""`antiphon import`: a line for each conversation, and never success for nothing."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from antiphon.bootstrap import Drain, open_application
from antiphon.cli.import_commands import KINDS
from antiphon.cli.main import app
from antiphon.domain.chat_exports import chats
from tests.domain.exports import ROOT, exported, node
from tests.e2e.sdk.launch import Server, running_server
from tests.harness.people import SECRET_KEY
from tests.services.world import prepare, settings_for

KEY = "an operator's key, long enough 0123456789"


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    prepare(tmp_path / "data")
    return tmp_path / "data"


def ran(data: Path, *words: str | Path, status: int = 0) -> Result:
    result = CliRunner().invoke(app, ["import", *map(str, words), "--data-dir", str(data)])
    assert result.exit_code == status, result.output
    return result


def written(path: Path, *values: Any) -> Path:
    path.write_text(json.dumps(list(values)))
    return path


def talk(**fields: Any) -> dict[str, Any]:
    return exported(
        ROOT, node("u1", "root", "user", "Hello"), node("a1", "u1", "assistant", "Hi"),
        node("a2", "u1", "assistant", "Good day"), **fields,
    )  # fmt: skip


def owners(data: Path) -> list[tuple[str, str]]:
    with sqlite3.connect(f"file:{data / 'antiphon.db'}?mode=ro", uri=True) as connection:
        return connection.execute(
            "SELECT a.name,c.title FROM conversations c JOIN accounts a ON a.id=c.owner_id ORDER BY 2"
        ).fetchall()


def test_what_came_in_is_told_and_a_second_time_nothing_does(data: Path, tmp_path: Path) -> None:
    file = written(tmp_path / "conversations.json", talk(), talk(conversation_id="c2", title="Other"))
    said = ran(data, file).output
    assert "new    A talk: 3 of 3 messages, 2 branches\n" in said
    assert said.endswith("2 conversations, 6 messages added: 2 new\n")
    assert owners(data) == [("local", "A talk"), ("local", "Other")]
    again = ran(data, "chatgpt", file).output
    assert "same   A talk: 0 of 3 messages\n" in again
    assert again.endswith("2 conversations, 0 messages added: 2 same\n")


def test_conversations_are_whose_they_are_said_to_be(data: Path, tmp_path: Path) -> None:
    file = written(tmp_path / "x.json", talk())
    assert "There is no account 'ann'" in ran(data, file, "--owner", "ann", status=1).output
    made = CliRunner().invoke(app, ["user", "add", "ann", "--no-password", "--data-dir", str(data)])
    assert made.exit_code == 0, made.output
    ran(data, file, "--owner", "ann")
    assert owners(data) == [("ann", "A talk")]


@pytest.fixture
def closed(data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data of a server that wants logins, in which `ann` has an account."""
    monkeypatch.delenv("API_KEY", raising=False)
    monkeypatch.setenv("AUTH_REQUIRED", "true")
    monkeypatch.setenv("SECRET_KEY", SECRET_KEY)
    made = CliRunner().invoke(app, ["user", "add", "ann", "--no-password", "--data-dir", str(data)])
    assert made.exit_code == 0, made.output
    return data


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("chatgpt", [talk()]),
        ("book", [{"session_id": "s", "message": "Hello", "response": "Hi"}]),
        ("redis", {"chat:a": [{"role": "user", "content": "Hello"}]}),
        ("chatgroq", {"chat:a": [{"role": "user", "content": "Hello"}]}),
    ],
)  # fmt: skip
def test_where_nobody_is_the_local_owner_an_owner_must_be_named(
    closed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, content: Any
) -> None:
    file = tmp_path / "x.json"
    file.write_text(json.dumps(content))
    assert "--owner NAME" in ran(closed, kind, file, status=1).output
    assert owners(closed) == []
    ran(closed, kind, file, "--owner", "ann")
    assert [name for name, _ in owners(closed)] == ["ann"]
    monkeypatch.setenv("API_KEY", KEY)
    ran(closed, kind, file)
    assert {name for name, _ in owners(closed)} == {"ann", "local"}, "whom the operator's key stands for"


def test_each_line_can_be_an_object(data: Path, tmp_path: Path) -> None:
    said = ran(data, written(tmp_path / "x.json", talk()), "--json").stdout.splitlines()
    (line,) = [json.loads(one) for one in said if one.startswith("{")]
    assert (line["title"], line["state"], line["added"], line["branches"]) == ("A talk", "new", 3, 2)
    assert line["conversation_id"].startswith("conv_")


def test_what_failed_is_told_and_makes_the_command_fail(data: Path, tmp_path: Path) -> None:
    said = ran(data, written(tmp_path / "x.json", talk(title="a\x1b[2Jb"), 7), status=1).output
    assert "failed number 2 in x.json\n         something that is no object\n" in said and "\x1b" not in said
    assert said.endswith("1 conversations, 3 messages added: 1 new, 1 failed\n")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("words", "This is no export"), ("[]", "This is no export"), ("", "This is no export"),
        ('[{"mapping": {}, "create_time": 1, "title": "T", "conversation_id": "c"}]', "nothing came in"),
        ('{"key": "a", "value": 1}', "nothing came in"),
    ],
)  # fmt: skip
def test_nothing_is_no_success(data: Path, tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "x.json").write_text(content)
    result = ran(data, tmp_path / "x.json", status=1)
    assert said in result.output and owners(data) == []


def test_what_is_not_there_or_of_another_kind_is_told(data: Path, tmp_path: Path) -> None:
    assert "No such file" in ran(data, tmp_path / "absent", status=1).output
    file = written(tmp_path / "x.json", talk())
    assert "no conversation of claude" in ran(data, "claude", file, status=1).output


def test_while_a_server_has_the_data_nothing_is_done(data: Path, tmp_path: Path) -> None:
    async def hold() -> Result:
        async with open_application(settings_for(data, dialects="none"), Drain(0.0)):
            return await asyncio.to_thread(ran, data, written(tmp_path / "x.json", talk()), status=1)

    assert "--url" in asyncio.run(hold()).output and owners(data) == []


def test_every_kind_is_a_command() -> None:
    assert set(KINDS) == set(chats.KINDS)
    said = CliRunner().invoke(app, ["import", "--help"]).output
    assert all(kind in said for kind in (*KINDS, "chatgroq"))


def test_one_name_takes_what_a_person_took_along_and_what_a_server_exported(
    data: Path, tmp_path: Path
) -> None:
    item = {
        "id": "msg_1",
        "type": "message",
        "role": "user",
        "content": "Hi",
        "antiphon": {"parent_id": None},
    }
    value = {"object": "conversation.export", "format": 1, "conversation": {"id": "c", "title": "Mine"},
             "branches": [], "items": [item]}  # fmt: skip
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(value))
    made = CliRunner().invoke(app, ["user", "add", "ann", "--no-password", "--data-dir", str(data)])
    assert made.exit_code == 0, made.output
    assert "new    Mine: 1 of 1 messages" in ran(data, "antiphon", file, "--owner", "ann").output
    archive, other = tmp_path / "all.tar", tmp_path / "other"
    assert CliRunner().invoke(app, ["export", str(archive), "--data-dir", str(data)]).exit_code == 0
    assert "as it was exported" in ran(other, "antiphon", archive).output
    assert owners(other) == owners(data) == [("ann", "Mine")]


# --- a running server


@pytest.fixture
def server(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("SECRET_KEY", "API_KEY", "AUTH_REQUIRED", "ENVIRONMENT"):
        monkeypatch.delenv(name, raising=False)
    settings = {"AUTH_REQUIRED": "true", "SECRET_KEY": SECRET_KEY, "API_KEY": KEY}
    with running_server(tmp_path, settings) as running:
        yield running


def sent(server: Server, *words: str | Path, status: int = 0) -> Result:
    where = ["--url", server.origin, "--key", KEY]
    result = CliRunner().invoke(app, ["import", *map(str, words), *where])
    assert result.exit_code == status, result.output
    return result


def test_a_running_server_takes_the_file_and_keeps_only_the_conversations(
    server: Server, tmp_path: Path
) -> None:
    file = written(tmp_path / "conversations.json", talk(), talk(conversation_id="c2", title="Other"))
    said = sent(server, file).output
    assert said.endswith("2 conversations, 6 messages added: 2 new\n")
    assert sent(server, "chatgpt", file).output.endswith("2 conversations, 0 messages added: 2 same\n")
    key = {"Authorization": f"Bearer {KEY}"}
    assert httpx.get(f"{server.base_url}/files", headers=key).json()["data"] == []
    listed = httpx.get(f"{server.base_url}/conversations", headers=key).json()["data"]
    assert sorted(one["title"] for one in listed) == ["A talk", "Other"]


def test_what_a_running_server_refuses_is_told(server: Server, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("words")
    assert "This is no export" in sent(server, tmp_path / "x.json", status=1).output
    file = written(tmp_path / "y.json", talk())
    assert "--owner" in sent(server, file, "--owner", "ann", status=1).output
    assert "folder" in sent(server, tmp_path, status=1).output
    assert "No such file" in sent(server, tmp_path / "absent", status=1).output
    where = ["--url", server.origin, "--key", "antk_wrong"]
    assert CliRunner().invoke(app, ["import", str(file), *where]).exit_code == 1
