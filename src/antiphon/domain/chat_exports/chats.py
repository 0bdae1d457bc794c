"""The one form that every export is translated into, and how a message of it becomes an item."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from antiphon.domain.chat_exports.values import encoded
from antiphon.domain.items import EXTENSION
from antiphon.domain.usage import estimate_item_tokens

Kind = Literal["antiphon", "chatgpt", "claude", "librechat", "open-webui", "branching", "book", "redis"]
KINDS: Final[tuple[Kind, ...]] = (
    "antiphon", "chatgpt", "claude", "librechat", "open-webui", "branching", "book", "redis",
)  # fmt: skip
IMPORTED: Final = "imported"
"""The field of an item's payload that tells where it came from."""
IMPORTED_KEYS: Final = ("imported_from", "imported_id")
"""What the metadata of every imported conversation tells of it."""
MAX_TITLE: Final = 500
HASH_BYTES: Final = 12
_SEEN: Final = ("message", "compaction")
_CONTENTS: Final = frozenset({"file_id", "file_data", "file_url"})
UNSEEN_TOKENS: Final = 1
"""What models are not shown takes no room in their windows; every item counts for something."""

_canonical = msgspec.json.Encoder(order="deterministic").encode


class Text(msgspec.Struct, frozen=True):
    """Words of a message."""

    text: str


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """A file that belongs to a message.

    `name` is what its message calls it, `ref` what its export knows it by, `listed` what people called it
    as far as a list beside the messages says so, and `content` its bytes where the export holds them
    within the message itself. One without a `ref` was lost before it was exported.
    """

    name: str
    ref: str
    listed: str | None = None
    is_image: bool = False
    content: bytes | None = None

    @property
    def shown(self) -> str:
        """What it is called here."""
        return self.listed or self.name


Part = Text | Attachment
Said = Literal["message", "reasoning", "tool", "item"]


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """One thing said or done: a message, the thoughts before one, or the use of a tool.

    `tool` is a tool's name, `asked` what it was given and `parts` what it returned. Of an `item` whatever
    it holds is in `verbatim`. `speaker` is the label of who said a message, where several people speak.
    """

    kind: Said = "message"
    role: str = "assistant"
    parts: tuple[Part, ...] = ()
    model: str | None = None
    tool: str = ""
    asked: str = ""
    status: str = "completed"
    verbatim: Mapping[str, Any] = {}
    speaker: str | None = None

    @property
    def attachments(self) -> tuple[Attachment, ...]:
        """The files among the parts."""
        return tuple(part for part in self.parts if isinstance(part, Attachment))


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A draft with its place: `key` names it within its chat, `parent` what it follows (None: the root).

    `line` is the key of the line it is told in, None for the chat's own.
    """

    key: str
    parent: str | None
    created_us: int | None
    draft: Draft
    line: str | None = None


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A chat of the source that branches off another one, and whose messages are of the same tree.

    `key` is what `Chat.key` would be; it leaves the line `above` (None: the chat's own) after a message.
    """

    key: str
    above: str | None
    after: str
    title: str | None = None


class Name(msgspec.Struct, frozen=True):
    """What clients of its server call a message of a line (None: the chat's own) by."""

    line: str | None
    name: str
    message: str


class Chat(msgspec.Struct, frozen=True, kw_only=True):
    """One conversation of an export.

    `key` names it within exports of its kind. `messages` come parents first, siblings in their order;
    `current` is the last message of the line that was in view. `lines` are the chats that branch off it,
    none before the one it leaves, and `names` what clients call messages by. `session` is the name that
    clients of its server called it by, `metadata` what its owner had noted of it. `notes` tell what of it
    was left out.
    """

    kind: Kind
    key: str
    title: str | None = None
    created_us: int | None = None
    updated_us: int | None = None
    current: str | None = None
    messages: tuple[Message, ...] = ()
    lines: tuple[Line, ...] = ()
    names: tuple[Name, ...] = ()
    model: str | None = None
    archived: bool = False
    pinned: bool = False
    folder: str | None = None
    session: str | None = None
    metadata: Mapping[str, str] = {}
    notes: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """What it is called in a report."""
        return self.title or self.session or self.key


class Unread(msgspec.Struct, frozen=True):
    """Something in an export that is no conversation, and why; with `fails` False none was expected."""

    where: str
    reason: str
    fails: bool = True


class StoredFile(msgspec.Struct, frozen=True):
    """A file here that an attachment has become."""

    file_id: str
    filename: str
    is_image: bool


def fingerprint(draft: Draft) -> str:
    """Return a short hash of what a draft says: the same message later, changed, has another.

    What a list calls its attachments does not count: one export has such a list, another has none. Nor does
    who spoke, which earlier imports left out.
    """
    return _hashed(draft, [one.name for one in draft.attachments])


def earlier_fingerprint(draft: Draft) -> str | None:
    """Return the hash that it had while the names of a list counted, None if that is the same."""
    if all(one.listed is None for one in draft.attachments):
        return None
    return _hashed(draft, [one.shown for one in draft.attachments])


