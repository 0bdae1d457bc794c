"""Answers that nothing is kept of, answers from documents, and searches."""

from __future__ import annotations

import asyncio
import re
from typing import Any, Final

from fastapi import Request, Response

from antiphon.api.dependencies import App, Caller
from antiphon.api.dialects.book import sessions, wire
from antiphon.api.dialects.book.documented import asks, takes
from antiphon.api.dialects.book.forms import TAG, both_keys, optional_text, text_field, text_of, told
from antiphon.api.dialects.book.speaking import Call, ask_once, message, say
from antiphon.api.dialects.bounded import still_there
from antiphon.api.dialects.dialect import router_of
from antiphon.api.dialects.fields import fields_of
from antiphon.api.http import header
from antiphon.api.v1.pages import answer
from antiphon.application import Application
from antiphon.domain import ids
from antiphon.domain.accounts import WRITE, Principal
from antiphon.domain.chat_sessions import uuid_of
from antiphon.domain.collections import COLLECTION
from antiphon.domain.errors import Forbidden, InvalidRequest, NotFound
from antiphon.domain.file_search import MAX_COLLECTIONS, FileSearch
from antiphon.services.retrieval import Asked
from antiphon.services.search import SearchRequest
from antiphon.services.search_hits import Hit

router = router_of(TAG, both_keys)

TEMPERATURES: Final = (0.5, 1.0)
HITS: Final = 20
BESIDE: Final = 8
"""Items looked at beside a hit for the other half of its pair."""

MEANING: Final = "What is the meaning of life?"
SELECT: Final = "SELECT * FROM users WHERE age > 30"
NOT_SQL: Final = (
    "This is no database: the text was looked for in your own messages and documents; nothing was executed."
)
_SQL: Final = re.compile(r"\s*(select|insert|update|delete|drop|alter|create|with|union)\b", re.IGNORECASE)
_WORD: Final = re.compile(r"\w+")


async def _collections(application: Application, who: Principal) -> tuple[str, ...]:
    """Return the caller's collections, the newest twenty, that have not ended."""
    page = await application.collections.page(
        who, after=None, before=None, limit=MAX_COLLECTIONS, descending=True
    )
    return tuple(COLLECTION + one.collection.id for one in page.data if not one.expired)


async def _search_of(application: Application, who: Principal) -> FileSearch | None:
    found = await _collections(application, who)
    return FileSearch(collection_ids=found) if found else None


@router.post(
    "/rag", summary="Answer from documents",
    openapi_extra=asks({"prompt": MEANING}, {"message": MEANING, "session_id": "1234567890"}),
)  # fmt: skip
async def rag(application: App, who: Caller, request: Request) -> Response:
    """Answer from passages of the caller's own files: a `prompt` once, a `message` within its session."""
    fields = await fields_of(request)
    call = Call(application, who, request)
    prompt = optional_text(fields, "prompt")
    if prompt is not None:
        search = await _search_of(application, who)
        return answer({"response": await ask_once(call, prompt, search=search)})
    said, name = message(text_of(fields, "message")), text_of(fields, "session_id")
    session = await sessions.opened(application, who, name)
    reply = await say(call, session, [said], search=await _search_of(application, who))
    return told(session, {"response": reply.text})


@router.post("/llm_response", summary="Answer once", openapi_extra=asks({"prompt": MEANING}))
async def llm_response(application: App, who: Caller, request: Request) -> Response:
    """Answer a prompt of which nothing is kept."""
    prompt = await text_field(request, "prompt")
    return answer({"response": await ask_once(Call(application, who, request), prompt)})


@router.get("/generate_response", summary="Answer once", openapi_extra=takes("prompt", MEANING))
async def generate_response(application: App, who: Caller, request: Request) -> Response:
    """Answer a prompt of which nothing is kept. Other sites' pages cannot make a browser ask."""
    _require_may_act(who, request)
    prompt = await text_field(request, "prompt")
    return answer({"response": await ask_once(Call(application, who, request), prompt)})


