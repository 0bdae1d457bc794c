"""Join the two halves of characters that a provider's stream has cut apart.

A model may emit half of an emoji; JSON then carries one UTF-16 surrogate in one chunk and the
other in the next. Half a pair is no text that can be stored or sent, so it is held back until
the other half comes; one that stays alone becomes U+FFFD.
"""

from __future__ import annotations

import re

Channel = tuple[int, str, int]

_SURROGATE = re.compile("[\ud800-\udfff]")


def mend(text: str) -> str:
    """Return `text` with pairs joined and lone halves replaced."""
    if not _SURROGATE.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class SurrogateJoiner:
    """Holds at most one half per channel: the choice, the kind of text and the call's index."""

    __slots__ = ("held",)

    def __init__(self) -> None:
        self.held: dict[Channel, str] = {}

    def join(self, channel: Channel, text: str) -> str:
        """Return what can be told now of `text` with what was held back before."""
        text = self.held.pop(channel, "") + text
        if text and "\ud800" <= text[-1] <= "\udbff":
            self.held[channel] = text[-1]
            text = text[:-1]
        return mend(text)
