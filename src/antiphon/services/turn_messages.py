"""What a model is shown of a turn: the path as far as there is room, what is said, the files it names."""

from __future__ import annotations

from typing import Any

import msgspec

from antiphon.domain.accounts import Principal
from antiphon.domain.errors import InvalidRequest, NotFound
from antiphon.domain.inputs import InputItem, require_answered_calls
from antiphon.domain.items import Item
from antiphon.domain.runs import Run
from antiphon.domain.sources import sources_budget
from antiphon.domain.usage import estimate_item_tokens
from antiphon.ports.storage import TurnBase
from antiphon.services.access import Access
from antiphon.services.attached_files import AttachedFiles, IsIn
from antiphon.services.model_routes import ModelRoute
from antiphon.services.runs.context import Body, chat_messages
from antiphon.services.turn_plans import (
    Attachment,
    TurnRequest,
    answer_budget,
    answer_tokens,
    context_budget,
    known_calls,
    within,
)


class TurnMessages:
    """Makes the messages of turns."""

    def __init__(self, access: Access, attached: AttachedFiles) -> None:
        self._access = access
        self._attached = attached

    async def resolved(self, who: Principal, request: TurnRequest) -> TurnRequest:
        """Replace item references by the items they name, as far as the caller may read them.

        Files are to be the caller's own. Raises NotFound.
        """
        items = request.items
        if any(item.reference for item in items):
            items = await self._referenced(who, request)
        if request.messages is not None:
            await self._attached.require_messages(who.actor_id, request.messages)
        items = await self._attached.named(who.actor_id, items)
        return request if items is request.items else msgspec.structs.replace(request, items=items)

    async def _referenced(self, who: Principal, request: TurnRequest) -> tuple[InputItem, ...]:
        items: list[InputItem] = []
        for index, item in enumerate(request.items):
            if item.reference is None:
                items.append(item)
                continue
            stored = await self._access.readable_item(who, item.reference, request.conversation_id)
            if stored is None:
                raise NotFound(f"Item with id '{item.reference}' not found.", param=f"input[{index}].id")
            items.append(
                InputItem(type=stored.type, role=stored.role, status=stored.status, payload=stored.body())
            )
        return tuple(items)

    async def messages(
        self, who: Principal, request: TurnRequest, at: Attachment, route: ModelRoute
    ) -> list[dict[str, Any]]:
        """Return what the model is asked; raises InvalidRequest for what it cannot be."""
        if request.messages is not None:
            room = route.context_tokens - answer_budget(request, route.context_tokens)
            return await self._attached.shown_messages(who.actor_id, request.messages, room)
        context = within(at.base.context, context_budget(request, route)) if at.base else []
        if request.most_before:
            context = context[-request.most_before :]
        require_answered_calls(known_calls(context), list(request.items))
        if request.refuse_truncation and at.base is not None:
            self._require_room(request, at.base, route)
        asked: list[Item | InputItem] = [*context, *request.items]
        naming: list[Body] = []
        told = chat_messages(
            asked, request.instructions, recalled=request.recalled, continues=request.continues, naming=naming
        )
        if not naming:
            return told
        answer = answer_budget(request, route.context_tokens)
        room = room_in(asked, route, answer, grounded=request.grounded)
        asked = await self._attached.shown(
            who.actor_id, asked, room, is_in=self._in(at.base), whole=request.refuse_truncation
        )
        return chat_messages(
            asked, request.instructions, recalled=request.recalled, continues=request.continues
        )

    async def again(self, run: Run, base: TurnBase, route: ModelRoute) -> list[dict[str, Any]]:
        """Return what the model of a background run is asked once more, in what it was asked at."""
        answer = answer_tokens(run.request.get("params", {}), route.context_tokens)
        asked: list[Item | InputItem] = [*base.context]
        room = room_in(asked, route, answer, grounded=False)
        asked = await self._attached.shown(run.author_id, asked, room, is_in=self._in(base))
        continues = run.continues
        return chat_messages(asked, run.request.get("instructions"), continues=continues)

    def _in(self, base: TurnBase | None) -> IsIn:
        async def is_in(account_id: str) -> bool:
            return base is not None and await self._access.is_in(account_id, base.conversation)

        return is_in

    @staticmethod
    def _require_room(request: TurnRequest, base: TurnBase, route: ModelRoute) -> None:
        """Refuse a path of which something would be left out; what was deleted from it counts still."""
        room = context_budget(request, route)
        if base.position.tokens > room:
            raise InvalidRequest(
                f"The conversation is about {base.position.tokens} tokens long. Of the model's"
                f" {route.context_tokens} the input and the answer leave it {room};"
                ' use truncation "auto" to leave out the oldest items.',
                code="context_length_exceeded",
                param="input",
            )


def room_in(asked: list[Item | InputItem], route: ModelRoute, answer: int, *, grounded: bool) -> int:
    """Return how many tokens of a window the texts of files may take, beside all else that is in it."""
    window = route.context_tokens
    said = sum(
        item.token_count if isinstance(item, Item) else estimate_item_tokens(item.payload) for item in asked
    )
    return window - answer - said - (sources_budget(window) if grounded else 0)
