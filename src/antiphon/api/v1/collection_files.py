"""`/v1/vector_stores/{id}/files` and `…/file_batches`, in OpenAI's shape."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from antiphon.api.dependencies import After, App, Caller, JsonRoute, Limit
from antiphon.api.idempotency import key_of, once
from antiphon.api.v1.collection_bodies import AddBatch, AddFile, Describe, attributes_of
from antiphon.api.v1.collection_objects import batch_object, deleted_member_object, member_object
from antiphon.api.v1.collections import Before
from antiphon.api.v1.pages import Order, answer, page_object, raw_answer
from antiphon.api.v1.wire_json import encode_object
from antiphon.domain.collections import MemberState

router = APIRouter(
    prefix="/v1/vector_stores/{vector_store_id}", tags=["vector stores"], route_class=JsonRoute
)

State = Annotated[MemberState | None, Query(alias="filter", description="Only files in this state.")]

Beginning = Annotated[int, Query(ge=0, le=2**53, description="`next_page` of the page before.")]


def _render_member(made: Any) -> bytes:
    return encode_object(member_object(made))


def _render_batch(made: Any) -> bytes:
    return encode_object(batch_object(made))


@router.post("/files", summary="Add a file")
async def add(
    application: App, who: Caller, request: Request, vector_store_id: str, body: AddFile
) -> Response:
    """Add a file, which is indexed in the background; or index it again with what is new."""
    key = key_of(request.scope, await request.body(), _render_member)

    async def make() -> Any:
        return await application.collection_files.add(who, vector_store_id, body.member(), key=key)

    kept = application.kept_answers
    return raw_answer(await once(application, who, key, _render_member, make, kept=kept))


@router.get("/files", summary="List files of a vector store")
async def list_files(
    application: App, who: Caller, vector_store_id: str, after: After = None, before: Before = None,
    limit: Limit = 20, order: Order = "desc", state: State = None,
) -> Response:  # fmt: skip
    """List the files by when they were added, newest first."""
    page = await application.collection_files.page(
        who, vector_store_id, after=after, before=before, limit=limit, descending=order == "desc", state=state
    )
    return answer(page_object([member_object(one) for one in page.data], has_more=page.has_more))


@router.get("/files/{file_id}", summary="Retrieve a file of a vector store")
async def retrieve(application: App, who: Caller, vector_store_id: str, file_id: str) -> Response:
    """Return a file with its state."""
    found = await application.collection_files.get(who, vector_store_id, file_id)
    return answer(member_object(found, await application.collection_files.notes(found)))


@router.post("/files/{file_id}", summary="Update a file's attributes")
async def describe(
    application: App, who: Caller, vector_store_id: str, file_id: str, body: Describe
) -> Response:
    """Replace the attributes; searches see them at once."""
    found = await application.collection_files.describe(
        who, vector_store_id, file_id, attributes_of(body.attributes)
    )
    return answer(member_object(found))


@router.delete("/files/{file_id}", summary="Take a file out")
async def remove(application: App, who: Caller, vector_store_id: str, file_id: str) -> Response:
    """Take a file out of the vector store; the file stays."""
    gone = await application.collection_files.remove(who, vector_store_id, file_id)
    return answer(deleted_member_object(gone))


@router.get("/files/{file_id}/content", summary="Retrieve a file's parsed content")
async def content(
    application: App, who: Caller, vector_store_id: str, file_id: str,
    page: Beginning = 0,
) -> Response:  # fmt: skip
    """Return the text that was read out of the file, in parts."""
    parts, following = await application.collection_files.content(who, vector_store_id, file_id, page)
    return answer({
        "object": "vector_store.file_content.page",
        "data": [{"type": "text", "text": part} for part in parts],
        "has_more": following is not None,
        "next_page": str(following) if following is not None else None,
    })  # fmt: skip


# --- batches


@router.post("/file_batches", summary="Add several files")
async def add_batch(
    application: App, who: Caller, request: Request, vector_store_id: str, body: AddBatch
) -> Response:
    """Add up to 2,000 files at once."""
    key = key_of(request.scope, await request.body(), _render_batch)

    async def make() -> Any:
        return await application.collection_files.add_batch(who, vector_store_id, body.members(), key=key)

    kept = application.kept_answers
    return raw_answer(await once(application, who, key, _render_batch, make, kept=kept))


@router.get("/file_batches/{batch_id}", summary="Retrieve a batch")
async def retrieve_batch(application: App, who: Caller, vector_store_id: str, batch_id: str) -> Response:
    """Return a batch with the numbers of its files."""
    return answer(batch_object(await application.collection_files.batch(who, vector_store_id, batch_id)))


@router.post("/file_batches/{batch_id}/cancel", summary="Cancel a batch")
async def cancel_batch(application: App, who: Caller, vector_store_id: str, batch_id: str) -> Response:
    """Cancel what of a batch has not ended."""
    found = await application.collection_files.cancel_batch(who, vector_store_id, batch_id)
    return answer(batch_object(found))


@router.get("/file_batches/{batch_id}/files", summary="List files of a batch")
async def list_batch(
    application: App, who: Caller, vector_store_id: str, batch_id: str, after: After = None,
    before: Before = None, limit: Limit = 20, order: Order = "desc", state: State = None,
) -> Response:  # fmt: skip
    """List the files of a batch."""
    page = await application.collection_files.page(
        who, vector_store_id, after=after, before=before, limit=limit, descending=order == "desc",
        state=state, batch_id=batch_id,
    )  # fmt: skip
    return answer(page_object([member_object(one) for one in page.data], has_more=page.has_more))
