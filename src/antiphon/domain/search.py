"""Questions to one's own conversations, and what is shown of a message that answers one.

    words of any order    "an exact phrase"    -without    -"without a phrase"    begin…

The last word is looked for as the beginning of one too, unless a space follows it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from html import escape
from typing import Final

import msgspec

from antiphon.domain.errors import InvalidRequest

MAX_QUERY: Final = 2_000
SNIPPET: Final = 240
"""Characters of a message that a hit shows."""
LEAD: Final = 60
"""Of these before the first word that was found."""
ELLIPSIS: Final = "…"
MIN_PREFIX: Final = 2

_PIECE: Final = re.compile(r'(?<!\S)(-?)"([^"]*)"|(?<!\S)-(\w\S*)|(\S+)')
_WORD: Final = re.compile(r"\w+")
_UNSPACED: Final = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]"
)
"""Thai, Lao, Myanmar, Khmer, kana and Han: written without spaces between words."""
_MARKS: Final = re.compile("[\u0300-\u036f]+")


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked for: `text` are all words wanted, `phrases` stand together and in order."""

    text: str
    phrases: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    prefix: str | None = None

    def allows(self, text: str) -> bool:
        """Whether a message has every phrase and nothing that is excluded."""
        if not (self.phrases or self.excluded):
            return True
        words = f" {folded(text)} "
        return all(f" {one} " in words for one in self.phrases) and not any(
            f" {one} " in words for one in self.excluded
        )


class Snippet(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of a message; `highlights` are pairs of start and end in `text`, in code points."""

    text: str
    highlights: tuple[tuple[int, int], ...]

    @property
    def marked(self) -> str:
        """The text as HTML, what was found in `<mark>`."""
        parts: list[str] = []
        at = 0
        for start, end in self.highlights:
            parts += [escape(self.text[at:start]), "<mark>", escape(self.text[start:end]), "</mark>"]
            at = end
        return "".join([*parts, escape(self.text[at:])])


def folded(text: str) -> str:
    """Return a text's words without case and accents, separated by single spaces."""
    plain = _MARKS.sub("", unicodedata.normalize("NFKD", text.casefold()))
    return " ".join(_WORD.findall(plain))


def parse_question(query: str) -> Question:
    """Return what a query asks for; raises InvalidRequest for one that wants no word."""
    if len(query) > MAX_QUERY:
        raise InvalidRequest(
            f"'query' is too long: {len(query)} characters, at most {MAX_QUERY}.",
            code="string_above_max_length",
            param="query",
        )
    wanted: list[str] = []
    phrases: list[str] = []
    excluded: list[str] = []
    open_word = None
    for minus, phrase, without, word in _PIECE.findall(query):
        open_word = None
        if without or minus:
            excluded.append(folded(without or phrase))
        elif phrase:
            wanted.append(phrase)
            phrases.append(folded(phrase))
        elif word:
            wanted.append(word)
            open_word = word
    text = " ".join(wanted)
    if not folded(text):
        raise InvalidRequest("'query' holds no word to look for.", code="invalid_value", param="query")
    return Question(
        text=text,
        phrases=tuple(one for one in phrases if one),
        excluded=tuple(one for one in excluded if one),
        prefix=_prefix(open_word) if open_word and query.endswith(open_word) else None,
    )


def _prefix(word: str) -> str | None:
    last = folded(word).rpartition(" ")[2]
    return last if len(last) >= MIN_PREFIX else None


def snippet_of(text: str, question: Question, matches: Callable[[str], bool]) -> Snippet:
    """Return the piece of a message where most of what was asked for stands together.

    `matches` says of a word whether it was asked for; beginnings of words are looked at here.
    """
    spans = list(_spans(text, question, matches))
    start = max(_densest(spans) - LEAD, 0)
    if start:
        space = text.find(" ", start, start + LEAD // 2)
        start = space + 1 if space >= 0 else start
    end = min(start + SNIPPET, len(text))
    lead, tail = ELLIPSIS if start else "", ELLIPSIS if end < len(text) else ""
    shift = len(lead) - start
    inside = ((a + shift, b + shift) for a, b in spans if a >= start and b <= end)
    return Snippet(text=f"{lead}{text[start:end]}{tail}", highlights=tuple(inside))


def _spans(text: str, question: Question, matches: Callable[[str], bool]) -> Iterator[tuple[int, int]]:
    """Yield where what was asked for stands; in scripts without spaces every occurrence of its words."""
    unspaced = [word for word in question.text.casefold().split() if _UNSPACED.search(word)]
    inside = re.compile("|".join(map(re.escape, unspaced)), re.IGNORECASE) if unspaced else None
    for found in _WORD.finditer(text):
        word = found.group()
        if _UNSPACED.search(word):
            if inside is not None:
                yield from (part.span() for part in inside.finditer(text, *found.span()))
        elif matches(word) or (question.prefix and folded(word).startswith(question.prefix)):
            yield found.span()


def _densest(spans: Iterable[tuple[int, int]]) -> int:
    """Return where the window begins that holds most spans; the first of equals."""
    starts = [start for start, _ in spans]
    best, most, first = 0, 0, 0
    for last, start in enumerate(starts):
        while start - starts[first] > SNIPPET - LEAD:
            first += 1
        if last - first + 1 > most:
            best, most = starts[first], last - first + 1
    return best
