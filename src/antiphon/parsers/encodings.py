"""Telling texts with NUL bytes from binaries: UTF-16 and UTF-32 with or without a mark, and stray NULs."""

from __future__ import annotations

import codecs
import unicodedata
from typing import Final

_MARKS: Final = (
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_NO_LETTERS: Final = frozenset({"Cc", "Cn", "Co", "Cs"})
"""Controls, and what Unicode gives to nobody: a wrong guess is full of them."""

_LAYOUT: Final = "\t\n\v\f\r\x1b"
"""Controls that texts have."""

ONE_IN: Final = 50
"""Among so many characters one may be none that texts have."""

_CONTROLS: Final = bytes(set(range(0x20)) - set(b"\t\n\v\f\r\b\x1b")) + b"\x7f"
NULS_ONE_IN: Final = 32
"""Among so many bytes of UTF-8 one may be NUL or another control; archives of texts have more."""


def wide_encoding(head: bytes) -> str | None:
    """Name the encoding of a text whose letters take two or four bytes, None if it is another.

    Without a mark it is known by its zeros, which are the upper halves of spaces, line ends and digits, and
    by the side of the letters that has fewer values: the upper one, in every script.
    """
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    if b"\0" not in head or has_stray_nuls(head):
        return None
    even, odd = ((len(set(half)), -half.count(0)) for half in (head[::2], head[1::2]))
    guesses = ("utf-32-le", "utf-32-be", "utf-16-le" if odd < even else "utf-16-be")
    return next((one for one in guesses if _is_text(head, one)), None)


def has_stray_nuls(head: bytes) -> bool:
    """Whether what begins like this is text in UTF-8 that no or few NULs strayed into, and no binary."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    controls = len(head) - len(head.translate(None, _CONTROLS))
    return controls <= max(1, len(head) // NULS_ONE_IN)


def _is_text(head: bytes, encoding: str) -> bool:
    """Whether a text's beginning, which may end within a letter, reads well in an encoding."""
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(head)
    except UnicodeDecodeError:
        return False
    if "\0" in text:  # binaries have some, and letters of one byte in pairs read like Chinese
        return False
    strange = sum(unicodedata.category(one) in _NO_LETTERS and one not in _LAYOUT for one in text)
    return bool(text) and strange * ONE_IN <= len(text)
