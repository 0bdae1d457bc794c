"""Errors in OpenAI's shape: an HTTP status and `{"error": {message, type, param, code}}`."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from antiphon.api.rate_limits import headers_of
from antiphon.domain import errors

log = logging.getLogger(__name__)

_STATUS: Final[dict[type[errors.AntiphonError], int]] = {
    errors.InvalidRequest: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.InFlight: 409,
    errors.PreconditionFailed: 412,
    errors.TooLarge: 413,
    errors.Unprocessable: 422,
    errors.RateLimited: 429,
    errors.Unavailable: 503,
    errors.StorageFull: 507,
    errors.LoginProviderError: 502,
    errors.ProviderError: 502,
}

_TYPE: Final = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


_ALTERNATIVE: Final = re.compile(r"constrained-\w+|[\w-]*\[.+\]")
"""How a validator names a type that was tried, where a field may have several: no part of the body."""

_PLAIN: Final = frozenset({"bool", "float", "int", "str"})
"""The same of the simplest types, by which only the last part may be named: a key of a caller may be, too."""

_NAMED_BY_CALLERS: Final = frozenset({"attributes", "metadata"})


def status_of(error: errors.AntiphonError) -> int:
    """Return the HTTP status of a named error."""
    for kind in type(error).__mro__:
        if kind in _STATUS:
            return _STATUS[kind]
    return 500


def type_of(status: int) -> str:
    """Return OpenAI's `error.type` for a status."""
    if status >= 500:
        return "server_error"
    return _TYPE.get(status, "invalid_request_error")


def error_object(status: int, message: str, *, param: str | None, code: str | None) -> dict[str, Any]:
    """Return the body of an error, all four keys present."""
    return {"error": {"message": message, "type": type_of(status), "param": param, "code": code}}


def retry_after(seconds: float) -> tuple[bytes, bytes]:
    """Return the header that says when to come back: in whole seconds, and not at once."""
    return b"retry-after", str(max(1, math.ceil(seconds))).encode()


def describe(
    error: Exception, request: str | None = None
) -> tuple[int, dict[str, Any], list[tuple[bytes, bytes]]]:
    """Return status, body and extra headers for any exception; logs what nobody foresaw, by its request."""
    if isinstance(error, errors.AntiphonError):
        status = status_of(error)
        headers: list[tuple[bytes, bytes]] = []
        wait = getattr(error, "retry_after_seconds", None)
        if wait is not None:
            headers.append(retry_after(wait))
        elif status in (503, 507):
            headers.append((b"retry-after", b"5"))
        if isinstance(error, errors.RateLimited):
            headers += headers_of(error.standings)
        if status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        return status, error_object(status, error.message, param=error.param, code=error.code), headers
    log.error("unhandled error in %s", request or "a request", exc_info=error)
    return 500, error_object(500, "Internal error.", param=None, code=None), []


def field_problem(found: Mapping[str, Any]) -> tuple[str, str | None, str]:
    """Return message, param and code for a validator's first finding; never repeat what was sent."""
    place = [str(part) for part in found["loc"]]
    if found["type"] != "extra_forbidden":  # whose name is the caller's own
        place = [part for part in place if not _ALTERNATIVE.fullmatch(part)]
        if len(place) > 1 and place[-1] in _PLAIN and place[-2] not in _NAMED_BY_CALLERS:
            place.pop()
    if place and place[0] in ("body", "query", "path", "header"):
        place = place[1:]
    param = ".".join(place) or None
    code = {"extra_forbidden": "unknown_parameter", "missing": "missing_required_parameter"}.get(
        found["type"], "invalid_value"
    )
    message = f"Unknown parameter: '{param}'." if code == "unknown_parameter" else f"{found['msg']}."
    return message, param, code


def decoding_error(error: Exception) -> errors.InvalidRequest:
    """Return the error for a body that cannot be decoded, naming the field where it is known."""
    message = str(error)
    if isinstance(error, msgspec.ValidationError):
        text, _, path = message.partition(" - at ")
        param = path.rpartition(" in ")[2].strip("`").removeprefix("$").removeprefix(".") or None
        param = (param.removesuffix("[...]") or None) if param else None
        if "unknown field" in text:
            name = text.split("`")[1]
            param = f"{param}.{name}" if param else name
            return errors.InvalidRequest(
                f"Unknown parameter: '{param}'.", code="unknown_parameter", param=param
            )
        if "missing required field" in text:
            name = text.split("`")[1]
            return errors.InvalidRequest(
                f"Missing required parameter: '{name}'.", code="missing_required_parameter", param=name
            )
        if text.startswith("Invalid enum value"):
            text = "Invalid value"  # and not which: a refusal repeats nothing that was said
        return errors.InvalidRequest(f"{text}.", code="invalid_type", param=param)
    return errors.InvalidRequest("We could not parse the JSON body of your request.", code="invalid_json")
