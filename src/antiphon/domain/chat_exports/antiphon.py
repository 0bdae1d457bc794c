"""What another Antiphon exported for one person: each conversation with all its branches and items.

Moving a whole server, with people, files and answers byte for byte, is `antiphon export` and `import`
of archives; this is for whoever takes along what is theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec

from antiphon.domain.chat_exports.chats import IMPORTED_KEYS, Attachment, Chat, Draft, Part, Text, chat_key
from antiphon.domain.chat_exports.trees import TreeBuilder
from antiphon.domain.chat_exports.values import data_url, encoded, line, listing, mapping, moment, name, text
from antiphon.domain.conversations import MAX_FOLDER, MAX_METADATA, MAX_METADATA_KEY, MAX_METADATA_VALUE
from antiphon.domain.items import MAX_LABEL

OBJECT: Final = "conversation.export"
FORMAT: Final = 1
"""What is written and what is read: another form would need another reader."""
FILES_FOLDER: Final = "own-files"
"""Where an archive has the files of its person; none of them is a conversation, whatever is in it."""
SIDE_FILE: Final = "account.json"
"""What an archive has beside conversations and the contents of files."""
_FOLLOWING: Final = frozenset({"function_call_output", "custom_tool_call_output", "mcp_approval_response"})
"""Items that are told with the call they belong to."""
_TRANSLATED: Final = frozenset({"message", "reasoning", "function_call", "item_reference", *_FOLLOWING})
"""Items that are never kept as they are: what models are shown of them has to be of one form."""
_OUTSIDE: Final = frozenset({"id", "status", "antiphon"})
"""What an item has on the wire besides its payload."""
MAX_TYPE: Final = 64

Value = Mapping[str, Any]
Note = Callable[..., None]


def is_chat(value: Value) -> bool:
    """Whether a value is an exported conversation of a form that is known."""
    return value.get("object") == OBJECT and value.get("format") == FORMAT


def chat(value: Value) -> Chat:
    """Translate a conversation; the branch that was active is the one in view."""
    head = mapping(value.get("conversation"))
    items = [mapping(one) for one in listing(value.get("items"))]
    outputs = {name(one.get("call_id")): _said(one.get("output")) for one in items if _follows(one)}
    called = {name(one.get("call_id")) for one in items if not _follows(one)}
    tree = TreeBuilder()
    for number, item in enumerate(items):
        place, drafts = mapping(item.get("antiphon")), list[Draft]()
        key = _bare(item.get("id")) or f"#{number}"
        if not _follows(item):
            drafts = list(_drafts(item, place, outputs, tree.note))
        is_told = bool(drafts) or (_follows(item) and name(item.get("call_id")) in called)
        if not is_told:
            tree.note(f"{line(item.get('type'), 40) or 'item'} left out")
        tree.add(key, _bare(place.get("parent_id")), drafts, moment(place.get("created_at")))
    messages, current = tree.build(_in_view(value))
    return Chat(
        kind="antiphon", key=chat_key(head.get("id"), instead=value), title=line(head.get("title")),
        created_us=moment(head.get("created_at")), updated_us=moment(head.get("updated_at")),
        current=current, messages=messages, archived=head.get("archived") is True,
        pinned=head.get("pinned") is True, folder=line(head.get("folder"), MAX_FOLDER),
        metadata=_metadata(head, tree.note), notes=tree.notes,
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


def _metadata(head: Value, note: Note) -> dict[str, str]:
    """Return what its owner had noted of a conversation, as far as it is what conversations may have."""
    noted = {
        key: value for key, value in mapping(head.get("metadata")).items()
        if isinstance(value, str) and len(value) <= MAX_METADATA_VALUE and len(key) <= MAX_METADATA_KEY
    }  # fmt: skip
    kept = {text(key): text(value) for key, value in noted.items() if key not in IMPORTED_KEYS}
    room = MAX_METADATA - len(IMPORTED_KEYS)
    if lost := len(mapping(head.get("metadata"))) - len(noted) + max(len(kept) - room, 0):
        note("metadata left out", lost)
    return dict(list(kept.items())[:room])


def _drafts(item: Value, place: Value, outputs: Mapping[str | None, str], note: Note) -> Iterator[Draft]:
    kind, response = item.get("type"), mapping(place.get("response"))
    model = line(response.get("model"), 200) or line(mapping(item.get("imported")).get("model"), 200)
    status = "completed" if item.get("status") not in ("incomplete", "in_progress") else "incomplete"
    if kind == "message":
        role = text(item.get("role")) or "assistant"
        parts = tuple(part for one in _content(item.get("content")) for part in _parts(one, note))
        yield Draft(
            role=role, parts=parts, model=model if role == "assistant" else None, status=status,
            speaker=line(place.get("user_id"), MAX_LABEL),
        )  # fmt: skip
    elif kind == "reasoning":
        thought = "\n\n".join(
            text(part.get("text")) for field in ("summary", "content") for part in _content(item.get(field))
        )
        parts = (Text(thought),) if thought.strip() else ()
        yield Draft(kind="reasoning", parts=parts, model=model, status=status)
    elif "arguments" in item or kind == "custom_tool_call":
        output = _said(item.get("output")) or outputs.get(name(item.get("call_id")), "")
        yield Draft(
            kind="tool", tool=line(item.get("name"), 200) or "tool",
            asked=text(item.get("arguments")) or text(item.get("input")) or "{}",
            parts=(Text(output),) if output else (), model=model, status=status,
        )  # fmt: skip
    elif payload := _verbatim(item):
        yield Draft(kind="item", verbatim=payload, model=model, status=status)


def _verbatim(item: Value) -> dict[str, Any]:
    """Return an item of a type that is kept as it is, without what it has on the wire; else nothing."""
    kind = text(item.get("type"))
    if not 0 < len(kind) <= MAX_TYPE or kind in _TRANSLATED:
        return {}
    if kind == "compaction" and not isinstance(item.get("encrypted_content"), str):
        return {}
    payload = {"type": kind} | {key: value for key, value in item.items() if key not in _OUTSIDE}
    try:
        msgspec.json.decode(msgspec.json.encode(payload))  # as it is read again
    except (UnicodeEncodeError, OverflowError, TypeError, ValueError, RecursionError):
        return {}
    return payload


def _said(output: Any) -> str:
    """Return the words of what a tool returned, a text or parts."""
    return "\n".join(words for one in _content(output) if (words := text(one.get("text"))))


def _content(value: Any) -> list[Value]:
    """Return an item's content, also where it is one text."""
    if isinstance(value, str):
        return [{"type": "text", "text": value}]
    return [mapping(one) for one in listing(value)]


def _parts(part: Value, note: Note) -> Iterator[Part]:
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
    elif part.get("type") in ("input_file", "input_image") and line(part.get("filename")):
        yield Attachment(name=line(part.get("filename"), 255) or "", ref="")
    elif part.get("type") not in ("input_text", "output_text", "text", "refusal"):
        note(f"part of type {line(part.get('type'), 40) or 'none'} left out")
