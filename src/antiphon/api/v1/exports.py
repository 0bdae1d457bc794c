"""`/v1/conversations/{id}/export` and `/v1/export`: what a person can take along."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response

from antiphon.api.dependencies import App, Caller, JsonRoute
from antiphon.api.downloads import GUARDS, ClosingResponse, disposition
from antiphon.api.v1.export_belongings import belongings, contents
from antiphon.api.v1.export_texts import as_json, as_markdown
from antiphon.api.v1.wire_json import encode_object
from antiphon.api.zip_stream import ZipStream
from antiphon.application import Application
from antiphon.domain.accounts import USER, Principal
from antiphon.domain.chat_exports.antiphon import FORMAT, SIDE_FILE
from antiphon.domain.conversations import Conversation

router = APIRouter(prefix="/v1", tags=["tree"], route_class=JsonRoute)

HEADERS = {name: value for name, value in GUARDS.items() if name != "accept-ranges"} | {
    "cache-control": "no-store"
}
NAME_CHARACTERS = 40
_PLAIN = re.compile(r"[^a-z0-9]+")

Written = Annotated[
    Literal["json", "markdown"], Query(description="The whole tree, or the active branch as text.")
]
Packed = Annotated[
    Literal["json", "zip"],
    Query(description="One object, or an archive of both forms of each, with files."),
]


def _content(*kinds: str) -> dict[int | str, dict[str, Any]]:
    named = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in kinds}
    return {200: {"description": "The export, as a download.", "content": named}}


@router.get(
    "/conversations/{conversation_id}/export", summary="Export a conversation",
    responses=_content("text/markdown"),
)  # fmt: skip
async def export_conversation(
    application: App, who: Caller, conversation_id: str, format: Written = "json"
) -> Response:
    """Return a conversation with all its branches and items, or its active branch as Markdown."""
    exports = application.exports
    within, found = await exports.conversation(who, conversation_id)
    if format == "markdown":
        text = as_markdown(exports, within, found)
        return _download(text, "text/markdown; charset=utf-8", file_name(found, "md"))
    return _download(as_json(exports, found), "application/json", file_name(found, "json"))


@router.get("/export", summary="Export everything", responses=_content("application/zip"))
async def export_everything(application: App, who: Caller, format: Packed = "json") -> Response:
    """Return all that is the caller's own, made while it is sent; one such export at a time.

    Conversations, what is known of files and vector stores, and preferences; in an archive the files, too.
    """
    if format == "zip":
        archive = await _begun(_archive(application, who))
        return _download(archive, "application/zip", "antiphon-export.zip")
    everything = await _begun(_everything(application, who))
    return _download(everything, "application/json", "antiphon-export.json")


async def _begun(pieces: AsyncGenerator[bytes]) -> AsyncIterator[bytes]:
    """Make the first piece, so that whoever must be refused is refused before anything is sent."""
    first = await anext(pieces)

    async def rest() -> AsyncIterator[bytes]:
        async with aclosing(pieces):
            yield first
            async for piece in pieces:
                yield piece

    return rest()


async def _everything(application: Application, who: Principal) -> AsyncGenerator[bytes]:
    exports = application.exports
    with exports.whole(who):
        yield _head(who) + b',"conversations":['
        between = b""
        async for conversation in exports.own(who):
            yield between
            async for piece in as_json(exports, conversation):
                yield piece
            between = b",\n"
        yield b"],"
        async for piece in belongings(application, who):
            yield piece
        yield b"}\n"


def _head(who: Principal) -> bytes:
    account = {"id": USER + who.actor_id, "name": who.name}
    return encode_object({"object": "export", "format": FORMAT, "account": account})[:-1]


async def _archive(application: Application, who: Principal) -> AsyncGenerator[bytes]:
    exports, packing = application.exports, ZipStream()
    with exports.whole(who):
        async for conversation in exports.own(who):
            for ending, content in (
                ("json", as_json(exports, conversation)),
                ("md", as_markdown(exports, who, conversation)),
            ):
                async for piece in packing.add(file_name(conversation, ending), content):
                    yield piece
        async for name, file in contents(application, who):
            async for piece in packing.add(name, file, large=True):
                yield piece
        async for piece in packing.add(SIDE_FILE, _beside(application, who)):
            yield piece
        yield packing.end()


async def _beside(application: Application, who: Principal) -> AsyncIterator[bytes]:
    yield _head(who) + b","
    async for piece in belongings(application, who):
        yield piece
    yield b"}\n"


def _download(pieces: AsyncIterator[bytes], kind: str, name: str) -> Response:
    headers = HEADERS | {"content-disposition": disposition(name)}
    return ClosingResponse(pieces, 200, headers, kind)


def file_name(conversation: Conversation, ending: str) -> str:
    """Return a name that every file system takes and no two conversations share."""
    made = datetime.fromtimestamp(conversation.created_us / 1e6, UTC).strftime("%Y-%m-%d")
    title = _PLAIN.sub("-", (conversation.title or "").lower())[:NAME_CHARACTERS].strip("-")
    return "-".join(part for part in (made, title, conversation.id) if part) + f".{ending}"
