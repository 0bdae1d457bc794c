"""Items: the immutable nodes of a conversation's tree."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from antiphon.domain import ids
from antiphon.domain.errors import InvalidRequest

ROLES: Final = frozenset({"user", "assistant", "system", "developer"})
EXTENSION: Final = "antiphon"
"""The field of a message's payload that holds what clients of named sessions say of it.

That is `user_id`, the label of its participant, and `timestamp`, its sender's time.
"""
MAX_LABEL: Final = 256
"""Characters of a participant's label."""


class Position(msgspec.Struct, frozen=True):
    """A place in the tree: the item at (segment, depth), or the root before any item.

    `depth` counts items from the root of the path, from 0; an empty path ends at -1.
    `tokens` is the token sum of the path up to and including this place.
    """

    segment_id: str
    depth: int
    tokens: int
    item_id: str | None = None


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One stored node.

    `payload` is the item's JSON as it came, without its id and status; `author_id` is set on
    what a person or program put in and None on what a model answered; `run_id` is the run that
    took it in or gave it out.
    """

    id: str
    segment_id: str
    depth: int
    path_tokens: int
    token_count: int
    type: str
    role: str | None
    status: str
    author_id: str | None
    run_id: str | None
    payload: str
    created_us: int

    @property
    def position(self) -> Position:
        """The place this item takes."""
        return Position(self.segment_id, self.depth, self.path_tokens, self.id)

    @property
    def wire_id(self) -> str:
        """The id with the prefix of its type."""
        return ids.item_wire_id(self.type, self.id)

    @property
    def is_run_input(self) -> bool:
        """Whether the place after this item is kept for its run's output."""
        return self.run_id is not None and self.author_id is not None

    def body(self) -> dict[str, Any]:
        """Decode the payload; large data URLs that were not put back are empty."""
        decoded: Any = msgspec.json.decode(self.payload)
        body: dict[str, Any] = decoded[0] if isinstance(decoded, list) else decoded
        return body


class NewItem(msgspec.Struct, frozen=True, kw_only=True):
    """An item before it has a place."""

    id: str
    type: str
    role: str | None
    status: str
    payload: str
    token_count: int
    path_hash: bytes | None = None


def text_of(payload: dict[str, Any]) -> str:
    """Return the readable text of an item's payload, its parts joined by newlines."""
    for field in ("content", "output", "arguments"):
        value = payload.get(field)
        if isinstance(value, str):
            return value
        if isinstance(value, list):
            texts = [part.get("text") or part.get("refusal") for part in value if isinstance(part, dict)]
            return "\n".join(text for text in texts if isinstance(text, str))
    return ""


def require_text_limit(text: str, *, limit: int, param: str) -> str:
    """Return `text`, or raise InvalidRequest if it is longer than `limit` characters."""
    if len(text) > limit:
        raise InvalidRequest(
            f"'{param}' is too long: {len(text)} characters, at most {limit}.",
            code="string_above_max_length",
            param=param,
        )
    return text
