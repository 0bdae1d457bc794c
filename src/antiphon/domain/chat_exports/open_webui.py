"""Open WebUI's export: chats whose `history.messages` map holds a tree."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec

from antiphon.domain.chat_exports.chats import Attachment, Chat, Draft, Part, Text, chat_key
from antiphon.domain.chat_exports.links import address, listed
from antiphon.domain.chat_exports.trees import TreeBuilder
from antiphon.domain.chat_exports.values import data_url, encoded, line, listing, mapping, moment, name, text

_ROLES: Final = ("user", "assistant", "system")
_DETAILS: Final = re.compile(r'<details\b((?:\s++[\w:-]++(?:="[^"]*+")?+)*+)\s*+>')
_ATTRIBUTE: Final = re.compile(r'([\w:-]++)="([^"]*+)"')
_FOLDED: Final = frozenset({"reasoning", "tool_calls", "code_interpreter"})
_END: Final = "</details>"
_SUMMARY: Final = ("<summary>", "</summary>")
_FENCE: Final = re.compile(r"```[^\n`]*\n(.*?)\n?```", re.DOTALL)
CODE: Final = "code_interpreter"
_PLACE: Final = frozenset({"type", "id", "status", "call_id"})
"""What says of an item of an answer which one it is, and not what was done."""

FILES_OF_TOOLS: Final = "files that a tool returned left out"

Value = Mapping[str, Any]
Note = Callable[[str], None]


def is_chat(value: Value) -> bool:
    """Whether a value is a chat of this export, within its record or bare."""
    inner = mapping(value.get("chat")) or value
    return isinstance(mapping(inner.get("history")).get("messages"), dict)


def chat(value: Value) -> Chat:
    """Translate a chat."""
    inner = mapping(value.get("chat")) or value
    history, tree = mapping(inner.get("history")), TreeBuilder()
    models = [line(one, 200) for one in listing(inner.get("models"))]
    model = models[0] if len(models) == 1 else None
    for key, found in mapping(history.get("messages")).items():
        message = mapping(found)
        if message.get("role") not in _ROLES:
            tree.note("message of unknown role left out")
        if mapping(message.get("error")):
            tree.note("error of a model left out")
        tree.add(
            text(key),
            name(message.get("parentId")),
            _drafts(message, model, tree.note),
            moment(message.get("timestamp")),
        )
    messages, current = tree.build(history.get("currentId"))
    return Chat(
        kind="open-webui", key=chat_key(value.get("id") or inner.get("id"), instead=value),
        title=line(value.get("title")) or line(inner.get("title")),
        created_us=moment(value.get("created_at")) or moment(inner.get("timestamp")),
        updated_us=moment(value.get("updated_at")), current=current, messages=messages, model=model,
        archived=value.get("archived") is True, pinned=value.get("pinned") is True, notes=tree.notes,
    )  # fmt: skip


def _drafts(message: Value, default: str | None, note: Note) -> Iterator[Draft]:
    role = message.get("role")
    if role not in _ROLES:
        return
    model = (line(message.get("model"), 200) or default) if role == "assistant" else None
    beside = (*_texts(listed(_sources(message))), *_files(message))
    output = [mapping(one) for one in listing(message.get("output"))]
    if any(one.get("type") == "message" for one in output):
        drafts = list(_answered(output, model, note))
    else:
        drafts = list(_written(text(message.get("content")), str(role), model, note))
    if beside and drafts and drafts[-1].kind == "message":
        drafts[-1] = msgspec.structs.replace(drafts[-1], parts=drafts[-1].parts + beside)
    elif beside:
        drafts.append(Draft(role=str(role), parts=beside, model=model))
    yield from drafts


def _answered(output: list[Value], model: str | None, note: Note) -> Iterator[Draft]:
    """Yield items of an answer in the shape of OpenAI's Responses."""
    results = {name(one.get("call_id")): one for one in output if one.get("type") == "function_call_output"}
    for one in output:
        kind = text(one.get("type"))
        if kind == "reasoning":
            thought = _joined(one.get("content")) or _joined(one.get("summary"))
            yield Draft(kind="reasoning", parts=_texts(thought), model=model)
        elif kind == "function_call":
            returned = results.get(name(one.get("call_id")), {})
            if returned.get("files"):
                note(FILES_OF_TOOLS)
            called, given = line(one.get("name"), 200) or "tool", one.get("arguments")
            asked = text(given) if isinstance(given, str) else encoded(given or {})
            output_of = _texts(_joined(returned.get("output")))
            yield Draft(kind="tool", tool=called, asked=asked or "{}", parts=output_of, model=model)
        elif kind == "message":
            yield Draft(parts=_texts(_joined(one.get("content"))), model=model)
        elif kind.endswith(CODE):
            yield _code(text(one.get("code")), one.get("output"), model)
        elif kind.endswith("_call"):
            asked = encoded({key: value for key, value in one.items() if key not in _PLACE})
            yield Draft(
                kind="tool", tool=line(kind.removesuffix("_call"), 200) or "tool", asked=asked, model=model
            )
        elif kind != "function_call_output":
            note(f"part of an answer of type {line(kind, 40) or 'none'} left out")


