"""Commands of write sets that erase, in slices of bounded size; see `write_sets`.

They may be repeated, and stopped between any two: what is left is found again. The guards look
at the tree at the moment of the commit, so what somebody has come to stand on meanwhile stays.
"""

from __future__ import annotations

from typing import ClassVar

from antiphon.domain.items import Position
from antiphon.ports.write_sets import Command


class BeginPurge(Command, frozen=True, kw_only=True):
    """Hide a conversation for good and erase what its row says; lost if its purge has begun.

    From now on nothing is added to it.
    """

    GUARD: ClassVar[bool] = True
    conversation_id: str
    now_us: int


class EndPurge(Command, frozen=True, kw_only=True):
    """A conversation is erased: its row goes too, unless forks stand on its segments."""

    conversation_id: str


class EraseRuns(Command, frozen=True, kw_only=True):
    """Erase runs with their logs."""

    run_ids: tuple[str, ...]


class EraseKeys(Command, frozen=True, kw_only=True):
    """Erase idempotency keys, each with whose it is, and the answers they hold."""

    keys: tuple[tuple[str, str], ...]


class EraseViews(Command, frozen=True, kw_only=True):
    """Erase up to `limit` each of a conversation's branches, changes, hidden items, members, links."""

    conversation_id: str
    limit: int


class EraseItems(Command, frozen=True, kw_only=True):
    """Erase the items `first` to `last`, the last ones of a segment; lost if anything stands on them.

    Their blobs are held by them no longer.
    """

    GUARD: ClassVar[bool] = True
    conversation_id: str
    owner_id: str
    segment_id: str
    first: int
    last: int
    now_us: int


class EraseSegment(Command, frozen=True, kw_only=True):
    """Erase an empty segment; lost if anything stands on it.

    If it left another conversation, that one is swept: at once if it is purged, else after
    `grace_us`.
    """

    GUARD: ClassVar[bool] = True
    conversation_id: str
    segment_id: str
    now_us: int
    grace_us: int


class RequireItem(Command, frozen=True, kw_only=True):
    """Nothing happens, unless the place is gone: then the set is lost."""

    GUARD: ClassVar[bool] = True
    position: Position


class Sweep(Command, frozen=True, kw_only=True):
    """Look for what nothing reaches in a conversation, at `due_us`; a later wish replaces an earlier."""

    conversation_id: str
    owner_id: str
    slot: int
    due_us: int


class EndSweep(Command, frozen=True, kw_only=True):
    """A sweep that was due at `now_us` is done; if it left nothing of a purged conversation, its row goes."""

    conversation_id: str
    now_us: int
