"""Claude's data export: conversations with lists of `chat_messages`, in newer ones with their parents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from antiphon.domain.chat_exports.chats import Attachment, Chat, Draft, Part, Text, chat_key
from antiphon.domain.chat_exports.trees import TreeBuilder
from antiphon.domain.chat_exports.values import encoded, line, listing, mapping, moment, name, text

PARENT: Final = "parent_message_uuid"
ROOTS: Final = ("00000000-0000-4000-8000-000000000000", "00000000-0000-0000-0000-000000000000", "")
"""What the first message of a conversation follows."""
_ROLES: Final = {"human": "user", "user": "user", "assistant": "assistant", "system": "system"}
_PICTURES: Final = (".png", ".jpg", ".jpeg", ".gif", ".webp")


def is_chat(value: Mapping[str, Any]) -> bool:
    """Whether a value is a conversation of this export."""
    return isinstance(value.get("chat_messages"), list)


def chat(value: Mapping[str, Any]) -> Chat:
    """Translate a conversation."""
    tree, before = TreeBuilder(), None
    model = line(value.get("model"), 200)
    for number, found in enumerate(listing(value.get("chat_messages"))):
        message = mapping(found)
        key = name(message.get("uuid")) or f"#{number}"
        parent = before
        if PARENT in message:
            parent = text(message[PARENT])
            parent = None if parent in ROOTS else parent
        role = _ROLES.get(text(message.get("sender")))
        if role is None:
            tree.note("message of unknown sender left out")
        drafts = _drafts(message, role, line(message.get("model"), 200) or model) if role else ()
        tree.add(key, parent, drafts, moment(message.get("created_at")))
        before = key
    messages, current = tree.build(value.get("current_leaf_message_uuid"))
    return Chat(
        kind="claude", key=chat_key(value.get("uuid"), instead=value), title=line(value.get("name")),
        created_us=moment(value.get("created_at")), updated_us=moment(value.get("updated_at")),
        current=current, messages=messages, model=model, pinned=value.get("is_starred") is True,
        notes=tree.notes,
    )  # fmt: skip


def _drafts(message: Mapping[str, Any], role: str, model: str | None) -> Iterator[Draft]:
    """Yield thoughts and uses of tools in their order, each text where it was said."""
    blocks = [mapping(one) for one in listing(message.get("content"))]
    results = _results(blocks)
    said: list[Part] = []
    for block in blocks:
        kind = block.get("type")
        if kind == "text":
            words = text(block.get("text"))
            said += [Text(words)] if words.strip() else []
        elif kind == "thinking" and (thought := text(block.get("thinking"))):
            yield from _flushed(said, role, model)
            yield Draft(kind="reasoning", parts=(Text(thought),), model=model)
        elif kind == "tool_use":
            yield from _flushed(said, role, model)
            yield _use(block, results, model)
    if not any(block.get("type") == "text" for block in blocks) and text(message.get("text")).strip():
        said.append(Text(text(message.get("text"))))
    said += _attached(message)
    yield from _flushed(said, role, model)


def _flushed(said: list[Part], role: str, model: str | None) -> Iterator[Draft]:
    if said:
        yield Draft(role=role, parts=tuple(said), model=model if role == "assistant" else None)
        said.clear()


def _results(blocks: list[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return what tools returned, by the id of their use, else by their names in order."""
    found: dict[str, list[str]] = {}
    for block in blocks:
        if block.get("type") == "tool_result":
            key = name(block.get("tool_use_id")) or name(block.get("name")) or ""
            found.setdefault(key, []).append(_result(block.get("content")))
    return found


def _result(content: Any) -> str:
    if isinstance(content, str):
        return text(content)
    return "\n".join(text(mapping(one).get("text")) for one in listing(content)).strip()


def _use(block: Mapping[str, Any], results: dict[str, list[str]], model: str | None) -> Draft:
    called = line(block.get("name"), 200) or "tool"
    waiting = results.get(name(block.get("id")) or "") or results.get(called) or []
    output = waiting.pop(0) if waiting else ""
    given = block.get("input")
    asked = text(given) if isinstance(given, str) else encoded(given)
    return Draft(
        kind="tool", tool=called, asked=text(asked), parts=(Text(output),) if output else (), model=model
    )


def _attached(message: Mapping[str, Any]) -> Iterator[Part]:
    """Yield what was pasted as text, and the files, which these exports only name."""
    for one in listing(message.get("attachments")):
        called = line(mapping(one).get("file_name"), 255) or "pasted text"
        if words := text(mapping(one).get("extracted_content")):
            yield Text(f"[{called}]\n{words}")
        else:
            yield _file(called, None)
    seen: set[str] = set()
    for one in listing(message.get("files_v2")) + listing(message.get("files")):
        named = line(mapping(one).get("file_name"), 255)
        ref = name(mapping(one).get("file_uuid")) or named
        if ref and ref not in seen:
            seen.add(ref)
            yield _file(named or ref, ref)


def _file(called: str, ref: str | None) -> Attachment:
    return Attachment(name=called, ref=ref or called, is_image=called.lower().endswith(_PICTURES))
