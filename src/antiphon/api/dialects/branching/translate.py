"""A line of messages as pairs of question and response."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from antiphon.api.dialects.asking import Reply, spoken
from antiphon.api.dialects.forms import moment, uuid_text
from antiphon.domain.items import Item


class Pair(msgspec.Struct):
    """A question and what was answered; a question without an answer yet has no response.

    `item_ids` are the core's ids of both, the last of which is the pair's `response_id`.
    """

    question: str
    response: str | None
    created_us: int
    item_ids: list[str]

    @property
    def response_id(self) -> str:
        """The id by which others branch off after this pair."""
        return self.item_ids[-1]

    def wire(self, forks: Mapping[str, Sequence[str]]) -> dict[str, Any]:
        """Return the pair as it is told; `forks` are the branches after each item."""
        branches = [uuid_text(fork) for item_id in self.item_ids for fork in forks.get(item_id, ())]
        return {
            "question": self.question,
            "response": self.response,
            "response_id": uuid_text(self.response_id),
            "timestamp": moment(self.created_us),
            "branches": branches,
        }


def pairs_of(items: Sequence[Item]) -> list[Pair]:
    """Return the messages of a path (root first) as pairs; what is no message of either side is left out."""
    pairs: list[Pair] = []
    for item in items:
        if item.type != "message" or item.role not in ("user", "assistant"):
            continue
        text = spoken(item.body())
        if item.role == "user":
            pairs.append(Pair(text, None, item.created_us, [item.id]))
        elif not pairs:
            pairs.append(Pair("", text, item.created_us, [item.id]))
        else:
            last = pairs[-1]
            last.response = text if last.response is None else f"{last.response}\n{text}"
            last.item_ids.append(item.id)
    return pairs


def answered_pair(question: str, question_item: Item | None, reply: Reply) -> Pair:
    """Return the pair that a model's answer completes."""
    asked = [question_item.id] if question_item is not None else []
    created_us = question_item.created_us if question_item is not None else reply.run.created_us
    return Pair(question, reply.text, created_us, [*asked, reply.id])
