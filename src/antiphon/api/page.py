"""The chat page at `/`: one document and its hashed assets, as the build left them.

Nothing is read before somebody asks. Where there is no page `/` says why, in words, and the rest of the
server does not depend on it. Programs that ask `/` for JSON are left to whoever answers them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request, Response
from starlette.responses import FileResponse, HTMLResponse
from starlette.routing import Match, Route
from starlette.types import Scope

from antiphon.domain.errors import NotFound

DIRECTORY: Final = Path(__file__).parent / "web"
"""Where the build puts the page; see `hatch_build.py`."""

ROUTE: Final = "/"
ASSETS: Final = "/assets"
BUILDING: Final = "building"
"""A file of this name stands there while a build runs beside the server."""

CONTENT_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; font-src 'self';"
    " connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
GUARDS: Final = {
    "content-security-policy": CONTENT_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}
FOR_EVER: Final = "public, max-age=31536000, immutable"
"""An asset's name holds a digest of its content."""

TYPES: Final = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".woff2": "font/woff2",
    ".json": "application/json",
}
ENCODINGS: Final = (("br", ".br"), ("gzip", ".gz"))
"""Made by the build; the better one first."""

_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,120}")
_ABSENT: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Antiphon</title>{refresh}
<h1>Antiphon</h1>
<p>{what}</p>
<p>The server itself works: its <a href="/docs">documentation</a> shows every call.</p>
</html>
"""
_NOT_YET: Final = (
    "The chat page is being built, once, beside the server. This page looks again every few seconds."
)
_NOT_BUILT: Final = (
    "This server runs without the chat page: it was not built."
    " <code>make page</code> builds it and says what is missing."
)


class _PageRoute(Route):
    """Matches only who wants to see a page: a dialect may answer the same path with JSON."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """See starlette."""
        if scope["type"] == "http" and not _wants_page(scope):
            return Match.NONE, {}
        return super().matches(scope)


def _wants_page(scope: Scope) -> bool:
    accepted = (value for name, value in scope["headers"] if name == b"accept")
    return any(b"text/html" in value for value in accepted)


async def page(request: Request) -> Response:
    """Return the page, or a sentence that says why there is none."""
    found = _encoded(request, DIRECTORY / "index.html")
    if found is None:
        building = (DIRECTORY / BUILDING).exists()
        refresh = '<meta http-equiv="refresh" content="3">' if building else ""
        text = _ABSENT.format(refresh=refresh, what=_NOT_YET if building else _NOT_BUILT)
        return HTMLResponse(text, status_code=503, headers={**GUARDS, "cache-control": "no-store"})
    path, headers = found
    headers |= GUARDS | {"cache-control": "no-cache", "vary": "accept, accept-encoding"}
    return FileResponse(path, headers=headers, media_type="text/html; charset=utf-8")


async def asset(request: Request) -> Response:
    """Return one file of the page, encoded as the client takes it."""
    name = request.path_params["name"]
    found = _encoded(request, DIRECTORY / "assets" / name) if _NAME.fullmatch(name) else None
    if found is None:
        raise NotFound(f"There is no file '{name}'.")
    path, headers = found
    headers |= GUARDS | {"cache-control": FOR_EVER, "vary": "accept-encoding"}
    return FileResponse(path, headers=headers, media_type=TYPES.get(Path(name).suffix))


def _encoded(request: Request, path: Path) -> tuple[Path, dict[str, str]] | None:
    """Return the smallest form of a file that the client takes, and what says so; None without the file."""
    if not path.is_file():
        return None
    taken = request.headers.get("accept-encoding", "")
    for encoding, suffix in ENCODINGS:
        packed = path.with_name(path.name + suffix)
        if re.search(rf"\b{encoding}\b(?!\s*;\s*q=0(?:\.0*)?(?:\s*,|\s*$))", taken) and packed.is_file():
            return packed, {"content-encoding": encoding}
    return path, {}


def is_built() -> bool:
    """Whether there is a page."""
    return (DIRECTORY / "index.html").is_file()


router = APIRouter(
    routes=[
        _PageRoute(ROUTE, page, methods=["GET"], include_in_schema=False),
        Route(ASSETS + "/{name}", asset, methods=["GET"], include_in_schema=False),
    ]
)
