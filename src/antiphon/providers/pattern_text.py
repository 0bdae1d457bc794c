"""Find a short text that a regular expression matches, without running the expression.

The expression comes from a caller, so it is only parsed: running it could take exponential
time. Best effort: look-arounds and back-references to repeated groups are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from re import _constants, _parser  # type: ignore[attr-defined]
from typing import Any, Final

MAX_LENGTH: Final = 4096
CANDIDATES: Final = "ax0A1_- .,:/@#+=~!?é中"
"""Tried in this order where an expression excludes characters."""

_CATEGORIES: Final = {
    _constants.CATEGORY_DIGIT: "0",
    _constants.CATEGORY_NOT_DIGIT: "a",
    _constants.CATEGORY_SPACE: " ",
    _constants.CATEGORY_NOT_SPACE: "a",
    _constants.CATEGORY_WORD: "a",
    _constants.CATEGORY_NOT_WORD: "-",
}


def text_for_pattern(pattern: str, *, at_least: int = 0) -> str:
    """Return a text for `pattern`, with open repeats widened towards `at_least` characters.

    Returns a text that may not match if the expression uses what is not covered, and "" if it
    cannot be parsed.
    """
    try:
        parsed = _parser.parse(pattern)
    except (re.error, RecursionError, OverflowError):
        return ""
    shortest = _text(parsed, 0, {})
    if len(shortest) >= at_least:
        return shortest
    return max((_text(parsed, extra, {}) for extra in (at_least - len(shortest), at_least)), key=len)


def _text(parsed: Iterable[Any], extra: int, groups: dict[int, str]) -> str:
    made = ""
    for operation, argument in parsed:
        made += _piece(operation, argument, extra if len(made) < MAX_LENGTH else 0, groups)
        if len(made) > MAX_LENGTH:
            return made[:MAX_LENGTH]
    return made


def _piece(operation: Any, argument: Any, extra: int, groups: dict[int, str]) -> str:
    if operation is _constants.LITERAL:
        return chr(argument)
    if operation is _constants.NOT_LITERAL:
        return next(c for c in CANDIDATES if ord(c) != argument)
    if operation is _constants.ANY:
        return "a"
    if operation is _constants.IN:
        return _one_of(argument)
    if operation in (_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT):
        return _repeated(argument, extra, groups)
    if operation is _constants.SUBPATTERN:
        groups[argument[0] or 0] = text = _text(argument[3], extra, groups)
        return text
    if operation is _constants.ATOMIC_GROUP:
        return _text(argument, extra, groups)
    if operation is _constants.BRANCH:
        return _text(argument[1][0], extra, groups)
    if operation is _constants.GROUPREF:
        return groups.get(argument, "")
    return ""


def _repeated(argument: Any, extra: int, groups: dict[int, str]) -> str:
    low, high, inner = argument
    once = _text(inner, 0, groups) if low or extra else ""
    if not once:
        return ""
    times = min(low + -(-extra // len(once)), int(high)) if extra else low
    return str(once * min(times, -(-MAX_LENGTH // len(once))))


def _one_of(members: list[tuple[Any, Any]]) -> str:
    if members[0][0] is _constants.NEGATE:
        return next((c for c in CANDIDATES if not any(_holds(m, c) for m in members[1:])), "")
    operation, argument = members[0]
    if operation is _constants.LITERAL:
        return chr(argument)
    if operation is _constants.RANGE:
        return chr(argument[0])
    return _CATEGORIES.get(argument, "a")


def _holds(member: tuple[Any, Any], character: str) -> bool:
    operation, argument = member
    if operation is _constants.LITERAL:
        return bool(ord(character) == argument)
    if operation is _constants.RANGE:
        return bool(argument[0] <= ord(character) <= argument[1])
    kinds = {
        _constants.CATEGORY_DIGIT: character.isdigit(),
        _constants.CATEGORY_SPACE: character.isspace(),
        _constants.CATEGORY_WORD: character.isalnum() or character == "_",
        _constants.CATEGORY_NOT_DIGIT: not character.isdigit(),
        _constants.CATEGORY_NOT_SPACE: not character.isspace(),
        _constants.CATEGORY_NOT_WORD: not (character.isalnum() or character == "_"),
    }
    return kinds.get(argument, False)
