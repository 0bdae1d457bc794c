"""The calls of the branching chat."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import urlencode

from fastapi import Query, Request, Response
from msgspec import UNSET

from antiphon.api.dependencies import App, Caller
from antiphon.api.dialects.asking import begin, reply_of
from antiphon.api.dialects.bounded import MOST, Before, Newest
from antiphon.api.dialects.branching.translate import answered_pair, pairs_of
from antiphon.api.dialects.branching.wire import (
    ActiveBranch,
    ChatUpdate,
    NamedChat,
    NewBranch,
    NewChat,
    NewMessage,
    chat_object,
    listed_branch,
    made_branch,
)
from antiphon.api.dialects.dialect import Dialect, detail_only, router_of
from antiphon.api.dialects.fields import body_schema, read
from antiphon.api.dialects.forms import uuid_text
from antiphon.api.idempotency import key_of, once
from antiphon.api.v1.pages import answer, raw_answer
from antiphon.api.v1.wire_json import encode_object
from antiphon.application import Application
from antiphon.domain import ids
from antiphon.domain.accounts import Principal
from antiphon.domain.conversations import BranchFork, Conversation
from antiphon.domain.inputs import parse_input
from antiphon.domain.items import Item
from antiphon.domain.runs import Run

TAG: Final = "branching"
ITEMS_READ: Final = 2 * MOST
router = router_of(TAG, prefix="/api/v1")

Asked = TypeVar("Asked", NamedChat, ChatUpdate, NewMessage, NewBranch, ActiveBranch)
ChatQuery = Annotated[str | None, Query(description="The chat's id; it may stand in a JSON body instead.")]


async def _asked(application: Application, who: Principal, request: Request, model: type[Asked]) -> Asked:
    """Return a call's parameters; the id that a chat had before it was imported leads to it."""
    body = await read(request, model)
    body.chat_id = await application.imports.leads_to(who, "branching", body.chat_id)
    return body


async def _response(application: Application, who: Principal, chat_id: str, response_id: str) -> str:
    """Return a response's id; the one that it had before it was imported leads to it within its chat."""
    shown = await application.branch_forks.shown(who, chat_id)
    return await application.imports.message(who, shown, response_id)


async def _told(application: Application, who: Principal, found: Conversation) -> dict[str, Any]:
    parent = await application.branch_forks.origin(who, found)
    active = await application.branch_forks.shown_fork(who, found)
    return chat_object(found, parent=parent, active=active)


# --- chats


def _new_chat(made: Conversation) -> bytes:
    return encode_object(chat_object(made, parent=None, active=None))


@router.post(
    "/chats/create-chat", summary="Create a new chat", status_code=201,
    openapi_extra=body_schema(NewChat, required=False),
)  # fmt: skip
async def create_chat(application: App, who: Caller, request: Request) -> Response:
    """Make an empty chat, perhaps with a name and metadata."""
    body = await read(request, NewChat)
    key = key_of(request.scope, await request.body(), _new_chat)
    make = partial(
        application.conversations.create, who, [], metadata=body.encoded or "{}", title=body.name, key=key
    )
    return raw_answer(await once(application, who, key, _new_chat, make), status=201)


@router.get("/chats/get-chat", summary="Get chat details and messages")
async def get_chat(
    application: App,
    who: Caller,
    request: Request,
    chat_id: ChatQuery = None,
    limit: Newest = MOST,
    after: Before = None,
) -> Response:
    """Return a chat with the pairs of its active branch, oldest first: the newest, up to a hundred.

    `after` is the `response_id` of a pair: those before it are told.
    """
    named = (await _asked(application, who, request, NamedChat)).chat_id
    found = await application.conversations.get(who, named)
    if after is not None and found.role is None:
        after = await _response(application, who, named, after)
    page = await application.conversations.items(
        who, named, branch_id=None, after=after, limit=ITEMS_READ, descending=True
    )
    pairs = pairs_of(list(reversed(page.data)))
    if after is not None and pairs and pairs[-1].response is None:
        pairs.pop()  # the question of the pair that was named
    cut = page.has_more and pairs and not pairs[0].question
    shown = pairs[1:] if cut else pairs
    has_more = page.has_more or len(shown) > limit
    shown = shown[-limit:]
    items = [item for item in page.data if any(item.id in pair.item_ids for pair in shown)]
    forks = await application.branch_forks.after_items(who, items)
    body = await _told(application, who, found) | {"qa_pairs": [pair.wire(forks) for pair in shown]}
    headers = {}
    if has_more and shown:
        query = {**request.query_params, "chat_id": named, "after": uuid_text(shown[0].response_id)}
        headers["link"] = f'<{request.url.path}?{urlencode(query)}>; rel="next"'
    return answer(body, headers=headers)


@router.put("/chats/update-chat", summary="Update chat metadata", openapi_extra=body_schema(ChatUpdate))
async def update_chat(application: App, who: Caller, request: Request) -> Response:
    """Set a chat's name, or replace its metadata; what is not given stays."""
    body = await _asked(application, who, request, ChatUpdate)
    if body.name is None and body.metadata is None:
        return answer(await _told(application, who, await application.conversations.get(who, body.chat_id)))
    found = await application.conversations.update(
        who, body.chat_id, title=UNSET if body.name is None else body.name, metadata=body.encoded, is_use=True
    )
    return answer(await _told(application, who, found))


