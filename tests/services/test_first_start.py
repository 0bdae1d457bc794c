"""T22, T28: what a server needs before others may reach it, and who can log in first."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from structlog.testing import capture_logs

from antiphon.application import Application
from antiphon.bootstrap import Drain, open_application
from antiphon.domain.accounts import Principal, Visit
from antiphon.domain.errors import AntiphonError, Unauthenticated, Unprocessable
from tests.harness.people import SECRET_KEY
from tests.services.world import prepare, settings_for

VISIT = Visit("127.0.0.1", "test")
LONG = "a long first password"
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


@pytest.mark.parametrize("name", ["secret_key_previous", "api_key"])
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


@pytest.mark.parametrize("weak", ["your-secure-secret-key", "your-super-secret-key-min-32-characters-long"])
async def test_open_on_loopback_a_sample_secret_is_passed_over_with_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], weak: str
) -> None:
    directory = tmp_path / "data"
    async with started(directory, secret_key=weak) as application:
        shown = capsys.readouterr().out
        assert "SECRET_KEY" in shown and "openssl rand" in shown and weak not in shown
        login = await application.accounts.log_in_plainly("admin", "admin123", VISIT)
    assert len((directory / "secret_key").read_text()) == 64
    async with started(directory) as application:
        assert (await application.credentials.authenticate(login.access_token)).name == "admin"


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


async def test_open_on_loopback_without_a_dialect_nobody_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with started(tmp_path / "data", dialects="none") as application:
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


async def logs_in(application: Application, name: str, password: str) -> bool:
    try:
        await application.accounts.log_in(name, password, VISIT)
    except Unauthenticated:
        return False
    return True


async def as_whom(application: Application, name: str, password: str) -> Principal:
    login = await application.accounts.log_in_plainly(name, password, VISIT)
    return await application.credentials.authenticate(login.access_token)


async def rename(application: Application, name: str, password: str) -> str:
    """Log in with the documented credentials and take others; returns the account's id."""
    who = await as_whom(application, "admin", "admin123")
    await application.account_credentials.change(who, name, password, VISIT)
    return who.account_id


async def test_open_on_loopback_the_documented_credentials_work_with_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with started(tmp_path / "data") as application:
        assert "for this machine only" in capsys.readouterr().out
        assert await logs_in(application, "admin", "admin123")
    async with started(tmp_path / "data") as application:
        assert await logs_in(application, "admin", "admin123")


@pytest.mark.parametrize("half", [{"default_admin_username": "boss"}, {"default_admin_password": LONG}])
async def test_half_of_the_credentials_is_enough(tmp_path: Path, half: dict[str, str]) -> None:
    async with started(tmp_path / "data", **half) as application:
        name, password = (
            half.get("default_admin_username", "admin"),
            half.get("default_admin_password", "admin123"),
        )
        assert await logs_in(application, name, password)


async def test_where_others_can_reach_the_server_the_documented_credentials_do_not_exist(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with started(tmp_path / "data", **WANTED) as application:
        assert "password: " in capsys.readouterr().out
        assert not await logs_in(application, "admin", "admin123")


@pytest.mark.parametrize("given", [{}, {"default_admin_username": "admin", "default_admin_password": LONG}])
async def test_credentials_that_were_changed_do_not_come_back(tmp_path: Path, given: dict[str, str]) -> None:
    first = given.get("default_admin_password", "admin123")
    async with started(tmp_path / "data", **given) as application:
        who = await as_whom(application, "admin", first)
        await application.account_credentials.change(who, "newadmin", "newsecurepass", VISIT)
    for flushed in (False, True):
        if flushed:  # a place for the key that was emptied, or is new
            for path in (tmp_path / "data").glob("admin_credentials*"):
                path.unlink()
        async with started(tmp_path / "data", **given) as application:
            assert not await logs_in(application, "admin", first)
            assert await logs_in(application, "newadmin", "newsecurepass")
            assert len(list((tmp_path / "data").glob("admin_credentials*"))) == 2


async def test_who_deletes_the_key_and_restarts_has_the_first_credentials_again(tmp_path: Path) -> None:
    async with started(tmp_path / "data") as application:
        account_id = await rename(application, "newadmin", "newsecurepass")
        lost = await as_whom(application, "newadmin", "newsecurepass")
    (tmp_path / "data" / "admin_credentials").unlink()
    async with started(tmp_path / "data") as application:
        assert not await logs_in(application, "newadmin", "newsecurepass")
        again = await as_whom(application, "admin", "admin123")
        assert again.account_id == account_id == lost.account_id, "with everything that is theirs"
    async with started(tmp_path / "data") as application:
        await rename(application, "another", "anothersecure")
    async with started(tmp_path / "data") as application:
        assert await logs_in(application, "another", "anothersecure"), "once deleted is reset once"


async def test_a_reset_where_others_can_reach_the_server_gives_no_documented_password(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with started(tmp_path / "data", **WANTED):
        first = re.search(r"password: (\S+)\n", capsys.readouterr().out)
    (tmp_path / "data" / "admin_credentials").unlink()
    async with started(tmp_path / "data", **WANTED) as application:
        drawn = re.search(r"password: (\S+)\n", capsys.readouterr().out)
        assert first is not None and drawn is not None and drawn[1] != first[1]
        assert await logs_in(application, "admin", drawn[1])
        assert not await logs_in(application, "admin", first[1])
        assert not await logs_in(application, "admin", "admin123")


async def test_in_production_a_reset_needs_a_configured_password(tmp_path: Path) -> None:
    production = {**WANTED, "environment": "production"}
    async with started(tmp_path / "data", **production):
        pass
    (tmp_path / "data" / "admin_credentials").unlink()
    with pytest.raises(Unprocessable, match="DEFAULT_ADMIN_PASSWORD"):
        async with started(tmp_path / "data", **production):
            raise AssertionError("it started")
    async with started(tmp_path / "data", **production, default_admin_password=LONG) as application:
        assert await logs_in(application, "admin", LONG)


async def test_the_key_and_its_mark_hold_no_password_and_no_hash(tmp_path: Path) -> None:
    async with started(tmp_path / "data"):
        pass
    for name in ("admin_credentials", "admin_credentials.mark"):
        path = tmp_path / "data" / name
        assert path.stat().st_mode & 0o777 == 0o600
        assert json.loads(path.read_text()).keys() == {"account_id", "username"}


@pytest.mark.parametrize(("name", "leads_nowhere"), [("nosuch", True), ("scripted/echo", False), ("", False)])
async def test_a_model_for_titles_that_is_none_is_told_at_the_start(
    tmp_path: Path, name: str, leads_nowhere: bool
) -> None:
    with capture_logs() as logged:
        async with started(tmp_path, title_model=name):
            pass
    told = [one["problem"] for one in logged if one["event"] == "configuration"]
    assert [problem.partition(":")[0] for problem in told] == ["TITLE_MODEL"] * leads_nowhere
