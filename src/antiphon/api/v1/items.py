"""Items of a conversation as they are told, with what `include` asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Query

from antiphon.api.v1.response_objects import PLACE, RESULTS, known_includes, placed_item, stored_item
from antiphon.application import Application
from antiphon.domain.accounts import Principal
from antiphon.domain.items import Item

Include = Annotated[
    list[str] | None,
    Query(description="`antiphon`: where each item stands; `file_search_call.results`: what searches found."),
]


async def shown_items(
    application: Application, who: Principal, conversation_id: str, items: Sequence[Item], include: list[str]
) -> list[dict[str, Any]]:
    """Return items, on demand with their places and their answers, and searches with their results."""
    named = known_includes(include, own=(PLACE,))
    answers = application.answers
    records = await answers.records_of(who, conversation_id, items) if RESULTS in named else {}
    if PLACE not in named:
        return [stored_item(item, records.get(item.id)) for item in items]
    runs = await answers.of_items(who, conversation_id, items)
    return [placed_item(item, runs.get(item.run_id or ""), records.get(item.id)) for item in items]
