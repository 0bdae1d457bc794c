"""Open WebUI's export: chats whose `history.messages` map holds a tree."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from antiphon.domain.chat_exports.chats import Attachment, Chat, Draft, Part, Text, chat_key
from antiphon.domain.chat_exports.trees import TreeBuilder
from antiphon.domain.chat_exports.values import data_url, line, listing, mapping, moment, name, text

_ROLES: Final = ("user", "assistant", "system")
_DETAILS: Final = re.compile(
    r'<details\b[^<>]{0,200}\btype="(reasoning|tool_calls|code_interpreter)"([^>]{0,100000})>'
)
_END: Final = "</details>"
_SUMMARY: Final = re.compile(r"<summary>.*?</summary>", re.DOTALL)
_NAME: Final = re.compile(r'\bname="([^"]{1,200})"')

Value = Mapping[str, Any]


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
            _drafts(message, model),
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


def _drafts(message: Value, default: str | None) -> Iterator[Draft]:
    role = message.get("role")
    if role not in _ROLES:
        return
    model = (line(message.get("model"), 200) or default) if role == "assistant" else None
    files = tuple(_files(message))
    output = [mapping(one) for one in listing(message.get("output"))]
    if any(one.get("type") == "message" for one in output):
        drafts = list(_answered(output, model))
    else:
        drafts = list(_written(text(message.get("content")), str(role), model))
    if files and drafts and drafts[-1].kind == "message":
        drafts[-1] = msgspec.structs.replace(drafts[-1], parts=drafts[-1].parts + files)
    elif files:
        drafts.append(Draft(role=str(role), parts=files, model=model))
    yield from drafts


def _answered(output: list[Value], model: str | None) -> Iterator[Draft]:
    """Yield items of an answer in the shape of OpenAI's Responses."""
    results = {
        name(one.get("call_id")): _joined(one.get("output"))
        for one in output
        if one.get("type") == "function_call_output"
    }
    for one in output:
        kind = one.get("type")
        if kind == "reasoning":
            thought = _joined(one.get("content")) or _joined(one.get("summary"))
            yield Draft(kind="reasoning", parts=_texts(thought), model=model)
        elif kind == "function_call":
            returned = results.get(name(one.get("call_id"))) or ""
            called = line(one.get("name"), 200) or "tool"
            asked = text(one.get("arguments")) or "{}"
            yield Draft(kind="tool", tool=called, asked=asked, parts=_texts(returned), model=model)
        elif kind == "message":
            yield Draft(parts=_texts(_joined(one.get("content"))), model=model)


def _written(content: str, role: str, model: str | None) -> Iterator[Draft]:
    """Yield a message whose thoughts and uses of tools are folded into its text."""
    at, said = 0, list[str]()
    while role == "assistant" and (found := _DETAILS.search(content, at)):
        end = content.find(_END, found.end())
        if end < 0:
            break
        said.append(content[at : found.start()])
        inner = html.unescape(_SUMMARY.sub("", content[found.end() : end], count=1)).strip()
        at = end + len(_END)
        if found[1] == "reasoning":
            thought = "\n".join(one.removeprefix(">").removeprefix(" ") for one in inner.splitlines())
            yield Draft(kind="reasoning", parts=_texts(thought), model=model)
        else:
            called = _NAME.search(found[2])
            tool = called[1] if called else found[1]
            yield Draft(kind="tool", tool=tool, asked="{}", parts=_texts(inner), model=model)
    said.append(content[at:])
    yield Draft(role=role, parts=_texts("".join(said).strip()), model=model)


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
