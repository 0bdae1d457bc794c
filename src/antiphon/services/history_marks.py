"""How far the index of conversations is: a mark of each server that indexes what it commits.

Below a mark everything its server committed is indexed, but for spans that are still to be read. A
mark says when it was written; one that is not written any more is a dead server's, and the first to
see that takes what it left: the mark goes and its spans come under one's own in one transaction.
Whatever is read twice is known by its id. A server is known by a name that lies in its directory, so
that it finds its own mark again.
"""

from __future__ import annotations

from typing import Final

import msgspec

from antiphon.ports.clock import Clock
from antiphon.ports.passage_index import IndexScopes

MARK: Final = "history"
EVERYTHING: Final = ""
BEYOND: Final = "g"
"""Below and above every id."""
SLACK_US: Final = 60_000_000
"""Between the making of an id and the begin of its commit less time passes."""
DEAD_US: Final = 30_000_000
"""How old a mark of another server is when it is taken for dead; those that live write theirs every 10 s."""
AT_WORK_US: Final = 24 * 3600 * 1_000_000
"""For how long a mark stands for a command that indexes nothing itself, if it does not end well."""


class Span(msgspec.Struct, frozen=True, array_like=True):
    """Ids from `first` to below `before` that are still to be read."""

    first: str
    before: str


class Progress(msgspec.Struct, frozen=True):
    """Everything below `upto` is indexed, but for what lies in `spans`; written at `at_us`."""

    upto: str
    spans: tuple[Span, ...] = ()
    at_us: int = 0

    def left(self) -> list[Span]:
        """Return all that is still to be read."""
        return [Span(self.upto, BEYOND), *self.spans]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Progress).decode


def lowest_id(at_us: int) -> str:
    """Return the lowest id that can be made at a time."""
    return f"{max(at_us, 0) // 1000 & 0xFFFF_FFFF_FFFF:012x}" + "0" * 20


class HistoryMarks:
    """The mark of this server, `server_id`, beside those of others; of the only one with None."""

    def __init__(self, scopes: IndexScopes, clock: Clock, server_id: str | None) -> None:
        self._scopes = scopes
        self._clock = clock
        self._name = MARK if server_id is None else f"{MARK} {server_id}"
        self.is_shared = server_id is not None

    async def begin(self) -> list[Span]:
        """Return what is to be read first: what this server left, or all if nobody ever indexed."""
        kept = await self._scopes.marked(self._name)
        if kept is not None:
            return _decode(kept).left()
        if not (self.is_shared and await self._scopes.marks(MARK)):
            return Progress(EVERYTHING).left()
        await self.write(lowest_id(self._clock.now_us() - SLACK_US), ())
        return []

    async def write(self, upto: str, spans: tuple[Span, ...]) -> None:
        """Write how far this server is."""
        await self._scopes.mark(self._name, _encode(Progress(upto, spans, self._clock.now_us())))

    async def take_over(self, upto: str, spans: tuple[Span, ...]) -> list[Span]:
        """Take what dead servers left, in addition to one's own, and return it."""
        taken: list[Span] = []
        now = self._clock.now_us()
        for name, kept in (await self._scopes.marks(MARK)).items():
            progress = _decode(kept)
            if name == self._name or progress.at_us > now - DEAD_US:
                continue
            more = [*taken, *progress.left()]
            mine = _encode(Progress(upto, (*spans, *more), now))
            if await self._scopes.take_mark(name, kept, self._name, mine):
                taken = more
        return taken

    async def stand_in(self) -> None:
        """Begin to commit without indexing, which a server that lives does afterwards."""
        if self.is_shared:
            kept = await self._scopes.marked(self._name)
            progress = (
                _decode(kept) if kept is not None else Progress(lowest_id(self._clock.now_us() - SLACK_US))
            )
            until = self._clock.now_us() + AT_WORK_US
            await self._scopes.mark(self._name, _encode(Progress(progress.upto, progress.spans, until)))

    async def hand_over(self) -> None:
        """Have what was committed since `stand_in` indexed by another."""
        kept = await self._scopes.marked(self._name) if self.is_shared else None
        if kept is not None:
            progress = _decode(kept)
            await self._scopes.mark(self._name, _encode(Progress(progress.upto, progress.spans, 0)))
