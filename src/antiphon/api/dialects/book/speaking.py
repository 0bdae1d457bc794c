"""Saying something in a session: answered by the model, or only kept."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
from fastapi import Request
from starlette.exceptions import HTTPException

from antiphon.api.caching import with_cache_use
from antiphon.api.dialects.asking import Reply, reply_of, require_answer
from antiphon.api.dialects.book.forms import fault
from antiphon.api.dialects.book.sessions import becomes_current
from antiphon.api.idempotency import key_of
from antiphon.api.v1.responses import follower_of, wait_or_abandon
from antiphon.application import Application
from antiphon.domain import ids
from antiphon.domain.accounts import Principal
from antiphon.domain.chat_sessions import ChatSession
from antiphon.domain.file_search import FileSearch
from antiphon.domain.inputs import InputItem, parse_item
from antiphon.domain.items import EXTENSION, Item, text_of
from antiphon.services.turn_plans import TurnRequest
from antiphon.services.turns import Begun

Begin = Callable[[TurnRequest], Awaitable[Begun]]


class Call(msgspec.Struct, frozen=True):
    """Who calls, and by which request."""

    application: Application
    who: Principal
    request: Request


class Answered(msgspec.Struct, frozen=True):
    """What became of a message that was to be answered: the model's words, or why there are none."""

    text: str | None
    error: str | None = None
    id: str | None = None

    def fields(self) -> dict[str, Any]:
        """Return the keys that tell it beside an acknowledgement."""
        if self.error is None:
            return {"response": self.text}
        return {"response": None, "error": self.error}


def message(
    text: str, *, role: str = "user", label: str | None = None, sent_at: str | None = None,
    field: str = "message",
) -> InputItem:  # fmt: skip
    """Return a message as it is kept; raises RequestValidationError for one that says nothing in `field`."""
    if not text:
        raise fault(field, "string_too_short", "The text is empty")
    body: dict[str, Any] = {"type": "message", "role": role, "content": text}
    told = {name: value for name, value in (("user_id", label), ("timestamp", sent_at)) if value is not None}
    return parse_item(body | ({EXTENSION: told} if told else {}), "message")


def conversation_of(session: ChatSession) -> str:
    """Return the wire id of a session's conversation."""
    return ids.CONVERSATION + session.conversation.id


async def say(
    call: Call, session: ChatSession, said: Sequence[InputItem], *, search: FileSearch | None = None
) -> Reply:
    """Have a message answered with the session in mind; it stays whatever comes of the answer.

    Raises HTTPException 502, 503 or 504 if the model gives none.
    """
    turn = TurnRequest(
        surface="responses", items=tuple(said), echo={"conversation": True}, search=search,
        conversation_id=conversation_of(session), key=key_of(call.request.scope, await call.request.body()),
    )  # fmt: skip
    turn = await call.application.recall.with_earlier(call.who, turn)
    return await _run(call, session, turn, lambda one: call.application.turn_order.begin(call.who, one))


async def say_again(call: Call, session: ChatSession, item: Item, said: InputItem) -> Reply:
    """Put another message beside one of the user's and have it answered; both become what is shown."""
    turn = TurnRequest(
        surface="responses", items=(said,), echo={"conversation": True},
        conversation_id=conversation_of(session), key=key_of(call.request.scope, await call.request.body()),
    )  # fmt: skip
    edit = call.application.alternatives.edit
    return await _run(call, session, turn, lambda one: edit(call.who, item.wire_id, one))


async def answer_to(call: Call, session: ChatSession, item_id: str) -> Reply:
    """Have a message of the session answered: at its end in line, further up as an alternative beside it."""
    application, who = call.application, call.who
    item = await application.conversations.item(who, conversation_of(session), item_id)
    turn = TurnRequest(
        surface="responses", items=(), echo={"conversation": True}, conversation_id=conversation_of(session),
        key=key_of(call.request.scope, await call.request.body()),
    )  # fmt: skip

    async def place(one: TurnRequest) -> TurnRequest:
        last = await newest(call, session, limit=1)
        is_last = bool(last) and last[-1].id == item.id
        return msgspec.structs.replace(one, parent_item_id=None if is_last else item.wire_id)

    async def begin(one: TurnRequest) -> Begun:
        placed = await place(one)
        if placed.parent_item_id is not None:
            return await application.turns.begin(who, placed)
        return await application.turn_order.begin(who, one, place=place)

    return await _run(call, session, turn, begin)


async def _run(call: Call, session: ChatSession, turn: TurnRequest, begin: Begin) -> Reply:
    application, who = call.application, call.who
    await becomes_current(application, who, session)
    turn = msgspec.structs.replace(turn, keeps_question=True)
    begun = await begin(with_cache_use(application, call.request.scope, turn))
    return await reply_of(application, who, begun)


async def acknowledged(reply: Awaitable[Reply]) -> Answered:
    """Return what became of a message where the message itself is what is acknowledged."""
    try:
        found = await reply
    except HTTPException as failed:
        return Answered(None, str(failed.detail))
    return Answered(found.text, id=found.id)


async def keep(call: Call, session: ChatSession, said: Sequence[InputItem]) -> list[Item]:
    """Keep messages at the end of a session; nobody answers."""
    await becomes_current(call.application, call.who, session)
    wire_id = conversation_of(session)
    return await call.application.turn_order.add_items(call.who, wire_id, said)


async def ask_once(call: Call, prompt: str, **fields: Any) -> str:
    """Return the model's answer to a prompt of which nothing is kept but its costs.

    Raises HTTPException 502, 503 or 504 if the model gives none.
    """
    application, who = call.application, call.who
    turn = TurnRequest(surface="responses", items=(message(prompt, field="prompt"),), store=False, **fields)
    begun = await application.turns.begin(who, with_cache_use(application, call.request.scope, turn))
    follower = await follower_of(application, who, begun)
    await wait_or_abandon(application, who, begun, follower, call.request.receive)
    if begun.live is None:
        raise HTTPException(503, "The answer is being made for another request; try again.")
    found = application.answers.of_live(begun.live)
    require_answer(found.run, begun.failure)
    return "".join(text_of(out.payload) for out in found.outputs if out.type == "message")


async def newest(call: Call, session: ChatSession, *, limit: int, before: str | None = None) -> list[Item]:
    """Return the newest items of a session, oldest first; those before an item, if one is named."""
    page = await call.application.conversations.items(
        call.who, conversation_of(session), branch_id=None, after=before, limit=limit, descending=True
    )
    return list(reversed(page.data))
