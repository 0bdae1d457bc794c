"""Port `ChatExports`: which files of an export hold conversations, and these one after the other."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec

from antiphon.domain.chat_exports import (
    antiphon,
    book,
    branching,
    chatgpt,
    claude,
    librechat,
    open_webui,
    redis,
)
from antiphon.domain.chat_exports.chats import Chat, Kind, Unread
from antiphon.domain.chat_exports.kinds import is_history, kind_of
from antiphon.domain.chat_exports.values import line, listing, mapping, text
from antiphon.parsers.chat_exports.documents import STRAY, Broken, documents
from antiphon.parsers.chat_exports.encodings import as_utf8
from antiphon.parsers.chat_exports.folders import Folder, Index, base_name, opened_folder, pieces
from antiphon.parsers.chat_exports.redis_dump import BadDump, entries_of
from antiphon.parsers.chat_exports.spool import Spool
from antiphon.ports.chat_exports import BadExport, FoundFile

Value = Mapping[str, Any]

ENDINGS: Final = (".json", ".jsonl", ".ndjson")
LOOKED_AT: Final = 50
"""Values of a file looked at for what they are; in arrays of others none may be."""
SMALL_BYTES: Final = 32 * 1024 * 1024
"""A list of names is not longer."""
SIDE_FILES: Final = frozenset(
    {"export_manifest.json", "conversation_asset_file_names.json", "user.json", "users.json", "projects.json",
     "memories.json", "message_feedback.json", "model_comparisons.json", "shared_conversations.json",
     "library_files.json", "user_settings.json", "sectioned_conversations.json", antiphon.SIDE_FILE}
)  # fmt: skip
NO_CONVERSATIONS: Final = frozenset({"__MACOSX", antiphon.FILES_FOLDER})
"""Folders in which none is looked for."""
ASSET_NAMES: Final = "conversation_asset_file_names.json"
MANIFEST: Final = "export_manifest.json"
GROUPED: Final[frozenset[Kind]] = frozenset({"branching", "book"})
"""Kinds whose conversations lie in several documents."""
TRANSLATIONS: Final[Mapping[Kind, Callable[[Value], Chat]]] = {
    "antiphon": antiphon.chat, "claude": claude.chat, "librechat": librechat.chat,
    "open-webui": open_webui.chat,
}  # fmt: skip
"""Kinds whose conversations are values of their own."""
DAMAGED: Final = (zipfile.BadZipFile, zlib.error, EOFError)
_CONVERSATIONS: Final = re.compile(r"conversations(?:[-_](\d+))?\.json")


class FileExports:
    """Port `ChatExports` for files of this machine."""

    @contextmanager
    def open(self, path: Path, kind: Kind | None, name: str | None = None) -> Iterator[FileExport]:
        """See the port."""
        with opened_folder(path, name) as folder:
            export = FileExport(folder, kind)
            yield export


class FileExport:
    """Port `ChatExport`."""

    def __init__(self, folder: Folder, kind: Kind | None) -> None:
        self._folder = folder
        files = folder.names()
        self._index = Index(files)
        self._sources = _sources(files)
        self._asset_names: dict[str, str] = {}
        self.kind: Kind = kind or self._recognised()

    def _recognised(self) -> Kind:
        problem = "no conversations of a known kind in it"
        for place in self._sources:
            try:
                for number, value in enumerate(self._values(place)):
                    if (found := kind_of(value)) is not None:
                        return found
                    if isinstance(value, Broken):
                        reason = "no JSON objects" if value is STRAY else value.reason
                        problem = f"{base_name(place)}: {reason}"
                    if number >= LOOKED_AT:
                        break
            except BadExport as error:
                problem = f"{base_name(place)}: {str(error).rstrip('.')}"
            if self._is_dump(place):
                return "redis"
        raise BadExport(f"This is no export: {problem}.")

    def _is_dump(self, place: str) -> bool:
        try:
            with self._folder.open(place) as file:
                return any(is_history(*one) for one in islice(entries_of(as_utf8(file)), LOOKED_AT))
        except (BadDump, BadExport, *DAMAGED):
            return False

    def chats(self) -> Iterator[Chat | Unread]:
        """See the port."""
        self._asset_names = self._names()
        yield from self._missing()
        if self.kind == "redis":
            yield from self._histories()
        else:
            with Spool() as spool:
                for place in self._sources:
                    yield from self._of_file(place, spool)
                yield from self._grouped(spool)

    def _of_file(self, place: str, spool: Spool) -> Iterator[Chat | Unread]:
        name = base_name(place)
        try:
            for number, value in enumerate(self._values(place), 1):
                found = self._chat(value, spool)
                if isinstance(found, str):
                    title = line(mapping(value).get("title"), 100) or line(mapping(value).get("name"), 100)
                    yield Unread(f"{title or f'number {number}'} in {name}", found)
                elif found is not None:
                    yield found
        except BadExport as error:
            yield Unread(name, str(error))

    def _chat(self, value: Any, spool: Spool) -> Chat | str | None:
        """Return the conversation of a value, why it is none, or None if it waits for others."""
        if isinstance(value, Broken):
            return value.reason
        found = kind_of(value)
        if self.kind == "chatgpt" and isinstance(value, dict) and chatgpt.is_shell(value):
            found = self.kind
        if found != self.kind:
            return f"no conversation of {self.kind}"
        if found == "librechat" and not librechat.is_chat(value):
            spool.add(librechat.document_group(value) or "", value)
            return None
        if found in GROUPED:
            self._wait(value, spool)
            return None
        return _translated(partial(self._translate, value))

    def _translate(self, value: Value) -> Chat:
        if self.kind == "chatgpt":
            return chatgpt.chat(value, self._asset_names)
        return TRANSLATIONS[self.kind](value)

    def _wait(self, value: Value, spool: Spool) -> None:
        if self.kind == "book":
            spool.add(book.document_group(value), value)
            return
        key = branching.document_key(value) or ""
        spool.add(key, value)
        for branch in branching.branches(value):
            spool.link(key, branch)

    def _grouped(self, spool: Spool) -> Iterator[Chat | Unread]:
        translate: Callable[[str, list[Value]], Chat]
        if self.kind == "librechat":
            translate = _of_documents
        else:
            translate = book.chat_of if self.kind == "book" else branching.chat_of
        for key in spool.groups():
            found = spool.documents(key)
            done = "too long" if found is None else _translated(partial(translate, key, found))
            yield Unread(key, done) if isinstance(done, str) else done

    def _histories(self) -> Iterator[Chat | Unread]:
        for place in self._sources:
            try:
                with self._folder.open(place) as file:
                    for key, value in entries_of(as_utf8(file)):
                        found = redis.chat(key, value)
                        yield found or Unread(
                            line(key, 100) or "a key without a name", "no history", fails=False
                        )
            except BadDump as error:
                yield Unread(base_name(place), str(error))
            except DAMAGED as error:
                yield Unread(base_name(place), f"It is damaged: {error}.")

    def _values(self, place: str) -> Iterator[Any]:
        try:
            with self._folder.open(place) as file:
                yield from documents(as_utf8(file))
        except DAMAGED as error:
            raise BadExport(f"It is damaged: {error}.") from error

    def _names(self) -> dict[str, str]:
        """Return what files were called before they were given other names in the export."""
        found = self._side_file(ASSET_NAMES)
        return {
            base_name(key): called
            for key, value in mapping(found).items()
            if (called := line(base_name(text(value)), 255))
        }

    def _missing(self) -> Iterator[Unread]:
        """Tell of files that a manifest lists and the export does not have."""
        listed = mapping(mapping(self._side_file(MANIFEST)).get("logical_files"))
        for place in listing(mapping(listed.get("conversations.json")).get("files")):
            name = base_name(text(mapping(place).get("path") if isinstance(place, dict) else place))
            if name and not any(base_name(source) == name for source in self._sources):
                yield Unread(name, "is listed in the export's manifest and missing")

    def _side_file(self, name: str) -> Any:
        found = self._index.find(name)
        if found is None or found.size > SMALL_BYTES or base_name(found.place) != name:
            return None
        try:
            return msgspec.json.decode(b"".join(pieces(self._folder, found.place)))
        except (BadExport, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None

    def find(self, ref: str) -> FoundFile | None:
        """See the port."""
        return self._index.find(ref)

    def read(self, found: FoundFile) -> Iterator[bytes]:
        """See the port."""
        return pieces(self._folder, found.place)


def _of_documents(key: str, found: list[Value]) -> Chat:
    return librechat.chat_of(found)


def _translated(translate: Callable[[], Chat]) -> Chat | str:
    try:
        return translate()
    except Exception as error:  # what nobody has foreseen in one conversation must not end the others
        return f"cannot be read ({type(error).__name__})"


def _sources(files: list[FoundFile]) -> list[str]:
    """Return the files that hold conversations, in their order; all that may, where none is called so."""
    if len(files) == 1:
        return [files[0].place]
    named: list[tuple[str, int, str]] = []
    others: list[str] = []
    for one in files:
        name = base_name(one.place)
        if name.startswith(".") or not NO_CONVERSATIONS.isdisjoint(one.place.split("/")[:-1]):
            continue
        if found := _CONVERSATIONS.fullmatch(name):
            named.append((one.place[: -len(name)], int(found[1] or 0), one.place))
        elif name.lower().endswith(ENDINGS) and name not in SIDE_FILES:
            others.append(one.place)
    return [place for *_, place in sorted(named)] or sorted(others)
