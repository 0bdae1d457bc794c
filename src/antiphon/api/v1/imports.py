"""`/v1/imports`: what other chat applications exported becomes conversations, told line by line."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Response
from pydantic import Field

from antiphon.api.dependencies import App, Caller, JsonRoute
from antiphon.api.downloads import ClosingResponse
from antiphon.api.v1.conversation_bodies import Body
from antiphon.domain.chat_exports.chats import Kind

router = APIRouter(prefix="/v1/imports", tags=["extension"], route_class=JsonRoute)

LINES: Final = "application/x-ndjson"
STATES: Final = ("new", "grown", "same", "empty", "left", "failed")

_encode = msgspec.json.Encoder().encode


class CreateImport(Body):
    """A file that was uploaded, and what exported it if that is not to be found out."""

    file_id: Annotated[str, Field(min_length=1, max_length=256)]
    kind: Kind | None = None


@router.post(
    "",
    summary="Import an export",
    responses={200: {"content": {LINES: {}}, "description": "A line for each conversation, as it comes in."}},
)
async def create(application: App, who: Caller, body: CreateImport) -> Response:
    """Import an uploaded export of another chat application, and tell of each conversation in a line of JSON.

    The last line is the sum; an answer without it was broken off. Whoever leaves ends the import between
    two conversations; the next time it goes on, and nothing comes twice.
    """
    lines = application.imports.stored(who, body.file_id, body.kind)
    first = await anext(lines, None)  # what is no export is refused before the answer begins

    async def answer() -> AsyncIterator[bytes]:
        states: Counter[str] = Counter()
        async with aclosing(lines):
            one = first
            while one is not None:
                states[one.state] += 1
                states["added"] += one.added
                yield _line({"object": "import.conversation", **msgspec.to_builtins(one)})
                one = await anext(lines, None)
        yield _line({"object": "import", **{name: states[name] for name in (*STATES, "added")}})

    return ClosingResponse(answer(), media_type=LINES, headers={"cache-control": "no-store"})


def _line(one: dict[str, Any]) -> bytes:
    return _encode(one) + b"\n"
