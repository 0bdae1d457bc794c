"""`POST /v1/files/from_url`: public pages become files; what is private, endless or broken does not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from antiphon.providers.http_client import HttpClient
from tests.api.client import Api, in_process
from tests.providers.raw_server import Peer, RawServer, serving
from tests.services.world import open_world

PAGE = b"<html><title>T</title><body><p>hello</p></body></html>"


def head(status: str, *headers: str) -> bytes:
    return "\r\n".join((f"HTTP/1.1 {status}", *headers, "connection: close", "", "")).encode()


async def play(peer: Peer) -> None:
    """A small site: pages, redirects, and pages that never end."""
    request = await peer.request()
    path = request.split(b" ")[1] if request else b""
    if path in (b"/docs/page", b"/", b"/a.md"):
        await peer.say(head("200 OK", "content-type: text/html", f"content-length: {len(PAGE)}"), PAGE)
    elif path == b"/moved":
        await peer.say(head("302 Found", "location: /docs/page", "content-length: 0"))
    elif path == b"/inward":
        await peer.say(head("302 Found", "location: http://169.254.169.254/", "content-length: 0"))
    elif path == b"/endless":
        await peer.say(head("200 OK", "content-type: text/html"))
        while True:
            await peer.say(b"x" * 65_536)
    elif path == b"/short":
        await peer.say(head("200 OK", "content-length: 100"), b"half")
    else:
        await peer.say(head("404 Not Found", "content-length: 0"))


@asynccontextmanager
async def opened(directory: Path) -> AsyncIterator[tuple[Api, RawServer]]:
    """The application, for which this machine's loopback is as public as the rest of the world."""
    async with serving(play) as site:
        http = HttpClient(is_public=lambda address: address == "127.0.0.1")
        world = await open_world(directory, http=http)
        try:
            async with in_process(world) as api:
                yield api, site
        finally:
            await world.close()
            await http.close()


NAMES = {"/docs/page": "page.html", "/": "127.0.0.1.html", "/a.md": "a.md", "/moved": "page.html"}


@pytest.mark.parametrize("path", NAMES)
async def test_a_page_becomes_a_file(tmp_path: Path, path: str) -> None:
    async with opened(tmp_path / "data") as (api, site):
        url = f"http://127.0.0.1:{site.port}{path}"
        made = await api.post("/v1/files/from_url", {"url": url})
        assert (made["filename"], made["purpose"], made["bytes"]) == (NAMES[path], "user_data", len(PAGE))
        final = url.replace("/moved", "/docs/page")
        assert made["antiphon"]["origin"] == final
        got = await api.http.get(f"/v1/files/{made['id']}/content")
        assert got.content == PAGE
        assert got.headers["content-type"] == "application/octet-stream", "never shown as a page"


REFUSED = {
    "/nothing": "url_failed", "/short": "url_failed", "/endless": "url_failed",
    "/inward": "url_not_allowed",
}  # fmt: skip


@pytest.mark.parametrize("path", REFUSED)
async def test_what_is_no_page_is_refused_and_leaves_nothing(
    tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("antiphon.services.web_imports.MAX_BYTES", 1_000_000)
    async with opened(tmp_path / "data") as (api, site):
        url = f"http://127.0.0.1:{site.port}{path}"
        error = await api.refused("POST", "/v1/files/from_url", {"url": url}, status=400)
        assert error["code"] == REFUSED[path]
        assert (await api.get("/v1/files"))["data"] == []
        left = [one for one in (api.world.directory / "documents").rglob("*") if one.is_file()]
        assert left == []


ADDRESSES = (
    "http://127.0.0.1/", "http://localhost/", "http://10.0.0.1/", "http://169.254.169.254/latest",
    "http://[::1]/", "file:///etc/passwd", "ftp://example.org/", "http://2130706433/", "nonsense",
    "http://user:pass@127.0.0.1/",
)  # fmt: skip


@pytest.mark.parametrize("url", ADDRESSES)
async def test_private_addresses_are_not_fetched(api: Api, url: str) -> None:
    error = await api.refused("POST", "/v1/files/from_url", {"url": url}, status=400)
    assert error["code"] in ("url_not_allowed", "url_failed")


async def test_a_retried_import_fetches_once(tmp_path: Path) -> None:
    async with opened(tmp_path / "data") as (api, site):
        body = {"url": f"http://127.0.0.1:{site.port}/docs/page"}
        made = [await api.post("/v1/files/from_url", body, idempotency_key="k") for _ in range(2)]
        assert made[0] == made[1]
        assert site.accepted == 1
