"""What is common to the book's answers: both keys of an error, the session in body and header, fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError

from antiphon.api.dialects.dialect import INTERNAL, Detail
from antiphon.api.dialects.fields import fields_of
from antiphon.api.v1.pages import answer
from antiphon.domain.chat_sessions import ChatSession
from antiphon.domain.errors import InvalidRequest
from antiphon.domain.items import MAX_LABEL

TAG: Final = "book"
UNFORESEEN: Final = "Something went wrong in the server. Try again; if it stays so tell whoever runs it."
SESSION_HEADER: Final = "Session-ID"


def both_keys(detail: Detail) -> dict[str, Any]:
    """Return an error's body as both of the book's error handlers make it."""
    sentence = detail if isinstance(detail, str) else "; ".join(_fault(one) for one in detail)
    return {"detail": detail, "error": UNFORESEEN if detail == INTERNAL else sentence}


def _fault(one: Mapping[str, Any]) -> str:
    place = ".".join(str(part) for part in one["loc"][1:])
    return f"{place}: {one['msg']}" if place else str(one["msg"])


def told(session: ChatSession, body: dict[str, Any], *, status: int = 200) -> Response:
    """Return an answer that also tells which session it is about."""
    headers = {SESSION_HEADER.lower(): header_text(session.name)}
    return answer({**body, "session_id": session.name}, status=status, headers=headers)


def header_text(name: str) -> str:
    """Return a session's name as a header can carry it: what is not plain ASCII is percent-encoded."""
    return quote(name, safe=" !#$&'()*+,-./:;<=>?@[]^_`{|}~")


async def text_field(request: Request, name: str) -> str:
    """Return the one text that a call takes, from its body or its query; raises RequestValidationError."""
    return text_of(await fields_of(request), name)


def text_of(fields: Mapping[str, Any], name: str) -> str:
    """Return a field that must be there and be a string; raises RequestValidationError."""
    found = optional_text(fields, name)
    if found is None:
        raise fault(name, "missing", "Field required")
    return found


def optional_text(fields: Mapping[str, Any], name: str) -> str | None:
    """Return a field that is a string if it is there; raises RequestValidationError."""
    value = fields.get(name)
    if value is not None and not isinstance(value, str):
        raise fault(name, "string_type", "Input should be a valid string")
    return value


def label_of(value: str | int | None, name: str = "user_id") -> str | None:
    """Return the label of a participant; None for an empty one. Raises InvalidRequest for a long one."""
    label = str(value).strip() if value is not None else ""
    if len(label) > MAX_LABEL or not label.isprintable():
        raise InvalidRequest(
            f"'{name}' has up to {MAX_LABEL} printable characters.", code="invalid_value", param=name
        )
    return label or None


def fault(name: str, kind: str, message: str) -> RequestValidationError:
    """Return the error for one field."""
    return RequestValidationError([{"type": kind, "loc": ("body", name), "msg": message}])
