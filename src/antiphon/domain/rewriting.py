"""A question made searchable: what it leaves out is taken from what the user said before.

No model is asked. A question is taken for a follow-up when it has few words of its own that carry
meaning, or begins as a continuation does ("and in 2019?", "why?", "what about her sister?"). Then the
words of the user's earlier turns that carry meaning go with it, the newest turn first. A number in
the question takes the place of the earlier numbers, since "and in 2019?" is not about 2018.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from antiphon.domain.analysis import telling_terms
from antiphon.domain.stop_words import STOP_WORDS

FEW_TERMS: Final = 2
LANGUAGE: Final = "en"
"""Words of turns are compared in its stems, which leave what is no English nearly as it is."""

MAX_CARRIED: Final = 12
MAX_TURNS: Final = 3
"""Earlier turns that are looked at."""

MAX_QUERY: Final = 2_000
"""Characters of a question that are searched for: of a longer one the end, where it usually asks."""

_WORD = re.compile(r"\w+(?:[-'’.]\w+)*")
_CONTINUING: Final = frozenset(
    word
    for line in (
        "and but or so then also he she it they them him her his its their this that these those there",
        "why how what which when where who ok okay now instead otherwise same another other others more else",
        "und aber oder dann auch er sie es ihn ihm ihr ihre ihnen sein seine dies diese dieser dieses das da",
        "warum wieso weshalb wann wo wer noch sonst stattdessen jetzt",
        "et mais ou alors aussi il elle ils elles cela ça ce cette ces pourquoi comment quand où qui",
        "y pero o entonces también él ella ellos ellas eso esto esta este por cuándo dónde quién",
    )
    for word in line.split()
)
_OF_TALK: Final = frozenset("tell about again please say said remember earlier first last".split())  # noqa: SIM905
_EMPTY: Final = _CONTINUING.union(
    _OF_TALK, *(STOP_WORDS.get(one, ()) for one in ("en", "de", "fr", "es", "it", "nl"))
)
_ASKING: Final = frozenset(
    (
        "what",
        "which",
        "when",
        "where",
        "who",
        "how",
        "wann",
        "wo",
        "wer",
        "quand",
        "où",
        "qui",
        "cuándo",
        "dónde",
    )
)
"""Words that begin whole questions as well as follow-ups: they count only where little else is said."""


class Rewritten(msgspec.Struct, frozen=True):
    """The texts to search for, best first, and why there is more than the question; None if there is not."""

    queries: tuple[str, ...]
    reason: str | None = None


def rewrite(question: str, earlier: Sequence[str]) -> Rewritten:
    """Return what to search for; `earlier` are the user's turns before the question, oldest first."""
    question = question.strip()[-MAX_QUERY:]
    own = {term for word in _telling(question) for term in telling_terms(word, LANGUAGE)}
    reason = _reason(question, own) if earlier else None
    carried = _carried(own, earlier[-MAX_TURNS:]) if reason is not None else []
    if not carried:
        return Rewritten((question,) if question else ())
    with_context = f"{' '.join(carried)} {question}"
    queries = (with_context, question) if own else (with_context,)
    return Rewritten(queries, f"{reason}; taken from earlier turns: {', '.join(carried)}")


def _reason(question: str, own: set[str]) -> str | None:
    if not own:
        return "The question has no words of its own to search for"
    first = _WORD.search(question.casefold())
    word = first.group() if first else ""
    if word in _CONTINUING and (word not in _ASKING or len(own) <= FEW_TERMS):
        return f"The question continues with '{word}'"
    if len(own) <= FEW_TERMS:
        return "The question has few words of its own to search for"
    return None


def _telling(text: str) -> list[str]:
    """Return the words of a text without those that carry no meaning in any of the languages."""
    return [word for word in _WORD.findall(text) if word.casefold() not in _EMPTY]


def _carried(own: set[str], earlier: Sequence[str]) -> list[str]:
    """Return the telling words of earlier turns as they were written, newest turn first."""
    numbered = any(term.isdecimal() for term in own)
    seen = set(own)
    found: list[str] = []
    for text in reversed(earlier):
        for word in _telling(text[-MAX_QUERY:]):
            terms = telling_terms(word, LANGUAGE)
            new = [term for term in terms if term not in seen and not (numbered and term.isdecimal())]
            if new and len(found) < MAX_CARRIED:
                seen.update(new)
                found.append(word)
    return found