def _require_may_act(who: Principal, request: Request) -> None:
    """Raise Forbidden for a GET that acts, as a POST would be: by a key that only reads, or a foreign page.

    It spends, or marks what it searches as used; an image tag is enough for a page to have it sent.
    """
    if WRITE not in who.scopes:
        raise Forbidden(f"This key has no scope '{WRITE}'.", code="insufficient_scope")
    if header(request.scope, b"sec-fetch-site") in ("cross-site", "same-site"):
        raise Forbidden("Requests from other sites are not served.", code="origin_not_allowed")


@router.post("/chat/llm", summary="Answer twice", openapi_extra=asks({"prompt": MEANING}))
async def twice(application: App, who: Caller, request: Request) -> Response:
    """Answer a prompt at two temperatures, both at the same time; nothing is kept."""
    call, prompt = Call(application, who, request), await text_field(request, "prompt")
    asked = [ask_once(call, prompt, params={"temperature": one}) for one in TEMPERATURES]
    found = await asyncio.gather(*asked)
    return answer([{"text": text, "temperature": one} for text, one in zip(found, TEMPERATURES, strict=True)])


# --- searches


@router.get("/chat/search", summary="Search messages", openapi_extra=takes("query", "hello"))
async def search(application: App, who: Caller, request: Request) -> Response:
    """Find messages by words and, with an embedding model, by meaning; each with its question or answer."""
    query = await text_field(request, "query")
    found = await application.search.search(who, SearchRequest(query=query, limit=HITS))
    pairs = await still_there(_pair(application, who, hit) for hit in found.data)
    distinct = {(one["chat_message"], one["response"], one["session_id"]): one for one in reversed(pairs)}
    return answer(list(reversed(distinct.values())))


async def _pair(application: Application, who: Principal, hit: Hit) -> dict[str, Any]:
    """Return a hit as question and answer: the other half is the nearest of the other role beside it."""
    conversation, wire_id = hit.shown.conversation, ids.item_wire_id(hit.shown.type, hit.shown.item_id)
    one = wire.message_of(
        await application.conversations.item(who, ids.CONVERSATION + conversation.id, wire_id)
    )
    asked = one.role == "user"
    branch = ids.BRANCH + hit.shown.branch_id if hit.shown.branch_id else None
    beside: list[wire.Message] = []
    try:
        page = await application.conversations.items(
            who, ids.CONVERSATION + conversation.id, branch_id=branch, after=wire_id, limit=BESIDE,
            descending=not asked,
        )  # fmt: skip
        beside = wire.messages_of(page.data)
    except (InvalidRequest, NotFound):
        pass  # a sibling that no branch shows stands alone
    other = beside[0].text if beside and (beside[0].role == "user") is not asked else None
    return {
        "chat_message": one.text if asked else other,
        "response": other if asked else one.text,
        "session_id": sessions.called(conversation).name,
        "id": one.id,
        "score": hit.score,
    }


@router.get("/process_query", summary="Search messages and documents", openapi_extra=takes("query", SELECT))
async def process_query(application: App, who: Caller, request: Request) -> Response:
    """Look a text up in the caller's own messages and files. SQL is looked up too, never executed."""
    _require_may_act(who, request)
    query = await text_field(request, "query")
    words = " ".join(_WORD.findall(query))
    if not words:
        raise InvalidRequest("'query' holds no word to look for.", code="invalid_value", param="query")
    body: dict[str, Any] = {"result": await _everywhere(application, who, words)}
    if _SQL.match(query):
        body["note"] = NOT_SQL
    return answer(body)


async def _everywhere(application: Application, who: Principal, words: str) -> list[dict[str, Any]]:
    """Return what is found in messages and in files, best first; a file's source is its name."""
    result: list[dict[str, Any]] = []
    try:
        found = await application.search.search(who, SearchRequest(query=words, limit=HITS))
        result += [
            {"text": hit.passage.text, "source": uuid_of(hit.shown.conversation.id), "score": hit.score}
            for hit in found.data
        ]
    except Forbidden:
        pass  # search over conversations is turned off
    collections = await _collections(application, who)
    if collections:
        passages = await application.retrieval.search(who, collections, Asked(queries=(words,), limit=HITS))
        result += [
            {"text": hit.passage.text, "source": hit.file.filename, "score": hit.score}
            for hit in passages.hits
        ]
    return sorted(result, key=lambda one: one["score"], reverse=True)[:HITS]
