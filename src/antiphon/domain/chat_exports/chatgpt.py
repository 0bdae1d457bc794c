"""ChatGPT's data export: conversations whose `mapping` holds a tree of messages.

Newer exports leave out `children`, the metadata of many messages, and name the model of the whole
conversation only; so parents alone make the tree, and nothing else is relied on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from antiphon.domain.chat_exports.chats import Attachment, Chat, Draft, Part, Text, chat_key
from antiphon.domain.chat_exports.trees import TreeBuilder
from antiphon.domain.chat_exports.values import line, listing, mapping, moment, name, text

EVERYBODY: Final = ("all", "")
_MARKER: Final = re.compile("\ue200[^\ue200\ue201]{0,2000}\ue201|[\ue200-\ue206]")
"""How citations stand in answers: private characters around what a browser puts a link for."""
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
        archived=value.get("is_archived") is True, pinned=value.get("is_starred") is True, notes=tree.notes,
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
        found = [_without_markers(words, metadata) for words in _words(content)]
        if joined := "\n".join(one for one in found if one.strip()):
            yield Text(joined)
        for pointer, is_image in _pointers(content):
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
        for field in ("text", "result", "content", "title"):
            if words := text(content.get(field)):
                yield words
                return


def _pointers(content: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """Yield the assets that the parts of a content point to, and whether each is a picture."""
    for part in listing(content.get("parts")):
        for field in _ASSETS:
            found = mapping(part).get(field)
            found = mapping(found).get("asset_pointer") if isinstance(found, dict) else found
            if pointer := text(found):
                yield pointer, "image" in text(mapping(part).get("content_type"))


def _without_markers(words: str, metadata: Mapping[str, Any]) -> str:
    """Put links where citations stand, as far as the message says which."""
    if "\ue200" not in words:
        return words
    for one in listing(metadata.get("content_references")):
        mark, link = text(mapping(one).get("matched_text")), text(mapping(one).get("alt"))
        if mark.startswith("\ue200"):
            words = words.replace(mark, f" {link}" if link else "")
    return _MARKER.sub("", words)
