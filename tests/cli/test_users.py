"""`antiphon user`: the same commands through a running server and in the data directory itself."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from antiphon.cli import users
from antiphon.cli.main import app
from tests.e2e.sdk.launch import Server, running_server
from tests.harness.people import PASSWORD, SECRET_KEY
from tests.ports import free_port

KEY = "an operator's key, long enough 0123456789"
User = Callable[..., Result]


@pytest.fixture
def anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory without settings, and a port nobody listens on."""
    monkeypatch.chdir(tmp_path)
    for name in ("SECRET_KEY", "API_KEY", "AUTH_REQUIRED", "ENVIRONMENT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PORT", str(free_port()))
    return tmp_path


@pytest.fixture(params=["directory", "server"])
def user(request: pytest.FixtureRequest, anywhere: Path, runner: CliRunner) -> Iterator[User]:
    """Runs `antiphon user` on either; `user.server` is not None if a server runs."""

    def run(*words: str, input: str | None = None, status: int = 0) -> Result:
        result = runner.invoke(app, ["user", *words, *where], input=input)
        assert result.exit_code == status, result.output
        return result

    if request.param == "directory":
        where = ["--data-dir", str(anywhere / "data")]
        yield run
        return
    settings = {"AUTH_REQUIRED": "true", "SECRET_KEY": SECRET_KEY, "API_KEY": KEY}
    with running_server(anywhere, settings) as server:
        where = ["--url", server.origin, "--key", KEY]
        yield run


def listed(user: User, *words: str) -> dict[str, Any]:
    """The accounts by name, but for those every server has."""
    found = json.loads(user("list", "--json", *words).stdout)
    return {one["name"]: one for one in found if one["name"] not in ("local", "admin")}


def test_an_account_is_added_changed_and_deleted(user: User) -> None:
    added = user("add", "Ada", "--email", "ada@example.org", input=f"{PASSWORD}\n")
    assert re.fullmatch(r"ada: user, user_[0-9a-f]{32}\n", added.stdout)
    user("add", "eve", "--role", "admin", "--no-password")
    assert {name: (one["role"], one["has_password"]) for name, one in listed(user).items()} == {
        "ada": ("user", True), "eve": ("admin", False)
    }  # fmt: skip
    assert list(listed(user, "--prefix", "A")) == ["ada"]
    for words, shown, field, value in (
        (("role", "ada", "admin"), "ada is now: admin\n", "role", "admin"),
        (("disable", "ada"), "ada is disabled\n", "state", "disabled"),
        (("enable", "ada"), "ada is active\n", "state", "active"),
    ):
        assert user(*words).stdout == shown
        assert listed(user)["ada"][field] == value
    user("passwd", "eve", input=f"{PASSWORD}\n")
    assert listed(user)["eve"]["has_password"] is True
    assert "for ever?" in user("delete", "ada", input="n\n", status=1).output
    assert "ada" in listed(user)
    user("delete", "ada", input="y\n")
    user("delete", "eve", "--yes")
    assert listed(user) == {}


def test_what_is_refused_is_one_line_and_a_status(user: User) -> None:
    user("add", "ada", "--no-password")
    for words, text, said in (
        (("add", "ada", "--no-password"), None, "taken"),
        (("add", "bob"), "short\n", "A password has 8 to 256 characters."),
        (("add", "bob"), "", "no password on standard input"),
        (("role", "nobody", "admin"), None, "there is no account 'nobody'"),
        (("add", "bob", "--no-password", "--group", "none"), None, "there is no group 'none'"),
        (("disable", "local"), None, "server's own"),
        (("sessions", "ada", "--revoke", "sess_" + "0" * 32), None, "not found"),
        (("keys", "ada", "--revoke", "key_" + "0" * 32), None, "not found"),
    ):
        result = user(*words, input=text, status=1)
        line = result.stderr.splitlines()[-1]
        assert line.startswith("antiphon: ") and said in line
        assert "Traceback" not in result.output
    assert list(listed(user)) == ["ada"]


def test_an_invite_is_printed_and_nothing_else(user: User) -> None:
    made = user("invite", "--days", "3")
    assert re.fullmatch(r"anti_[\w-]{43}\n", made.stdout)
    shown = json.loads(user("invite", "--role", "admin", "--json").stdout)
    assert shown["role"] == "admin" and shown["token"].startswith("anti_")


