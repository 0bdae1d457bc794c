"""The book's shapes of messages, each chapter's its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from antiphon.api.dialects.forms import moment, uuid_text
from antiphon.domain.accounts import USER
from antiphon.domain.items import EXTENSION, Item, text_of

SPOKEN: Final = frozenset({"user", "assistant"})


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A message as every shape needs it; `user_id` is the label of its participant."""

    id: str
    role: str
    text: str
    timestamp: str
    created_us: int
    user_id: str | None
    author: str | None
    number: int
    """Its place in its session, counted from 1."""


def messages_of(items: Iterable[Item]) -> list[Message]:
    """Return those of the items that a user or the model said."""
    return [message_of(item) for item in items if item.type == "message" and item.role in SPOKEN]


def message_of(item: Item) -> Message:
    """Return an item as a message."""
    body = item.body()
    told = body.get(EXTENSION)
    extra: dict[str, Any] = told if isinstance(told, dict) else {}
    label, sent_at = extra.get("user_id"), extra.get("timestamp")
    return Message(
        id=uuid_text(item.id), role=item.role or "user", text=text_of(body),
        timestamp=sent_at if isinstance(sent_at, str) else moment(item.created_us),
        created_us=item.created_us, user_id=label if isinstance(label, str) else None,
        author=USER + item.author_id if item.author_id else None, number=item.depth + 1,
    )  # fmt: skip


def entry(one: Message) -> dict[str, Any]:
    """Return a message of a session's history."""
    return {
        "message": one.text, "timestamp": one.timestamp, "role": one.role, "id": one.id,
        "user_id": one.user_id, "author": one.author,
    }  # fmt: skip


def post(one: Message) -> dict[str, Any]:
    """Return a message as the session of several people shows it."""
    return {
        "id": one.id, "text": one.text, "user_id": one.user_id, "timestamp": one.timestamp, "role": one.role,
        "author": one.author,
    }  # fmt: skip


def pairs(messages: Sequence[Message], asked: str = "chat_message") -> list[dict[str, Any]]:
    """Return questions with their answers; what has none, or answers nothing, stands with null."""
    found: list[dict[str, Any]] = []
    for one in messages:
        open_question = found[-1] if found and found[-1]["response_id"] is None else None
        if one.role == "user":
            found.append(_pair(one, asked) | {asked: one.text})
        elif open_question is not None:
            open_question.update(response=one.text, response_id=one.id)
        else:
            found.append(_pair(one, asked) | {"response": one.text, "response_id": one.id})
    return found


def _pair(one: Message, asked: str) -> dict[str, Any]:
    return {asked: None, "response": None, "id": one.id, "response_id": None, "timestamp": one.timestamp}


def turns(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Return who said what, one entry each, as the first chapter has it."""
    return [{"user_input" if one.role == "user" else "response": one.text} for one in messages]


def texts(messages: Sequence[Message]) -> list[str]:
    """Return the texts alone."""
    return [one.text for one in messages]


def chats(messages: Sequence[Message], session: str) -> list[dict[str, Any]]:
    """Return messages as the second chapter's documents."""
    return [
        {
            "user_id": one.user_id, "message": one.text, "session_id": session, "created_at": one.timestamp,
            "role": one.role,
        }
        for one in messages
    ]  # fmt: skip


def session_object(messages: Sequence[Message], session: str, created_us: int) -> dict[str, Any]:
    """Return a session with its messages, in the shapes of the three chapters that show one."""
    return {
        "_id": session,
        "session_id": session,
        "history": [entry(one) for one in messages],
        "chat_history": texts(messages),
        "chats": chats(messages, session),
        "created_at": moment(created_us),
    }


def counted(messages: Sequence[Message], authors: dict[str, int]) -> list[dict[str, Any]]:
    """Return messages with numbers for ids; an answer stands under the number of who asked."""
    found: list[dict[str, Any]] = []
    asker = 0
    for one in messages:
        if one.role == "user":
            asker = number_of(one.user_id) or authors.get(one.author or "", 0)
        found.append({"id": one.number, "text": one.text, "user_id": asker, "role": one.role})
    return found


def number_of(label: str | None) -> int | None:
    """Return a participant's label if it is a number."""
    if label is None or len(label) > 15 or not (label.isascii() and label.isdigit()):
        return None
    return int(label)


def stamp(one: Message) -> str:
    """Return a message's time as `2023-02-20 14:30:00`, in UTC; as its sender wrote it, if it did."""
    if one.timestamp != moment(one.created_us):
        return one.timestamp
    return datetime.fromtimestamp(one.created_us // 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def dated(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Return texts with their times."""
    return [{"text": one.text, "timestamp": stamp(one), "role": one.role} for one in messages]
