"""Commands of write sets that tell which items hold which blob; see `write_sets`.

A blob's row is there before its content and goes after it, so content without a row does not
exist. Dooming, holding and announcing are compare-and-sets on that row: content is erased only
after nobody can come to hold it.
"""

from __future__ import annotations

from typing import ClassVar

from antiphon.ports.write_sets import Command


class AnnounceBlob(Command, frozen=True, kw_only=True):
    """Say that a blob's content will be put; lost while earlier content of it is being erased."""

    GUARD: ClassVar[bool] = True
    owner_id: str
    slot: int
    digest: str
    size: int
    now_us: int


class HoldBlob(Command, frozen=True, kw_only=True):
    """An item holds a blob; lost if the blob was not announced or is being erased."""

    GUARD: ClassVar[bool] = True
    owner_id: str
    slot: int
    digest: str
    segment_id: str
    depth: int
    item_id: str


class DoomBlob(Command, frozen=True, kw_only=True):
    """Decide that a blob's content will be erased; lost if an item holds it."""

    GUARD: ClassVar[bool] = True
    owner_id: str
    digest: str


class ForgetBlob(Command, frozen=True, kw_only=True):
    """A doomed blob's content is erased; nothing happens if it is not doomed."""

    owner_id: str
    digest: str
