"""Answers kept for the same question: off unless configured, by exact match, each person's own.

What is kept are the provider's events, so that a hit is a run like any other: begun, journalled,
streamed and stored. The key is a SHA-256 over everything the model sees and over whose answer it is.
An entry says which key it was made for, so that a store that hands out another's is not believed.
What a purge erases leaves the cache at once, what is being kept in that moment too.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final, Literal
from weakref import WeakSet

import msgspec

from antiphon.domain.accounts import Principal
from antiphon.ports.cache import Cache
from antiphon.ports.model_provider import (
    Finish,
    ModelRequest,
    ProviderEvent,
    Pullable,
    Started,
    UsageReport,
)
from antiphon.services.flights import Event, Flight, Flights
from antiphon.services.model_routes import ModelRoute
from antiphon.services.models import Batches, Call, Models

CacheUse = Literal["use", "refresh", "off"]
"""What a caller allows: everything; only to keep the new answer; nothing."""

CacheMode = Literal["off", "user", "shared"]
"""For whom answers are kept; a setting that may change while the server runs."""

FORMAT: Final = "antiphon.answer/1"
ENTRY_SHARE: Final = 8
"""One answer may take this part of the cache: more would push out everything else."""
INLINE_CHARACTERS: Final = 16_384
"""Longer answers are encoded in a thread."""
BREATHE_EVERY: Final = 64
"""A replay lets everybody else go on after so many batches."""
MAX_CHOICES: Final = 128
MAX_COUNT: Final = 2**53
GOOD_ENDS: Final = frozenset({"stop", "tool_calls"})

Note = Callable[[Sequence[ProviderEvent]], None]

log = logging.getLogger(__name__)


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """What is kept: the key it belongs to and the provider's events as they came."""

    key: bytes
    batches: list[list[Event]]

    def believable(self, key: bytes) -> bool:
        """Whether this is a whole answer to `key`, and one that the engine can take."""
        events = [event for batch in self.batches for event in batch]
        ended = {event.choice for event in events if isinstance(event, Finish)}
        said = {event.choice for event in events if not isinstance(event, Finish | UsageReport)}
        return self.key == key and bool(said) and said <= ended and all(map(_sound, events))


def _sound(event: Event) -> bool:
    if isinstance(event, UsageReport):
        return all(0 <= count <= MAX_COUNT for count in msgspec.structs.astuple(event))
    good_end = event.reason in GOOD_ENDS if isinstance(event, Finish) else True
    return good_end and 0 <= event.choice < MAX_CHOICES


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Entry).decode
_canonical = msgspec.json.Encoder().encode


class Memo:
    """What the cache knows of one run: a hit to replay, or what the model says, to be kept at a good end.

    `of` names the accounts whose purges erase the answer: who asks, and whose conversation it is.
    """

    def __init__(self, cache: ResponseCache, of: frozenset[str] = frozenset()) -> None:
        self._cache = cache
        self._key: bytes | None = None
        self._found: list[list[Event]] | None = None
        self._said: list[list[Event]] = []
        self._room = 0
        self._follows = False
        self._flight: Flight | None = None
        self.of = of
        self.hit = False
        self.spoilt = False

    def know(self, key: bytes | None, found: list[list[Event]] | None, *, follows: bool) -> None:
        """Learn under which key to keep the answer, and what is kept there; nothing if spoilt."""
        if self.spoilt or key is None:
            return
        self._key, self._found, self._follows = key, found, follows
        self._room = self._cache.entry_bytes if found is None else 0
        self.hit = found is not None

    async def open(self, models: Models, route: ModelRoute, request: ModelRequest) -> Call:
        """Return the kept answer as a call, or call the model and listen. Raises ProviderError.

        Waits for the answer to an equal question, if there is one that others are being given.
        """
        if self._found is None and self._follows and self._key is not None:
            joined = await self._cache.flights.join(self._key)
            if isinstance(joined, Flight):
                self._flight = joined
            elif joined is not None:
                self._found, self._room, self.hit = joined, 0, True
        if self._found is not None:
            first, *rest = self._found
            self._found = None
            return models.replay(route, first, _Replay(rest))
        call = await models.open(route, request)
        if call.first[0] != Started(route.provider, route.model):
            self._keep_nothing()  # a fallback's answer is not what was asked for
        if self._room:
            self._note(call.first[1:])
            call.rest = _listening(call, self._note)
        return call

    async def keep(self) -> None:
        """Keep what was said and hand it to who waits; the run has completed."""
        said, self._said = self._said, []
        handed: list[list[Event]] | None = None
        try:
            if self._key is not None and self._room > 0 and said:
                entry = Entry(self._key, said)
                if entry.believable(self._key):
                    await self._cache.keep(self, entry, long=self._used > INLINE_CHARACTERS)
                    handed = None if self.spoilt else said
        finally:
            self._land(handed)

    def give_up(self, *, again: bool) -> None:
        """The run has ended otherwise; with `again` an equal question is asked by the next who waits."""
        self._said = []
        self._land(None, again=again)

    def spoil(self) -> None:
        """Keep nothing of this run: what it was asked in is being erased."""
        self.spoilt = True
        self._keep_nothing()

    @property
    def _used(self) -> int:
        return self._cache.entry_bytes - self._room

    def _keep_nothing(self) -> None:
        self._room, self._said = 0, []
        self._land(None)

    def _land(self, answer: list[list[Event]] | None, *, again: bool = False) -> None:
        if self._flight is not None:
            self._flight.land(answer, again=again)
            self._flight = None

    def _note(self, batch: Sequence[ProviderEvent]) -> None:
        if self._room <= 0:
            return
        kept = [event for event in batch if not isinstance(event, Started)]
        self._room -= sum(_characters(event) for event in kept)
        if self._room > 0:
            self._said.append(kept)
        else:
            self._keep_nothing()


