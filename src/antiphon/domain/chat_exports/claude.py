"""Claude's data export: conversations with lists of `chat_messages`, in newer ones with their parents."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from antiphon.domain.chat_exports.chats import Attachment, Chat, Draft, Part, Text, chat_key
from antiphon.domain.chat_exports.links import address, link, passage
from antiphon.domain.chat_exports.trees import TreeBuilder
from antiphon.domain.chat_exports.values import encoded, line, listing, mapping, moment, name, text

PARENT: Final = "parent_message_uuid"
ROOTS: Final = ("00000000-0000-4000-8000-000000000000", "00000000-0000-0000-0000-000000000000", "")
"""What the first message of a conversation follows."""
_ROLES: Final = {"human": "user", "user": "user", "assistant": "assistant", "system": "system"}
_SILENT: Final = frozenset({"token_budget", "tool_result"})
"""Blocks that say nothing by themselves."""
_WORD: Final = re.compile(r"\w{0,50}")
"""What is left of a word in whose midst a citation ends."""
_PICTURES: Final = (".png", ".jpg", ".jpeg", ".gif", ".webp")

Block = Mapping[str, Any]
Note = Callable[[str], None]


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
        answered = line(message.get("model"), 200) or model
        drafts = _drafts(message, role, answered, tree.note) if role else ()
        tree.add(key, parent, drafts, moment(message.get("created_at")))
        before = key
    messages, current = tree.build(value.get("current_leaf_message_uuid"))
    return Chat(
        kind="claude", key=chat_key(value.get("uuid"), instead=value), title=line(value.get("name")),
        created_us=moment(value.get("created_at")), updated_us=moment(value.get("updated_at")),
        current=current, messages=messages, model=model, pinned=value.get("is_starred") is True,
        notes=tree.notes,
    )  # fmt: skip


def _drafts(message: Block, role: str, model: str | None, note: Note) -> Iterator[Draft]:
    """Yield thoughts and uses of tools in their order, each text where it was said."""
    blocks = [mapping(one) for one in listing(message.get("content"))]
    results, titles = _results(blocks), _titles(blocks)
    said: list[Part] = []
    spoke = False
    for block in blocks:
        kind = text(block.get("type"))
        if kind == "thinking":
            if thought := text(block.get("thinking")):
                yield from _flushed(said, role, model)
                yield Draft(kind="reasoning", parts=(Text(thought),), model=model)
        elif kind == "tool_use":
            yield from _flushed(said, role, model)
            yield _use(block, results, model, note)
        elif words := _with_links(block, titles):
            said.append(Text(words))
            spoke = True
        elif kind != "text" and kind not in _SILENT:
            note(_left_out(block))
    for _ in (one for waiting in results.values() for one in waiting):
        note("result of a tool that was not used left out")
    if not spoke and text(message.get("text")).strip():
        said.append(Text(text(message.get("text"))))
    said += _attached(message)
    yield from _flushed(said, role, model)


def _left_out(block: Block) -> str:
    return f"block of type {line(block.get('type'), 40) or 'none'} left out"


def _titles(blocks: Iterable[Block]) -> dict[str, Any]:
    """Return what the pages that tools found are called, by their addresses."""
    found = (mapping(one) for block in blocks for one in listing(block.get("content")))
    return {url: one.get("title") for one in found if (url := address(one.get("url")))}


def _with_links(block: Block, titles: Mapping[str, Any]) -> str:
    """Return the words of a block with a link behind each passage that cites a page."""
    words = text(block.get("text"))
    if not words.strip():
        return ""
    leads: dict[int, dict[str, str]] = {}
    for one in map(mapping, listing(block.get("citations"))):
        url = address(mapping(one.get("details")).get("url")) or address(one.get("url"))
        end = one.get("end_index")
        if url is not None:
            at = min(max(end, 0), len(words)) if isinstance(end, int) else len(words)
            rest = _WORD.match(words, at) if words[at - 1 : at].isalnum() else None
            leads.setdefault(rest.end() if rest else at, {})[url] = link(titles.get(url), url)
    pieces, begin = list[str](), 0
    for at in sorted(leads):
        pieces += [words[begin:at], f" ({', '.join(leads[at].values())})"]
        begin = at
    return "".join((*pieces, words[begin:]))


def _flushed(said: list[Part], role: str, model: str | None) -> Iterator[Draft]:
    if said:
        yield Draft(role=role, parts=tuple(said), model=model if role == "assistant" else None)
        said.clear()


def _results(blocks: list[Block]) -> dict[str, list[Any]]:
    """Return what tools returned, by the id of their use, else by their names in order."""
    found: dict[str, list[Any]] = {}
    for block in blocks:
        if block.get("type") == "tool_result":
            key = name(block.get("tool_use_id")) or name(block.get("name")) or ""
            found.setdefault(key, []).append(block.get("content"))
    return found


def _result(content: Any, note: Note) -> str:
    """Return what a tool returned, pages and documents below their titles and addresses."""
    if isinstance(content, str):
        return text(content)
    shown = []
    for one in map(mapping, listing(content)):
        extras = mapping(one.get("extras"))
        title = one.get("title") or extras.get("title") or one.get("name")
        addresses = (one.get("url"), one.get("uri"), extras.get("uri"))
        head = passage(title, next(filter(address, addresses), None), "")
        if words := "\n".join(part for part in (head, text(one.get("text"))) if part):
            shown.append(words)
        elif one.get("type") != "text":
            note(_left_out(one))
    return "\n".join(shown).strip()


def _use(block: Block, results: Mapping[str, list[Any]], model: str | None, note: Note) -> Draft:
    called = line(block.get("name"), 200) or "tool"
    waiting = results.get(name(block.get("id")) or "") or results.get(called) or []
    output = _result(waiting.pop(0), note) if waiting else ""
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
