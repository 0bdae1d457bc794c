"""A conversation's title, made of its first question where nobody has given it one."""

from __future__ import annotations

import re
from typing import Final

from antiphon.domain.sentences import sentences

MAX_TITLE: Final = 60
"""Characters of a title that is made; a person's own may have 500."""
LEAST_CUT: Final = 30
"""A title is cut between words if that leaves so many characters."""
READ: Final = 2_000
"""Characters of the question that are looked at."""

INSTRUCTIONS: Final = (
    "Give the conversation that begins with the user's message a title: two to six words in the language of"
    " the message, no quotation marks, no full stop. Answer with the title alone; do not answer the message."
)
"""What a model is told that makes titles."""

_FENCED = re.compile(r"(```|~~~).*?(?:\1|\Z)", re.DOTALL)
_MARKS = re.compile(r"^[\s#>*+\-–•|=_`\"'“”„«»]+|[\s#*|=_`\"'“”„«»]+$")
_LABEL = re.compile(r"^(?:title|titel|titre|título|titolo)\s*[:：]\s*", re.IGNORECASE)
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_AROUND = re.compile(r"(?<![\w*])(\*{1,2}|`)(?=[^\s*`])(.+?)(?<=[^\s*`])\1(?![\w*])")
"""Marks around words; underscores belong to names as often."""
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]+")


def title_of(question: str) -> str | None:
    """Return the first sentence of a question that says something, shortened; None if none does."""
    text = _LINK.sub(r"\1", _FENCED.sub("\n", question[:READ]))
    for sentence in sentences(text):
        title = shortened(sentence)
        if title is not None:
            return title
    return shortened(question[:READ])


def shortened(text: str) -> str | None:
    """Return a text as a title: one line without marks at its ends and around words; None if none is left."""
    line = _AROUND.sub(r"\2", " ".join(_CONTROL.sub(" ", text).split()))
    line = _MARKS.sub("", _LABEL.sub("", _MARKS.sub("", line)))
    line = _MARKS.sub("", line.rstrip(".。"))
    if not any(one.isalnum() for one in line):
        return None
    line = line[:1].upper() + line[1:]
    if len(line) <= MAX_TITLE:
        return line
    cut = line.rfind(" ", LEAST_CUT, MAX_TITLE)
    return line[: cut if cut > 0 else MAX_TITLE - 1].rstrip(" ,;:.-–") + "…"
