"""`antiphon import chatgroq`: what the old server kept is here under its names, however often it is run."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from typer.testing import CliRunner, Result

from antiphon.bootstrap import Drain, open_application
from antiphon.cli.main import app
from antiphon.domain.accounts import Visit
from antiphon.domain.errors import Unauthenticated
from antiphon.parsers.chat_exports.redis_dump import PIECE_CHARACTERS, BadDump, entries
from tests.services.world import prepare, settings_for

OLD_PASSWORD = "the old servers password"
HASH = bcrypt.hashpw(OLD_PASSWORD.encode(), bcrypt.gensalt(4)).decode()
ADMIN = ("admin:credentials", json.dumps({"username": "boss", "password_hash": HASH}))


def talk(count: int) -> list[dict[str, str]]:
    return [
        {"role": ("user", "assistant")[number % 2], "content": f"text {number}"} for number in range(count)
    ]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    prepare(tmp_path / "data")
    return tmp_path / "data"


def written(path: Path, *found: tuple[str, Any], lines: bool = True) -> Path:
    if lines:
        path.write_text("".join(json.dumps({"key": key, "value": value}) + "\n" for key, value in found))
    else:
        path.write_text(json.dumps(dict(found), indent=1))
    return path


def taken(file: Path, data: Path, *words: str, status: int = 0) -> Result:
    result = CliRunner().invoke(app, ["import", "chatgroq", str(file), "--data-dir", str(data), *words])
    assert result.exit_code == status, result.output
    return result


def rows(data: Path, query: str) -> list[Any]:
    with sqlite3.connect(f"file:{data / 'antiphon.db'}?mode=ro", uri=True) as connection:
        return connection.execute(query).fetchall()


@pytest.mark.parametrize("lines", [True, False], ids=["lines", "object"])
def test_sessions_are_here_under_their_names(data: Path, tmp_path: Path, lines: bool) -> None:
    found = [("session:chat123", json.dumps(talk(4))), ("x", "no history"), ("chat:long", talk(45)), ADMIN]
    file = written(tmp_path / "dump.json", *found, lines=lines)
    said = taken(file, data).output
    assert "boss: administrator, the old password holds" in said
    assert "chat123: 4 messages added, 4 in all" in said and "long: 45 messages added, 45 in all" in said
    assert "x: no history, left" in said
    assert "2 sessions of boss, 49 messages added; 1 other entries left" in said
    owned = rows(data, "SELECT c.external_key, c.kind, a.name FROM conversations c"
                       " JOIN accounts a ON a.id=c.owner_id"
                       " ORDER BY 1")  # fmt: skip
    assert owned == [("chat123", "explicit", "boss"), ("long", "explicit", "boss")]
    again = taken(file, data).output
    assert "boss: administrator, has a password here already, kept" in again
    assert "chat123: here already, 4 messages" in again and "2 sessions of boss, 0 messages added" in again
    assert rows(data, "SELECT COUNT(*) FROM items") == [(49,)]


def test_one_that_was_broken_off_goes_on_and_one_that_differs_is_left(data: Path, tmp_path: Path) -> None:
    taken(written(tmp_path / "one", ADMIN, ("a", talk(20)), ("b", talk(2))), data)
    other = [{"role": "user", "content": "something else"}]
    said = taken(written(tmp_path / "two", ADMIN, ("a", talk(43)), ("b", other)), data).output
    assert "a: 23 messages added, 43 in all" in said
    assert "b: differs from what is here (2 messages), left" in said


def test_odd_messages_of_a_session_are_left_out_and_counted(data: Path, tmp_path: Path) -> None:
    odd = [*talk(2), {"role": "tool", "content": "x"}, {"role": "assistant", "content": ""}]
    file = written(tmp_path / "dump", ADMIN, ("a", odd))
    left = "message without words or of an unknown role left out (2)"
    assert f"a: 2 messages added, 2 in all; {left}" in taken(file, data).output
    assert f"a: here already, 2 messages; {left}" in taken(file, data).output


def test_the_old_password_logs_in_once_by_bcrypt_and_then_by_argon2(data: Path, tmp_path: Path) -> None:
    taken(written(tmp_path / "dump", ADMIN), data)
    assert rows(data, "SELECT password_hash FROM accounts WHERE name='boss'") == [(HASH,)]

    async def log_in(password: str) -> str:
        settings = settings_for(data, dialects="none")
        async with open_application(settings, Drain(0.0)) as application:
            return (await application.accounts.log_in_plainly("boss", password, Visit())).account.role

    with pytest.raises(Exception, match="wrong"):
        asyncio.run(log_in(OLD_PASSWORD + "x"))
    assert rows(data, "SELECT password_hash FROM accounts WHERE name='boss'") == [(HASH,)]
    for _ in range(2):
        assert asyncio.run(log_in(OLD_PASSWORD)) == "admin"
        ((stored,),) = rows(data, "SELECT password_hash FROM accounts WHERE name='boss'")
        assert stored.startswith("$argon2id$")


def logs_in_after_a_start(data: Path, **settings: Any) -> set[str]:
    """The names under which one can log in, each with the password it had, or is to have again."""
    known = {"boss": OLD_PASSWORD, "admin": settings.get("default_admin_password", "admin123")}

    async def names() -> set[str]:
        found = set()
        async with open_application(settings_for(data, **settings), Drain(0.0)) as application:
            for name, password in known.items():
                with suppress(Unauthenticated):
                    await application.accounts.log_in_plainly(name, password, Visit())
                    found.add(name)
        return found

    return asyncio.run(names())


@pytest.mark.parametrize("configured", [{}, {"default_admin_password": "a long first password"}])
def test_who_was_taken_over_is_reset_by_deleting_the_key(
    data: Path, tmp_path: Path, configured: dict[str, str]
) -> None:
    file = written(tmp_path / "dump", ADMIN, ("a", talk(2)))
    taken(file, data)
    assert logs_in_after_a_start(data, **configured) == {"boss"}, "the first credentials do not come back"
    taken(file, data)
    (data / "admin_credentials").unlink()
    assert logs_in_after_a_start(data, **configured) == {"admin"}
    owned = rows(data, "SELECT a.name FROM conversations c JOIN accounts a ON a.id=c.owner_id")
    assert owned == [("admin",)], "with everything that is theirs"


def test_who_was_taken_over_before_there_were_notes_is_noted_by_a_second_run(
    data: Path, tmp_path: Path
) -> None:
    file = written(tmp_path / "dump", ADMIN)
    taken(file, data)
    with sqlite3.connect(data / "antiphon.db") as connection:
        connection.execute("DELETE FROM runtime_settings WHERE name='first_administrator'")
    taken(file, data)
    logs_in_after_a_start(data)
    (data / "admin_credentials").unlink()
    assert logs_in_after_a_start(data) == {"admin"}


def test_who_was_made_here_first_stays_the_first(data: Path, tmp_path: Path) -> None:
    assert logs_in_after_a_start(data) == {"admin"}
    taken(written(tmp_path / "dump", ADMIN), data)
    (data / "admin_credentials").unlink()
    assert logs_in_after_a_start(data) == {"admin", "boss"}


def test_sessions_can_be_let_end(data: Path, tmp_path: Path) -> None:
    taken(written(tmp_path / "dump", ADMIN, ("a", talk(2))), data, "--expiring")
    ((kind, expires),) = rows(data, "SELECT kind, expires FROM conversations")
    assert kind == "ephemeral" and expires is not None


def test_without_an_administrator_sessions_are_somebodys(data: Path, tmp_path: Path) -> None:
    file = written(tmp_path / "dump", ("a", talk(2)))
    assert "1 sessions of local" in taken(file, data).output
    assert "no account 'nobody'" in taken(file, data, "--user", "nobody", status=1).output


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("words", "no name and hash in it"),
        ({"username": "boss", "password_hash": "plain text"}, "is not one of bcrypt"),
        ({"username": "boss", "password_hash": "$2b$31$" + "a" * 53}, "is not one of bcrypt"),
        ({"username": "no name", "password_hash": HASH}, "name cannot be one"),
    ],
)
def test_an_administrator_that_cannot_be_is_left(data: Path, tmp_path: Path, value: Any, said: str) -> None:
    assert said in taken(written(tmp_path / "dump", ("admin:credentials", value)), data).output


def test_a_name_that_cannot_be_is_told_and_the_others_are_taken(data: Path, tmp_path: Path) -> None:
    found = [("memory", talk(2)), ("a\x1b[2J", talk(2)), ("b", talk(2)), ("chat:", talk(2))]
    said = taken(written(tmp_path / "dump", *found), data).output
    assert "1 sessions of local, 2 messages added; 3 other entries left" in said and "\x1b" not in said


def test_while_a_server_has_the_data_nothing_is_done(data: Path, tmp_path: Path) -> None:
    async def hold() -> Result:
        async with open_application(settings_for(data, dialects="none"), Drain(0.0)):
            return await asyncio.to_thread(taken, written(tmp_path / "dump", ADMIN), data, status=1)

    assert "Stop the server first" in asyncio.run(hold()).output
    assert taken(tmp_path / "absent", data, status=1)


# --- the dump


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "dump"


@pytest.mark.parametrize(
    "text", ["", "[]", "7", "{", '{"a"', '{"a": ', '{"a": "b"', '{"a": "b" "c": 1}',
             '{"key": "a", "value": 1}\nwords\n',
             '{"key": 7, "value": 1}', "[" * 100_000, '{"a": ' + "[" * 100_000]
)  # fmt: skip
def test_what_is_no_dump_is_told(file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(BadDump):
        list(entries(file))


def test_a_file_that_is_no_text_is_told(file: Path) -> None:
    file.write_bytes(b'{"a": "\xff"}')
    with pytest.raises(BadDump):
        list(entries(file))


def test_an_object_is_read_member_by_member(file: Path) -> None:
    large = "x" * (3 * PIECE_CHARACTERS)
    members = {f"key {number}": [number, 12345678901, large, {"a": None}] for number in range(5)}
    file.write_text(json.dumps(members))
    assert dict(entries(file)) == members
    file.write_text("{ }\n")
    assert list(entries(file)) == []
    reading = entries(file.with_name("dump"))
    file.write_text(json.dumps(members)[:-1] + ' , "broken')
    assert next(reading)[0] == "key 0", "what comes first is there before the rest is read"
