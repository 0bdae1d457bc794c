"""T22, T28: what a server needs before others may reach it, and who can log in first."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from antiphon.application import Application
from antiphon.bootstrap import Drain, open_application
from antiphon.domain.accounts import Visit
from antiphon.domain.errors import AntiphonError, Unauthenticated
from tests.harness.people import SECRET_KEY
from tests.services.world import prepare, settings_for

VISIT = Visit("127.0.0.1", "test")
WANTED: dict[str, Any] = {"auth_required": True, "secret_key": SECRET_KEY}


@asynccontextmanager
async def started(directory: Path, **settings: Any) -> AsyncIterator[Application]:
    prepare(directory)
    async with open_application(settings_for(directory, **settings), Drain(0.0)) as application:
        yield application


@pytest.mark.parametrize(
    "reason", [{"auth_required": True}, {"environment": "production"}, {"host": "0.0.0.0"}, {"host": "::"}]
)
@pytest.mark.parametrize(
    "secret",
    [
        None, "", "secret", "changeme", "x" * 31, "x" * 64, "changeme" * 8, "abababab" * 8,
        "your-secret-key-goes-here-0123456789", "change-me-0123456789abcdefghijklmnop",
        "replace_this_with_a_long_random_string!", "example0123456789abcdefghijklmnopqr",
    ],
)  # fmt: skip
def test_without_a_secret_of_its_own_a_server_others_can_reach_does_not_start(
    tmp_path: Path, reason: dict[str, Any], secret: str | None
) -> None:
    with pytest.raises(ValidationError, match=r"(?i)secret_key") as error:
        settings_for(tmp_path, secret_key=secret, **reason)
    assert secret is None or len(secret) < 9 or secret not in str(error.value.errors(include_input=False))
    assert settings_for(tmp_path, secret_key=SECRET_KEY, **reason).needs_credentials


@pytest.mark.parametrize("name", ["secret_key", "secret_key_previous", "api_key"])
def test_a_weak_secret_is_refused_wherever_one_is_given(tmp_path: Path, name: str) -> None:
    for weak in ("short", "changeme" * 8):
        with pytest.raises(ValidationError, match=name):
            settings_for(tmp_path, **{name: weak})


@pytest.mark.parametrize(
    "origins", ["*", "https://*.example.org", "example.org", "https://a.example/", "https://a.example/x",
                "null", "file://", "https://u@a.example", "ftp://a.example", "https://a.example, *"],
)  # fmt: skip
def test_an_origin_is_a_whole_one_and_never_everybody(tmp_path: Path, origins: str) -> None:
    with pytest.raises(ValidationError, match="cors_origins"):
        settings_for(tmp_path, cors_origins=origins)


async def test_open_on_loopback_the_secret_is_made_once_and_for_the_owner_only(tmp_path: Path) -> None:
    directory, path = tmp_path / "data", tmp_path / "data" / "secret_key"
    async with started(directory):
        first = path.read_text()
        assert len(first) == 64 and path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    async with started(directory):
        assert path.read_text() == first and path.stat().st_mode & 0o777 == 0o600
    async with started(tmp_path / "other"):
        assert (tmp_path / "other" / "secret_key").read_text() != first


async def test_what_a_killed_first_start_left_is_no_secret(tmp_path: Path) -> None:
    directory, path = tmp_path / "data", tmp_path / "data" / "secret_key"
    prepare(directory)
    path.touch()
    path.with_name("secret_key.new").write_text("half")
    async with started(directory):
        drawn = path.read_text()
    assert len(drawn) == 64 and not path.with_name("secret_key.new").exists()
    async with started(directory):
        assert path.read_text() == drawn


async def test_a_configured_secret_leaves_no_file(tmp_path: Path) -> None:
    async with started(tmp_path / "data", **WANTED):
        assert not (tmp_path / "data" / "secret_key").exists()


async def test_a_token_of_one_server_is_nothing_to_another(tmp_path: Path) -> None:
    other = {**WANTED, "secret_key": SECRET_KEY[::-1]}
    async with started(tmp_path / "one", **WANTED) as one, started(tmp_path / "two", **other) as two:
        account = await one.accounts.me(one.owner)
        login = await one.accounts.open_session(account, "test", VISIT)
        assert (await one.credentials.authenticate(login.access_token)).name == "local"
        with pytest.raises(Unauthenticated):
            await two.credentials.authenticate(login.access_token)


async def test_the_first_start_shows_a_password_once_and_it_works(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    async with started(tmp_path / "data", **WANTED) as application:
        shown = capsys.readouterr().out
        found = re.search(r"username: (\S+)\n\s+password: (\S+)\n", shown)
        assert found is not None and found[1] == "admin" and len(found[2]) >= 20
        login = await application.accounts.log_in(found[1], found[2], VISIT)
        assert login.account.role == "admin"
    async with started(tmp_path / "data", **WANTED) as application:
        again = capsys.readouterr()
        assert "password" not in again.out and found[2] not in again.err + caplog.text
        assert (await application.accounts.log_in(found[1], found[2], VISIT)).account.role == "admin"
    stored = b"".join(path.read_bytes() for path in (tmp_path / "data").iterdir() if path.is_file())
    assert found[2].encode() not in stored


async def test_open_on_loopback_nobody_is_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with started(tmp_path / "data") as application:
        assert capsys.readouterr().out == ""
        with pytest.raises(Unauthenticated):
            await application.accounts.log_in("admin", "admin123", VISIT)


async def test_the_configured_administrator_is_made_and_never_reset(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = {"default_admin_username": "Boss", "default_admin_password": "a long first password"}
    async with started(tmp_path / "data", **WANTED, **named) as application:
        assert capsys.readouterr().out == ""
        login = await application.accounts.log_in("boss", "a long first password", VISIT)
        who = await application.credentials.authenticate(login.access_token)
        assert who.is_admin
        await application.accounts.change_password(who, "a long first password", "a long second one", VISIT)
    async with started(tmp_path / "data", **WANTED, **named) as application:
        await application.accounts.log_in("boss", "a long second one", VISIT)
        with pytest.raises(Unauthenticated):
            await application.accounts.log_in("boss", "a long first password", VISIT)


@pytest.mark.parametrize("password", ["admin123", "password1", "boss", "short"])
async def test_a_password_from_a_guide_is_refused_where_others_can_reach_the_server(
    tmp_path: Path, password: str
) -> None:
    named = {"default_admin_username": "boss", "default_admin_password": password}
    with pytest.raises(AntiphonError, match="DEFAULT_ADMIN_PASSWORD"):
        async with started(tmp_path / "data", **WANTED, **named):
            raise AssertionError("it started")


async def test_the_password_from_a_guide_ends_when_the_server_is_opened_to_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = {"default_admin_username": "admin", "default_admin_password": "admin123"}
    async with started(tmp_path / "data", **named) as application:
        assert "for this machine only" in capsys.readouterr().out
        login = await application.accounts.log_in("admin", "admin123", VISIT)
    async with started(tmp_path / "data", secret_key=(tmp_path / "data" / "secret_key").read_text(),
                       auth_required=True) as application:  # fmt: skip
        with pytest.raises(Unauthenticated):
            await application.accounts.log_in("admin", "admin123", VISIT)
        with pytest.raises(Unauthenticated):
            await application.accounts.refresh(login.refresh_token, VISIT)
        drawn = re.search(r"password: (\S+)\n", capsys.readouterr().out)
        assert drawn is not None
        await application.accounts.log_in("admin", drawn[1], VISIT)


def test_name_and_password_of_the_administrator_come_together(tmp_path: Path) -> None:
    for half in ({"default_admin_username": "x"}, {"default_admin_password": "a long first password"}):
        with pytest.raises(ValidationError, match="come together"):
            settings_for(tmp_path, **half)
