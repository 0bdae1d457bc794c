"""The filter language of vector stores: comparisons of attributes, joined by `and` and `or`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from antiphon.domain.errors import InvalidRequest

COMPARISONS: Final = ("eq", "ne", "gt", "gte", "lt", "lte", "in", "nin")
JOINS: Final = ("and", "or")
MAX_DEPTH: Final = 8
MAX_NODES: Final = 256
MAX_LIST: Final = 1_000

Value = str | float | bool


class Comparison(msgspec.Struct, frozen=True, tag=True):
    """One attribute against a value; `values` is used by `in` and `nin`."""

    kind: str
    key: str
    value: Value | None = None
    values: tuple[Value, ...] = ()


class Join(msgspec.Struct, frozen=True, tag=True):
    """All (`and`) or any (`or`) of several filters."""

    kind: str
    parts: tuple[Filter, ...]


Filter = Comparison | Join


def parse_filter(body: Any, param: str = "filters") -> Filter | None:
    """Return a filter from its wire shape, None for None; raises InvalidRequest."""
    if body is None:
        return None
    left = [MAX_NODES]
    return _parse(body, param, 0, left)


def _parse(body: Any, param: str, depth: int, left: list[int]) -> Filter:
    left[0] -= 1
    if depth > MAX_DEPTH or left[0] < 0:
        raise InvalidRequest(
            f"The filter is too large: at most {MAX_NODES} parts, {MAX_DEPTH} deep.",
            code="invalid_value",
            param=param,
        )
    if not isinstance(body, dict):
        raise InvalidRequest(f"'{param}' must be an object.", code="invalid_type", param=param)
    kind = body.get("type")
    if kind in JOINS:
        parts = body.get("filters")
        if not isinstance(parts, list) or not parts:
            raise InvalidRequest(
                f"'{param}.filters' must be a list that is not empty.",
                code="invalid_type",
                param=f"{param}.filters",
            )
        inner = (
            _parse(part, f"{param}.filters[{index}]", depth + 1, left) for index, part in enumerate(parts)
        )
        return Join(kind, tuple(inner))
    if kind not in COMPARISONS:
        raise InvalidRequest(
            f"'{param}.type' is one of {', '.join((*COMPARISONS, *JOINS))}.",
            code="invalid_value",
            param=f"{param}.type",
        )
    return _comparison(kind, body, param)


def _comparison(kind: str, body: dict[str, Any], param: str) -> Comparison:
    key, value = body.get("key"), body.get("value")
    if not isinstance(key, str) or not key:
        raise InvalidRequest(f"'{param}.key' must be a text.", code="invalid_type", param=f"{param}.key")
    if kind in ("in", "nin"):
        if not isinstance(value, list) or len(value) > MAX_LIST or not all(_is_value(one) for one in value):
            raise InvalidRequest(
                f"'{param}.value' must be a list of at most {MAX_LIST} texts, numbers or booleans.",
                code="invalid_type",
                param=f"{param}.value",
            )
        return Comparison(kind, key, values=tuple(value))
    if not _is_value(value) or (kind not in ("eq", "ne") and isinstance(value, bool)):
        raise InvalidRequest(
            f"'{param}.value' must be a text or a number{' or a boolean' if kind in ('eq', 'ne') else ''}.",
            code="invalid_type",
            param=f"{param}.value",
        )
    return Comparison(kind, key, value)


def _is_value(value: Any) -> bool:
    return isinstance(value, str | int | float | bool)


def matches(filter_: Filter, attributes: Mapping[str, Value]) -> bool:
    """Whether attributes pass a filter.

    A missing attribute passes `ne` and `nin` only. Texts compare with texts, numbers with numbers;
    true and false are no numbers. What cannot be compared is not equal, neither less nor greater.
    """
    if isinstance(filter_, Join):
        parts = (matches(part, attributes) for part in filter_.parts)
        return all(parts) if filter_.kind == "and" else any(parts)
    found = attributes.get(filter_.key)
    kind = filter_.kind
    if kind in ("in", "nin"):
        among = any(_equal(found, value) for value in filter_.values)
        return among if kind == "in" else not among
    if kind in ("eq", "ne"):
        return _equal(found, filter_.value) == (kind == "eq")
    return _ordered(kind, found, filter_.value)


def _equal(one: Value | None, other: Value | None) -> bool:
    if one is None or isinstance(one, bool) != isinstance(other, bool):
        return False
    return one == other


def _ordered(kind: str, found: Value | None, value: Value | None) -> bool:
    if isinstance(found, str) and isinstance(value, str):
        order = (found > value) - (found < value)
    elif _is_number(found) and _is_number(value):
        order = (found > value) - (found < value)  # type: ignore[operator]
    else:
        return False
    return {"gt": order > 0, "gte": order >= 0, "lt": order < 0, "lte": order <= 0}[kind]


def _is_number(value: Value | None) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
