"""The OpenAPI document and the page that shows it, for whoever may call the API at all."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html

from antiphon.api.dependencies import Caller
from antiphon.api.v1.pages import answer

DOCUMENT = "/openapi.json"

router = APIRouter(include_in_schema=False)


@router.get(DOCUMENT)
async def document(who: Caller, request: Request) -> Response:
    """Return the OpenAPI document."""
    return answer(request.app.openapi())


@router.get("/docs")
async def page(who: Caller, request: Request) -> Response:
    """Return the interactive documentation."""
    return get_swagger_ui_html(openapi_url=DOCUMENT, title=f"{request.app.title} - documentation")
