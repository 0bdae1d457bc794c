"""From text to the terms it is found by; questions and documents go the same way.

A text is cut into words, words are folded (NFKC, case, digits), stemmed by their language's Snowball
algorithm (Porter 2001, https://snowballstem.org) and freed of accents. Names in code and words with
digits are also indexed by their parts, compounds with hyphens also as one word. Scripts that are
written without spaces become overlapping pairs of characters, and single characters for questions of
one. Stop words leave the question only, so that "to be or not to be" is still found.

Terms hold no space and, beyond letters and digits, only `_`, `.`, `+` and `#`.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, pairwise
from typing import Any, Final

import Stemmer

from antiphon.domain.stop_words import STOP_WORDS

ANALYSIS_VERSION: Final = 2
"""Raised whenever the same text yields other terms: what was indexed before must be indexed again."""

MAX_QUERY_TERMS: Final = 96
"""Different terms of a question that are looked for; a pasted page is no better question than its start."""

MAX_TERM_CHARACTERS: Final = 64
"""Longer ones (base64, hashes of hashes) are cut: they are compared, never read."""

CACHED_WORDS: Final = 1 << 16
"""Analysed words kept in memory, about 10 MB; a language's text repeats far fewer. One more, and they
are all forgotten: that costs a fraction of a second, and keeping count of who is used costs every word."""

ALGORITHMS: Final = {
    "ar": "arabic", "ca": "catalan", "cs": "czech", "da": "danish", "de": "german", "el": "greek",
    "en": "english", "eo": "esperanto", "es": "spanish", "et": "estonian", "eu": "basque",
    "fa": "persian", "fi": "finnish", "fr": "french", "ga": "irish", "hi": "hindi", "hu": "hungarian",
    "hy": "armenian", "id": "indonesian", "it": "italian", "lt": "lithuanian", "nb": "norwegian",
    "ne": "nepali", "nl": "dutch", "nn": "norwegian", "no": "norwegian", "pl": "polish",
    "pt": "portuguese", "ro": "romanian", "ru": "russian", "sr": "serbian", "sv": "swedish",
    "ta": "tamil", "tr": "turkish", "yi": "yiddish",
}  # fmt: skip
"""Snowball's algorithm by ISO 639-1 code; texts in any other language are not stemmed."""

_PAIRED: Final = (  # scripts whose single characters mean something: kana, Han, Hangul
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uac00-\ud7af"
    "\U0001b000-\U0001b16f\U00020000-\U0003ffff"
)
# Thai and Lao, Myanmar, Khmer, Tibetan
_CLUSTERED: Final = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u0f00-\u0fff"
_MARKS: Final = (  # what `\w` leaves out and words are written with: vowel signs, accents, joiners
    "\u0300-\u036f\u0483-\u0487\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u0711-\u074a"
    "\u0900-\u0963\u0971-\u0dff\u0e31-\u0e3a\u0e47-\u0e4e\u0eb1-\u0ebc\u0ec8-\u0ece\u0f18-\u0f39\u0f71-\u0f84"
    "\u102b-\u103e\u1056-\u1060\u17b4-\u17d3\u1ab0-\u1aff\u1dc0-\u1dff\u200c\u200d\u20d0-\u20ff\u3099\u309a"
    "\ufe20-\ufe2f"
)
_LETTER: Final = rf"(?:\w|[{_MARKS}])"
_TOKEN: Final = re.compile(
    rf"\d+(?:[.,]\d+)+(?![^\W_])|[A-Za-z](?:\+\+|#)(?!\w)|{_LETTER}++(?:[-\u2010]{_LETTER}++)*"
)
_ASCII_TOKEN: Final = re.compile(r"\d+(?:[.,]\d+)+(?![^\W_])|[A-Za-z](?:\+\+|#)(?!\w)|\w+(?:-\w+)*")
"""What `_TOKEN` finds in ASCII, in half the time."""
_ASCII_WORD: Final = re.compile(r"\w+", re.ASCII)
"""What it finds there without digits, `+`, `#` and hyphens, in half of that."""
_ASCII_DIGIT: Final = re.compile("[0-9]")
_HYPHEN: Final = re.compile(r"[-\u2010]")
_RUNS: Final = re.compile(rf"[{_PAIRED}\u3099\u309a]+|[{_CLUSTERED}]+|[^{_PAIRED}{_CLUSTERED}]+")
_UNSPACED: Final = re.compile(rf"[{_PAIRED}{_CLUSTERED}]")
_IS_PAIRED: Final = re.compile(rf"[{_PAIRED}]")
_CLUSTER: Final = re.compile(rf"[^{_MARKS}][{_MARKS}]*|[{_MARKS}]+")
_CONTRACTION: Final = re.compile(r"(?<=\w)['’](?:s|S)\b|(?<=\w)n['’]t\b")
_PARTS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+|\d+")
_NO_WORD: Final = re.compile(r"[\d_+#.]")
_DIGIT: Final = re.compile(r"\d")
_GROUPED: Final = re.compile(r"\d{1,3}(?:,\d{3})+")
_LETTERS: Final = str.maketrans(
    {
        "ø": "o", "ł": "l", "đ": "d", "æ": "ae", "œ": "oe", "ı": "i", "þ": "th", "ð": "d", "ħ": "h", "ŧ": "t",
        "ى": "ي", "ة": "ه", "ـ": None, "\u200c": None, "\u200d": None,
    }
)  # fmt: skip
"""Letters that Unicode does not take apart, and Arabic ones that are written for one another."""

