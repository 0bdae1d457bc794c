"""Find the sentences that have most in common with a question.

Okapi BM25 over sentences (Robertson and Zaragoza 2009, "The Probabilistic Relevance Framework"), in the
terms of their language. b is 0.4, less than for documents: a short sentence is mostly a fragment, not a
concise answer. In conversations what was said later wins between equals; in documents the place of a text
in the search counts as well, since sentences alone know less of what a text is about.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Final

import msgspec

from antiphon.domain.analysis import analyse, telling_terms
from antiphon.domain.languages import guess_language
from antiphon.domain.sentences import is_title, spans

K1: Final = 1.2
B: Final = 0.4
DEFAULT_LANGUAGE: Final = "en"
"""For texts too short to tell; English stems leave other alphabets alone."""

JUDGED_BY: Final = 8_000
"""Characters by which a text's language is guessed."""

NEIGHBOURS: Final = 0.2
"""Part of the better neighbour's score that a sentence gets: the subject is often named beside it."""

TITLE: Final = 0.5
"""What a heading or a question counts for: it has the question's words and does not answer it."""

CLOSE: Final = 0.5
"""Further quotes score at least this part of the first."""

_OF_TALK: Final = re.compile(
    r"\b(?:about|again|please|said|say|tell|remember|earlier|first|last)\b", re.IGNORECASE
)
"""Words with which people ask for what was said, and which say nothing of what it was."""


class Sentence(msgspec.Struct, frozen=True):
    """One sentence and the role of the message it stood in."""

    role: str
    text: str


class Quote(msgspec.Struct, frozen=True):
    """A sentence by the number of its text, from 0, and where it stands there."""

    text: int
    start: int
    end: int


def language_of(text: str) -> str:
    """Return the language a text is analysed in."""
    return guess_language(text[:JUDGED_BY]) or DEFAULT_LANGUAGE


class Corpus:
    """Texts that questions are compared with, each in a language."""

    def __init__(self, texts: Sequence[str], languages: Sequence[str]) -> None:
        self._languages = languages
        self._lengths = [0] * len(texts)
        self._postings: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for index, (text, language) in enumerate(zip(texts, languages, strict=True)):
            bag = Counter(analyse(text, language).split())
            self._lengths[index] = bag.total()
            for term, times in bag.items():
                self._postings[term].append((index, times))
        self._average = sum(self._lengths) / len(texts) if texts else 0.0

    def scores(self, question: str) -> list[float]:
        """Return how much each text has in common with the question, 0 for nothing.

        Costs as much as there are texts with its words.
        """
        found = [0.0] * len(self._lengths)
        wanted = {one: frozenset(telling_terms(question, one)) for one in set(self._languages)}
        for term in sorted(frozenset().union(*wanted.values())):
            having = [one for one in self._postings.get(term, ()) if term in wanted[self._languages[one[0]]]]
            weight = math.log1p((len(found) - len(having) + 0.5) / (len(having) + 0.5))
            for index, times in having:
                length = K1 * (1 - B + B * self._lengths[index] / self._average)
                found[index] += weight * times * (K1 + 1) / (times + length)
        return found


def best(question: str, candidates: Sequence[Sentence], count: int) -> list[Sentence]:
    """Return up to `count` sentences of a conversation, best first.

    None if no term of the question is in any; further ones score at least half of the first.
    """
    said = question.strip().casefold()
    texts = [candidate.text for candidate in candidates]
    language = language_of(" ".join([question, *texts]))
    scores = Corpus(texts, [language] * len(texts)).scores(_OF_TALK.sub(" ", question))
    ranked: dict[str, tuple[float, int]] = {}
    for position, (text, found) in enumerate(zip(texts, scores, strict=True)):
        score = found * (TITLE if is_title(text) else 1.0)
        if score > 0 and text.casefold() != said:
            ranked[text] = max((score, position), ranked.get(text, (0.0, 0)))
    order = sorted(ranked.values(), reverse=True)[:count]
    return [candidates[position] for score, position in order if score >= CLOSE * order[0][0]]


def quotes(question: str, texts: Sequence[str], count: int) -> list[Quote]:
    """Return up to `count` sentences of texts that a search found, best first.

    `texts` come in the search's order, whose first counts twice and whose tenth 1.1 times. None if no
    term of the question is in any.
    """
    places = [Quote(number, *span) for number, text in enumerate(texts) for span in spans(text)]
    languages = [language_of(text) for text in texts]
    said = [texts[one.text][one.start : one.end] for one in places]
    scores = Corpus(said, [languages[one.text] for one in places]).scores(question)
    ranked: dict[str, tuple[float, int]] = {}
    for at, (place, own) in enumerate(zip(places, scores, strict=True)):
        if own <= 0:
            continue
        beside = [scores[one] for one in (at - 1, at + 1) if 0 <= one < len(places)
                  and places[one].text == place.text]  # fmt: skip
        score = (own + NEIGHBOURS * max(beside, default=0.0)) * (1 + 1 / (1 + place.text))
        score *= TITLE if is_title(said[at]) else 1.0
        text = " ".join(said[at].split())
        ranked[text] = max((score, -at), ranked.get(text, (0.0, 0)))
    order = sorted(ranked.values(), reverse=True)[:count]
    return [places[-at] for score, at in order if score >= CLOSE * order[0][0]]
