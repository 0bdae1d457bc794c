"""Files that messages name by ids, as models are shown them: pictures as they are, documents as text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal

from antiphon.domain.inputs import InputItem
from antiphon.domain.usage import BYTES_PER_TOKEN

MAX_PICTURE_BYTES: Final = 20 * 1024 * 1024
"""The largest picture that goes to a model; OpenAI takes as much."""
MAX_PICTURES_BYTES: Final = 32 * 1024 * 1024
"""What the pictures of one request may take together; earlier ones are only named."""

MediaType = Literal["image/png", "image/jpeg", "image/gif", "image/webp"]
_BEGINNINGS: Final[tuple[tuple[bytes, MediaType], ...]] = (
    (b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)  # fmt: skip
HEAD_BYTES: Final = 16


def picture_type(head: bytes) -> MediaType | None:
    """Return what kind of picture a content is by its first bytes, None if it is none models take."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for beginning, kind in _BEGINNINGS if head.startswith(beginning)), None)


def parts_of(payload: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the parts of an item's payload that name a file by its id, and where in it they stand."""
    for field in ("content", "output"):
        value = payload.get(field)
        for index, part in enumerate(value if isinstance(value, list) else ()):
            named = isinstance(part, dict) and part.get("file_id") is not None
            if named and part.get("type") in ("input_file", "input_image"):
                yield f"{field}[{index}]", part


def names_files(payload: dict[str, Any]) -> bool:
    """Whether an item's payload names a file by its id."""
    return next(parts_of(payload), None) is not None


def replaced(payload: dict[str, Any], shown: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return a payload with other parts in the places that `parts_of` told."""
    changed = dict(payload)
    for field in ("content", "output"):
        value = payload.get(field)
        if isinstance(value, list):
            changed[field] = [shown.get(f"{field}[{index}]", part) for index, part in enumerate(value)]
    return changed


def told_of(filename: str, why: str = "") -> dict[str, Any]:
    """Return the part that stands for a file of which a model is not shown the content."""
    return {"type": "input_text", "text": f"[attached: {filename}{f', {why}' if why else ''}]"}


def document_part(filename: str, text: str, *, is_cut: bool) -> dict[str, Any]:
    """Return the part that shows a document's text."""
    end = "the rest of it is left out, there is no room" if is_cut else "end"
    return {"type": "input_text", "text": f"[attached: {filename}]\n{text}\n[{filename}: {end}]"}


def within_tokens(text: str, tokens: int) -> str:
    """Return the beginning of a text that takes no more than so many tokens."""
    most = tokens * BYTES_PER_TOKEN
    encoded = text[:most].encode("utf-8", "replace")
    return text if len(text) <= most and len(encoded) <= most else encoded[:most].decode("utf-8", "ignore")


def named_in_chat(message: dict[str, Any]) -> bool:
    """Whether a message of chat completions names a file by its id."""
    content = message.get("content")
    return isinstance(content, list) and any(_file_id_of(part) is not None for part in content)


def _file_id_of(part: Any) -> Any:
    file = part.get("file") if isinstance(part, dict) and part.get("type") == "file" else None
    return file.get("file_id") if isinstance(file, dict) else None


def as_item(message: dict[str, Any]) -> InputItem:
    """Return a message of chat completions as an item whose files are named in one way; all else stays."""
    content = message.get("content")
    if isinstance(content, list):
        content = [
            {"type": "input_file", **part["file"]} if _file_id_of(part) is not None else part
            for part in content
        ]
    return InputItem(type="message", role=str(message.get("role")), payload={**message, "content": content})


def as_chat_part(part: dict[str, Any]) -> dict[str, Any]:
    """Return what is shown of a file as a part of a chat message; any other part is returned as it is."""
    if part.get("type") == "input_text":
        return {"type": "text", "text": part["text"]}
    if part.get("type") == "input_image" and "image_url" in part:
        return {"type": "image_url", "image_url": {"url": part["image_url"], "detail": part["detail"]}}
    return part
