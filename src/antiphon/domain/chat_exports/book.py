"""The collections of the FastAPI book: some eighteen shapes, told apart by their keys.

A document belongs to a session, failing that to a user. Where one writes its whole list again at each
message, the longest list is the history.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from antiphon.domain.chat_exports.chats import Chat, Draft, Text, chat_key
from antiphon.domain.chat_exports.trees import TreeBuilder
from antiphon.domain.chat_exports.values import line, listing, mapping, moment, name, text

Value = Mapping[str, Any]

ASKED: Final = ("user_input", "chat_message", "message", "text", "prompt", "question")
ANSWERED: Final = ("response", "answer")
LISTS: Final = ("chat_history", "conversation", "history", "messages", "conversation_history")
SESSIONS: Final = ("session_id", "chat_session_id")
USERS: Final = ("user_id", "username")
TIMES: Final = ("timestamp", "created_at")
ALONE: Final = "history"
"""The session of documents that name none, nor a user."""


class Entry(msgspec.Struct, frozen=True):
    """One thing said."""

    role: str
    text: str
    created_us: int | None


def is_document(value: Value) -> bool:
    """Whether a value is a document of one of the collections."""
    if any(isinstance(value.get(field), (list, str)) for field in LISTS):
        return True
    said = any(isinstance(value.get(field), str) for field in (*ASKED, *ANSWERED))
    return said and any(field in value for field in (*SESSIONS, *USERS, *ANSWERED, "_id"))


def document_group(value: Value) -> str:
    """Return the session that a document belongs to, or else its user."""
    for field in (*SESSIONS, *USERS):
        if found := name(value.get(field)):
            return found
    has_list = any(isinstance(value.get(field), list) for field in LISTS)
    return (name(value.get("id")) or name(value.get("_id")) if has_list else None) or ALONE


def chat_of(group: str, documents: Iterable[Value]) -> Chat:
    """Translate the documents of one group, in the order of their times, else of their ids."""
    longest: list[Entry] = []
    single: list[tuple[int, str, Entry]] = []
    for document in documents:
        listed = _listed(document)
        if listed is not None:
            longest = max(longest, listed, key=len)
            continue
        order = name(document.get("_id")) if isinstance(document.get("_id"), dict) else ""
        single += [(one.created_us or 0, order or "", one) for one in _pair(document, _time(document))]
    single.sort(key=lambda found: found[:2])
    tree, before = TreeBuilder(), None
    entries = longest + [one for _, _, one in single]
    for number, one in enumerate(entries):
        tree.add(str(number), before, [Draft(role=one.role, parts=(Text(one.text),))], one.created_us)
        before = str(number)
    messages, current = tree.build(before)
    return Chat(
        kind="book", key=chat_key(group), title=line(group, 200), session=line(group, 200),
        created_us=next((one.created_us for one in entries if one.created_us), None), current=current,
        messages=messages, notes=tree.notes,
    )  # fmt: skip


def _time(document: Value) -> int | None:
    return next((found for field in TIMES if (found := moment(document.get(field)))), None)


def _listed(document: Value) -> list[Entry] | None:
    """Return the entries of a document that holds a whole history, None of another one."""
    for field in LISTS:
        found = document.get(field)
        if isinstance(found, str) and found:
            return [Entry("user", text(found), _time(document))]
        if isinstance(found, list):
            return [entry for one in listing(found) for entry in _element(one)]
    return None


def _element(one: Any) -> Iterator[Entry]:
    if isinstance(one, str) and one:
        yield Entry("user", text(one), None)
    elif isinstance(one, dict):
        yield from _pair(one, _time(one))


def _pair(value: Value, created_us: int | None) -> Iterator[Entry]:
    """Yield what was asked and what was answered, as far as a value says either."""
    role = "assistant" if mapping(value).get("role") in ("assistant", "ai", "bot") else "user"
    asked = next((found for field in (*ASKED, "content") if (found := text(value.get(field)))), None)
    answered = next((found for field in ANSWERED if (found := text(value.get(field)))), None)
    if asked is not None:
        yield Entry(role, asked, created_us)
    if answered is not None:
        yield Entry("assistant", answered, created_us)
