"""`/v1/files`: documents, in OpenAI's shape, with versions of their content beside."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from antiphon.api.dependencies import After, App, Caller, caller_of
from antiphon.api.downloads import download
from antiphon.api.idempotency import key_of, once
from antiphon.api.multipart import Form
from antiphon.api.v1.conversation_bodies import Body
from antiphon.api.v1.file_forms import (
    ANCHOR,
    SECONDS,
    FormRoute,
    checked_purpose,
    expiry_of,
    form_body,
    form_key,
    purpose_of,
    require_known,
)
from antiphon.api.v1.file_objects import deleted_file_object, file_object
from antiphon.api.v1.pages import Order, answer, page_object, raw_answer
from antiphon.api.v1.wire_json import encode_object
from antiphon.domain.errors import InvalidRequest
from antiphon.services.files import NewFile

router = APIRouter(prefix="/v1/files", tags=["files"], route_class=FormRoute)

MAX_PAGE = 1000
"""Entries of one page whatever `limit` says; OpenAI allows 10,000, and `has_more` leads on."""

Number = Annotated[int, Query(ge=0, le=2**53, description="An offset in code points.")]


class ImportPage(Body):
    """A web page to keep as a file."""

    url: Annotated[str, Field(min_length=1, max_length=4096)]
    purpose: Annotated[str, Field(max_length=64)] = "user_data"


def _render(made: Any) -> bytes:
    return encode_object(file_object(made))


@router.post(
    "", summary="Upload a file",
    openapi_extra=form_body(
        "file", purpose={"type": "string", "required": True}, **{ANCHOR: {"type": "string"},
        SECONDS: {"type": "integer"}},
    ),
)  # fmt: skip
async def upload(application: App, who: Caller, request: Request) -> Response:
    """Keep a file; its bytes go to the disk as they come."""
    files = application.files
    form = Form(request.scope, request.receive, file_field="file", most_bytes=files.most_bytes)
    async with files.receiving(who, form.content(), announced=form.announced) as content:
        who = await caller_of(request)  # a long upload may outlive its credential
        require_known(form.fields, ("purpose", ANCHOR, SECONDS))
        new = NewFile(
            filename=form.filename, purpose=purpose_of(form.fields),
            expires_after_seconds=expiry_of(form.fields),
        )  # fmt: skip
        key = form_key(form, content.digest, request.scope, _render)

        async def make() -> Any:
            return await files.create(who, content, new, key=key)

        made = await once(application, who, key, _render, make, kept=application.kept_answers)
    return raw_answer(made)


@router.get("", summary="List files")
async def list_files(
    application: App,
    who: Caller,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=10_000, description="How many entries a page holds.")] = MAX_PAGE,
    order: Order = "desc",
    purpose: Annotated[str | None, Query(description="Only files of this purpose.")] = None,
) -> Response:
    """List the caller's files, newest first; a page holds at most 1,000."""
    page = await application.files.page(
        who, after=after, limit=min(limit, MAX_PAGE), descending=order == "desc", purpose=purpose
    )
    return answer(page_object([file_object(one) for one in page.data], has_more=page.has_more))


@router.post("/from_url", summary="Keep a web page as a file", tags=["extension"])
async def import_page(application: App, who: Caller, request: Request, body: ImportPage) -> Response:
    """Fetch a public web page and keep its HTML as a file; private addresses are refused."""
    key = key_of(request.scope, await request.body(), _render)
    purpose = checked_purpose(body.purpose)

    async def make() -> Any:
        return await application.web_imports.fetch(who, body.url, purpose, key=key)

    return raw_answer(await once(application, who, key, _render, make, kept=application.kept_answers))


@router.get("/{file_id}", summary="Retrieve a file")
async def retrieve(application: App, who: Caller, file_id: str) -> Response:
    """Return a file."""
    return answer(file_object(await application.files.get(who, file_id)))


@router.delete("/{file_id}", summary="Delete a file")
async def delete(application: App, who: Caller, file_id: str) -> Response:
    """Erase a file, its versions and texts, and take it out of all vector stores."""
    return answer(deleted_file_object(await application.files.delete(who, file_id)))


@router.get("/{file_id}/content", summary="Retrieve a file's content")
async def content(
    application: App,
    who: Caller,
    request: Request,
    file_id: str,
    version: Annotated[int | None, Query(ge=1, le=2**31, description="An older version.")] = None,
) -> Response:
    """Return the bytes as they came, or a range of them, always as a download."""
    files = application.files
    number = version if version is not None else (await files.get(who, file_id)).version
    file, found = await files.version(who, file_id, number)
    return download(
        request.scope, lambda start, end: files.read(found, start, end), size=found.bytes,
        filename=file.filename, digest=found.digest,
    )  # fmt: skip


@router.post(
    "/{file_id}/content", summary="Replace a file's content", tags=["extension"],
    openapi_extra=form_body("file"),
)  # fmt: skip
async def replace(application: App, who: Caller, request: Request, file_id: str) -> Response:
    """Keep a new version; vector stores search the one before until the new one is indexed."""
    files = application.files
    form = Form(request.scope, request.receive, file_field="file", most_bytes=files.most_bytes)
    await files.get(who, file_id)
    async with files.receiving(who, form.content(), announced=form.announced) as content:
        who = await caller_of(request)
        require_known(form.fields, ())
        key = form_key(form, content.digest, request.scope, _render)

        async def make() -> Any:
            return await files.add_version(who, file_id, content, form.filename, key=key)

        made = await once(application, who, key, _render, make, kept=application.kept_answers)
    return raw_answer(made)


@router.get("/{file_id}/versions/{number}/passage", summary="Read a passage", tags=["extension"])
async def passage(
    application: App,
    who: Caller,
    file_id: str,
    number: int,
    start: Number = 0,
    end: Number = 0,
    around: Annotated[int, Query(ge=0, le=10_000, description="Code points before and after it.")] = 500,
) -> Response:
    """Return what a citation points to, the quoted words between what stands before and after them."""
    found = await application.files.passage(who, file_id, number, start, end, around)
    return answer(
        {"object": "file.passage", "file_id": file_id, "filename": found.file.filename, "version": number,
         "start": start, "end": end, "characters": found.version.characters, "before": found.before,
         "quote": found.quote, "after": found.after}
    )  # fmt: skip


@router.get("/{file_id}/versions/{number}/text", summary="Read a version's text", tags=["extension"])
async def text(
    application: App, who: Caller, file_id: str, number: int, start: Number = 0, end: Number | None = None
) -> Response:
    """Return code points `start` to `end` of the canonical text that citations point into."""
    if end is not None and end < start:
        raise InvalidRequest("'end' lies before 'start'.", code="invalid_value", param="end")
    found = await application.files.text(who, file_id, number, start, end)
    return answer(
        {"object": "file.text", "file_id": file_id, "version": number, "start": start,
         "end": start + len(found), "text": found}
    )  # fmt: skip