def test_sessions_and_keys_are_shown_and_ended(anywhere: Path, runner: CliRunner) -> None:
    settings = {"AUTH_REQUIRED": "true", "SECRET_KEY": SECRET_KEY, "API_KEY": KEY}
    with running_server(anywhere, settings) as server:
        where = ["--url", server.origin, "--key", KEY]

        def user(*words: str, input: str | None = None) -> str:
            result = runner.invoke(app, ["user", *words, *where], input=input)
            assert result.exit_code == 0, result.output
            return result.stdout

        user("add", "ada", input=f"{PASSWORD}\n")
        tokens = [login(server) for _ in range(3)]
        own = [{"authorization": f"Bearer {one['access_token']}"} for one in tokens]
        made = httpx.post(f"{server.base_url}/api_keys", json={"name": "laptop"}, headers=own[0])
        table = user("sessions", "ada")
        assert all(one["session_id"] in table for one in tokens) and "python-httpx" in table
        assert "laptop" in user("keys", "ada") and made.json()["key"] not in user("keys", "ada", "--json")
        user("sessions", "ada", "--revoke", tokens[0]["session_id"])
        assert [status(server, one) for one in own] == [401, 200, 200]
        user("sessions", "ada", "--revoke-all")
        assert [status(server, one) for one in own] == [401, 401, 401]
        key = {"authorization": f"Bearer {made.json()['key']}"}
        assert status(server, key) == 200
        user("keys", "ada", "--revoke", made.json()["id"])
        assert status(server, key) == 401


def login(server: Server) -> Any:
    return httpx.post(f"{server.origin}/token", json={"username": "ada", "password": PASSWORD}).json()


def status(server: Server, headers: dict[str, str]) -> int:
    return httpx.get(f"{server.base_url}/auth/me", headers=headers).status_code


def test_without_an_address_the_directory_decides_who_is_asked(
    anywhere: Path, runner: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = ["--data-dir", str(anywhere / "data")]
    assert runner.invoke(app, ["user", "add", "before", "--no-password", *data]).exit_code == 0
    assert oct((anywhere / "data").stat().st_mode & 0o777) == "0o700"
    with running_server(anywhere) as server:
        monkeypatch.setenv("PORT", server.origin.rpartition(":")[2])
        asked = runner.invoke(app, ["user", "add", "during", "--no-password", *data])
        assert asked.exit_code == 0 and "directly" not in asked.stderr
        names = [one["name"] for one in httpx.get(f"{server.base_url}/admin/users").json()["data"]]
        assert {"before", "during"} <= set(names)
        monkeypatch.setenv("PORT", str(free_port()))
        lost = runner.invoke(app, ["user", "list", *data])
        assert lost.exit_code == 1 and "say where with --url" in lost.stderr
    after = runner.invoke(app, ["user", "list", *data])
    assert "during" in after.stdout and "working in it directly" in after.stderr


def test_in_the_directory_no_credential_is_wanted_and_no_run_is_touched(
    anywhere: Path, runner: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENVIRONMENT", "production")
    monkeypatch.setenv("SECRET_KEY", SECRET_KEY)
    data = ["--data-dir", str(anywhere / "data")]
    made = runner.invoke(app, ["user", "add", "root2", "--role", "admin", *data], input=f"{PASSWORD}\n")
    assert made.exit_code == 0, made.output
    last = runner.invoke(app, ["user", "role", "root2", "user", *data])
    assert last.exit_code == 1 and "last active administrator" in last.stderr


def test_nobody_is_reached_without_a_key(anywhere: Path, runner: CliRunner) -> None:
    settings = {"AUTH_REQUIRED": "true", "SECRET_KEY": SECRET_KEY}
    with running_server(anywhere, settings) as server:
        result = runner.invoke(app, ["user", "list", "--url", server.origin])
    assert result.exit_code == 1
    assert "give an administrator's key with --key or ANTIPHON_API_KEY" in result.stderr
    nobody = runner.invoke(app, ["user", "list", "--url", f"http://127.0.0.1:{free_port()}"])
    assert nobody.exit_code == 1 and nobody.stderr.startswith("antiphon: no server at ")


def test_a_password_is_never_an_argument(anywhere: Path, runner: CliRunner) -> None:
    for words in (
        ["add", "ada", PASSWORD],
        ["add", "ada", "--password", PASSWORD],
        ["passwd", "ada", PASSWORD],
    ):
        assert runner.invoke(app, ["user", *words]).exit_code == 2


def test_a_terminal_is_asked_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def prompt(text: str, **options: Any) -> str:
        asked.append(options)
        return PASSWORD

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.prompt", prompt)
    assert users.ask_password() == PASSWORD
    assert asked == [{"hide_input": True, "confirmation_prompt": True}]


def test_what_others_typed_does_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    users.show_table(["name"], [["\x1b[31mred\x07\n\u202e"], ["[bold]plain[/]"], [None]])
    shown = capsys.readouterr().out
    assert "\x1b" not in shown and "\x07" not in shown and "\u202e" not in shown
    assert "[bold]plain[/]" in shown
