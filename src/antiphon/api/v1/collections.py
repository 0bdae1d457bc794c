"""`/v1/vector_stores`: sets of files that are searched together, in OpenAI's shape."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request, Response
from msgspec import UNSET

from antiphon.api.dependencies import After, App, Caller, JsonRoute, Limit
from antiphon.api.idempotency import key_of, once
from antiphon.api.v1.collection_bodies import CreateCollection, Stand, UpdateCollection, members_of
from antiphon.api.v1.collection_objects import collection_object, deleted_collection_object
from antiphon.api.v1.pages import Order, answer, page_object, raw_answer
from antiphon.api.v1.wire_json import encode_object
from antiphon.services.collections import NewCollection

router = APIRouter(prefix="/v1/vector_stores", tags=["vector stores"], route_class=JsonRoute)
standing = APIRouter(prefix="/v1", tags=["extension"], route_class=JsonRoute)

Before = Annotated[str | None, Query(description="The id of the entry before which the page ends.")]


def _render(made: Any) -> bytes:
    return encode_object(collection_object(made))


@router.post("", summary="Create a vector store")
async def create(
    application: App, who: Caller, request: Request, body: CreateCollection | None = None
) -> Response:
    """Create a vector store; its files are indexed in the background."""
    body = body or CreateCollection()
    key = key_of(request.scope, await request.body(), _render)
    new = NewCollection(
        name=body.name or "", description=body.description,
        metadata=msgspec.json.encode(body.metadata or {}).decode(),
        expires_after_days=body.expires_after.days if body.expires_after else None,
    )  # fmt: skip
    files = members_of(body.file_ids or [], None, body.chunking_strategy)

    async def make() -> Any:
        return await application.collections.create(who, new, files, key=key)

    return raw_answer(await once(application, who, key, _render, make, kept=application.kept_answers))


@router.get("", summary="List vector stores")
async def list_collections(
    application: App, who: Caller, after: After = None, before: Before = None, limit: Limit = 20,
    order: Order = "desc",
) -> Response:  # fmt: skip
    """List the caller's vector stores, newest first."""
    page = await application.collections.page(
        who, after=after, before=before, limit=limit, descending=order == "desc"
    )
    return answer(page_object([collection_object(one) for one in page.data], has_more=page.has_more))


@router.get("/{vector_store_id}", summary="Retrieve a vector store")
async def retrieve(application: App, who: Caller, vector_store_id: str) -> Response:
    """Return a vector store with the numbers of its files."""
    return answer(collection_object(await application.collections.get(who, vector_store_id)))


@router.post("/{vector_store_id}", summary="Update a vector store")
async def update(application: App, who: Caller, vector_store_id: str, body: UpdateCollection) -> Response:
    """Change name, metadata (the whole of it) or end."""
    given = body.model_fields_set
    days = body.expires_after.days if body.expires_after else None
    found = await application.collections.update(
        who, vector_store_id,
        name=body.name if "name" in given else UNSET,
        metadata=msgspec.json.encode(body.metadata or {}).decode() if "metadata" in given else UNSET,
        expires_after_days=days if "expires_after" in given else UNSET,
    )  # fmt: skip
    return answer(collection_object(found))


@router.delete("/{vector_store_id}", summary="Delete a vector store")
async def delete(application: App, who: Caller, vector_store_id: str) -> Response:
    """Erase a vector store; its files stay."""
    return answer(deleted_collection_object(await application.collections.delete(who, vector_store_id)))


# --- what stands


def _standing(ids: list[str]) -> Response:
    return answer({"object": "vector_store.standing", "vector_store_ids": ids})


@standing.get("/me/vector_stores", summary="Your standing vector stores")
async def of_mine(application: App, who: Caller) -> Response:
    """Return the vector stores that all the caller's turns retrieve from."""
    return _standing(await application.collections.standing(who))


@standing.put("/me/vector_stores", summary="Set your standing vector stores")
async def stand_mine(application: App, who: Caller, body: Stand) -> Response:
    """Replace the vector stores that all the caller's turns retrieve from."""
    return _standing(await application.collections.stand(who, body.vector_store_ids))


@standing.get("/conversations/{conversation_id}/vector_stores", summary="A conversation's vector stores")
async def of_conversation(application: App, who: Caller, conversation_id: str) -> Response:
    """Return the vector stores that all turns of the conversation retrieve from."""
    return _standing(await application.collections.standing(who, conversation_id))


@standing.put("/conversations/{conversation_id}/vector_stores", summary="Set a conversation's vector stores")
async def stand_conversation(application: App, who: Caller, conversation_id: str, body: Stand) -> Response:
    """Replace them; the owner does this, with vector stores of their own."""
    found = await application.collections.stand(who, body.vector_store_ids, conversation_id)
    return _standing(found)
