"""What the forms with files in them say besides the file's bytes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

import msgspec
from fastapi import Request, Response
from starlette.types import Scope

from antiphon.api.dependencies import JsonRoute
from antiphon.api.front import CLIENT_GONE
from antiphon.api.http import ClientGone
from antiphon.api.idempotency import key_of
from antiphon.api.multipart import Form
from antiphon.domain.errors import InvalidRequest
from antiphon.domain.files import PURPOSES
from antiphon.services.idempotency import Key

ANCHOR: Final = "expires_after[anchor]"
SECONDS: Final = "expires_after[seconds]"
MIN_SECONDS: Final = 3600
MAX_SECONDS: Final = 2_592_000
"""OpenAI's bounds of a file's life: one hour to thirty days."""


class FormRoute(JsonRoute):
    """A route whose handler reads the body itself, piece by piece; a client may leave in the middle."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        """Wrap the framework's handler."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await handler(request)
            except ClientGone:
                return Response(status_code=CLIENT_GONE)

        return handle


def form_key(form: Form, digest: str, scope: Scope, render: Callable[[Any], bytes]) -> Key | None:
    """Return the request's idempotency key.

    Its fingerprint is made of what the form says, not of its bytes: every retry has another boundary.
    """
    said = msgspec.json.encode([sorted(form.fields.items()), form.filename, digest])
    return key_of(scope, said, render)


def purpose_of(fields: Mapping[str, str]) -> str:
    """Return the purpose a form names; raises InvalidRequest."""
    return checked_purpose(_required(fields, "purpose"))


def checked_purpose(purpose: str) -> str:
    """Return a purpose that is known; raises InvalidRequest."""
    if purpose not in PURPOSES:
        raise InvalidRequest(
            f"'purpose' is one of {', '.join(sorted(PURPOSES))}.", code="invalid_value", param="purpose"
        )
    return purpose


def expiry_of(fields: Mapping[str, str]) -> int | None:
    """Return after how many seconds a file is to go, None for never; raises InvalidRequest."""
    if ANCHOR not in fields and SECONDS not in fields:
        return None
    if _required(fields, ANCHOR) != "created_at":
        raise InvalidRequest("The anchor is 'created_at'.", code="invalid_value", param=ANCHOR)
    text = _required(fields, SECONDS)
    value = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    if not MIN_SECONDS <= value <= MAX_SECONDS:
        raise InvalidRequest(
            f"A file expires after {MIN_SECONDS} to {MAX_SECONDS} seconds.",
            code="invalid_value",
            param=SECONDS,
        )
    return value


def require_known(fields: Mapping[str, str], known: Collection[str]) -> None:
    """Refuse fields that nobody reads."""
    for name in fields:
        if name not in known:
            raise InvalidRequest("Unknown parameter in the form.", code="unknown_parameter", param=name[:64])


def _required(fields: Mapping[str, str], name: str) -> str:
    value = fields.get(name)
    if not value:
        raise InvalidRequest(
            f"Missing required parameter: '{name}'.", code="missing_required_parameter", param=name
        )
    return value


def form_body(file_field: str, **fields: dict[str, Any]) -> dict[str, Any]:
    """Return the `openapi_extra` of a route that takes a form with a file."""
    properties = {file_field: {"type": "string", "format": "binary"}, **fields}
    required = [file_field, *(name for name, one in fields.items() if one.pop("required", False))]
    schema = {"type": "object", "required": required, "properties": properties}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}
