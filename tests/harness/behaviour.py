"""How the scripted upstream is told what to do: a small grammar spoken in model names and prompts.

A name is a chain of words joined by ``-``, in any order, for example ``paced-n100-i20-d50-hash``:

====================  ======================================================================================
``nN``                N tokens (default 16)
``dMS``               first token after MS milliseconds
``paced``, ``iMS``    then one token every MS milliseconds (``paced`` alone: 20)
``burst``             all events in one write
``hash``, ``utf8``    tokens numbered and signed (see :mod:`.tokens`), or of 2- to 4-byte characters
``reasoning[-rN]``    N tokens of ``reasoning_content`` first (default 4)
``tool-NAME``         a call of NAME, its arguments in fragments; ``callsN`` makes N calls, interleaved.
                      Text is said instead as soon as the last message is a tool's output
``finish-REASON``     ends with that ``finish_reason``
``nousage``           never reports usage
``status-CODE``       an error body with that status (401 echoes the Authorization header it got)
``retryafterS``       adds a ``retry-after`` header of S seconds to an error
``failfirst-K``       the first K calls of the same stream answer 500
``stall-afterK``      K tokens, then silence
``error-afterK``      K tokens, then an ``error`` event and the end
``cut-atB``           closes the socket after B bytes of body (before chunked framing)
``rst-afterK``        K tokens, then a TCP reset
``halfclose-afterK``  K tokens, then FIN without an end; still reads
``malformed-NAME``    one of :data:`MALFORMED`, by name or by its number from 1
``split-bytes``       the body one byte at a time, each a chunk and a write of its own
====================  ======================================================================================

A name that does not begin with one of these words is an ordinary model with the defaults. A prompt that ends
with ``[[chain]]`` overrules the model's name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

MALFORMED: Final = (
    "json", "html", "crlf", "cr", "nodone", "twodone", "longline", "nan", "comments", "nospace", "empty",
)  # fmt: skip
"""Variants of ``malformed-NAME``. ``comments`` and ``nospace`` are odd but legal, ``empty`` is a bare 200."""

_DIRECTIVE = re.compile(r"\[\[([\w.-]+)\]\]\s*$")
_DEFAULT_INTERVAL_MS: Final = 20.0


class UnknownBehaviourError(ValueError):
    """A model name that begins like a chain of directives but is none: a typing error in a test."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What one call does. ``fault_at`` counts tokens, for ``cut`` bytes of body."""

    tokens: int = 16
    delay_ms: float = 0.0
    interval_ms: float = 0.0
    burst: bool = False
    hashed: bool = False
    wide: bool = False
    reasoning_tokens: int = 0
    tool: str = ""
    tool_calls: int = 1
    finish_reason: str = ""
    no_usage: bool = False
    status: int = 200
    retry_after: str = ""
    fail_first: int = 0
    fault: str = ""
    fault_at: int = 0
    malformed: str = ""
    split_bytes: bool = False


# Word → the fields it sets. A field given as None takes the word's own argument.
_GRAMMAR: Final[tuple[tuple[str, dict[str, object]], ...]] = (
    (r"n(\d+)", {"tokens": None}),
    (r"d([\d.]+)", {"delay_ms": None}),
    (r"paced", {"interval_ms": _DEFAULT_INTERVAL_MS}),
    (r"i([\d.]+)", {"interval_ms": None}),
    (r"burst", {"burst": True}),
    (r"hash", {"hashed": True}),
    (r"utf8", {"wide": True}),
    (r"reasoning", {"reasoning_tokens": 4}),
    (r"r(\d+)", {"reasoning_tokens": None}),
    (r"tool-(\w+)", {"tool": None}),
    (r"calls(\d+)", {"tool_calls": None}),
    (r"finish-(\w+)", {"finish_reason": None}),
    (r"nousage", {"no_usage": True}),
    (r"status-(\d{3})", {"status": None}),
    (r"retryafter(\d+)", {"retry_after": None}),
    (r"failfirst-(\d+)", {"fail_first": None}),
    (r"stall-after(\d+)", {"fault": "stall", "fault_at": None}),
    (r"error-after(\d+)", {"fault": "error", "fault_at": None}),
    (r"cut-at(\d+)", {"fault": "cut", "fault_at": None}),
    (r"rst-after(\d+)", {"fault": "rst", "fault_at": None}),
    (r"halfclose-after(\d+)", {"fault": "halfclose", "fault_at": None}),
    (r"malformed-(\w+)", {"malformed": None}),
    (r"split-bytes", {"split_bytes": True}),
)
_WORDS: Final = tuple((re.compile(rf"(?:{word})(?:-|$)"), fields) for word, fields in _GRAMMAR)
_INTEGERS: Final = {"tokens", "reasoning_tokens", "tool_calls", "status", "fail_first", "fault_at"}
_DECIMALS: Final = {"delay_ms", "interval_ms"}


@lru_cache(maxsize=1024)
def behaviour_of(chain: str) -> Behaviour:
    """The behaviour a model name asks for; the defaults for a name that is no chain.

    Raises UnknownBehaviourError if the first word is known and a later one is not.
    """
    fields: dict[str, object] = {}
    rest = chain
    while rest:
        found = _first_word(rest)
        if found is None:
            if rest == chain:
                return Behaviour()
            raise UnknownBehaviourError(f"no such directive: {rest!r} in {chain!r}")
        taken, length = found
        fields.update(taken)
        rest = rest[length:]
    return _checked(Behaviour(**fields), chain)  # type: ignore[arg-type]


def directive_in(prompt: str) -> str | None:
    """The chain a prompt ends with as ``[[chain]]``, or None."""
    found = _DIRECTIVE.search(prompt)
    return found.group(1) if found else None


def _first_word(rest: str) -> tuple[dict[str, object], int] | None:
    """The fields set by the word ``rest`` begins with, and how many characters it takes."""
    for pattern, fields in _WORDS:
        match = pattern.match(rest)
        if match:
            taken = {
                name: _argument(name, match.group(1)) if value is None else value
                for name, value in fields.items()
            }
            return taken, match.end()
    return None


def _argument(name: str, given: str) -> object:
    """A word's argument as field ``name`` wants it."""
    if name in _INTEGERS:
        return int(given)
    return float(given) if name in _DECIMALS else given


def _checked(behaviour: Behaviour, chain: str) -> Behaviour:
    """``behaviour`` with a malformed variant given by number turned into its name."""
    variant = behaviour.malformed
    if variant.isdigit() and 1 <= int(variant) <= len(MALFORMED):
        return replace(behaviour, malformed=MALFORMED[int(variant) - 1])
    if variant and variant not in MALFORMED:
        raise UnknownBehaviourError(f"no such malformed variant: {variant!r} in {chain!r}")
    return behaviour
