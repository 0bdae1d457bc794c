"""From settings to login providers: what is needed, and what an origin is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from antiphon.bootstrap import SystemClock
from antiphon.bootstrap.providers import login_providers
from antiphon.domain.errors import InvalidRequest
from antiphon.providers.http_client import HttpClient
from tests.services.world import settings_for

PUBLIC = "https://chat.example.org"


@pytest.fixture
async def http(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[HttpClient]:
    monkeypatch.chdir(tmp_path)
    client = HttpClient()
    yield client
    await client.close()


async def test_settings_and_the_file_make_providers(tmp_path: Path, http: HttpClient) -> None:
    file = tmp_path / "antiphon.toml"
    file.write_text('[oidc.corp]\nissuer = "https://login.example.org"\nclient_id = "antiphon"\n')
    given = {"config_file": file, "public_url": PUBLIC, "google_client_id": "g", "github_client_id": "h"}
    assert login_providers(settings_for(tmp_path), http, SystemClock()) == {}
    made = login_providers(settings_for(tmp_path, **given), http, SystemClock())
    assert list(made) == ["google", "github", "corp"]
    assert [type(made[name]).__name__ for name in made] == ["OidcLogin", "GitHubLogin", "OidcLogin"]


async def test_without_an_origin_of_its_own_there_are_no_logins(tmp_path: Path, http: HttpClient) -> None:
    with pytest.raises(InvalidRequest, match="PUBLIC_URL"):
        login_providers(settings_for(tmp_path, google_client_id="g"), http, SystemClock())


def test_what_an_origin_is(tmp_path: Path) -> None:
    for url in (PUBLIC, PUBLIC + "/", "http://localhost:8000", "http://127.0.0.1:8000", "http://[::1]:8000"):
        assert settings_for(tmp_path, public_url=url).public_url == url.rstrip("/")
    assert settings_for(tmp_path, public_url="").public_url is None
    for url in (
        "http://chat.example.org",
        f"{PUBLIC}/chat",
        "chat.example.org",
        "https://",
        "https://a@b.org",
    ):
        with pytest.raises(ValueError, match="https"):
            settings_for(tmp_path, public_url=url)
