"""What another Antiphon exported for one person: each conversation with all its branches and items.

Moving a whole server, with people, files and answers byte for byte, is `antiphon export` and `import`
of archives; this is for whoever takes along what is theirs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from antiphon.domain.chat_exports.chats import Attachment, Chat, Draft, Part, Text, chat_key
from antiphon.domain.chat_exports.trees import TreeBuilder
from antiphon.domain.chat_exports.values import data_url, encoded, line, listing, mapping, moment, name, text
from antiphon.domain.conversations import MAX_FOLDER

OBJECT: Final = "conversation.export"
FORMAT: Final = 1
"""What is written and what is read: another form would need another reader."""
FILES_FOLDER: Final = "own-files"
"""Where an archive has the files of its person; none of them is a conversation, whatever is in it."""
SIDE_FILE: Final = "account.json"
"""What an archive has beside conversations and the contents of files."""
_FOLLOWING: Final = frozenset({"function_call_output", "custom_tool_call_output", "mcp_approval_response"})
"""Items that are told with the call they belong to."""

Value = Mapping[str, Any]


def is_chat(value: Value) -> bool:
    """Whether a value is an exported conversation of a form that is known."""
    return value.get("object") == OBJECT and value.get("format") == FORMAT


def chat(value: Value) -> Chat:
    """Translate a conversation; the branch that was active is the one in view."""
    head = mapping(value.get("conversation"))
    items = [mapping(one) for one in listing(value.get("items"))]
    outputs = {name(one.get("call_id")): text(one.get("output")) for one in items if _follows(one)}
    tree = TreeBuilder()
    for number, item in enumerate(items):
        place = mapping(item.get("antiphon"))
        key = _bare(item.get("id")) or f"#{number}"
        drafts = [] if _follows(item) else list(_drafts(item, place, outputs))
        if not drafts and not _follows(item):
            tree.note(f"{line(item.get('type'), 40) or 'item'} left out")
        tree.add(key, _bare(place.get("parent_id")), drafts, moment(place.get("created_at")))
    messages, current = tree.build(_in_view(value))
    return Chat(
        kind="antiphon", key=chat_key(head.get("id"), instead=value), title=line(head.get("title")),
        created_us=moment(head.get("created_at")), updated_us=moment(head.get("updated_at")),
        current=current, messages=messages, archived=head.get("archived") is True,
        pinned=head.get("pinned") is True, folder=line(head.get("folder"), MAX_FOLDER), notes=tree.notes,
    )  # fmt: skip


def _follows(item: Value) -> bool:
    return item.get("type") in _FOLLOWING


def _bare(value: Any) -> str | None:
    """Return an id without the word before it: an item is `item_…` to some and `msg_…` to others."""
    found = name(value)
    return found.rpartition("_")[2] or None if found else None


def _in_view(value: Value) -> str | None:
    """Return the last item of the active branch."""
    for one in listing(value.get("branches")):
        branch = mapping(one)
        if branch.get("active") is True:
            return _bare(branch.get("head_item_id"))
    return None


def _drafts(item: Value, place: Value, outputs: Mapping[str | None, str]) -> Iterator[Draft]:
    kind, model = item.get("type"), line(mapping(place.get("response")).get("model"), 200)
    if kind == "message":
        role = text(item.get("role")) or "assistant"
        parts = tuple(part for one in _content(item.get("content")) for part in _parts(one))
        yield Draft(role=role, parts=parts, model=model if role == "assistant" else None)
    elif kind == "reasoning":
        thought = "\n\n".join(
            text(part.get("text")) for field in ("summary", "content") for part in _content(item.get(field))
        )
        yield Draft(kind="reasoning", parts=(Text(thought),) if thought.strip() else (), model=model)
    elif "arguments" in item or kind == "custom_tool_call":
        output = text(item.get("output")) or outputs.get(name(item.get("call_id")), "")
        yield Draft(
            kind="tool", tool=line(item.get("name"), 200) or "tool",
            asked=text(item.get("arguments")) or text(item.get("input")) or "{}",
            parts=(Text(output),) if output else (), model=model,
        )  # fmt: skip


def _content(value: Any) -> list[Value]:
    """Return an item's content, also where it is one text."""
    if isinstance(value, str):
        return [{"type": "text", "text": value}]
    return [mapping(one) for one in listing(value)]


def _parts(part: Value) -> Iterator[Part]:
    url = part.get("image_url")
    url = text(mapping(url).get("url")) if isinstance(url, dict) else text(url)
    if words := text(part.get("text")) or text(part.get("refusal")):
        yield Text(words)
    elif url or part.get("file_id") or part.get("file_data"):
        is_image = part.get("type") == "input_image"
        called = line(part.get("filename"), 255) or ("image" if is_image else "file")
        ref = name(part.get("file_id")) or chat_key(None, instead=url or encoded(part.get("file_data")))
        content = data_url(url) or data_url(part.get("file_data"))
        yield Attachment(name=called, ref=ref, is_image=is_image, content=content)
