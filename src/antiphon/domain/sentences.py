"""Where the sentences of a text begin and end, for quoting them.

Texts wrap their lines: a line that ends because the next word had no room goes on in the next line. It is
taken for such a one if that word would have made it longer than the longest line of its paragraph (less a
little, as letters of a page differ in width), or if it stops in the middle of a phrase. Everything else
ends with its line: headings, entries of lists, rows of tables, code, verse. Full stops of abbreviations,
initials and numbered lists end nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

MAX_SENTENCE: Final = 300
"""Characters; longer ones are cut, since lines of code or data may have no full stop."""

WRAPPED_FROM: Final = 40
"""Characters a paragraph's longest line has at least if its lines are wrapped; half of it where words have
no spaces between them."""

FULL: Final = 0.85
"""A line that would be longer than this part of the longest with the next word is full."""

TITLE_WORDS: Final = 5
"""A line of more words without an end is taken for a sentence."""

_LINE = re.compile(r"[^\n]+")
_BLOCK = re.compile(r"\s{0,3}(?:#{1,6}\s|[-*+•–]\s|\d{1,3}[.)]\s|[|>]|`{3}|~{3}|[=\-]{3,}\s*$)")
_ALONE = re.compile(r"\s{0,3}(?:#{1,6}\s|\||`{3}|~{3}|[=\-]{3,}\s*$)")
_FENCE = re.compile(r"\s{0,3}(`{3,}|~{3,})")
_UNSPACED = re.compile("[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\u0e00-\u0eff]")
_END = re.compile(r"[.!?…]+[\"'”’»)\]]*(?=\s)|[。！？]+[」』”）]*|[؟۔।॥]+")
_NUMBERED = re.compile(r"\s*(?:[-*+•–>]\s+)?\d{1,3}\.")
_LAST_WORD = re.compile(r"[^\W\d_](?:[^\W\d_]|\.(?=[^\W\d_]))*\.\Z")
_ABBREVIATED: Final = frozenset(
    word
    for line in (
        "e.g i.e cf vs etc al fig figs eq vol ed eds pp approx resp dr mr mrs ms prof st jr sr inc ltd",
        "z.b d.h u.a s.o bzw ca nr abs evtl ggf usw mme mlle sra dott",
    )
    for word in line.split()
)
_SAYING = re.compile(r"[\d:=|]|[.!。！।]\W*\Z")
_BREAKS: Final = ("; ", ": ", " – ", " — ", ", ", " ")
"""Where a sentence that is too long is cut, best first."""


def spans(text: str, longest: int = MAX_SENTENCE) -> list[tuple[int, int]]:
    """Return (start, end) of the sentences of a text, without white space around them.

    Longer ones are cut into pieces of at most `longest` characters, between words where there are any.
    """
    return [
        piece
        for start, end in _unbroken(text)
        for sentence in _sentences(text, start, end)
        for piece in _pieces(text, *sentence, longest)
    ]


def sentences(text: str) -> list[str]:
    """Return the sentences of a text, each on one line."""
    return [" ".join(text[start:end].split()) for start, end in spans(text)]


def is_title(text: str) -> bool:
    """Whether a sentence names what follows or asks for it rather than says it.

    That is a heading, a question, or a few words without an end, a number or a value.
    """
    plain = text.strip()
    if plain.startswith("#") or plain.endswith((":", "?", "？", "؟")):
        return True
    return _SAYING.search(plain) is None and len(plain.split()) <= TITLE_WORDS


def _unbroken(text: str) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of what goes on over line ends; code between fences goes line by line."""
    paragraph: list[tuple[int, int]] = []
    fence: str | None = None
    at = 0
    for line in _LINE.finditer(text):
        start, end = line.span()
        opening = _FENCE.match(line.group())
        blank = not line.group().strip()
        if paragraph and (start > at + 1 or blank or opening or fence):
            yield from _joined(text, paragraph)
            paragraph = []
        at = end
        if opening and (fence is None or opening.group(1).startswith(fence)):
            fence = opening.group(1) if fence is None else None
        if not blank:
            paragraph.append((start, end))
    yield from _joined(text, paragraph)


def _joined(text: str, lines: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield the wrapped lines of one paragraph together."""
    width = max((len(text[start:end].rstrip()) for start, end in lines), default=0)
    begin: int | None = None
    for number, (start, end) in enumerate(lines):
        begin = start if begin is None else begin
        following = lines[number + 1] if number + 1 < len(lines) else None
        if following is None or not _wraps(text[start:end].rstrip(), text[slice(*following)], width):
            yield begin, end
            begin = None


def _wraps(line: str, following: str, width: int) -> bool:
    unspaced = _UNSPACED.search(line) is not None
    if width < (WRAPPED_FROM // 2 if unspaced else WRAPPED_FROM):
        return False
    if _BLOCK.match(following) or _ALONE.match(line):
        return False
    word = 1 if unspaced else len(following.split(None, 1)[0])
    if len(line) + 1 + word > FULL * width:
        return True
    goes_on = line[-1].isalpha() or line[-1] in ",-"
    return goes_on and following.lstrip()[0].islower() and 2 * len(line) >= width


def _sentences(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    at = start
    for found in _END.finditer(text, start, end):
        if found.end() < end and not _ends(text, at, found):
            continue
        yield at, found.end()
        at = found.end()
    yield at, end


def _ends(text: str, start: int, found: re.Match[str]) -> bool:
    """Whether a sentence that began at `start` ends with the sign that was found."""
    if not found.group().startswith("."):
        return True
    rest = text[found.end() : found.end() + 4].lstrip()
    if rest[:1].islower():
        return False
    said = text[max(start, found.start() - 12) : found.start() + 1]
    if _NUMBERED.fullmatch(said):
        return False
    word = _LAST_WORD.search(said)
    name = word.group()[:-1].casefold() if word is not None else ""
    return name not in _ABBREVIATED and not (len(name) == 1 and name.isalpha())


def _pieces(text: str, start: int, end: int, longest: int) -> Iterator[tuple[int, int]]:
    start, end = _trimmed(text, start, end)
    while end - start > longest:
        cut = _cut(text, start, start + longest)
        yield _trimmed(text, start, cut)
        start = cut
        while start < end and text[start].isspace():
            start += 1
    if start < end:
        yield start, end


def _cut(text: str, start: int, most: int) -> int:
    """Return where a piece ends that may reach to `most`: after a pause in its second half, or a word."""
    for sign in _BREAKS:
        low = start + 1 if sign == " " else (start + most) // 2
        found = text.rfind(sign, low, most)
        if found > start:
            return found + len(sign)
    return most


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    piece = text[start:end]
    return end - len(piece.lstrip()), start + len(piece.rstrip())
