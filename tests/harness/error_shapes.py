"""The shapes an error may have: OpenAI's, and those of the older surfaces, which are FastAPI's own."""

from __future__ import annotations

from typing import Any


def require_error_shape(body: Any, what: str = "") -> None:
    """`{"error": {message, type, param, code}}`, or `{"detail": …}`, perhaps with `error` beside it."""
    assert isinstance(body, dict), (what, body)
    if isinstance(body.get("error"), dict):
        assert body.keys() == {"error"}, (what, body)
        assert body["error"].keys() == {"message", "type", "param", "code"}, (what, body)
        assert isinstance(body["error"]["message"], str) and body["error"]["message"], (what, body)
        return
    assert {"detail"} <= body.keys() <= {"detail", "error"}, (what, body)
    detail = body["detail"]
    assert detail and isinstance(detail, str | list), (what, body)
    if isinstance(detail, list):
        assert all(one.keys() == {"type", "loc", "msg"} for one in detail), (what, body)


def code_of(body: Any) -> str | None:
    """The machine's word of an error; older surfaces have none, but a sentence that says the same."""
    if isinstance(body.get("error"), dict):
        code: str | None = body["error"]["code"]
        return code
    told = str(body["detail"])
    refused = "has no scope" in told or "for administrators" in told
    return "insufficient_scope" if refused else None
