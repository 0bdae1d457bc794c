"""Statements as PostgreSQL wants them, and text that it refuses.

Statements are written once, for both engines; this module turns `?` and `:name` into `$n` and puts
the forms of `context_postgres` in the place of those that PostgreSQL does not understand or runs badly.

PostgreSQL's text holds every character but NUL. JSON is no matter, there NUL is written as an escape;
names and titles are what people make them, so in these NUL is kept as two characters, a mark and a digit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec

from antiphon.storage.sql.context_postgres import FORMS, FRAGMENTS
from antiphon.storage.sql.nul import MARK, escaped, has_nul, needs_mark, unescaped

STATEMENTS: Final = 4_096
"""Forms kept; statements are made of constants, so there are a few hundred."""

_PLACE: Final = re.compile(r"\?|:([a-z_]+)")
_FREE: Final = re.compile(
    r"\b(title|name|email|user_agent|subject|target|filename|heading|text|description|error_code|origin|media_type)\b"
)
"""Columns in which a caller's own characters may stand as they came; `error_code` stands for the `error` that
goes with it, since the error of a run is JSON."""


class Translated(msgspec.Struct, frozen=True):
    """A statement for the driver; `names` are the parameters in order if they have names.

    `is_free` tells that it writes or reads columns in which text may be marked, `has_rows` that it answers
    with rows.
    """

    text: str
    names: tuple[str, ...] | None
    is_free: bool
    has_rows: bool


@lru_cache(maxsize=STATEMENTS)
def translated(statement: str) -> Translated:
    """Return the statement's form on PostgreSQL."""
    text = FORMS.get(statement, statement)
    for ours, theirs in FRAGMENTS:
        text = text.replace(ours, theirs)
    names: dict[str, int] = {}
    count = 0

    def number(found: re.Match[str]) -> str:
        nonlocal count
        name = found.group(1)
        if name is None:
            count += 1
            return f"${count}"
        return f"${names.setdefault(name, len(names) + 1)}"

    text = _PLACE.sub(number, text)
    has_rows = text.lstrip().startswith(("SELECT", "WITH")) or "RETURNING" in text
    return Translated(text, tuple(names) if names else None, bool(_FREE.search(text)), has_rows)


def bound(form: Translated, parameters: Sequence[Any] | Mapping[str, Any]) -> list[Any]:
    """Return the values of a statement in the order of its places."""
    if form.names is not None and isinstance(parameters, Mapping):
        parameters = [parameters[name] for name in form.names]
    # Elsewhere no text holds NUL, and what is looked for by one that does is not found.
    changed = needs_mark if form.is_free else has_nul

    def kept(one: Any) -> Any:
        if type(one) is str:
            return escaped(one) if changed(one) else one
        return [kept(part) for part in one] if type(one) is list else one

    return [kept(one) for one in parameters]


def read_back(records: Sequence[Any]) -> Sequence[Any]:
    """Return rows with their text as it was written."""
    if not any(type(one) is str and MARK in one for row in records for one in row):
        return records
    return [tuple(unescaped(one) if type(one) is str else one for one in row) for row in records]