_stemmers = threading.local()  # Snowball's objects keep state while they work


def analyse(text: str, language: str | None) -> str:
    """Return a text's terms separated by spaces, as they are indexed; `language` is an ISO 639-1 code."""
    return " ".join(chain.from_iterable(map(_terms_in(_known(language)), _words(text))))


def analyse_in_both(text: str, language: str | None) -> str:
    """Return a text's terms in its language, then those it has as it is written and not in its language."""
    words, code = _words(text), _known(language)
    found = [*chain.from_iterable(map(_terms_in(code), words))]
    if code:
        known = set(found)
        written = chain.from_iterable(map(_terms_in(""), words))
        found += [term for term in written if term not in known]
    return " ".join(found)


def query_terms(text: str, languages: Sequence[str]) -> tuple[str, ...]:
    """Return a question's terms as each of the languages has them, without its stop words.

    Languages that agree give one alternative. "" stands for texts of no known language. A question
    without any word gives none.
    """
    alternatives = (_query(text, _known(language)) for language in languages or ("",))
    return tuple(dict.fromkeys(one for one in alternatives if one))


def telling_terms(text: str, language: str | None) -> list[str]:
    """Return the terms of a text's words that are no stop words, as often as they stand there."""
    code = _known(language)
    stops = STOP_WORDS.get(code, frozenset())
    telling = (word for word in _words(text) if word.casefold() not in stops)
    return [*chain.from_iterable(map(_terms_in(code, asked=True), telling))]


def _query(text: str, language: str) -> str:
    stops = STOP_WORDS.get(language, frozenset())
    words = _words(text)
    telling = [word for word in words if word.casefold() not in stops]
    found: dict[str, None] = {}
    terms_of = _terms_in(language, asked=True)
    for word in telling or words:
        found.update(dict.fromkeys(terms_of(word)))
        if len(found) >= MAX_QUERY_TERMS:
            break
    return " ".join(list(found)[:MAX_QUERY_TERMS])


def _known(language: str | None) -> str:
    code = (language or "").partition("-")[0].lower()
    return code if code in ALGORITHMS or code in STOP_WORDS else ""


def _words(text: str) -> list[str]:
    token = _ASCII_TOKEN
    if not text.isascii():
        text, token = unicodedata.normalize("NFKC", text), _TOKEN
    elif not ("-" in text or "+" in text or "#" in text or _ASCII_DIGIT.search(text)):
        token = _ASCII_WORD
    if "'" in text or "’" in text:
        text = _CONTRACTION.sub("", text)
    found = token.findall(text)
    if "-" not in text and "\u2010" not in text:
        return found
    return [word for token in found for word in _members(token)]


def _members(token: str) -> list[str]:
    """Return a word, or the members of a compound and what they are without hyphens."""
    members = _HYPHEN.split(token)
    if len(members) == 1:
        return members
    joined = "".join(members)
    return members if joined.isdecimal() else [*members, joined]


