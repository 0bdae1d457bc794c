"""What belongs to a person beside conversations: files, vector stores, preferences, as an export has them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any, Final

from antiphon.api.v1.collection_objects import collection_object, member_object
from antiphon.api.v1.file_objects import file_object
from antiphon.api.v1.wire_json import encode_object
from antiphon.application import Application
from antiphon.domain.accounts import Principal
from antiphon.domain.chat_exports.antiphon import FILES_FOLDER
from antiphon.domain.collections import COLLECTION
from antiphon.domain.errors import NotFound
from antiphon.domain.files import FILE, File, Version

SLICE: Final = 100
"""Files, vector stores or files of one read at once."""
MOST_NAME: Final = 100
_ODD: Final = re.compile(r"[^\w.\- ]+")


async def files(application: Application, who: Principal) -> AsyncIterator[File]:
    """Yield a person's files, oldest first."""
    after: str | None = None
    while True:
        page = await application.files.page(who, after=after, limit=SLICE, descending=False, purpose=None)
        for one in page.data:
            yield one
        if not page.has_more:
            return
        after = FILE + page.data[-1].id


async def stores(application: Application, who: Principal) -> AsyncIterator[dict[str, Any]]:
    """Yield a person's vector stores, oldest first, each with its files and their attributes."""
    after: str | None = None
    while True:
        page = await application.collections.page(
            who, after=after, before=None, limit=SLICE, descending=False
        )
        for one in page.data:
            wire_id = COLLECTION + one.collection.id
            yield {**collection_object(one), "files": [m async for m in _members(application, who, wire_id)]}
        if not page.has_more:
            return
        after = COLLECTION + page.data[-1].collection.id


async def _members(application: Application, who: Principal, wire_id: str) -> AsyncIterator[dict[str, Any]]:
    after: str | None = None
    while True:
        page = await application.collection_files.page(
            who, wire_id, after=after, before=None, limit=SLICE, descending=False, state=None
        )
        for one in page.data:
            yield member_object(one)
        if not page.has_more:
            return
        after = FILE + page.data[-1].file_id


async def belongings(application: Application, who: Principal) -> AsyncIterator[bytes]:
    """Yield the fields of an export that tell of them, `"files":[…],…`, piece by piece."""
    between = b'"files":['
    async for file in files(application, who):
        yield between + encode_object(file_object(file))
        between = b",\n"
    yield (b"" if between == b",\n" else between) + b'],"vector_stores":['
    between = b""
    async for store in stores(application, who):
        yield between + encode_object(store)
        between = b",\n"
    values = await application.preferences.get(who)
    yield b'],"preferences":' + encode_object(values)


async def contents(
    application: Application, who: Principal
) -> AsyncIterator[tuple[str, AsyncIterator[bytes]]]:
    """Yield the newest content of each of a person's files, with its name in an archive.

    The name begins with the file's id, by which messages name it; importing finds it by that.
    """
    async for file in files(application, who):
        try:
            _, version = await application.files.version(who, FILE + file.id, file.version)
        except NotFound:
            continue  # it was deleted meanwhile
        yield archive_name(file), _read(application, version)


def _read(application: Application, version: Version) -> AsyncIterator[bytes]:
    return application.files.read(version, 0, version.bytes)


def archive_name(file: File) -> str:
    """Return a name that every file system takes and no two files share."""
    plain = _ODD.sub("_", file.filename).strip(" .")[-MOST_NAME:]
    return f"{FILES_FOLDER}/{FILE}{file.id}-{plain}"
