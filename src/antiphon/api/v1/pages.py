"""Pages in OpenAI's shape, and JSON answers by msgspec."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from fastapi import Request, Response

from antiphon.api.v1.wire_json import encode_object

Order = Literal["asc", "desc"]


def included(request: Request, include: Sequence[str] | None) -> list[str]:
    """Return what a query's `include` names; SDKs write it as `include[]`."""
    return [*(include or ()), *request.query_params.getlist("include[]")]


def page_object(data: Sequence[dict[str, Any]], *, has_more: bool) -> dict[str, Any]:
    """Return a list page; `first_id` and `last_id` are null when it is empty."""
    return {
        "object": "list",
        "data": list(data),
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": has_more,
    }


def answer(body: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a JSON response that no cache keeps."""
    return raw_answer(encode_object(body), status=status, headers=headers)


def raw_answer(body: bytes, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a response whose JSON is already encoded."""
    return Response(
        body,
        status_code=status,
        media_type="application/json",
        headers={"cache-control": "no-store", **(headers or {})},
    )
