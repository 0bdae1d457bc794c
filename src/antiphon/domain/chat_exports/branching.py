"""The branching chat: documents of question/response pairs, whose branches are documents of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from antiphon.domain.chat_exports.chats import Chat, Draft, Line, Message, Name, Text, chat_key
from antiphon.domain.chat_exports.trees import TreeBuilder
from antiphon.domain.chat_exports.values import line, listing, mapping, moment, name, text

MOST_LINES: Final = 1_000
"""Chats of one tree that become chats again; those beyond are branches and nothing else."""

Value = Mapping[str, Any]


def is_document(value: Value) -> bool:
    """Whether a value is a chat, or a branch of one."""
    return "chat_id" in value and isinstance(value.get("qa_pairs"), list)


def document_key(value: Value) -> str | None:
    """Return the id of a document's chat."""
    return name(value.get("chat_id"))


def branches(value: Value) -> Iterator[str]:
    """Yield the ids of the chats that branch off a document's pairs."""
    for pair in listing(value.get("qa_pairs")):
        for one in listing(mapping(pair).get("branches")):
            if found := name(one):
                yield found


class _Pair(msgspec.Struct, frozen=True):
    """A pair and the last message of it, or before it; `before` and `depth` are its place in the tree."""

    value: Value
    said: str | None
    before: int | None
    depth: int


class _Branch(msgspec.Struct, frozen=True):
    """A chat to be read: its line (None: the tree's own), and the pair it leaves after."""

    key: str
    line: str | None
    after: int | None


class _Reading:
    """Reads a chat and what branches off it, each once, none before the one it leaves."""

    def __init__(self, root: str, documents: Sequence[Value]) -> None:
        self.tree = TreeBuilder()
        self.lines: list[Line] = []
        self.names: dict[tuple[str | None, str], str] = {}
        self.homes: dict[str, str | None] = {}
        self.documents = _longest(documents, self.tree)
        self._pairs: list[_Pair] = []
        self._seen = {root}
        self._waiting = [_Branch(root, None, None)]

    def read(self) -> None:
        """Read them all."""
        while self._waiting:
            self._chat(self._waiting.pop())

    def _chat(self, one: _Branch) -> None:
        """Add a chat's pairs; where it repeats what went before, that is not told twice."""
        pairs = [mapping(pair) for pair in listing(self.documents.get(one.key, {}).get("qa_pairs"))]
        shared = self._repeated(pairs, one.after)
        for pair, number in zip(pairs, shared, strict=False):
            self._name(one, pair, self._pairs[number])
            self._branches(one, pair, number)
        last = one.after
        for pair in pairs[len(shared) :]:
            last = self._add(one, pair, last)
            self._name(one, pair, self._pairs[last])
            self._branches(one, pair, last)

    def _repeated(self, pairs: Sequence[Value], after: int | None) -> list[int]:
        """Return the pairs up to the one a chat leaves after if the chat begins with them, else none."""
        if after is None or len(pairs) <= self._pairs[after].depth:
            return []
        path: list[int] = []
        number: int | None = after
        while number is not None:
            path.append(number)
            number = self._pairs[number].before
        path.reverse()
        same = all(_same(pair, self._pairs[at].value) for pair, at in zip(pairs, path, strict=False))
        return path if same else []

    def _add(self, one: _Branch, pair: Value, before: int | None) -> int:
        """Add the two halves of a pair; returns its number."""
        above = self._pairs[before] if before is not None else None
        depth = above.depth + 1 if above is not None else 0
        said, created = above.said if above is not None else None, moment(pair.get("timestamp"))
        for role, half in (("user", "question"), ("assistant", "response")):
            if words := text(pair.get(half)):
                key = f"{one.key}#{depth}/{half}"
                self.tree.add(key, said, [Draft(role=role, parts=(Text(words),))], created)
                self.homes[key] = one.line
                said = key
        self._pairs.append(_Pair(pair, said, before, depth))
        return len(self._pairs) - 1

    def _name(self, one: _Branch, pair: Value, known: _Pair) -> None:
        """Note the id of a response, unless it is the one that the chat it is shared with has for it."""
        found = name(pair.get("response_id"))
        if found is None or known.said is None:
            return
        if pair is known.value or found != name(known.value.get("response_id")):
            self.names.setdefault((one.line, found), known.said)

    def _branches(self, one: _Branch, pair: Value, number: int) -> None:
        """Have the chats read that branch off a pair; what leaves before anything was said has no line."""
        after = self._pairs[number].said
        for found in listing(pair.get("branches")):
            key = name(found)
            if key is None or key in self._seen:
                continue
            self._seen.add(key)
            if key not in self.documents:
                self.tree.note("branch without a document")
                continue
            home = one.line
            if after is not None and len(self.lines) < MOST_LINES:
                home = chat_key(key)
                title = line(self.documents[key].get("name"))
                self.lines.append(Line(key=home, above=one.line, after=after, title=title))
            self._waiting.append(_Branch(key, home, number))


def _longest(documents: Sequence[Value], tree: TreeBuilder) -> dict[str | None, Value]:
    """Return the documents by their chats; of several of one chat that with the most pairs."""
    known: dict[str | None, Value] = {}
    for one in documents:
        key = document_key(one)
        if key in known:
            tree.note("second document of a chat, the longer one kept")
        if len(listing(one.get("qa_pairs"))) > len(listing(known.get(key, {}).get("qa_pairs"))):
            known[key] = one
        known.setdefault(key, one)
    return known


def chat_of(root: str, documents: Sequence[Value]) -> Chat:
    """Translate a chat with everything that branches off it: the document of `root`, and those below.

    A branch's pairs follow the pair that names it; where it repeats what went before, that is not told
    twice.
    """
    reading = _Reading(root, documents)
    reading.read()
    built, newest = reading.tree.build()
    messages = tuple(_at_home(one, reading.homes) for one in built)
    trunk = next((one.key for one in reversed(messages) if one.key.startswith(f"{root}#")), None)
    head = reading.documents.get(root, {})
    created = next((one.created_us for one in messages if one.created_us), None)
    return Chat(
        kind="branching", key=chat_key(root), title=line(head.get("name")),
        created_us=moment(head.get("created_at")) or created, updated_us=moment(head.get("updated_at")),
        current=trunk or newest, messages=messages, lines=tuple(reading.lines),
        names=tuple(Name(at, called, key) for (at, called), key in reading.names.items()),
        notes=reading.tree.notes,
    )  # fmt: skip


def _at_home(message: Message, homes: Mapping[str, str | None]) -> Message:
    home = homes.get(message.key)
    return msgspec.structs.replace(message, line=home) if home is not None else message


def _same(left: Value, right: Value) -> bool:
    return (left.get("question"), left.get("response")) == (right.get("question"), right.get("response"))