def _written(content: str, role: str, model: str | None, note: Note) -> Iterator[Draft]:
    """Yield a message whose thoughts and uses of tools are folded into its text."""
    at, said = 0, list[str]()
    while role == "assistant" and (found := _DETAILS.search(content, at)):
        fields = {key: html.unescape(value) for key, value in _ATTRIBUTE.findall(found[1])}
        if fields.get("type") not in _FOLDED:
            said.append(content[at : found.end()])
            at = found.end()
            continue
        end = content.find(_END, found.end())
        if end < 0:
            break
        said.append(content[at : found.start()])
        at = end + len(_END)
        if fields.get("files"):
            note(FILES_OF_TOOLS)
        yield _unfolded(fields, _without_summary(content[found.end() : end]), model)
    said.append(content[at:])
    yield Draft(role=role, parts=_texts("".join(said).strip()), model=model)


def _without_summary(inner: str) -> str:
    opening, closing = _SUMMARY
    if inner.lstrip().startswith(opening) and closing in inner:
        inner = inner.partition(closing)[2]
    return inner.strip()


def _unfolded(fields: Mapping[str, str], inner: str, model: str | None) -> Draft:
    """Return what a folded part of a text stands for; `inner` is what is seen when it is opened."""
    if fields["type"] == CODE:
        fenced = _FENCE.search(inner)
        return _code(fenced[1] if fenced else inner, _decoded(fields.get("output", "")), model)
    inner = html.unescape(inner)
    if fields["type"] == "reasoning":
        thought = "\n".join(one.removeprefix(">").removeprefix(" ") for one in inner.splitlines())
        return Draft(kind="reasoning", parts=_texts(thought), model=model)
    asked, returned = (_unquoted(fields.get(field, "")) for field in ("arguments", "result"))
    return Draft(
        kind="tool", tool=line(fields.get("name"), 200) or "tool",
        asked=asked or "{}", parts=_texts(returned or inner), model=model,
    )  # fmt: skip


def _decoded(value: str) -> Any:
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, RecursionError):
        return value


def _unquoted(value: str) -> str:
    """Return the text of an attribute, which mostly is a text within JSON."""
    found = _decoded(value)
    return text(found) if isinstance(found, str) else value


def _code(code: str, output: Any, model: str | None) -> Draft:
    """Return code that was run, and what it printed, failed with and returned."""
    if isinstance(output, dict):
        values = (output.get(field) for field in ("stdout", "stderr", "result"))
        output = "\n".join(one if isinstance(one, str) else encoded(one) for one in values if one)
    words = text(output) if isinstance(output, str) else _joined(output)
    return Draft(kind="tool", tool=CODE, asked=code.strip(), parts=_texts(words.strip()), model=model)


def _sources(message: Value) -> list[tuple[Any, Any]]:
    """Return titles and addresses of what an answer cites, each once, in the order of its numbers."""
    found: dict[str, tuple[Any, Any]] = {}
    for one in listing(message.get("sources")) or listing(message.get("citations")):
        source = mapping(mapping(one).get("source"))
        for about in listing(mapping(one).get("metadata")) or [{}]:
            meta = mapping(about)
            key = text(meta.get("source")) or name(source.get("id")) or text(source.get("name"))
            addresses = (meta.get("url"), key, source.get("url"), source.get("name"))
            title = meta.get("title") or meta.get("name") or source.get("name") or key
            url = next((value for value in addresses if address(value)), None)
            if key:
                found.setdefault(key, (title, url))
    return list(found.values())


def _texts(words: str) -> tuple[Part, ...]:
    return (Text(words),) if words.strip() else ()


def _joined(value: Any) -> str:
    if isinstance(value, str):
        return text(value)
    return "\n".join(text(mapping(one).get("text")) for one in listing(value))


def _files(message: Value) -> Iterator[Attachment]:
    """Yield pictures, and documents by the text that was read out of them: their bytes are not exported."""
    for number, found in enumerate(listing(message.get("files"))):
        one, inner = mapping(found), mapping(mapping(found).get("file"))
        url = text(one.get("url"))
        called = line(one.get("name"), 255) or line(inner.get("filename"), 255)
        ref = name(one.get("id")) or name(inner.get("id")) or f"{text(message.get('id'))}/{number}"
        if one.get("type") == "image" or text(one.get("content_type")).startswith("image/"):
            yield Attachment(name=called or "image", ref=ref, is_image=True, content=data_url(url))
            continue
        words = text(mapping(inner.get("data")).get("content"))
        if words and called and not called.lower().endswith((".txt", ".md", ".csv", ".json")):
            called += ".txt"
        yield Attachment(name=called or "file", ref=ref, content=words.encode() if words else data_url(url))
