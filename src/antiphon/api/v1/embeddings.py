"""`/v1/embeddings`, and how the embedding of knowledge stands, for administrators."""

from __future__ import annotations

import asyncio
import base64
import struct
from typing import Any, Final

import msgspec
from fastapi import APIRouter, Request, Response

from antiphon.api.dependencies import App, Caller, JsonRoute
from antiphon.api.errors import describe
from antiphon.api.rate_limits import headers_of
from antiphon.api.v1.admin.caller import Admin
from antiphon.api.v1.chat_events import error_answer
from antiphon.api.v1.embedding_bodies import parse_embedding
from antiphon.api.v1.pages import answer, raw_answer
from antiphon.api.v1.schemas import body_of
from antiphon.api.v1.wire_json import encode_object
from antiphon.domain.errors import ProviderError
from antiphon.services.embedding_calls import EmbeddedTexts

router = APIRouter(prefix="/v1", route_class=JsonRoute)

INLINE_BYTES: Final = 64 * 1024
"""Vectors up to here are encoded at once; more of them in a thread."""


@router.post(
    "/embeddings", summary="Create embeddings", tags=["embeddings"], openapi_extra=body_of("CreateEmbedding")
)
async def create_embeddings(application: App, who: Caller, request: Request) -> Response:
    """Return a vector of length one for each text, of any embedding model there is."""
    body, texts = parse_embedding(await request.body())
    try:
        made = await application.embedding_calls.create(
            who, texts, model=body.model, dimensions=body.dimensions
        )
    except ProviderError as error:
        return _failed(error)
    in_base64 = body.encoding_format == "base64"
    if sum(map(len, made.vectors)) <= INLINE_BYTES:
        encoded = encode_embeddings(made, in_base64=in_base64)
    else:
        encoded = await asyncio.to_thread(encode_embeddings, made, in_base64=in_base64)
    limits = {name.decode(): value.decode() for name, value in headers_of(made.standings)}
    return raw_answer(encoded, headers=limits)


def encode_embeddings(made: EmbeddedTexts, *, in_base64: bool) -> bytes:
    """Return the answer's JSON."""
    shown = _base64 if in_base64 else _floats
    data = [
        {"object": "embedding", "index": index, "embedding": shown(vector)}
        for index, vector in enumerate(made.vectors)
    ]
    usage = {"prompt_tokens": made.tokens, "total_tokens": made.tokens}
    return encode_object({"object": "list", "data": data, "model": made.model, "usage": usage})


def _base64(vector: bytes) -> str:
    return base64.b64encode(vector).decode()


def _floats(vector: bytes) -> tuple[float, ...]:
    return struct.unpack(f"<{len(vector) // 4}f", vector)


def _failed(error: ProviderError) -> Response:
    _, _, headers = describe(error)
    status, body = error_answer(error.code or "server_error", error.message, error)
    return answer(body, status=status, headers={name.decode(): value.decode() for name, value in headers})


@router.get("/admin/embeddings", summary="How embedding stands", tags=["administration"])
async def embedding_state(application: App, admin: Admin) -> Response:
    """Return the embedding model, the one that serves questions now, and how many vectors there are."""
    state = await application.embeddings.state()
    return answer(state_object(msgspec.structs.asdict(state)))


def state_object(state: dict[str, Any]) -> dict[str, Any]:
    """Return the state with a line for each model that there are vectors of."""
    vectors = [{"model": model, "count": count} for model, count in sorted(state.pop("vectors").items())]
    return {"object": "embedding.state", **state, "vectors": vectors}