class ResponseCache:
    """Finds and keeps answers. `mode` says for whom: shared serves everybody's answers to everybody."""

    def __init__(self, cache: Cache, *, shared: bool, seconds: float, max_bytes: int) -> None:
        self._cache = cache
        self.mode: CacheMode = "shared" if shared else "user"
        self._seconds = seconds
        self._open: WeakSet[Memo] = WeakSet()
        self.flights = Flights()
        self.entry_bytes = max_bytes // ENTRY_SHARE

    async def look(
        self, who: Principal, use: CacheUse, route: ModelRoute, request: ModelRequest, *, owner_id: str
    ) -> Memo:
        """Return what is known of the answer to a request; `owner_id` says in whose conversation."""
        memo = Memo(self, frozenset({who.actor_id, owner_id}))
        if use == "off":
            return memo
        scope = ["everybody"] if self.mode == "shared" else ["account", who.actor_id]
        self._open.add(memo)
        key = await asyncio.to_thread(key_of, scope, route, request)
        found = await self._find(key) if key is not None and use == "use" else None
        memo.know(key, found, follows=use == "use")
        return memo

    async def forget(self, account_id: str) -> None:
        """Drop what is kept of an account: its own questions', and of those in its conversations.

        What is being answered now is not kept either.
        """
        for memo in list(self._open):
            if account_id in memo.of:
                memo.spoil()
        try:
            await self._cache.forget(account_id)
        except Exception as error:
            log.warning("the response cache cannot be purged: %s", type(error).__name__)

    async def _find(self, key: bytes) -> list[list[Event]] | None:
        try:
            value = await self._cache.get(key)
        except Exception as error:
            log.warning("the response cache cannot be read: %s", type(error).__name__)
            return None
        if value is None:
            return None
        entry = _read(value) if len(value) <= INLINE_CHARACTERS else await asyncio.to_thread(_read, value)
        return entry.batches if entry is not None and entry.believable(key) else None

    async def keep(self, memo: Memo, entry: Entry, *, long: bool) -> None:
        """Keep a whole answer, unless it was spoilt; one that cannot be kept is not missed."""
        try:
            value = await asyncio.to_thread(_encode, entry) if long else _encode(entry)
            if not memo.spoilt:
                await self._cache.put(entry.key, value, seconds=self._seconds, of=memo.of)
        except Exception as error:
            log.warning("an answer could not be kept: %s", type(error).__name__)


class _Replay:
    """Kept batches as a provider's stream."""

    def __init__(self, batches: list[list[Event]]) -> None:
        self._batches = iter(batches)
        self._given = 0

    def __aiter__(self) -> AsyncIterator[Sequence[ProviderEvent]]:
        return self

    async def __anext__(self) -> Sequence[ProviderEvent]:
        self._given += 1
        if self._given % BREATHE_EVERY == 0:
            await asyncio.sleep(0)
        for batch in self._batches:
            return batch
        raise StopAsyncIteration


class _Listening:
    """A provider's stream that is also noted. No generator: one that was never begun closes nothing."""

    def __init__(self, batches: Batches, note: Note) -> None:
        self._batches = batches
        self._note = note

    def __aiter__(self) -> AsyncIterator[Sequence[ProviderEvent]]:
        return self

    async def __anext__(self) -> Sequence[ProviderEvent]:
        batch = await anext(self._batches)
        self._note(batch)
        return batch

    async def aclose(self) -> None:
        """End the provider's call."""
        close = getattr(self._batches, "aclose", None)
        if close is not None:
            await close()


def _listening(call: Call, note: Note) -> Batches:
    pullable = call.pullable
    return _Listening(call.rest, note) if pullable is None else _Pulled(call.rest, note, pullable)


class _Pulled(_Listening):
    """The same of a stream from which can be taken without waiting."""

    def __init__(self, batches: Batches, note: Note, source: Pullable) -> None:
        super().__init__(batches, note)
        self._source = source

    @property
    def at_end(self) -> bool:
        """See the port."""
        return self._source.at_end

    def pull(self) -> Sequence[ProviderEvent]:
        """See the port."""
        batch = self._source.pull()
        if batch:
            self._note(batch)
        return batch

    def on_news(self, callback: Callable[[], None] | None) -> None:
        """See the port."""
        self._source.on_news(callback)


def key_of(scope: list[str], route: ModelRoute, request: ModelRequest) -> bytes | None:
    """Return the hash of all that decides an answer; None for what has no JSON.

    Fields stand in one order; below them the order is the caller's, since a model sees it: it
    fills in a schema's properties as they come.
    """
    everything = [
        FORMAT,
        scope,
        route.provider,
        route.model,
        request.messages,
        sorted(request.params.items()),
        *(["continues"] if request.continues else []),
    ]
    try:
        return hashlib.sha256(_canonical(everything)).digest()
    except (UnicodeEncodeError, RecursionError, TypeError, ValueError):
        return None


def _read(value: bytes) -> Entry | None:
    try:
        return _decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _characters(event: ProviderEvent) -> int:
    """About what an event takes, in memory and encoded."""
    text = getattr(event, "text", None) or getattr(event, "arguments", None) or ""
    logprobs = getattr(event, "logprobs", None)
    return 16 + len(text) + (len(_canonical(logprobs)) if logprobs is not None else 0)
