"""Documents as they are stored: no NUL in a text, which look-alikes refuse, and whole numbers as Python's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bson.int64 import Int64

from antiphon.storage.sql.nul import MARK, escaped, needs_mark, unescaped


def kept(text: str) -> str:
    """Return a text as it is stored."""
    return escaped(text) if needs_mark(text) else text


def stored(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document as it is stored."""
    return {
        name: escaped(value) if type(value) is str and needs_mark(value) else value
        for name, value in document.items()
    }


def shown(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document as it was given."""
    for name, value in document.items():
        if type(value) is str:
            if MARK in value:
                document[name] = unescaped(value)
        elif type(value) is Int64:
            document[name] = int(value)
        elif type(value) is dict:
            document[name] = shown(value)
    return document


def asked(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return a condition on documents as they are stored."""
    return {
        name: kept(value)
        if type(value) is str
        else {operator: _operand(one) for operator, one in value.items()}
        if type(value) is dict
        else value
        for name, value in wanted.items()
    }


def _operand(value: Any) -> Any:
    if type(value) is str:
        return kept(value)
    return [_operand(one) for one in value] if isinstance(value, (list, tuple)) else value
