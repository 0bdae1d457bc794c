"""The texts the scripted upstream speaks, and how to tell whether one arrived whole.

A *hashed* text numbers every token and signs it with the name of its stream, so that a loss, a repetition and
a mix-up of two streams each look different to :func:`check_prefix`.
"""

from __future__ import annotations

import re
from hashlib import sha256

PLAIN_MARK = "~"
"""Ends every plain token and occurs nowhere else in a frame, so tokens can be counted without parsing."""

_WORDS = (
    "when a river rises the people on its banks look first at the bridge then at each other and ask who "
    "will carry the old clock from the mill up to the chapel where it is dry nobody has wound it for years "
    "but nobody wants to lose it either so four of them take a corner each and walk slowly through rain "
    "that has not stopped since Monday while children count every step aloud and the dog runs ahead barking "
    "at water as if it could be sent home by noise alone later they laugh"
).split()
"""Words as people say them: what is said is also indexed, and numbers would be harder work than words."""

_HASHED_TOKEN = re.compile(r"t(\d+):([0-9a-f]{8}) ")
_STREAM_NAME = re.compile(r"stream=([\w-]+)")


def plain_token(index: int) -> str:
    """Token ``index`` of a plain text: a word, the same in every stream."""
    return f"{_WORDS[index % len(_WORDS)]}{PLAIN_MARK}"


def wide_token(index: int) -> str:
    """Token ``index`` of a text whose characters take 2, 3 and 4 bytes of UTF-8 and two UTF-16 units."""
    return f"ü{index}€\u2028😀 "


def hashed_token(stream: str, index: int) -> str:
    """Token ``index`` of ``stream``, signed with the first 8 hex digits of SHA-256 over both."""
    return f"t{index}:{sha256(f'{stream}:{index}'.encode()).hexdigest()[:8]} "


def expected_text(stream: str, count: int) -> str:
    """The whole hashed text of ``stream`` after ``count`` tokens."""
    return "".join(hashed_token(stream, index) for index in range(count))


def stream_name(text: str) -> str | None:
    """The name given as ``stream=NAME`` in a prompt, or None if it names none."""
    found = _STREAM_NAME.search(text)
    return found.group(1) if found else None


def check_prefix(stream: str, text: str) -> str | None:
    """Why ``text`` is not a prefix of the hashed text of ``stream``; None if it is one.

    The text may end within a token. The empty text is a prefix of every stream.
    """
    position = 0
    index = 0
    while position < len(text):
        wanted = hashed_token(stream, index)
        if not wanted.startswith(text[position : position + len(wanted)]):
            return f"at character {position}: {_diagnosis(stream, index, text[position:])}"
        position += len(wanted)
        index += 1
    return None


def _diagnosis(stream: str, index: int, rest: str) -> str:
    """What went wrong where token ``index`` was due and ``rest`` came instead."""
    found = _HASHED_TOKEN.match(rest)
    if not found:
        return f"token {index} of stream {stream!r} is damaged: {rest[:40]!r}"
    number = int(found.group(1))
    if hashed_token(stream, number) != found.group(0):
        return f"token {index} of stream {stream!r} was due, one of another stream came: {found.group(0)!r}"
    if number < index:
        return f"token {number} of stream {stream!r} came again, {index} was due"
    return f"tokens {index} to {number - 1} of stream {stream!r} are missing"
