r"""Citations: the markers a model writes, taken out of its text while it streams, and what they quote.

A model that was given numbered sources cites them as `[1]`, `[1, 3]`, `[2-4]`, `[^1]`, `[[1]]`, `[Source 1]`
or `【1†…】`. Those are markers; what only looks like one is left alone as far as that can be told:

* code, in backticks or between fences, and everything escaped (`\[1\]`);
* links, `[1](…)`, and brackets within brackets, `[[1, 2], [3, 4]]`;
* numbers no source can have: 0 and everything above `MAX_NUMBER`, so `[0, 255]` and `[2019]`.

A marker whose number was not given points to nothing: it is taken out and counted. A code span ends with its
line at the latest, since nobody can wait for a backtick that never comes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from antiphon.domain.relevance import Corpus, language_of
from antiphon.domain.sentences import MAX_SENTENCE, spans

MAX_NUMBER: Final = 99
"""More sources are never given; higher numbers in brackets are years, sizes, indexes."""

MAX_MARKER: Final = 48
"""Characters of the longest marker, so many are held back at most."""

MAX_GAP: Final = 2
"""White space before a marker that goes with it."""

RECENT: Final = 600
"""Characters of the answer that are kept to find the sentence a marker belongs to."""

MAX_QUOTE: Final = MAX_SENTENCE
NEXT_SENTENCE_SHARE: Final = 0.6
"""A neighbour of the best sentence is quoted with it if it scores at least this share of its score."""

_SPECIAL = re.compile(r"[\[【`~\n]")
_OPENING = re.compile(r"\[\[?[\dsourceSOURCE ,;:^–-]*")
_BODY = re.compile(r"(?:sources?\s?:?\s?)?\^?(\d{1,4}(?:\s?[,;–-]\s?\^?\d{1,4})*)\s?", re.IGNORECASE)
_LENTICULAR = re.compile(r"(\d{1,4}(?:\s?[,、;]\s?\d{1,4})*)\s?(:\d+)?(?:†.*)?", re.DOTALL)
_NUMBERS = re.compile(r"(\d+)(?:\s?[–-]\s?(\d+))?")
_GAP = re.compile(rf"[ \t]{{1,{MAX_GAP}}}\Z")
_CLOSERS: Final = frozenset(" \t\r\n.,;:!?)]}…»”’\"'*_|。！？，、")
_LAST_SIGN = re.compile(r"(?<=[^\W\d][.!?…])\Z")
_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？])|\n+")


class Marker(msgspec.Struct, frozen=True):
    """A marker that was taken out: the sources it names, how many of its numbers were never given, and
    what of its sentence stands before it.
    """

    numbers: tuple[int, ...]
    unknown: int
    claim: str


Piece = str | Marker


class MarkerFilter:
    """Takes markers out of one text that arrives in pieces; `known` sources are numbered from 1.

    What comes out does not depend on how the text was cut.
    """

    def __init__(self, known: int) -> None:
        self._known = known
        self._held = ""
        self._code = _Code()
        self._previous = "\n"
        self._gap = ""
        self._after_marker = False
        self._swallow = ""
        self._recent = ""
        self._claim: str | None = None  # of `_recent`, once a marker has asked for it

    def feed(self, text: str) -> list[Piece]:
        """Return what can be shown after `text` arrived, texts and markers in order."""
        buffer, self._held = self._held + text, ""
        return self._scan(buffer, final=False)

    def finish(self) -> list[Piece]:
        """Return what was held back; the text has ended."""
        buffer, self._held = self._held, ""
        pieces = self._scan(buffer, final=True)
        self._gap, self._after_marker, self._swallow = "", False, ""
        return pieces

    @property
    def recent(self) -> str:
        """The end of what was shown."""
        return self._recent

    def _scan(self, buffer: str, *, final: bool) -> list[Piece]:
        out: list[Piece] = []
        at = 0
        while at < len(buffer):
            found = _SPECIAL.search(buffer, at)
            special = found.start() if found else len(buffer)
            bracket = found is not None and buffer[special] in "[【" and not self._code.inside
            if not bracket:
                end = special + 1 if found else len(buffer)
                kept = end if final or found else self._without_gap(buffer, at, end)
                self._pass(buffer[at:kept], out)
                self._held = buffer[kept:end]
                at = end
                continue
            gap = self._without_gap(buffer, at, special)
            self._pass(buffer[at:gap], out)
            marker = self._marker_at(buffer, special, gap, final=final)
            if marker is None:  # it may become one
                self._held = buffer[gap:]
                return out
            end, numbers = marker
            if numbers is None:
                self._pass(buffer[gap:end], out)
            else:
                self._take(buffer[gap:special], numbers, out)
                self._previous = buffer[end - 1]
            at = end
        return out

    def _without_gap(self, buffer: str, start: int, end: int) -> int:
        """Return where the white space begins that would go with a marker at `end`."""
        if self._code.inside:
            return end
        found = _GAP.search(buffer, max(start, end - MAX_GAP), end)
        return found.start() if found else end

    def _marker_at(
        self, buffer: str, at: int, gap: int, *, final: bool
    ) -> tuple[int, tuple[list[int], int] | None] | None:
        """Return where the bracket at `at` has been read to and its numbers; None until that can be told."""
        ordinary = (at + 1, None)
        before = buffer[at - 1] if at > gap else self._previous
        if before in "[\\" and at == gap:
            return ordinary
        found = _lenticular(buffer, at) if buffer[at] == "【" else _bracket(buffer, at)
        if found is None:
            return ordinary if final or len(buffer) - at > MAX_MARKER else None
        end, body, may_be_number = found
        if body is None:
            return ordinary
        if end == len(buffer) and not final:
            return None  # what follows decides
        if buffer[at] == "[" and buffer[end : end + 1] in ("(", "]"):
            return ordinary
        numbers = _numbers(body) if may_be_number else []
        if not all(0 < number <= MAX_NUMBER for number in numbers):
            return ordinary
        known = [number for number in dict.fromkeys(numbers) if number <= self._known]
        unknown = len(set(numbers)) - len(known) if may_be_number else 1
        return end, (known, unknown)

    def _take(self, gap: str, numbers: tuple[list[int], int], out: list[Piece]) -> None:
        """Leave a marker out."""
        if not self._after_marker:
            self._gap = gap
            self._swallow = " :" if self._previous == "\n" and not gap else ""
        self._after_marker = True
        if self._claim is None:
            self._claim = claim_of(self._recent)
        out.append(Marker(tuple(numbers[0]), numbers[1], self._claim))

    def _pass(self, text: str, out: list[Piece]) -> None:
        """Show some text, after what stands between it and a marker before it."""
        if not text:
            return
        raw = text
        if self._after_marker:
            if self._swallow:
                text = self._swallowed(text)
                if not text:
                    self._read(raw)
                    return
            elif self._gap and text[0] not in _CLOSERS:
                text = self._gap + text
            self._after_marker, self._gap = False, ""
        self._read(raw)
        self._recent, self._claim = (self._recent + text)[-RECENT:], None
        if out and isinstance(out[-1], str):
            out[-1] += text
        else:
            out.append(text)

    def _read(self, raw: str) -> None:
        self._code.read(raw)
        self._previous = raw[-1]

    def _swallowed(self, text: str) -> str:
        """Take away what a marker at the beginning of a line leaves: white space and one colon."""
        rest = text.lstrip(" \t")
        if rest.startswith(":") and ":" in self._swallow:
            self._swallow = " "
            return self._swallowed(rest[1:])
        if rest:
            self._swallow = ""
        return rest


class _Code:
    """Whether a place in a text is code: between fences at the begin of lines, or in backticks."""

    __slots__ = ("_at_start", "_fence", "_indent", "_run", "_run_at_start", "_span")

    def __init__(self) -> None:
        self._fence: tuple[str, int] | None = None
        self._span = 0
        self._run: tuple[str, int] | None = None
        self._run_at_start = False
        self._at_start = True
        self._indent = 0

    @property
    def inside(self) -> bool:
        """Whether the next character is code; a run of backticks before it has ended."""
        self._end_run()
        return self._fence is not None or self._span > 0

    def read(self, text: str) -> None:
        """Pass over some text."""
        if self._run is None and not self._at_start and not _SPECIAL.search(text):
            return
        for character in text:
            if character in "`~":
                self._count(character)
                continue
            self._end_run()
            if character == "\n":
                self._span, self._at_start, self._indent = 0, True, 0
            elif self._at_start and character == " " and self._indent < 3:
                self._indent += 1
            else:
                self._at_start = False

    def _count(self, character: str) -> None:
        if self._run is not None and self._run[0] == character:
            self._run = (character, self._run[1] + 1)
            return
        self._end_run()
        self._run, self._run_at_start, self._at_start = (character, 1), self._at_start, False

    def _end_run(self) -> None:
        if self._run is None:
            return
        (character, count), self._run = self._run, None
        if self._fence is not None:
            if self._run_at_start and character == self._fence[0] and count >= self._fence[1]:
                self._fence = None
        elif self._span:
            if character == "`" and count == self._span:
                self._span = 0
        elif self._run_at_start and count >= 3:
            self._fence = (character, count)
        elif character == "`":
            self._span = count


Bracket = tuple[int, str | None, bool] | None
"""Where a bracket ends, what is in it (None if that is no marker's), whether its numbers are sources'."""


def _bracket(buffer: str, at: int) -> Bracket:
    found = _OPENING.match(buffer, at)
    close = found.end() if found else at
    if close - at > MAX_MARKER:
        return at + 1, None, True
    if close == len(buffer):
        return None
    doubled = buffer.startswith("[[", at)
    if buffer[close] != "]":
        return at + 1, None, True
    if doubled and close + 1 == len(buffer):
        return None
    if doubled and buffer[close + 1] != "]":
        return at + 1, None, True
    body = _BODY.fullmatch(buffer, at + 1 + doubled, close)
    return close + 1 + doubled, body.group(1) if body else None, True


def _lenticular(buffer: str, at: int) -> Bracket:
    close = buffer.find("】", at, at + MAX_MARKER)
    if close < 0:
        told = len(buffer) > at + 1 and not buffer[at + 1].isdigit()
        return (at + 1, None, True) if told or len(buffer) - at >= MAX_MARKER else None
    body = _LENTICULAR.fullmatch(buffer, at + 1, close)
    return close + 1, body.group(1) if body else None, body is not None and body.group(2) is None


def _numbers(body: str) -> list[int]:
    """Return the numbers a marker's body names; a range that is none gives 0, which no source has."""
    numbers: list[int] = []
    for first, last in _NUMBERS.findall(body):
        low, high = int(first), int(last or first)
        numbers += range(low, high + 1) if low <= high <= MAX_NUMBER else [0 if last else low]
    return numbers


def claim_of(text: str) -> str:
    """Return the last sentence of a text, as far as it goes."""
    line = text.rstrip().rpartition("\n")[2]
    found = spans(line, RECENT)
    return line[slice(*found[-1])] if found else ""


def ends_sentence(text: str) -> int | None:
    """Return where the first sentence of a text ends, None if it goes on.

    A sign that ends sentences may be the last of the text, unless it may be within a number.
    """
    found = _SENTENCE_END.search(text) or _LAST_SIGN.search(text)
    return found.start() if found else None


class Quotable:
    """A source's text cut into sentences, ready to be asked which of them a claim rests on."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._spans = spans(text, MAX_QUOTE)
        language = language_of(text)
        said = [text[start:end] for start, end in self._spans]
        self._corpus = Corpus(said, [language] * len(said))

    def best(self, *wanted: str) -> tuple[int, int]:
        """Return (start, end) in the text of the sentence or sentences with most in common with a claim.

        Of several claims the first counts that has anything in common; else the first sentence is it.
        """
        if not self._spans:
            return 0, min(len(self._text), MAX_QUOTE)
        for claim in wanted:
            scores = self._corpus.scores(claim)
            best = max(range(len(scores)), key=lambda index: (scores[index], -index))
            if scores[best] > 0:
                return self._with_neighbour(best, scores)
        return self._spans[0]

    def _with_neighbour(self, best: int, scores: Sequence[float]) -> tuple[int, int]:
        start, end = self._spans[best]
        beside = [index for index in (best - 1, best + 1) if 0 <= index < len(scores)]
        for index in sorted(beside, key=lambda index: -scores[index]):
            if scores[index] < NEXT_SENTENCE_SHARE * scores[best]:
                break
            low, high = min(start, self._spans[index][0]), max(end, self._spans[index][1])
            if high - low <= MAX_QUOTE:
                return low, high
        return start, end
