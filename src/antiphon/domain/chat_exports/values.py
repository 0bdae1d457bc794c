"""Values of exports, which may be of any type: text without half characters, times, lists, objects."""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import msgspec

_HALVES: Final = re.compile("[\ud800-\udfff]")
_CONTROLS: Final = re.compile("[\x00-\x1f\x7f]+")
_DATA_URL: Final = re.compile(r"data:[\w.+/-]*(?:;[\w=.+-]+)*;base64,", re.ASCII)
LAST_US: Final = 4_102_444_800_000_000
"""2100-01-01: what lies beyond is no time."""
UUID_TYPES: Final = frozenset({"3", "03", "4", "04"})
"""Types of binary values that are UUIDs; 3 in the order of bytes that Python's driver wrote them in."""
MILLISECONDS, MICROSECONDS = 1e11, 1e14
"""Numbers above are no seconds, or no milliseconds: as seconds they lie beyond the year 5000."""


def text(value: Any) -> str:
    """Return a text whose half characters are put together or replaced; "" for what is no text."""
    if not isinstance(value, str):
        return ""
    if _HALVES.search(value) is None:
        return value
    return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def line(value: Any, limit: int = 500) -> str | None:
    """Return a text as one line of at most `limit` characters, None if nothing is left."""
    return _CONTROLS.sub(" ", text(value)).strip()[:limit] or None


def mapping(value: Any) -> Mapping[str, Any]:
    """Return an object, an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def listing(value: Any) -> list[Any]:
    """Return a list, an empty one for anything else."""
    return value if isinstance(value, list) else []


def name(value: Any) -> str | None:
    """Return an id as text; numbers, UUIDs and MongoDB's ids are ids, too."""
    if isinstance(value, dict):
        value = value.get("$oid") or _uuid(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return text(value) or None


def _uuid(value: Mapping[str, Any]) -> str | None:
    """Return the UUID of MongoDB's `$uuid` or `$binary`, whose older form has the type beside the bytes."""
    found, kind = value.get("$binary"), value.get("$type")
    if isinstance(found, dict):
        kind, found = found.get("subType"), found.get("base64")
    try:
        if isinstance(found, str) and str(kind) in UUID_TYPES:
            return str(UUID(bytes=base64.b64decode(found)))
        return str(UUID(text(value.get("$uuid"))))
    except ValueError:
        return None


def moment(value: Any) -> int | None:
    """Return a time in µs, of seconds, ms, µs, ISO 8601 or MongoDB's `$date`; None if it is none."""
    if isinstance(value, dict):
        value = value.get("$date", value.get("$numberLong"))
        if isinstance(value, dict):
            value = value.get("$numberLong")
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 18:
            value = int(value)
    if isinstance(value, str):
        return _in_range(_written(value))
    if isinstance(value, bool) or not isinstance(value, (int, float)) or abs(value) > 1e18:
        return None
    if not math.isfinite(value):
        return None
    scale = 1 if abs(value) > MICROSECONDS else 1000 if abs(value) > MILLISECONDS else 1_000_000
    return _in_range(round(value * scale))


def _written(value: str) -> int | None:
    try:
        found = datetime.fromisoformat(value.strip())
        return round((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1_000_000)
    except (ValueError, OverflowError):
        return None


def _in_range(found: int | None) -> int | None:
    return found if found is not None and 0 < found < LAST_US else None


def data_url(value: Any) -> bytes | None:
    """Return the bytes of a data URL, None if it is none."""
    if not isinstance(value, str) or not (found := _DATA_URL.match(value)):
        return None
    try:
        return base64.b64decode(value[found.end() :])
    except (binascii.Error, ValueError):
        return None


def encoded(value: Any) -> str:
    """Return a value as JSON, also one with numbers of any size; what is nested too deeply is not told."""
    try:
        return msgspec.json.encode(value, order="sorted").decode()
    except (UnicodeEncodeError, OverflowError, TypeError, ValueError, RecursionError):
        pass
    try:
        return json.dumps(value, default=str)
    except (TypeError, ValueError, RecursionError):
        return "{}"
