"""Whether a document meets a condition: the few operators that the commands use, as MongoDB has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

_COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "$gt": lambda value, wanted: type(value) is type(wanted) and value > wanted,
    "$gte": lambda value, wanted: type(value) is type(wanted) and value >= wanted,
    "$lt": lambda value, wanted: type(value) is type(wanted) and value < wanted,
    "$lte": lambda value, wanted: type(value) is type(wanted) and value <= wanted,
    "$ne": lambda value, wanted: value != wanted,
    "$in": lambda value, wanted: value in wanted,
}


def matches(document: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Return whether every field is as wanted; a field that is not there is None."""
    return all(_is(_field(document, name), condition) for name, condition in wanted.items())


def _field(document: Mapping[str, Any], name: str) -> Any:
    value: Any = document
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _is(value: Any, condition: Any) -> bool:
    if isinstance(condition, Mapping):
        return all(_COMPARE[operator](value, wanted) for operator, wanted in condition.items())
    return bool(value == condition)
