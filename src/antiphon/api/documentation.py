"""The OpenAPI document and the page that shows it, for everybody: they tell what the source tells."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html

from antiphon.api.v1.pages import answer

DOCUMENT = "/openapi.json"

router = APIRouter(include_in_schema=False)


@router.get(DOCUMENT)
async def document(request: Request) -> Response:
    """Return the OpenAPI document."""
    return answer(request.app.openapi())


@router.get("/docs")
async def page(request: Request) -> Response:
    """Return the interactive documentation."""
    return get_swagger_ui_html(openapi_url=DOCUMENT, title=f"{request.app.title} - documentation")
