"""The chat page at `/` is given to browsers only, guarded and cached as it must be, and missed in words.

What it does is tested in a browser (`tests/web`); here a directory stands for what the build makes.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from antiphon.api import page
from tests.api.client import Api

HTML = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
SCRIPT = b"export const answer = 42;" * 100


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(page, "DIRECTORY", tmp_path)
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<!doctype html><div id=page></div>")
    (tmp_path / "assets" / "index-abc.js").write_bytes(SCRIPT)
    (tmp_path / "assets" / "index-abc.js.gz").write_bytes(gzip.compress(SCRIPT))
    return tmp_path


async def test_browsers_get_the_page_and_programs_what_they_got_before(api: Api, built: Path) -> None:
    shown = await api.http.get("/", headers=HTML)
    assert shown.status_code == 200 and "id=page" in shown.text
    assert shown.headers["content-security-policy"] == page.CONTENT_POLICY
    assert shown.headers["x-content-type-options"] == "nosniff"
    assert shown.headers["cache-control"] == "no-cache"
    for accept in ("application/json", "*/*"):
        told = await api.http.get("/", headers={"accept": accept})
        assert told.headers["content-type"] == "application/json"


async def test_an_asset_is_kept_for_ever_and_packed_for_who_takes_it(api: Api, built: Path) -> None:
    taking = {"gzip": "gzip", "gzip;q=0, br": None, "identity": None, "br, gzip": "gzip"}
    for taken, encoding in taking.items():
        found = await api.http.get("/assets/index-abc.js", headers={"accept-encoding": taken})
        assert found.content == SCRIPT
        assert found.headers.get("content-encoding") == encoding, taken
        assert found.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert found.headers["content-type"].startswith("text/javascript")
        assert found.headers["vary"] == "accept-encoding"


@pytest.mark.parametrize("name", ["nothing.js", "%2e%2e", ".hidden", "%2e%2e%2fa.html", "a%00b", "x" * 300])
async def test_what_is_no_asset_is_404_in_the_usual_shape(api: Api, built: Path, name: str) -> None:
    found = await api.http.get(f"/assets/{name}", headers=HTML)
    assert found.status_code == 404 and found.json()["error"]["type"] == "invalid_request_error"


async def test_without_a_page_the_server_says_so_and_while_it_is_built_looks_again(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "DIRECTORY", tmp_path)
    missing = await api.http.get("/", headers=HTML)
    assert missing.status_code == 503 and "make page" in missing.text and "refresh" not in missing.text
    (tmp_path / page.BUILDING).touch()
    building = await api.http.get("/", headers=HTML)
    assert building.status_code == 503 and 'http-equiv="refresh"' in building.text
