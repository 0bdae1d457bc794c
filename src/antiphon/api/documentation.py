"""The OpenAPI document and the pages that show it, for everybody: they tell what the source tells.

The pages take nothing from other servers: what they need is served beside them.
"""

from __future__ import annotations

import asyncio
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from starlette.responses import FileResponse

from antiphon.api.dependencies import App
from antiphon.api.v1.pages import answer
from antiphon.api.v1.schemas import SCHEMES
from antiphon.domain.errors import NotFound

DOCUMENT: Final = "/openapi.json"
ASSETS: Final = "/docs/assets"
KEPT: Final = {"cache-control": "public, max-age=86400"}
FILES: Final = frozenset({"swagger-ui-bundle.js", "swagger-ui.css", "redoc.standalone.js", "favicon.png"})

router = APIRouter(include_in_schema=False)


def _directory() -> Path:
    """Return where the package lies that carries both pages' programs; nothing of it is run."""
    found = find_spec("fastapi_offline")
    assert found is not None and found.submodule_search_locations  # noqa: S101 - a declared dependency
    return Path(found.submodule_search_locations[0]) / "static"


DIRECTORY: Final = _directory()


@router.get(DOCUMENT)
async def document(application: App, request: Request) -> Response:
    """Return the OpenAPI document, with what it takes to be let in here."""
    ways: list[dict[str, list[str]]] = [{name: []} for name in SCHEMES]
    security = ways if application.policy.needs_credentials else [{}, *ways]
    made = await asyncio.to_thread(request.app.openapi)  # 0.4 s the first time: streams go on beside it
    return answer({**made, "security": security})


@router.get("/docs")
async def page(request: Request) -> Response:
    """Return the interactive documentation; "Authorize" takes a token, or a name and password."""
    return get_swagger_ui_html(
        openapi_url=DOCUMENT,
        title=f"{request.app.title} - documentation",
        swagger_js_url=f"{ASSETS}/swagger-ui-bundle.js",
        swagger_css_url=f"{ASSETS}/swagger-ui.css",
        swagger_favicon_url=f"{ASSETS}/favicon.png",
        oauth2_redirect_url=None,
    )


@router.get("/redoc")
async def reference(request: Request) -> Response:
    """Return the documentation as one page to read."""
    return get_redoc_html(
        openapi_url=DOCUMENT,
        title=f"{request.app.title} - reference",
        redoc_js_url=f"{ASSETS}/redoc.standalone.js",
        redoc_favicon_url=f"{ASSETS}/favicon.png",
        with_google_fonts=False,
    )


@router.get(ASSETS + "/{name}")
async def asset(name: str) -> Response:
    """Return a file of the pages."""
    if name not in FILES:
        raise NotFound(f"There is no file '{name}'.")
    return FileResponse(DIRECTORY / name, headers=KEPT)
