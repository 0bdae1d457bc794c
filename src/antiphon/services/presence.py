"""Who is in a conversation now, and who is writing there: told, never stored, forgotten by itself.

What is known of a room is kept only while somebody here listens to it. Where several servers share a
store they tell each other by bells, which may be lost: so what holds is told again and again, and what is
not told again is forgotten.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Callable
from typing import Final, Literal

import msgspec

from antiphon.domain.accounts import Principal
from antiphon.domain.errors import AntiphonError
from antiphon.ports.clock import Clock
from antiphon.ports.jobs import Jobs
from antiphon.ports.workers import PRESENCE, Workers

TYPING_SECONDS: Final = 6.0
"""Who says nothing more for so long has stopped writing."""
HERE_SECONDS: Final = 25.0
BEAT_SECONDS: Final = 10.0
"""How often other servers are told who is here; who is not told of for `HERE_SECONDS` has gone."""
AGAIN_SECONDS: Final = 2.0
"""Other servers are told that somebody still writes no more often than this."""
LEAST_SECONDS: Final = 0.5
"""Other servers are told of one person in one room no more often than this."""
SWEEP_SECONDS: Final = 1.0
MOST: Final = 200
"""People that are known in one room."""

HERE: Final = "here"
TYPING: Final = "typing"
FOR_EVER: Final = float("inf")

Kind = Literal["here", "typing"]
Place = tuple[Kind, str, str]
"""What is known of whom (the account), from which process."""

log = logging.getLogger(__name__)


class Someone(msgspec.Struct, frozen=True, order=True):
    """Somebody in a room."""

    name: str
    account_id: str


class Around(msgspec.Struct, frozen=True):
    """Who is in a room and who writes there, by name."""

    present: tuple[Someone, ...] = ()
    typing: tuple[Someone, ...] = ()


class Word(msgspec.Struct, frozen=True, array_like=True):
    """What one process tells the others; `holds` is False for what has ended."""

    process: str
    conversation_id: str
    account_id: str
    name: str
    kind: Kind
    holds: bool


class _Known(msgspec.Struct, frozen=True):
    name: str
    until: float


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Word).decode


class Presence:
    """Knows who is where; `wake` is called with a conversation's id when that changes there."""

    def __init__(self, workers: Workers, clock: Clock, wake: Callable[[str], None]) -> None:
        self._workers = workers
        self._clock = clock
        self._wake = wake
        self._process = secrets.token_hex(8)
        self._rooms: dict[str, dict[Place, _Known]] = {}
        self._open: Counter[tuple[str, str]] = Counter()
        self._told: dict[tuple[str, str, Kind], float] = {}
        self._telling: set[asyncio.Task[None]] = set()
        self._beat = 0.0

    @property
    def is_shared(self) -> bool:
        """Whether there may be other servers."""
        return self._workers.is_shared

    async def start(self) -> None:
        """Hear what other processes tell."""
        await self._workers.listen(self.rung)

    def schedule(self, jobs: Jobs) -> None:
        """Hand over the recurring look."""

        async def sweep() -> None:
            self.sweep()

        jobs.every(SWEEP_SECONDS, "forget who has left", sweep)

    def enter(self, who: Principal, conversation_id: str) -> Callable[[], None]:
        """Note that somebody listens here; returns what notes that they do no more, to be called once."""
        key, place = (conversation_id, who.actor_id), self._place(HERE, who.actor_id)
        self._open[key] += 1
        if self._open[key] == 1:
            self._put(conversation_id, place, _Known(who.name, FOR_EVER))
            self._tell(who, conversation_id, HERE, holds=True)

        def leave() -> None:
            self._open[key] -= 1
            if self._open[key]:
                return
            del self._open[key]
            self._drop(conversation_id, place)
            self._tell(who, conversation_id, HERE, holds=False)
            if not any(known[2] == self._process and known[0] == HERE for known in self._of(conversation_id)):
                self._rooms.pop(conversation_id, None)

        return leave

    def typing(self, who: Principal, conversation_id: str, *, is_typing: bool) -> None:
        """Note that somebody writes, or has stopped; it is to be said again every few seconds."""
        place = self._place(TYPING, who.actor_id)
        known = place in self._of(conversation_id)
        if is_typing:
            until = self._clock.monotonic() + TYPING_SECONDS
            if conversation_id in self._rooms:
                self._put(conversation_id, place, _Known(who.name, until))
        else:
            self._drop(conversation_id, place)
        if known and is_typing:
            self._tell(who, conversation_id, TYPING, holds=True, least=AGAIN_SECONDS)
        else:
            self._tell(who, conversation_id, TYPING, holds=is_typing)

    def around(self, conversation_id: str) -> Around:
        """Return who is known to be in a room."""
        now = self._clock.monotonic()
        found: dict[Kind, set[Someone]] = {HERE: set(), TYPING: set()}
        for (kind, account_id, _), known in self._of(conversation_id).items():
            if known.until > now:
                found[kind].add(Someone(known.name, account_id))
        return Around(tuple(sorted(found[HERE])), tuple(sorted(found[TYPING])))

    def rung(self, what: str, text: str) -> None:
        """Hear what another process tells; see `Bell`."""
        if what != PRESENCE:
            return
        try:
            word = _decode(text)
        except msgspec.DecodeError:
            return  # a server of another version
        if word.process == self._process or word.conversation_id not in self._rooms:
            return
        place: Place = (word.kind, word.account_id, word.process)
        if not word.holds:
            self._drop(word.conversation_id, place)
            return
        is_new = place not in self._of(word.conversation_id)
        lasts = HERE_SECONDS if word.kind == HERE else TYPING_SECONDS
        self._put(word.conversation_id, place, _Known(word.name, self._clock.monotonic() + lasts))
        if is_new and word.kind == HERE:
            self._tell_of_mine(word.conversation_id)  # who has just come does not know of them

    def sweep(self) -> None:
        """Forget what was not told again, and tell others once more who is here."""
        now = self._clock.monotonic()
        for conversation_id, room in list(self._rooms.items()):
            gone = [place for place, known in room.items() if known.until <= now]
            for place in gone:
                self._drop(conversation_id, place)
        self._told = {key: at for key, at in self._told.items() if now - at < AGAIN_SECONDS}
        if self._workers.is_shared and now - self._beat >= BEAT_SECONDS:
            self._beat = now
            for conversation_id in list(self._rooms):
                self._tell_of_mine(conversation_id)

    async def close(self) -> None:
        """Let what is being told be told."""
        if self._telling:
            await asyncio.gather(*self._telling, return_exceptions=True)

    def _place(self, kind: Kind, account_id: str) -> Place:
        return (kind, account_id, self._process)

    def _of(self, conversation_id: str) -> dict[Place, _Known]:
        return self._rooms.get(conversation_id, {})

    def _put(self, conversation_id: str, place: Place, known: _Known) -> None:
        room = self._rooms.setdefault(conversation_id, {})
        is_new = place not in room
        if is_new and len(room) >= MOST:
            return
        room[place] = known
        if is_new:
            self._wake(conversation_id)

    def _drop(self, conversation_id: str, place: Place) -> None:
        if self._of(conversation_id).pop(place, None) is not None:
            self._wake(conversation_id)

    def _tell_of_mine(self, conversation_id: str) -> None:
        for (kind, account_id, process), known in self._of(conversation_id).items():
            if process == self._process and kind == HERE:
                self._ring(Word(self._process, conversation_id, account_id, known.name, kind, True))

    def _tell(
        self, who: Principal, conversation_id: str, kind: Kind, *, holds: bool, least: float = LEAST_SECONDS
    ) -> None:
        self._ring(Word(self._process, conversation_id, who.actor_id, who.name, kind, holds), least)

    def _ring(self, word: Word, least: float = LEAST_SECONDS) -> None:
        if not self._workers.is_shared:
            return
        now, key = self._clock.monotonic(), (word.conversation_id, word.account_id, word.kind)
        if now - self._told.get(key, float("-inf")) < least:
            return
        self._told[key] = now
        task = asyncio.get_running_loop().create_task(self._send(_encode(word).decode()))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _send(self, text: str) -> None:
        try:
            await self._workers.ring(PRESENCE, text)
        except AntiphonError as error:
            log.warning("other servers were not told who is here: %s", error.message)
