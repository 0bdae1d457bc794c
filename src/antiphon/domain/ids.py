"""Identifiers: 16 bytes, a valid UUIDv7 whose `rand_a` field holds the owner's slot.

Layout (RFC 9562 §5.7): 48 bits of Unix milliseconds, version 7, 12 bits of slot, variant,
62 random bits (the plain generator's, seeded by the system: ids are never secrets). Inside the
core an id is its 32 hexadecimal digits; on the wire a prefix
tells its kind. Because the slot is part of the id, any store can be partitioned from the id
alone.
"""

from __future__ import annotations

import re
import time
import uuid
from random import getrandbits, randrange
from typing import Final

SLOTS: Final = 4096
"""Number of partitions an account can be given (12 bits)."""

TAIL_LIMIT: Final = (1 << 62) - (1 << 33)

CONVERSATION: Final = "conv_"
MESSAGE: Final = "msg_"
RESPONSE: Final = "resp_"
CHAT_COMPLETION: Final = "chatcmpl-"
BRANCH: Final = "br_"
SEGMENT: Final = "seg_"

ITEM_PREFIXES: Final = {
    "message": MESSAGE,
    "function_call": "fc_",
    "function_call_output": "fco_",
    "reasoning": "rs_",
    "file_search_call": "fs_",
    "web_search_call": "ws_",
    "compaction": "cmp_",
}
"""Prefix of an item's wire id by item type; anything else is `item_`."""

_HEX = re.compile(r"[0-9a-f]{32}")


class _Sequence:
    """Makes ids of one process sort in the order they are made (RFC 9562 §6.2, method 2).

    Within a millisecond the random part grows by a random step instead of being drawn anew.
    """

    def __init__(self) -> None:
        self._milliseconds = 0
        self._tail = 0

    def next(self, milliseconds: int) -> int:
        """Return the 62 random bits of the next id."""
        if milliseconds == self._milliseconds and self._tail < TAIL_LIMIT:
            self._tail += 1 + getrandbits(32)
        else:
            self._milliseconds = milliseconds
            self._tail = getrandbits(61)
        return self._tail


_sequence = _Sequence()


def new_id(slot: int, *, now_us: int | None = None) -> str:
    """Return a fresh id of 32 hex digits for an owner with `slot` (0 ≤ slot < 4096)."""
    milliseconds = time.time_ns() // 1_000_000 if now_us is None else now_us // 1000
    tail = _sequence.next(milliseconds)
    place = (milliseconds & 0xFFFF_FFFF_FFFF) << 80 | 0x7000_8000_0000_0000_0000 | (slot & 0xFFF) << 64
    return f"{place | tail:032x}"


def past_id(slot: int, at_us: int) -> str:
    """Return a fresh id that sorts as one made at a time in the past would."""
    place = (at_us // 1000 & 0xFFFF_FFFF_FFFF) << 80 | 0x7000_8000_0000_0000_0000 | (slot & 0xFFF) << 64
    return f"{place | getrandbits(62):032x}"


def new_slot() -> int:
    """Draw the slot of a new account."""
    return randrange(SLOTS)  # noqa: S311 - a partition, not a secret


def slot_of(identifier: str) -> int:
    """Return the owner's slot held in an id."""
    return int(identifier[13:16], 16)


def item_wire_id(item_type: str, identifier: str) -> str:
    """Return the wire id of an item, e.g. `msg_…`."""
    return ITEM_PREFIXES.get(item_type, "item_") + identifier


def parse(text: object, *prefixes: str) -> str | None:
    """Return the 32 digits of a wire id with one of `prefixes`, or None if it is not one.

    The hyphenated UUID of the same bytes is accepted too, since older surfaces use it.
    """
    if not isinstance(text, str):
        return None
    for prefix in prefixes:
        if text.startswith(prefix) and _HEX.fullmatch(text, len(prefix)):
            return text[len(prefix) :]
    return _parse_uuid(text)


def parse_item(text: object) -> str | None:
    """Return the 32 digits of an item's wire id of whatever type, or None."""
    if not isinstance(text, str):
        return None
    head, _, digits = text.rpartition("_")
    if head.isalpha() and _HEX.fullmatch(digits):
        return digits
    return _parse_uuid(text)


def _parse_uuid(text: str) -> str | None:
    if len(text) != 36:
        return None
    try:
        return uuid.UUID(text).hex
    except ValueError:
        return None
