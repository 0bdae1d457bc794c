"""LibreChat: the export of one conversation, nested or flat, and the documents of its database."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from antiphon.domain.chat_exports.chats import Attachment, Chat, Draft, Part, Text, chat_key
from antiphon.domain.chat_exports.links import link, listed, passage
from antiphon.domain.chat_exports.trees import TreeBuilder
from antiphon.domain.chat_exports.values import data_url, encoded, line, listing, mapping, moment, name, text

ROOT: Final = "00000000-0000-0000-0000-000000000000"
_PICTURES: Final = ("image_file", "image_url")
_FILES: Final = ("file_id", "filepath", "filename")
_CITED: Final = re.compile(r"\s?(?:\\ue202|\ue202)turn(\d{1,6})(search|news|ref|image|video|file)(\d{1,6})")
_MARKER: Final = re.compile(r"\\ue20[0-46]|[\ue200-\ue206]")
"""How a model cites, and what it puts around that: private characters, or how JSON writes these."""
_FOUND: Final = {"organic": "search", "topStories": "news", "references": "ref", "sources": "file"}
"""The lists of what a search found, and how answers call them."""

Value = Mapping[str, Any]
Note = Callable[[str], None]


def is_chat(value: Value) -> bool:
    """Whether a value is an exported conversation with its messages."""
    return "conversationId" in value and any(
        "messageId" in mapping(one)
        for field in ("messages", "messagesTree")
        for one in listing(value.get(field))
    )


def is_document(value: Value) -> bool:
    """Whether a value is a conversation or a message as the database has it."""
    return "conversationId" in value and ("messageId" in value or "endpoint" in value)


def document_group(value: Value) -> str | None:
    """Return which conversation a document of the database belongs to."""
    return name(value.get("conversationId"))


def chat(value: Value) -> Chat:
    """Translate an exported conversation."""
    return _chat(value, _flat(listing(value.get("messagesTree")) or listing(value.get("messages"))))


def chat_of(documents: Iterable[Value]) -> Chat:
    """Translate the documents of one conversation: its own, if it is there, and its messages."""
    head: Value = {}
    messages: list[tuple[Value, str | None]] = []
    for one in documents:
        if "messageId" in one:
            messages.append((one, _parent(one)))
        else:
            head = one
    messages.sort(key=lambda found: moment(found[0].get("createdAt")) or 0)
    return _chat(head or {"conversationId": messages[0][0].get("conversationId")}, messages)


def _flat(messages: list[Any]) -> list[tuple[Value, str | None]]:
    """Return nested messages with their parents, in their order; flat ones have them already."""
    found: list[tuple[Value, str | None]] = []
    waiting: list[tuple[Any, str | None]] = [(one, None) for one in reversed(messages)]
    while waiting:
        one, above = waiting.pop()
        message = mapping(one)
        found.append((message, above or _parent(message)))
        key = name(message.get("messageId"))
        waiting += [(child, key) for child in reversed(listing(message.get("children")))]
    return found


def _parent(message: Value) -> str | None:
    parent = name(message.get("parentMessageId"))
    return None if parent == ROOT else parent


def _chat(value: Value, messages: Iterable[tuple[Value, str | None]]) -> Chat:
    tree = TreeBuilder()
    options = mapping(value.get("options"))
    model = line(options.get("model"), 200) or line(value.get("model"), 200)
    first: int | None = None
    for number, (message, parent) in enumerate(messages):
        created = moment(message.get("createdAt"))
        first = created if first is None else first
        tree.add(
            name(message.get("messageId")) or f"#{number}",
            parent,
            _drafts(message, model, tree.note),
            created,
        )
    built, current = tree.build()
    return Chat(
        kind="librechat", key=chat_key(name(value.get("conversationId")), instead=value),
        title=line(value.get("title")), created_us=moment(value.get("createdAt")) or first,
        updated_us=moment(value.get("updatedAt")), current=current, messages=built, model=model,
        archived=value.get("isArchived") is True, notes=tree.notes,
    )  # fmt: skip


class _Search(msgspec.Struct, frozen=True):
    """What the search of a tool found: titles and addresses, by how answers call them."""

    call: str | None
    turn: int
    found: dict[tuple[str, int], tuple[Any, Any]]


def _drafts(message: Value, default: str | None, note: Note) -> Iterator[Draft]:
    role = "user" if _is_users(message) else "assistant"
    model = (line(message.get("model"), 200) or default) if role == "assistant" else None
    searches, said = _searches(message), list[Part]()
    waiting = list(searches)
    for one in listing(message.get("content")):
        part = mapping(one)
        kind = part.get("type")
        if kind == "text" or kind == "error":
            words = _with_links(_words(part.get(kind)), searches)
            said += [Text(words)] if words.strip() else []
        elif kind == "think" and (thought := _words(part.get("think"))):
            yield from _flushed(said, role, model)
            yield Draft(kind="reasoning", parts=(Text(thought),), model=model)
        elif kind == "tool_call":
            yield from _flushed(said, role, model)
            yield _use(mapping(part.get("tool_call")), model, waiting)
        elif kind in _PICTURES:
            said += _picture(mapping(part.get(str(kind))))
    if not listing(message.get("content")) and text(message.get("text")).strip():
        said.append(Text(_with_links(text(message.get("text")), searches)))
    if sources := listed(source for search in waiting for source in search.found.values()):
        said.append(Text(sources))
    said += _files(message, note)
    yield from _flushed(said, role, model)


def _searches(message: Value) -> list[_Search]:
    """Return what lies beside an answer of what its tools found."""
    searches = []
    for one in map(mapping, listing(message.get("attachments"))):
        for field in ("web_search", "file_search"):
            held = mapping(one.get(field))
            turn = held.get("turn")
            found = {
                (kind, number): _source(mapping(result))
                for results, kind in _FOUND.items()
                for number, result in enumerate(listing(held.get(results)))
            }
            if found:
                turn = turn if isinstance(turn, int) else 0
                searches.append(_Search(name(one.get("toolCallId")), turn, found))
    return searches


def _source(result: Value) -> tuple[Any, Any]:
    title = result.get("title") or result.get("fileName") or result.get("attribution")
    return title, result.get("link") or result.get("url")


def _with_links(words: str, searches: list[_Search]) -> str:
    """Put links where an answer cites what is told beside it, and nothing for the others."""
    if not _CITED.search(words):
        return words

    def shown(mark: re.Match[str]) -> str:
        turn, place = int(mark[1]), (mark[2], int(mark[3]))
        known = (one.found[place] for one in searches if one.turn == turn and place in one.found)
        lead = link(*next(known, (None, None)))
        return f" ({lead})" if lead else ""

    return _MARKER.sub("", _CITED.sub(shown, words))


def _files(message: Value, note: Note) -> Iterator[Attachment]:
    for one in map(mapping, listing(message.get("files")) + listing(message.get("attachments"))):
        if any(one.get(field) for field in _FILES):
            yield _file(one)
        elif one.get("type") not in ("web_search", "file_search"):
            note(f"attachment of type {line(one.get('type'), 40) or 'none'} left out")


def _is_users(message: Value) -> bool:
    if isinstance(message.get("isCreatedByUser"), bool):
        return message["isCreatedByUser"] is True
    return text(message.get("sender")).lower() == "user"


def _flushed(said: list[Part], role: str, model: str | None) -> Iterator[Draft]:
    if said:
        yield Draft(role=role, parts=tuple(said), model=model)
        said.clear()


def _words(value: Any) -> str:
    """Texts come bare or as `{"value": …}`."""
    return text(mapping(value).get("value") if isinstance(value, dict) else value)


def _use(call: Value, model: str | None, searches: list[_Search]) -> Draft:
    """Return the use of a tool, with what is told beside the answer of what it found."""
    called = mapping(call.get("function")) or call
    given = called.get("args", called.get("arguments"))
    asked = text(given) if isinstance(given, str) else encoded(given)
    output = [text(called.get("output"))]
    for search in [one for one in searches if one.call is not None and one.call == name(call.get("id"))]:
        searches.remove(search)
        output += [passage(title, url, "") for title, url in search.found.values()]
    parts = tuple(Text(one) for one in output if one)
    return Draft(
        kind="tool", tool=line(called.get("name"), 200) or "tool", asked=asked, parts=parts, model=model
    )


def _picture(value: Value) -> list[Part]:
    url = text(value.get("url"))
    called = line(value.get("filename"), 255) or "image"
    ref = (
        name(value.get("file_id"))
        or line(value.get("filepath"))
        or (chat_key(None, instead=url) if url else None)
    )
    return [Attachment(name=called, ref=ref, is_image=True, content=data_url(url))] if ref else []


def _file(value: Value) -> Attachment:
    called = line(value.get("filename"), 255) or "file"
    ref = name(value.get("file_id")) or line(value.get("filepath")) or called
    return Attachment(name=called, ref=ref, is_image=text(value.get("type")).startswith("image/"))
