"""Files that messages name by their ids: whose they are, and what a model is shown of them.

An item keeps the id, never the content. A model is shown what the file holds when it is asked, and only if
the file is still its author's, who must be in the conversation still; of what has no room, or is gone, it is
told the name.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, NoReturn

import msgspec

from antiphon.domain import ids
from antiphon.domain.attached_files import (
    HEAD_BYTES,
    MAX_PICTURE_BYTES,
    MAX_PICTURES_BYTES,
    as_chat_part,
    as_item,
    document_part,
    named_in_chat,
    names_files,
    parts_of,
    picture_type,
    replaced,
    told_of,
    within_tokens,
)
from antiphon.domain.errors import InvalidRequest, NotFound
from antiphon.domain.files import FILE, File
from antiphon.domain.inputs import InputItem
from antiphon.domain.items import Item
from antiphon.domain.usage import BYTES_PER_TOKEN, estimate_request_tokens, estimate_tokens
from antiphon.ports.blob_store import BlobStore
from antiphon.ports.document_parser import ParseFailed
from antiphon.ports.knowledge import Knowledge
from antiphon.services.access import not_found
from antiphon.services.document_texts import DocumentTexts

GONE = "a file that is gone"
NO_ROOM = "context_length_exceeded"

IsIn = Callable[[str], Awaitable[bool]]
"""Whether an account is in the conversation whose items are shown."""


class AttachedFiles:
    """Looks after the files that items name."""

    def __init__(self, knowledge: Knowledge, blobs: BlobStore, texts: DocumentTexts) -> None:
        self._files = knowledge.files
        self._blobs = blobs
        self._texts = texts

    async def named(
        self, owner_id: str, items: Sequence[InputItem], param: str = "input"
    ) -> tuple[InputItem, ...]:
        """Return items with the names of their files; raises NotFound for a file that is not the owner's."""
        if not names_any(items):
            return items if isinstance(items, tuple) else tuple(items)
        found: list[InputItem] = []
        for index, item in enumerate(items):
            known: dict[str, dict[str, Any]] = {}
            for place, part in parts_of(item.payload):
                file = await self._file(owner_id, part["file_id"])
                if file is None:
                    not_found("File", part["file_id"], f"{param}[{index}].{place}.file_id")
                known[place] = part if part["type"] == "input_image" else {"filename": file.filename} | part
            payload = replaced(item.payload, known) if known else item.payload
            found.append(msgspec.structs.replace(item, payload=payload))
        return tuple(found)

    async def shown(
        self, owner_id: str, items: Sequence[Item | InputItem], room_tokens: int, *, is_in: IsIn,
        whole: bool = False,
    ) -> list[Item | InputItem]:  # fmt: skip
        """Return items with what a model is shown of their files, in no more than so many tokens of text.

        `owner_id` is whose files new items name, `is_in` tells of an author of others whether that one is
        in the conversation still. Raises InvalidRequest for a new item whose file no model can be shown,
        with `whole` for any that has no room. The newest files come first.
        """
        shown = list(items)
        room = _Room(tokens=room_tokens)
        here: dict[str, bool] = {owner_id: True}
        for index in reversed(range(len(shown))):
            item = shown[index]
            if not names_any([item]):
                continue
            payload = item.body()
            author_id = owner_id if isinstance(item, InputItem) else item.author_id or ""
            if author_id not in here:
                here[author_id] = await is_in(author_id)
            author_id = author_id if here[author_id] else ""
            parts = {}
            for place, part in parts_of(payload):
                try:
                    parts[place] = await self._part(author_id, part, room, whole=whole)
                except _Unfit as unfit:
                    if isinstance(item, InputItem) or (whole and unfit.code == NO_ROOM):
                        _refuse(unfit, f"input.{place}.file_id")
                    parts[place] = told_of(unfit.filename, "which cannot be shown")
            shown[index] = InputItem(
                type=item.type, role=item.role, status=item.status, payload=replaced(payload, parts)
            )
        return shown

    async def require_messages(self, owner_id: str, messages: list[dict[str, Any]]) -> None:
        """Raise NotFound for a file of chat messages that is not the owner's."""
        if any(named_in_chat(message) for message in messages):
            await self.named(owner_id, [as_item(message) for message in messages], "messages")

    async def shown_messages(
        self, owner_id: str, messages: list[dict[str, Any]], room_tokens: int
    ) -> list[dict[str, Any]]:
        """Return chat messages with what a model is shown of their files; raises InvalidRequest."""
        if not any(named_in_chat(message) for message in messages):
            return messages
        items = [as_item(message) for message in messages]
        room = room_tokens - estimate_request_tokens(messages)
        shown = await self.shown(owner_id, items, room, is_in=_nobody)
        return [
            {**message, "content": [as_chat_part(part) for part in item.body()["content"]]}
            if named_in_chat(message)
            else message
            for message, item in zip(messages, shown, strict=True)
        ]

    async def picture(self, author_id: str, item: Item, file_id: str) -> File | None:
        """Return the author's file that an item shows as a picture, None if there is none such."""
        shown = (part["file_id"] for _, part in parts_of(item.body()) if part["type"] == "input_image")
        file = await self._file(author_id, file_id) if file_id in shown else None
        return file if file is not None and picture_type(await self._head(file)) else None

    def read(self, file: File, start: int, end: int) -> AsyncIterator[bytes]:
        """Iterate over the bytes `start` to `end` of what a file holds now."""
        return self._blobs.open(file.owner_id, file.digest, start=start, end=end)

    async def _part(
        self, author_id: str, part: dict[str, Any], room: _Room, *, whole: bool
    ) -> dict[str, Any]:
        """Return what stands for a part that names a file; raises _Unfit."""
        file = await self._file(author_id, part["file_id"])
        if file is None:
            return told_of(part.get("filename") or GONE)
        try:
            kind = picture_type(await self._head(file))
            if kind is not None:
                return await self._picture(file, kind, part, room, whole=whole)
            if part["type"] == "input_image":
                raise _Unfit(file.filename, f"File '{file.filename}' is no PNG, JPEG, GIF or WebP picture.")
            return await self._document(file, room, whole=whole)
        except NotFound:
            return told_of(file.filename)  # it was deleted meanwhile
        except ParseFailed as failure:
            raise _Unfit(file.filename, f"File '{file.filename}': {failure.message}", failure.code) from None

    async def _picture(
        self, file: File, kind: str, part: dict[str, Any], room: _Room, *, whole: bool
    ) -> dict[str, Any]:
        if file.bytes > MAX_PICTURE_BYTES:
            told = f"Picture '{file.filename}' is larger than {MAX_PICTURE_BYTES} bytes."
            raise _Unfit(file.filename, told, "file_too_large")
        if file.bytes > room.picture_bytes:
            if whole:
                told = f"Beside the other pictures there is no room for '{file.filename}'."
                raise _Unfit(file.filename, told, NO_ROOM)
            return told_of(file.filename)
        room.picture_bytes -= file.bytes
        content = b"".join([piece async for piece in self._blobs.open(file.owner_id, file.digest)])
        text = (await asyncio.to_thread(base64.b64encode, content)).decode()
        return {
            "type": "input_image", "image_url": f"data:{kind};base64,{text}",
            "detail": part.get("detail") or "auto",
        }  # fmt: skip

    async def _document(self, file: File, room: _Room, *, whole: bool) -> dict[str, Any]:
        if room.tokens <= 0 and not whole:
            return told_of(file.filename)
        text, is_cut = await self._texts.beginning(file, max(room.tokens, 0) * BYTES_PER_TOKEN)
        fits = within_tokens(text, max(room.tokens, 0))
        is_cut = is_cut or len(fits) < len(text)
        if is_cut and whole:
            told = f"The text of '{file.filename}' does not fit the model's window."
            raise _Unfit(file.filename, told, NO_ROOM)
        room.tokens -= estimate_tokens(fits)
        return document_part(file.filename, fits, is_cut=is_cut)

    async def _file(self, owner_id: str, file_id: object) -> File | None:
        identifier = ids.parse(file_id, FILE) if isinstance(file_id, str) else None
        return await self._files.get(owner_id, identifier) if identifier and owner_id else None

    async def _head(self, file: File) -> bytes:
        end = min(HEAD_BYTES, file.bytes)
        return b"".join([piece async for piece in self._blobs.open(file.owner_id, file.digest, end=end)])


def names_any(items: Sequence[Item | InputItem]) -> bool:
    """Whether one of the items names a file by its id."""
    return any(
        names_files(item.payload)
        if isinstance(item, InputItem)
        else '"file_id"' in item.payload and names_files(item.body())
        for item in items
    )


async def _nobody(account_id: str) -> bool:
    return False


class _Room:
    """What there is room for still."""

    def __init__(self, *, tokens: int) -> None:
        self.tokens = tokens
        self.picture_bytes = MAX_PICTURES_BYTES


class _Unfit(Exception):
    """A file that a model cannot be shown."""

    def __init__(self, filename: str, message: str, code: str = "invalid_file") -> None:
        super().__init__(message)
        self.filename = filename
        self.message = message
        self.code = code


def _refuse(unfit: _Unfit, param: str) -> NoReturn:
    raise InvalidRequest(unfit.message, code=unfit.code, param=param) from None
