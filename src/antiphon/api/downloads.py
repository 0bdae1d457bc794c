"""Giving back bytes that somebody uploaded: always as a download, never as a page of this server."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Final
from urllib.parse import quote

from fastapi import Response
from fastapi.responses import StreamingResponse

from antiphon.api.http import Receive, Scope, Send, header

_RANGE: Final = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")

GUARDS: Final = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "sandbox; default-src 'none'",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "private, no-store",
    "accept-ranges": "bytes",
}
"""A browser that is led here runs nothing of the content and takes it for nothing but a file."""


class ClosingResponse(StreamingResponse):
    """Streams what is made while it is sent, and closes it at the end, also if nobody wants the rest."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See starlette, which leaves the closing to the collector."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            if isinstance(self.body_iterator, AsyncGenerator):
                await self.body_iterator.aclose()


def download(
    scope: Scope, read: Callable[[int, int], AsyncIterator[bytes]], *, size: int, filename: str, digest: str
) -> Response:
    """Return a response with all or one range of a content; `read` iterates over bytes start to end.

    Several ranges at once are answered with the whole, as RFC 9110 allows.
    """
    tag = f'"{digest}"'
    headers = GUARDS | {"content-disposition": disposition(filename), "etag": tag}
    wanted = header(scope, b"range")
    if header(scope, b"if-range") not in (None, tag):
        wanted = None
    found = _RANGE.fullmatch(wanted) if wanted is not None else None
    if found is None or not any(found.groups()):
        headers["content-length"] = str(size)
        return ClosingResponse(read(0, size), 200, headers, "application/octet-stream")
    start, end = _span(found[1], found[2], size)
    if start >= end:
        return Response(None, 416, headers | {"content-range": f"bytes */{size}"})
    headers |= {"content-range": f"bytes {start}-{end - 1}/{size}", "content-length": str(end - start)}
    return ClosingResponse(read(start, end), 206, headers, "application/octet-stream")


def _span(first: str, last: str, size: int) -> tuple[int, int]:
    """Return the half-open span a range asks for: from-to, from on, or the last so many bytes."""
    if not first:
        return max(size - int(last), 0), size
    return int(first), min(int(last) + 1, size) if last else size


def disposition(filename: str) -> str:
    """Return the header for a name: plain for old clients, and whole in RFC 8187's form."""
    plain = "".join(
        one if one.isascii() and one not in '"\\%;' and one.isprintable() else "_" for one in filename
    )
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"
