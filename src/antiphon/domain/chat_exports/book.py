"""The collections of the FastAPI book: some eighteen shapes, told apart by their keys.

A document belongs to a session, failing that to a user; one that holds a whole history and names no
session is one. Where the list is written again at each message, the longest of those that begin alike is
the history.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import msgspec

from antiphon.domain.chat_exports.chats import Chat, Draft, Text, chat_key
from antiphon.domain.chat_exports.trees import TreeBuilder
from antiphon.domain.chat_exports.values import line, listing, mapping, moment, name, text
from antiphon.domain.items import MAX_LABEL

Value = Mapping[str, Any]

ASKED: Final = ("user_input", "chat_message", "message", "text", "prompt", "question")
ANSWERED: Final = ("response", "answer")
LISTS: Final = ("chat_history", "conversation", "history", "messages", "conversation_history")
SESSIONS: Final = ("session_id", "chat_session_id")
USERS: Final = ("user_id", "username")
TIMES: Final = ("timestamp", "created_at")
ANSWERS: Final = "chat_history"
"""As a text it is one answer of a model, a document each; as a list a whole history."""
ALONE: Final = "history"
"""The session of documents that name none, nor a user."""


class Entry(msgspec.Struct, frozen=True):
    """One thing said."""

    role: str
    text: str
    created_us: int | None
    speaker: str | None = None


def is_document(value: Value) -> bool:
    """Whether a value is a document of one of the collections."""
    if any(isinstance(value.get(field), (list, str)) for field in LISTS):
        return True
    said = any(isinstance(value.get(field), str) for field in (*ASKED, *ANSWERED))
    return said and any(field in value for field in (*SESSIONS, *USERS, *ANSWERED, "_id"))


def document_group(value: Value) -> str:
    """Return the session that a document belongs to or is, or else its user."""
    if not _holds_history(value):
        return _named(value, (*SESSIONS, *USERS)) or ALONE
    found = _named(value, (*SESSIONS, "id", "_id"))
    if found is None and value.get("_id") is not None:
        # An id of a type that is not known is one all the same: two histories are not put together.
        return f"{ALONE} {chat_key(None, instead=value['_id'])[:16]}"
    return found or _named(value, USERS) or ALONE


def _named(value: Value, fields: Sequence[str]) -> str | None:
    return next((found for field in fields if (found := name(value.get(field)))), None)


def _holds_history(value: Value) -> bool:
    return any(
        isinstance(value.get(field), list) or (isinstance(value.get(field), str) and field != ANSWERS)
        for field in LISTS
    )


def chat_of(group: str, documents: Iterable[Value]) -> Chat:
    """Translate the documents of one group, in the order of their times, else of their ids."""
    tree, before = TreeBuilder(), None
    listed: list[list[Entry]] = []
    single: list[Entry] = []
    for document in sorted(documents, key=_order):
        found = _listed(document)
        said = list(_pair(document, _time(document), None)) if found is None else found
        if not said:
            tree.note("document without words left out")
        elif found is None:
            single += said
        else:
            listed.append(said)
    whole = _without_copies(listed)
    if copies := len(listed) - len(whole):
        tree.note("earlier copy of a history left out", copies)
    entries = [one for said in whole for one in said] + single
    for number, one in enumerate(entries):
        draft = Draft(role=one.role, parts=(Text(one.text),), speaker=one.speaker)
        tree.add(str(number), before, [draft], one.created_us)
        before = str(number)
    messages, current = tree.build(before)
    return Chat(
        kind="book", key=chat_key(group), title=line(group, 200), session=line(group, 200),
        created_us=next((one.created_us for one in entries if one.created_us), None), current=current,
        messages=messages, notes=tree.notes,
    )  # fmt: skip


def _order(document: Value) -> tuple[int, str]:
    by_id = mapping(document.get("_id")).get("$oid")  # a UUID tells nothing of the time
    return _time(document) or 0, text(by_id)


def _without_copies(histories: Sequence[list[Entry]]) -> list[list[Entry]]:
    """Leave out each history that another one begins with; in the order of texts these are neighbours."""
    said = [[(one.role, one.text) for one in entries] for entries in histories]
    order = sorted(range(len(said)), key=said.__getitem__)
    copies = {one for one, other in pairwise(order) if said[other][: len(said[one])] == said[one]}
    return [entries for number, entries in enumerate(histories) if number not in copies]


def _time(document: Value) -> int | None:
    return next((found for field in TIMES if (found := moment(document.get(field)))), None)


def _listed(document: Value) -> list[Entry] | None:
    """Return the entries of a document that holds a whole history, None of another one."""
    for field in LISTS:
        found = document.get(field)
        if isinstance(found, str) and found and field != ANSWERS:
            return [Entry("user", text(found), _time(document), _speaker(document))]
        if isinstance(found, list):
            user = _speaker(document)
            return [entry for one in listing(found) for entry in _element(one, user)]
    return None


def _element(one: Any, user: str | None) -> Iterator[Entry]:
    if isinstance(one, str) and one:
        yield Entry("user", text(one), None, user)
    elif isinstance(one, dict):
        yield from _pair(one, _time(one), user)


def _speaker(value: Value) -> str | None:
    """Return the label of who speaks in a document or in an entry of one."""
    return line(_named(value, USERS), MAX_LABEL)


def _pair(value: Value, created_us: int | None, user: str | None) -> Iterator[Entry]:
    """Yield what was asked and what was answered, as far as a value says either.

    It was asked by `user`, unless the value says by whom.
    """
    role = "assistant" if mapping(value).get("role") in ("assistant", "ai", "bot") else "user"
    asked = next((found for field in (*ASKED, "content") if (found := text(value.get(field)))), None)
    answered = next((found for field in (*ANSWERED, ANSWERS) if (found := text(value.get(field)))), None)
    if asked is not None:
        yield Entry(role, asked, created_us, (_speaker(value) or user) if role == "user" else None)
    if answered is not None:
        yield Entry("assistant", answered, created_us)
