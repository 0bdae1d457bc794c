"""Find the sentences that have most in common with a question.

Okapi BM25 over sentences (Robertson and Zaragoza 2009, "The Probabilistic Relevance
Framework", k1 = 1.2, b = 0.75), with what was said later winning between equals.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

import msgspec

K1: Final = 1.2
B: Final = 0.75
MAX_QUOTE: Final = 300
"""Characters; longer sentences are cut, since lines of code or data may have no full stop."""

_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？])|\n+")
_WORD = re.compile(r"\w+")
_UNSPACED = re.compile("[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uac00-\ud7af\u0e00-\u0e7f]")
_STOP: Final = frozenset(
    word
    for line in (
        "a an and are as at be been but by can could did do does for from had has have he her him his how",
        "i if in into is it its me my no not of on or our she should so some tell than that the their them",
        "then there these they this those to us was we were what when where which who whom whose why will",
        "with would you your s t about again please said say remember earlier first last",
        "der die das und ist ein eine ich du wie was wer",
    )
    for word in line.split()
)


class Sentence(msgspec.Struct, frozen=True):
    """One sentence and the role of the message it stood in."""

    role: str
    text: str


def sentences(text: str) -> list[str]:
    """Cut a text into sentences of at most MAX_QUOTE characters."""
    found = (piece.strip() for piece in _SENTENCE_END.split(text))
    return [piece if len(piece) <= MAX_QUOTE else piece[: MAX_QUOTE - 1] + "…" for piece in found if piece]


def terms(text: str) -> list[str]:
    """Return the words of a text that carry meaning, in a crude common form."""
    found: list[str] = []
    for word in _WORD.findall(text.casefold()):
        if _UNSPACED.search(word):  # scripts without spaces: overlapping pairs stand for words
            found += [word[i : i + 2] for i in range(max(1, len(word) - 1))]
        elif word not in _STOP:
            found.append(_stem(word))
    return found


def _stem(word: str) -> str:
    for ending in ("ing", "ies", "es", "ed", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


def spans(text: str, longest: int = MAX_QUOTE) -> list[tuple[int, int]]:
    """Return (start, end) of the sentences of a text, without white space around them.

    Longer ones are cut into pieces of at most `longest` characters, between words where there are any.
    """
    found: list[tuple[int, int]] = []
    at = 0
    for end in [*(piece.start() for piece in _SENTENCE_END.finditer(text)), len(text)]:
        start = end - len(text[at:end].lstrip())
        stop = start + len(text[start:end].rstrip())
        while stop - start > longest:
            cut = text.rfind(" ", start + 1, start + longest + 1)
            cut = cut if cut > start else start + longest
            found.append((start, cut))
            start = cut + len(text[cut:stop]) - len(text[cut:stop].lstrip())
        if start < stop:
            found.append((start, stop))
        at = end
    return found


class Corpus:
    """Texts that questions are compared with."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._bags = [Counter(terms(text)) for text in texts]
        self._average = sum(bag.total() for bag in self._bags) / len(self._bags) if self._bags else 0.0

    def scores(self, question: str) -> list[float]:
        """Return how much each text has in common with the question, 0 for nothing."""
        wanted = set(terms(question))
        seen = Counter(term for bag in self._bags for term in bag.keys() & wanted)
        count = len(self._bags)
        weights = {term: math.log1p((count - seen[term] + 0.5) / (seen[term] + 0.5)) for term in seen}
        return [_score(bag, weights, self._average) for bag in self._bags]


def best(question: str, candidates: Sequence[Sentence], count: int) -> list[Sentence]:
    """Return up to `count` sentences, best first; none if no term of the question is in any.

    The second and third are left out when they score less than half of the first.
    """
    said = question.strip().casefold()
    ranked: dict[str, tuple[float, int]] = {}
    scores = Corpus([candidate.text for candidate in candidates]).scores(question)
    for position, (candidate, found) in enumerate(zip(candidates, scores, strict=True)):
        score = found * (0.5 if candidate.text.endswith("?") else 1.0)
        if score > 0 and candidate.text.casefold() != said:
            ranked[candidate.text] = max((score, position), ranked.get(candidate.text, (0.0, 0)))
    order = sorted(ranked.values(), reverse=True)[:count]
    return [candidates[position] for score, position in order if score * 2 >= order[0][0]]


def _score(bag: Counter[str], weights: dict[str, float], average: float) -> float:
    length = K1 * (1 - B + B * bag.total() / average) if average else K1
    found = ((weight, bag[term]) for term, weight in weights.items() if bag[term])
    return sum(weight * times * (K1 + 1) / (times + length) for weight, times in found)