def _hashed(draft: Draft, names: Sequence[str]) -> str:
    said: list[Any] = [draft.kind, draft.role, draft.tool, draft.asked]
    called = iter(names)
    for part in draft.parts:
        if isinstance(part, Text):
            said.append(part.text)
        elif (name := next(called)) and part.ref:
            said.append([name, part.ref])
    if draft.verbatim:
        said.append(draft.verbatim)
    return hashlib.blake2b(_canonical(said), digest_size=HASH_BYTES).hexdigest()


def payload_of(kind: Kind, message: Message, files: Mapping[str, StoredFile]) -> dict[str, Any]:
    """Return the payload of a message's item; `files` holds those of its attachments by `ref`."""
    draft = message.draft
    source: dict[str, str] = {"from": kind, "id": message.key, "hash": fingerprint(draft)}
    if draft.model:
        source["model"] = draft.model
    if draft.kind == "item":
        return {**draft.verbatim, IMPORTED: source}
    if draft.kind == "reasoning":
        summary = [
            {"type": "summary_text", "text": part.text} for part in draft.parts if isinstance(part, Text)
        ]
        return {"type": "reasoning", "summary": summary, IMPORTED: source}
    if draft.kind == "tool":
        output = "\n".join(part.text for part in draft.parts if isinstance(part, Text))
        return {
            "type": "mcp_call", "name": draft.tool, "server_label": kind, "arguments": draft.asked,
            "output": output, IMPORTED: source,
        }  # fmt: skip
    content = [_part(draft.role, part, files) for part in draft.parts]
    spoken = {EXTENSION: {"user_id": draft.speaker}} if draft.speaker is not None else {}
    return {"type": "message", "role": draft.role, "content": content, **spoken, IMPORTED: source}


def _part(role: str, part: Part, files: Mapping[str, StoredFile]) -> dict[str, Any]:
    if isinstance(part, Text):
        if role == "assistant":
            return {"type": "output_text", "text": part.text, "annotations": [], "logprobs": []}
        return {"type": "input_text", "text": part.text}
    found = files.get(part.ref)
    if found is None:
        return {"type": "input_file", "filename": part.shown}
    kind = "input_image" if found.is_image else "input_file"
    return {"type": kind, "file_id": found.file_id, "filename": found.filename}


def token_count(payload: dict[str, Any]) -> int:
    """Estimate what an imported item takes of a model's window."""
    return estimate_item_tokens(payload) if payload["type"] in _SEEN else UNSEEN_TOKENS


def source_of(payload: dict[str, Any]) -> tuple[str, str] | None:
    """Return key and hash of what an item was imported from, None of any other item."""
    source = payload.get(IMPORTED)
    if not isinstance(source, dict):
        return None
    key, digest = source.get("id"), source.get("hash")
    return (key, digest) if isinstance(key, str) and isinstance(digest, str) else None


def files_missing(payload: dict[str, Any]) -> frozenset[str]:
    """Return the names of files that an imported message shows and that did not come in with it."""
    parts = payload.get("content") if IMPORTED in payload else None
    return frozenset(
        str(part.get("filename"))
        for part in (parts if isinstance(parts, list) else [])
        if isinstance(part, dict) and part.get("type") == "input_file" and _CONTENTS.isdisjoint(part)
    )


def imported_model(payload: str) -> str | None:
    """Return the model that a stored payload says it was imported with, None of any other."""
    if f'"{IMPORTED}":{{' not in payload:
        return None
    body = msgspec.json.decode(payload)
    source = body.get(IMPORTED) if isinstance(body, dict) else None
    model = source.get("model") if isinstance(source, dict) else None
    return model if isinstance(model, str) else None


_MAGIC: Final = (
    (b"\x89PNG", ".png"), (b"\xff\xd8\xff", ".jpg"), (b"GIF8", ".gif"), (b"%PDF-", ".pdf"),
    (b"PK\x03\x04", ".zip"),
)  # fmt: skip
_IMAGES: Final = (".png", ".jpg", ".jpeg", ".gif", ".webp")


def named(name: str, begin: bytes) -> tuple[str, bool]:
    """Return a file's name, with an ending where it has none that tells, and whether it is an image."""
    ending = next((ending for magic, ending in _MAGIC if begin.startswith(magic)), "")
    if begin[:4] == b"RIFF":
        ending = {b"WEBP": ".webp", b"WAVE": ".wav"}.get(begin[8:12], "")
    stem, dot, last = name.rpartition(".")
    if ending and (not dot or last.lower() in ("dat", "bin") or len(last) > 5):
        name = f"{stem if dot and last.lower() in ('dat', 'bin') else name}{ending}"
    return name, ending in _IMAGES


def chat_key(value: Any, *, instead: Any = None) -> str:
    """Return the key of a chat: its id, or a hash of it where that is long or not plain, or of `instead`."""
    if isinstance(value, str) and value:
        if len(value) <= 128 and value.isascii() and value.isprintable():
            return value
        return hashlib.sha256(value.encode("utf-8", "replace")).hexdigest()
    return hashlib.sha256(encoded(instead).encode("utf-8", "replace")).hexdigest()