@router.delete("/chats/delete-chat", summary="Delete a chat")
async def delete_chat(application: App, who: Caller, request: Request, chat_id: ChatQuery = None) -> Response:
    """Delete a chat; branches made from it live on, with the messages they share."""
    named = (await _asked(application, who, request, NamedChat)).chat_id
    deleted, _ = await application.conversations.delete(who, named)
    return answer({"message": "Chat deleted successfully", "chat_id": uuid_text(deleted)})


# --- messages


@router.post(
    "/messages/add-message", summary="Add a message to a chat", status_code=201,
    openapi_extra=body_schema(NewMessage),
)  # fmt: skip
async def add_message(application: App, who: Caller, request: Request) -> Response:
    """Add a question to the chat's active branch and have it answered, or add it with its response."""
    body = await _asked(application, who, request, NewMessage)
    found = await application.conversations.get(who, body.chat_id)
    if body.response is not None:
        return await _store_pair(application, who, request, found, body.question, body.response)
    begun = await begin(application, who, request, found.id, body.question, keeps_question=True)
    reply = await reply_of(application, who, begun)
    pair = answered_pair(body.question, await _question(application, who, reply.run), reply)
    return answer({"chat_id": uuid_text(found.id), **pair.wire({})}, status=201)


async def _question(application: Application, who: Principal, run: Run) -> Item | None:
    """Return what a run answers: its own input, or what stood there when it was sent again."""
    name = ids.RESPONSE + run.id
    asked = await application.answers.input_items(who, name, after=None, limit=1, descending=True)
    if asked.data:
        return asked.data[0]
    before = run.request.get("parent_id")
    if run.conversation_id is None or not isinstance(before, str):
        return None
    return await application.conversations.item(who, ids.CONVERSATION + run.conversation_id, before)


async def _store_pair(
    application: Application, who: Principal, request: Request, found: Conversation, question: str,
    response: str,
) -> Response:  # fmt: skip
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": response}]

    def render(made: list[Item]) -> bytes:
        (pair,) = pairs_of(made)
        return encode_object({"chat_id": uuid_text(found.id), **pair.wire({})})

    name = ids.CONVERSATION + found.id
    key = key_of(request.scope, await request.body(), render)
    make = partial(application.turn_order.add_items, who, name, parse_input(messages), key=key)
    return raw_answer(await once(application, who, key, render, make, within=name), status=201)


# --- branches


@router.post(
    "/branches/create-branch", summary="Create a branch from a specific message", status_code=201,
    openapi_extra=body_schema(NewBranch),
)  # fmt: skip
async def create_branch(application: App, who: Caller, request: Request) -> Response:
    """Make a chat that shows everything up to a response, and is a branch of the chat it comes from."""
    body = await _asked(application, who, request, NewBranch)
    found = await application.conversations.get(who, body.chat_id)

    def render(made: BranchFork) -> bytes:
        base = made.fork.base
        item_id = base.item_id if base is not None else None
        return encode_object(made_branch(made, found.id, item_id or made.fork.id))

    key = key_of(request.scope, await request.body(), render)
    name = ids.CONVERSATION + found.id
    after = await _response(application, who, name, body.response_id)
    make = partial(application.branch_forks.create, who, name, after, name=body.name or None, key=key)
    return raw_answer(await once(application, who, key, render, make, within=name), status=201)


@router.get("/branches/get-branches", summary="Get all branches for a chat")
async def get_branches(
    application: App, who: Caller, request: Request, chat_id: ChatQuery = None
) -> Response:
    """Return the branches made from a chat, oldest first."""
    named = (await _asked(application, who, request, NamedChat)).chat_id
    found = await application.conversations.get(who, named)
    listed, shown = await application.branch_forks.listed(who, named)
    return answer({
        "chat_id": uuid_text(found.id),
        "active_branch_chat_id": _uuid(await application.branch_forks.shown_fork(who, found)),
        "branches": [listed_branch(one, is_active=one.fork.id in shown) for one in listed],
    })  # fmt: skip


@router.put(
    "/branches/set-active-branch", summary="Set a specific branch as active",
    openapi_extra=body_schema(ActiveBranch),
)  # fmt: skip
async def set_active_branch(application: App, who: Caller, request: Request) -> Response:
    """Have a chat show one of its branches, or its trunk again."""
    body = await _asked(application, who, request, ActiveBranch)
    branch = body.branch_chat_id
    if branch is not None:
        branch = await application.imports.leads_to(who, "branching", branch)
    await application.branch_forks.activate(who, body.chat_id, branch)
    found = await application.conversations.get(who, body.chat_id)
    active = await application.branch_forks.shown_fork(who, found)
    return answer({"chat_id": uuid_text(found.id), "active_branch_chat_id": _uuid(active)})


def _uuid(identifier: str | None) -> str | None:
    return uuid_text(identifier) if identifier is not None else None


BRANCHING: Final = Dialect(
    name="branching",
    tag=TAG,
    description="Chats of questions and responses that branch off from any point in their history.",
    router=router,
    shape=detail_only,
)
