"""Which conversations this process has changed, and when: who waits is woken, what was read grows stale."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection
from typing import Final

MOST: Final = 10_000
"""Changes that are remembered, some 150 bytes each; what is older counts as changed."""


class Changes:
    """Port `ChangeWatch`. Commits are counted; `now` is the number of the last one that ended."""

    def __init__(self, *, most: int = MOST) -> None:
        self._most = most
        self._last: OrderedDict[str, int] = OrderedDict()
        self._forgotten = 0
        self._flying: dict[str, int] = {}
        self._listeners: dict[str, list[Callable[[], None]]] = {}
        self.now = 0

    def begin(self, touched: Collection[str]) -> None:
        """See the port."""
        for one in touched:
            self._flying[one] = self._flying.get(one, 0) + 1

    def end(self, touched: Collection[str]) -> None:
        """See the port."""
        self.now += 1
        for one in touched:
            flying = self._flying.pop(one) - 1
            if flying:
                self._flying[one] = flying
            self._last.pop(one, None)
            self._last[one] = self.now
            for listener in self._listeners.get(one, ())[:]:
                listener()
        while len(self._last) > self._most:
            _, self._forgotten = self._last.popitem(last=False)

    def unchanged_since(self, number: int, among: Collection[str]) -> bool:
        """Whether none of these was touched after commit `number`, nor is being touched now."""
        last, since = self._last, self._forgotten
        return not any(self._flying.get(one) or last.get(one, since) > number for one in among)

    def listen(self, conversation_id: str, listener: Callable[[], None]) -> Callable[[], None]:
        """Have `listener` called after each change; it must not raise. Returns what ends it."""
        self._listeners.setdefault(conversation_id, []).append(listener)

        def release() -> None:
            listening = self._listeners.get(conversation_id, [])
            if listener in listening:
                listening.remove(listener)
            if not listening:
                self._listeners.pop(conversation_id, None)

        return release

    @property
    def listened(self) -> list[str]:
        """The conversations that somebody listens to."""
        return list(self._listeners)

    def wake(self, conversation_id: str) -> None:
        """Call the listeners of a conversation for what is no commit of this process."""
        for listener in self._listeners.get(conversation_id, ())[:]:
            listener()
