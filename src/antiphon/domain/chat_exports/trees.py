"""Brings the messages of an export into a tree, whatever their parents say.

Nothing is lost to a broken link: what follows nobody known begins a line of its own, and a circle is
opened at its first message. Nothing here recurses: a line may have any length.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from antiphon.domain.chat_exports.chats import Draft, Message

FAR = 1 << 62


class _Node(msgspec.Struct):
    """A message of the source: what comes of it, and what it follows there."""

    key: str
    parent: str | None
    created_us: int | None
    drafts: Sequence[Draft]
    children: list[_Node] = []


class TreeBuilder:
    """Takes the nodes of one chat in the order of their source, and gives its messages parents first."""

    def __init__(self) -> None:
        self._nodes: dict[str, _Node] = {}
        self._counts: Counter[str] = Counter()
        self._used: set[str] = set()

    def add(
        self, key: str, parent: str | None, drafts: Iterable[Draft], created_us: int | None = None
    ) -> None:
        """Add a node; one without drafts is passed over, and its children follow what it follows."""
        if key in self._nodes:
            self.note("id twice, the first kept")
            return
        self._nodes[key] = _Node(key, parent, created_us, [one for one in drafts if _says(one)], [])

    def note(self, what: str, count: int = 1) -> None:
        """Count something that is left out or put right."""
        self._counts[what] += count

    def __contains__(self, key: str) -> bool:
        return key in self._nodes

    @property
    def notes(self) -> tuple[str, ...]:
        """What was noted, with how often; after `build`."""
        return tuple(f"{what} ({count})" for what, count in self._counts.items())

    def build(self, current: Any = None) -> tuple[tuple[Message, ...], str | None]:
        """Return the messages and the last one of the line in view: of `current`, else of the newest."""
        roots = self._linked()
        messages: list[Message] = []
        last: dict[str, str | None] = {}
        self._walk([(node, None) for node in reversed(_ordered(roots))], messages, last)
        for node in self._nodes.values():
            if node.key not in last:  # of a circle, or behind one
                self.note("circle of parents, opened")
                self._walk([(node, None)], messages, last)
        found = last.get(current) if isinstance(current, str) else None
        return tuple(messages), found or _newest(messages)

    def _linked(self) -> list[_Node]:
        roots = []
        for node in self._nodes.values():
            above = self._nodes.get(node.parent) if node.parent is not None else None
            if above is None:
                roots.append(node)
                if node.parent is not None:
                    self.note("parent missing, begins a line of its own")
            else:
                above.children.append(node)
        return roots

    def _walk(
        self, waiting: list[tuple[_Node, str | None]], messages: list[Message], last: dict[str, str | None]
    ) -> None:
        """Add what hangs on the waiting nodes; `last` learns of each node the message that stands for it."""
        while waiting:
            node, above = waiting.pop()
            if node.key in last:
                continue
            for number, draft in enumerate(node.drafts, 1):
                key = self._free(node.key if number == len(node.drafts) else f"{node.key}/{number}")
                messages.append(Message(key=key, parent=above, created_us=node.created_us, draft=draft))
                above = key
            last[node.key] = above
            waiting += [(child, above) for child in reversed(_ordered(node.children))]

    def _free(self, key: str) -> str:
        while key in self._used:
            key += "'"
        self._used.add(key)
        return key


def _says(draft: Draft) -> bool:
    return bool(draft.parts) or bool(draft.tool and draft.asked) or bool(draft.verbatim)


def _ordered(nodes: list[_Node]) -> list[_Node]:
    """Siblings by their times, as far as they have any; else as they came."""
    if len(nodes) < 2:
        return nodes
    return sorted(nodes, key=lambda node: node.created_us if node.created_us is not None else FAR)


def _newest(messages: Sequence[Message]) -> str | None:
    """Return the newest message that nothing follows; the last of several of that time."""
    parents = {one.parent for one in messages}
    ends = [one for one in messages if one.key not in parents]
    newest = None
    for one in ends:
        if newest is None or (one.created_us or 0) >= (newest.created_us or 0):
            newest = one
    return newest.key if newest is not None else None
