"""`/v1/uploads`: a large file in parts, in OpenAI's shape."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import Field

from antiphon.api.dependencies import App, Caller, caller_of
from antiphon.api.idempotency import key_of, once
from antiphon.api.multipart import Form
from antiphon.api.v1.conversation_bodies import Body
from antiphon.api.v1.file_forms import (
    MAX_SECONDS,
    MIN_SECONDS,
    FormRoute,
    checked_purpose,
    form_body,
    form_key,
    require_known,
)
from antiphon.api.v1.file_objects import part_object, upload_object
from antiphon.api.v1.pages import answer, raw_answer
from antiphon.api.v1.wire_json import encode_object
from antiphon.services.uploads import MAX_PART_BYTES, MAX_PARTS, NewUpload

router = APIRouter(prefix="/v1/uploads", tags=["uploads"], route_class=FormRoute)


class FileExpiresAfter(Body):
    """Seconds from the file's creation."""

    anchor: Literal["created_at"]
    seconds: Annotated[int, Field(ge=MIN_SECONDS, le=MAX_SECONDS)]


class CreateUpload(Body):
    """What is going to arrive."""

    filename: Annotated[str, Field(min_length=1, max_length=4096)]
    purpose: Annotated[str, Field(max_length=64)]
    bytes: Annotated[int, Field(ge=1, le=2**53)]
    mime_type: Annotated[str, Field(max_length=256)]
    expires_after: FileExpiresAfter | None = None


class CompleteUpload(Body):
    """The parts in their order, and the MD5 of the whole if it is to be checked."""

    part_ids: Annotated[list[Annotated[str, Field(max_length=64)]], Field(min_length=1, max_length=MAX_PARTS)]
    md5: Annotated[str, Field(pattern="^[0-9a-fA-F]{32}$")] | None = None


def _render_upload(made: Any) -> bytes:
    return encode_object(upload_object(made))


def _render_part(made: Any) -> bytes:
    return encode_object(part_object(made))


def _render_completed(made: Any) -> bytes:
    return encode_object(upload_object(made.upload, made.file))


@router.post("", summary="Create an upload")
async def create(application: App, who: Caller, request: Request, body: CreateUpload) -> Response:
    """Open an upload, which takes parts for an hour."""
    key = key_of(request.scope, await request.body(), _render_upload)
    new = NewUpload(
        filename=body.filename, purpose=checked_purpose(body.purpose), bytes=body.bytes,
        media_type=body.mime_type,
        file_expires_seconds=body.expires_after.seconds if body.expires_after else None,
    )  # fmt: skip

    async def make() -> Any:
        return await application.uploads.create(who, new, key=key)

    kept = application.kept_answers
    return raw_answer(await once(application, who, key, _render_upload, make, kept=kept))


@router.post("/{upload_id}/parts", summary="Add a part", openapi_extra=form_body("data"))
async def add_part(application: App, who: Caller, request: Request, upload_id: str) -> Response:
    """Keep a part of at most 64 MB; parts may arrive in any order and at the same time."""
    uploads = application.uploads
    form = Form(request.scope, request.receive, file_field="data", most_bytes=MAX_PART_BYTES)
    await uploads.pending(who, upload_id)
    async with uploads.receiving(who, form.content(), announced=form.announced) as content:
        who = await caller_of(request)  # a long upload may outlive its credential
        require_known(form.fields, ())
        key = form_key(form, content.digest, request.scope, _render_part)

        async def make() -> Any:
            return await uploads.add_part(who, upload_id, content, key=key)

        made = await once(application, who, key, _render_part, make, kept=application.kept_answers)
    return raw_answer(made)


@router.post("/{upload_id}/complete", summary="Complete an upload")
async def complete(
    application: App, who: Caller, request: Request, upload_id: str, body: CompleteUpload
) -> Response:
    """Make the parts a file, in the order given."""
    key = key_of(request.scope, await request.body(), _render_completed)

    async def make() -> Any:
        return await application.uploads.complete(who, upload_id, body.part_ids, body.md5, key=key)

    kept = application.kept_answers
    return raw_answer(await once(application, who, key, _render_completed, make, kept=kept))


@router.post("/{upload_id}/cancel", summary="Cancel an upload")
async def cancel(application: App, who: Caller, upload_id: str) -> Response:
    """End an upload and drop its parts."""
    return answer(upload_object(await application.uploads.cancel(who, upload_id)))
