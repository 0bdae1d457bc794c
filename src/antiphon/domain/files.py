"""Files: documents people upload, their versions, and uploads in parts."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

FILE: Final = "file-"
UPLOAD: Final = "upload_"
PART: Final = "part_"

PURPOSES: Final = frozenset({"assistants", "batch", "fine-tune", "vision", "user_data", "evals"})
"""What OpenAI's clients may say a file is for; it makes no difference to what we do with it."""

MAX_FILENAME_CHARACTERS: Final = 255
UPLOAD_SECONDS: Final = 3600
"""How long an upload in parts may stay open, as OpenAI has it."""

TextState = Literal["none", "ready", "failed"]


class File(msgspec.Struct, frozen=True, kw_only=True):
    """A document of one owner. `version` counts its contents from 1; times in µs, sizes in bytes.

    `digest` is the SHA-256 of the current content, under which the blob store has it. `filename`
    is what the client called it, cleaned of what is no name; nothing is ever stored under it.
    """

    id: str
    owner_id: str
    slot: int
    filename: str
    purpose: str
    bytes: int
    digest: str
    version: int = 1
    created_us: int
    expires_us: int | None = None
    origin: str | None = None
    """The URL a web page came from."""


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One content of a file, and what was read out of it.

    `characters` are code points of the canonical text; `page_starts` holds the offset in code
    points at which each page (slide, sheet, chapter) begins, empty where there are no pages. A
    version's text never changes: citations point into it. `error` says why nothing could be read,
    or, line by line, what of a text that is `ready` could not.
    """

    file_id: str
    number: int
    owner_id: str
    digest: str
    bytes: int
    created_us: int
    text_state: TextState = "none"
    error: str | None = None
    parser: str | None = None
    media_type: str | None = None
    language: str | None = None
    title: str | None = None
    characters: int = 0
    page_starts: tuple[int, ...] = ()


class UploadPart(msgspec.Struct, frozen=True, kw_only=True):
    """One part of an upload; its bytes lie in the blob store."""

    id: str
    upload_id: str
    digest: str
    bytes: int
    created_us: int


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """A file that arrives in parts."""

    id: str
    owner_id: str
    slot: int
    filename: str
    purpose: str
    bytes: int
    media_type: str
    created_us: int
    expires_us: int
    file_expires_seconds: int | None = None
    state: Literal["pending", "completed", "cancelled"] = "pending"
    file_id: str | None = None


def clean_filename(name: Any) -> str:
    """Return a client's file name without folders, control characters and excess length.

    It is shown and matched, never used as a path.
    """
    text = name if isinstance(name, str) else ""
    text = text.replace("\\", "/").rpartition("/")[2]
    text = "".join(character for character in text if character.isprintable()).strip()
    if len(text) > MAX_FILENAME_CHARACTERS:
        stem, dot, ending = text.rpartition(".")
        keep = MAX_FILENAME_CHARACTERS - len(ending) - 1
        text = f"{stem[:keep]}.{ending}" if dot and 0 < len(ending) <= 16 else text[:MAX_FILENAME_CHARACTERS]
    return text if text.strip(".") else "file"