class _Terms(dict[str, tuple[str, ...]]):
    """The terms of words that were analysed before, in one language, of texts or of questions."""

    def __init__(self, language: str, asked: bool) -> None:
        self._language = language
        self._asked = asked

    def __missing__(self, word: str) -> tuple[str, ...]:
        """Analyse a word; a long one is not kept, so that the bytes are bounded as well."""
        found = _terms(word, self._language, self._asked)
        if len(word) <= MAX_TERM_CHARACTERS:
            if sum(map(len, _cached.values())) >= CACHED_WORDS:
                for cache in [*_cached.values()]:
                    cache.clear()
            self[word] = found
        return found


_cached: dict[tuple[str, bool], _Terms] = {}


def _terms_in(language: str, *, asked: bool = False) -> Callable[[str], tuple[str, ...]]:
    """Return what gives the terms of a word."""
    cache = _cached.get((language, asked))
    if cache is None:
        cache = _cached.setdefault((language, asked), _Terms(language, asked))
    return cache.__getitem__


def _terms(word: str, language: str, asked: bool) -> tuple[str, ...]:
    if not word.isascii() and _UNSPACED.search(word):
        return tuple(term for run in _RUNS.findall(word) for term in _run_terms(run, language, asked))
    return _word_terms(word, language)


def _run_terms(run: str, language: str, asked: bool) -> Iterable[str]:
    if not _UNSPACED.search(run):
        return _word_terms(run, language)
    if _IS_PAIRED.match(run):
        characters = list(_fold(run))
        singles = characters if not asked or len(characters) == 1 else []
    else:
        characters = _CLUSTER.findall(run)
        singles = characters if len(characters) == 1 else []
    return [*map("".join, pairwise(characters)), *singles]


def _word_terms(word: str, language: str) -> tuple[str, ...]:
    """Return a word's term, and its parts' if it is a name (`snake_case`, `camelCase`, `utf8`)."""
    whole = word.strip("_")[: MAX_TERM_CHARACTERS * 4]
    if not whole:
        return ()
    if whole[0].isdecimal() and not whole.isdecimal() and ("." in whole or "," in whole):
        return (_number(whole),)
    parts = _PARTS.findall(whole) if _is_name(whole) else []
    if len(parts) < 2:
        return _known_terms((whole,), language)
    return _known_terms((whole, *parts), language)


def _is_name(word: str) -> bool:
    if "_" in word or (_DIGIT.search(word) and not word.isdecimal()):
        return True
    return any(map(str.isupper, word[1:])) and any(map(str.islower, word))


def _known_terms(words: Sequence[str], language: str) -> tuple[str, ...]:
    found = (_fold(_stem(_lower(word, language), language))[:MAX_TERM_CHARACTERS] for word in words)
    return tuple(dict.fromkeys(term for term in found if term))


def _lower(word: str, language: str) -> str:
    if language == "tr":  # dotted and dotless i are two letters there
        word = word.replace("I", "ı").replace("İ", "i")
    return word.casefold()


def _stem(word: str, language: str) -> str:
    if language not in ALGORITHMS or _NO_WORD.search(word):
        return word
    stemmer: Any = getattr(_stemmers, language, None)
    if stemmer is None:
        stemmer = Stemmer.Stemmer(ALGORITHMS[language], 0)
        setattr(_stemmers, language, stemmer)
    stem: str = stemmer.stemWord(word)
    return stem


def _number(word: str) -> str:
    plain = word.replace(",", "") if _GROUPED.fullmatch(word) else word.replace(",", ".")
    return _fold(plain)[:MAX_TERM_CHARACTERS]


def _fold(word: str) -> str:
    """Return a word without accents, and with ASCII digits."""
    if word.isascii():
        return word
    letters = unicodedata.normalize("NFD", word.translate(_LETTERS))
    kept = (_digit(one) for one in letters if not _is_accent(one))
    return unicodedata.normalize("NFC", "".join(kept))


def _is_accent(character: str) -> bool:
    """Whether a mark is optional to readers: those of alphabets are, those of Indic scripts spell vowels."""
    return unicodedata.combining(character) > 0 and (character < "\u0900" or "\u1ab0" <= character < "\u2100")


def _digit(character: str) -> str:
    return str(unicodedata.decimal(character)) if character.isdecimal() else character
