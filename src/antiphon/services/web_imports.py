"""Web pages kept as files: fetched by the guarded client, which judges the address and every redirect."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import unquote, urlsplit

from antiphon.domain.accounts import Principal
from antiphon.domain.errors import InvalidRequest
from antiphon.domain.files import File
from antiphon.ports.outbound import (
    OutboundError,
    OutboundHttp,
    OutboundRequest,
    OutboundResponse,
    OutboundTooLarge,
)
from antiphon.services.files import Files, NewFile
from antiphon.services.idempotency import Key

MAX_BYTES: Final = 32 * 1024 * 1024
TOTAL_SECONDS: Final = 30.0
IDLE_SECONDS: Final = 10.0
CONNECT_SECONDS: Final = 5.0
MAX_REDIRECTS: Final = 5
ENDINGS: Final = {
    "text/html": ".html", "application/xhtml+xml": ".html", "text/plain": ".txt", "text/markdown": ".md",
    "application/pdf": ".pdf", "application/json": ".json", "text/csv": ".csv",
}  # fmt: skip
"""What a name ends in when its address does not say."""


class WebImports:
    """Fetches pages."""

    def __init__(self, files: Files, http: OutboundHttp) -> None:
        self._files = files
        self._http = http

    async def fetch(self, who: Principal, url: str, purpose: str, *, key: Key | None) -> File:
        """Keep what lies at a public URL as a file; raises InvalidRequest if nothing usable does."""
        request = OutboundRequest(
            method="GET", url=url, trust="user", max_redirects=MAX_REDIRECTS,
            headers={"accept": "text/html, */*;q=0.5"}, connect_seconds=CONNECT_SECONDS,
            idle_seconds=IDLE_SECONDS, total_seconds=TOTAL_SECONDS,
            max_bytes=min(MAX_BYTES, self._files.most_bytes),
        )  # fmt: skip
        try:
            response = await self._http.send(request)
        except OutboundError:
            raise _failed("The page could not be fetched.") from None
        try:
            if response.status != 200:
                raise _failed(f"The page answered with status {response.status}.")
            new = NewFile(filename=name_of(response), purpose=purpose, origin=response.url)
            async with self._files.receiving(who, _chunks(response)) as content:
                return await self._files.create(who, content, new, key=key)
        finally:
            response.close()


async def _chunks(response: OutboundResponse) -> AsyncIterator[bytes]:
    try:
        while piece := await response.read():
            yield piece
    except OutboundTooLarge:
        raise _failed(f"The page is larger than {MAX_BYTES} bytes.") from None
    except OutboundError:
        raise _failed("The page could not be fetched to its end.") from None


def name_of(response: OutboundResponse) -> str:
    """Return a file name for a page: the end of its address, or its host, with a fitting ending."""
    parts = urlsplit(response.url)
    last = unquote(parts.path.rpartition("/")[2])
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    ending = ENDINGS.get(kind, "")
    stem = last or parts.hostname or "page"
    return stem if last and "." in last.strip(".") else stem + ending


def _failed(message: str) -> InvalidRequest:
    return InvalidRequest(message, code="url_failed", param="url")
