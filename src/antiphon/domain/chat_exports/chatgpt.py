"""ChatGPT's data export: conversations whose `mapping` holds a tree of messages.

Newer exports leave out `children`, the metadata of many messages, and name the model of the whole
conversation only; so parents alone make the tree, and nothing else is relied on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from antiphon.domain.chat_exports.chats import Attachment, Chat, Draft, Part, Text, chat_key
from antiphon.domain.chat_exports.links import address, link, passage
from antiphon.domain.chat_exports.trees import TreeBuilder
from antiphon.domain.chat_exports.values import line, listing, mapping, moment, name, text

EVERYBODY: Final = ("all", "")
_MARKER: Final = re.compile("\ue200[^\ue200\ue201]{0,2000}\ue201|[\ue200-\ue206]")
"""How citations stand in answers: private characters around what a browser puts a link for."""
_BRACKETED: Final = re.compile("【[^【】]{1,100}】")
"""How they stood before; `metadata.citations` tells where, from 0 or 1 on, and the address."""
_MARKS: Final = ("\ue200", "【", ":contentReference[")
_CONTEXTS: Final = ("user_editable_context", "model_editable_context")
_ASSETS: Final = ("asset_pointer", "audio_asset_pointer", "video_container_asset_pointer")


def is_chat(value: Mapping[str, Any]) -> bool:
    """Whether a value is a conversation of this export."""
    return isinstance(value.get("mapping"), dict) and ("current_node" in value or "create_time" in value)


def is_shell(value: Mapping[str, Any]) -> bool:
    """Whether a value is a conversation without any messages, which exports hold, too."""
    return not mapping(value.get("mapping")) and "conversation_id" in value and "title" in value


def chat(value: Mapping[str, Any], asset_names: Mapping[str, str]) -> Chat:
    """Translate a conversation; `asset_names` holds what attachments were called, by their file names."""
    tree = TreeBuilder()
    default = line(value.get("default_model_slug"), 200)
    reader = _Reader(tree, default, asset_names)
    for key, node in mapping(value.get("mapping")).items():
        node = mapping(node)
        message = mapping(node.get("message"))
        created = moment(message.get("create_time"))
        tree.add(text(key), name(node.get("parent")), reader.drafts(message), created)
    messages, current = tree.build(value.get("current_node"))
    return Chat(
        kind="chatgpt", key=chat_key(value.get("conversation_id") or value.get("id"), instead=value),
        title=line(value.get("title")), created_us=moment(value.get("create_time")),
        updated_us=moment(value.get("update_time")), current=current, messages=messages, model=default,
        archived=value.get("is_archived") is True, notes=tree.notes,
        pinned=value.get("is_starred") is True or moment(value.get("pinned_time")) is not None,
    )  # fmt: skip


class _Reader:
    """Reads messages of one conversation."""

    def __init__(self, tree: TreeBuilder, model: str | None, asset_names: Mapping[str, str]) -> None:
        self._tree = tree
        self._model = model
        self._asset_names = asset_names

    def drafts(self, message: Mapping[str, Any]) -> Iterator[Draft]:
        """Yield what a message becomes: nothing where it is hidden or empty."""
        metadata, content = mapping(message.get("metadata")), mapping(message.get("content"))
        role = mapping(message.get("author")).get("role")
        kind = text(content.get("content_type"))
        if metadata.get("is_visually_hidden_from_conversation") is True or kind in _CONTEXTS:
            if message:
                self._tree.note("hidden message left out")
            return
        if kind == "thoughts":
            yield Draft(kind="reasoning", parts=tuple(_thoughts(content)), model=self._of(metadata))
        elif kind == "reasoning_recap":
            self._tree.note("note on the time of thinking left out")
        elif role in ("user", "system"):
            yield Draft(role=role, parts=tuple(self._parts(content, metadata)))
        elif role == "assistant":
            yield self._answer(message, content, metadata, kind)
        elif role == "tool":
            yield from self._tool(message, content, metadata)
        elif message:
            self._tree.note(f"message of unknown role left out: {line(role, 40) or 'none'}")

    def _of(self, metadata: Mapping[str, Any]) -> str | None:
        return line(metadata.get("model_slug"), 200) or self._model

    def _answer(
        self, message: Mapping[str, Any], content: Mapping[str, Any], metadata: Mapping[str, Any], kind: str
    ) -> Draft:
        parts = tuple(self._parts(content, metadata))
        recipient = text(message.get("recipient"))
        if recipient not in EVERYBODY:
            asked = "\n".join(part.text for part in parts if isinstance(part, Text))
            return Draft(kind="tool", tool=recipient, asked=asked, model=self._of(metadata))
        if kind == "code" and parts:
            language = text(content.get("language"))
            fence = f"```{'' if language == 'unknown' else language}"
            parts = (Text(f"{fence}\n{text(content.get('text'))}\n```"),)
        return Draft(parts=parts, model=self._of(metadata))

    def _tool(
        self, message: Mapping[str, Any], content: Mapping[str, Any], metadata: Mapping[str, Any]
    ) -> Iterator[Draft]:
        """What a tool returned; pictures that it made are the answer of the model."""
        parts = tuple(self._parts(content, metadata))
        files = tuple(part for part in parts if isinstance(part, Attachment))
        words = tuple(part for part in parts if isinstance(part, Text))
        if words:
            tool = line(mapping(message.get("author")).get("name"), 200) or "tool"
            yield Draft(kind="tool", tool=tool, parts=words)
        if files:
            yield Draft(parts=files, model=self._of(metadata))

    def _parts(self, content: Mapping[str, Any], metadata: Mapping[str, Any]) -> Iterator[Part]:
        seen: set[str] = set()
        names = {name(one.get("id")): line(one.get("name"), 255) for one in _attached(metadata)}
        found = [_with_links(words, metadata) for words in _words(content)]
        if joined := "\n".join(one for one in found if one.strip()):
            yield Text(joined)
        for pointer, is_image in (*_pointers(content), *_drawn(metadata)):
            ref = pointer.rpartition("://")[2].partition("#")[0]
            if ref and ref not in seen:
                seen.add(ref)
                yield self._attachment(ref, names.get(ref), is_image=is_image)
        for one in _attached(metadata):
            found_id = name(one.get("id"))
            if found_id and found_id not in seen:
                seen.add(found_id)
                media = text(one.get("mime_type")) or text(one.get("mimeType"))
                yield self._attachment(found_id, names.get(found_id), is_image=media.startswith("image/"))

    def _attachment(self, ref: str, called: str | None, *, is_image: bool) -> Attachment:
        listed = self._asset_names.get(ref) or self._asset_names.get(f"{ref}.dat")
        return Attachment(name=called or ref, ref=ref, listed=None if called else listed, is_image=is_image)


def _attached(metadata: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [mapping(one) for one in listing(metadata.get("attachments"))]


def _thoughts(content: Mapping[str, Any]) -> Iterator[Text]:
    for one in listing(content.get("thoughts")):
        said = [text(mapping(one).get(field)) for field in ("summary", "content")]
        if any(said):
            yield Text("\n\n".join(part for part in said if part))


def _words(content: Mapping[str, Any]) -> Iterator[str]:
    """Yield the texts of a content of whatever type."""
    for part in listing(content.get("parts")):
        if isinstance(part, str):
            yield text(part)
        else:
            yield text(mapping(part).get("text"))
    if not listing(content.get("parts")):
        fields = ("text", "result", "content", "snippet", "title")
        words = next((found for field in fields if (found := text(content.get(field)))), "")
        if address(content.get("url")):
            words = passage(content.get("title"), content.get("url"), words)
        if words:
            yield words


def _pointers(content: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """Yield the assets that the parts of a content point to, and whether each is a picture."""
    for part in listing(content.get("parts")):
        for field in _ASSETS:
            found = mapping(part).get(field)
            found = mapping(found).get("asset_pointer") if isinstance(found, dict) else found
            if pointer := text(found):
                yield pointer, "image" in text(mapping(part).get("content_type"))


def _drawn(metadata: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """Yield the pictures that code drew, which its output does not name."""
    for one in listing(mapping(metadata.get("aggregate_result")).get("messages")):
        pointer = text(mapping(one).get("image_url"))
        if "://" in pointer and not address(pointer) and not pointer.startswith("data:"):
            yield pointer, True


def _with_links(words: str, metadata: Mapping[str, Any]) -> str:
    """Put links where citations stand, as far as the message says which."""
    if not any(mark in words for mark in _MARKS):
        return words
    words = _cited(words, metadata)
    for one in listing(metadata.get("content_references")):
        mark, lead = text(mapping(one).get("matched_text")), _lead(mapping(one))
        if mark.startswith("\ue200"):
            words = words.replace(mark, f" {lead}" if lead else "")
        elif lead and mark.startswith(_MARKS):
            words = words.replace(f" {mark}", mark).replace(mark, f" {lead}")
    return _MARKER.sub("", words)


def _lead(reference: Mapping[str, Any]) -> str:
    """Return how an export writes out a reference, or what it leads to."""
    if written := text(reference.get("alt")):
        return written
    for one in (reference, *listing(reference.get("items"))):
        if address(mapping(one).get("url")):
            return f"({link(mapping(one).get('title'), mapping(one).get('url'))})"
    return ""


def _cited(words: str, metadata: Mapping[str, Any]) -> str:
    """Put links for marks in brackets where a citation tells of just this place, or the next to it."""
    leads: dict[Any, str] = {}
    for one in map(mapping, listing(metadata.get("citations"))):
        about, place = mapping(one.get("metadata")), (one.get("start_ix"), one.get("end_ix"))
        if address(about.get("url")) and all(isinstance(number, int) for number in place):
            leads[place] = link(about.get("title"), about.get("url"))

    def shown(found: re.Match[str]) -> str:
        start, end = found.span()
        lead = next((leads[at] for by in (0, -1, 1) if (at := (start + by, end + by)) in leads), None)
        space = "" if found.string[start - 1 : start] in ("", " ") else " "
        return f"{space}({lead})" if lead else found[0]

    return _BRACKETED.sub(shown, words)
