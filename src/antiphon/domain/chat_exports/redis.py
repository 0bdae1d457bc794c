"""Histories that lie in Redis: the key names the session, the value holds the messages."""

from __future__ import annotations

from typing import Any

from antiphon.domain.chat_exports.chats import Chat, Draft, Text, chat_key
from antiphon.domain.chat_exports.trees import TreeBuilder
from antiphon.domain.chat_exports.values import line, text
from antiphon.domain.old_chats import LEFT_OUT, history_of, session_name_of


def chat(key: str, value: Any) -> Chat | None:
    """Translate the value of a key, None if it holds no history."""
    said, session = history_of(value, key), line(session_name_of(text(key)), 256)
    if said is None or session is None:
        return None
    tree, before = TreeBuilder(), None
    if said.left_out:
        tree.note(LEFT_OUT, said.left_out)
    for number, one in enumerate(said.messages):
        tree.add(str(number), before, [Draft(role=one.role, parts=(Text(text(one.text)),))])
        before = str(number)
    messages, current = tree.build(before)
    return Chat(
        kind="redis",
        key=chat_key(session),
        title=session,
        session=session,
        current=current,
        messages=messages,
        notes=tree.notes,
    )
