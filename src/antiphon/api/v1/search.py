"""`/v1/search`: messages of one's own conversations and of those shared with one."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query, Response
from pydantic import Field

from antiphon.api.dependencies import App, Caller, JsonRoute
from antiphon.api.v1.conversation_bodies import Body
from antiphon.api.v1.pages import answer
from antiphon.application import Application
from antiphon.domain import ids
from antiphon.domain.accounts import USER, Principal
from antiphon.services.search import Found, SearchRequest
from antiphon.services.search_hits import Hit

router = APIRouter(prefix="/v1/search", tags=["search"], route_class=JsonRoute)

MAX_SECONDS = 10_000_000_000
Seconds = Annotated[int, Field(ge=0, le=MAX_SECONDS)]
Role = Literal["user", "assistant", "system", "developer"]
Text = Annotated[str, Field(min_length=1, max_length=2_000)]
Name = Annotated[str, Field(min_length=1, max_length=256)]
Cursor = Annotated[str, Field(max_length=8_192)]


class SearchBody(Body):
    """What is looked for and where; times in seconds since 1970, `until` excluded."""

    query: Text
    from_: Annotated[Seconds | None, Field(alias="from")] = None
    until: Seconds | None = None
    role: Role | None = None
    model: Name | None = None
    author: Name | None = None
    conversation: Name | None = None
    branch: Name | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 20
    after: Cursor | None = None


@router.get("", summary="Search conversations")
async def search(
    application: App,
    who: Caller,
    query: Annotated[Text, Query(description='Words, "exact phrases", and -words that must not be there.')],
    from_: Annotated[Seconds | None, Query(alias="from", description="Not older than this time.")] = None,
    until: Annotated[Seconds | None, Query(description="Older than this time.")] = None,
    role: Role | None = None,
    model: Annotated[Name | None, Query(description="Only what this model answered.")] = None,
    author: Annotated[Name | None, Query(description="Who wrote it: `me`, a user's id or name.")] = None,
    conversation: Annotated[Name | None, Query(description="Only in this conversation.")] = None,
    branch: Annotated[Name | None, Query(description="Only on this branch's path.")] = None,
    limit: Annotated[int, Query(ge=1, le=100, description="How many hits a page holds.")] = 20,
    after: Annotated[Cursor | None, Query(description="The `next_cursor` of the page before.")] = None,
) -> Response:
    """Find messages by their words, best first."""
    asked = SearchBody(
        query=query, role=role, model=model, author=author, conversation=conversation, branch=branch,
        limit=limit, after=after, until=until, **{"from": from_},
    )  # fmt: skip
    return await _answer(application, who, asked)


@router.post("", summary="Search conversations with a body")
async def search_by_body(application: App, who: Caller, body: SearchBody) -> Response:
    """Find messages, asked for in a body: for long queries, and those that no log should hold."""
    return await _answer(application, who, body)


async def _answer(application: Application, who: Principal, asked: SearchBody) -> Response:
    found = await application.search.search(
        who,
        SearchRequest(
            query=asked.query, limit=asked.limit, after=asked.after, from_us=_micro(asked.from_),
            until_us=_micro(asked.until), role=asked.role, model=asked.model, author=asked.author,
            conversation_id=asked.conversation, branch_id=asked.branch,
        ),
    )  # fmt: skip
    return answer(found_object(found))


def _micro(seconds: int | None) -> int | None:
    return None if seconds is None else seconds * 1_000_000


def found_object(found: Found) -> dict[str, Any]:
    """Return a page of hits."""
    return {
        "object": "list",
        "data": [hit_object(hit) for hit in found.data],
        "has_more": found.cursor is not None,
        "next_cursor": found.cursor,
        "mode": found.mode,
    }


def hit_object(hit: Hit) -> dict[str, Any]:
    """Return a hit: the message, where it stands, and the piece of it that answers.

    `branch_id` is a branch that shows the message, null if none does.
    """
    passage, shown = hit.passage, hit.shown
    conversation, snippet = shown.conversation, hit.snippet
    entry: dict[str, Any] = {
        "id": ids.item_wire_id(shown.type, shown.item_id),
        "object": "search.hit",
        "conversation": {
            "id": ids.CONVERSATION + conversation.id,
            "title": conversation.title,
            "owner": conversation.owner_name,
        },
        "branch_id": ids.BRANCH + shown.branch_id if shown.branch_id else None,
        "on_active_branch": shown.branch_id == conversation.active_branch_id,
        "role": passage.role,
        "model": passage.model,
        "author_id": USER + passage.author_id if passage.author_id else None,
        "created_at": passage.created_us // 1_000_000,
        "score": hit.score,
    }
    if snippet is not msgspec.UNSET:
        entry["snippet"] = {
            "text": snippet.text,
            "highlights": [list(pair) for pair in snippet.highlights],
            "marked": snippet.marked,
        }
    return entry
