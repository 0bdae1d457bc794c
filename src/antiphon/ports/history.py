"""Port to what was said: messages for the indexer of all owners, and what a reader may see of them.

The index of passages proposes, this disposes: whatever a search shows is looked up here first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from antiphon.domain.conversations import Conversation
from antiphon.domain.items import Position


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """A message as it is indexed.

    `conversation_id` is the one whose tree it was put into; forks may show it too. `model` is set
    on what a model answered, `author_id` on what a person put in. `payload` has no large data URLs.
    """

    item_id: str
    owner_id: str
    conversation_id: str
    role: str | None
    model: str | None
    author_id: str | None
    created_us: int
    payload: str


class SaidPage(msgspec.Struct, frozen=True):
    """Messages, newest first; the next page holds what is older than `before`, None at the end."""

    data: list[Said]
    before: str | None


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A message in a conversation that its reader may see; `branch_id` is one whose path holds it.

    None if no branch's does: then it is a sibling that nothing points to.
    """

    item_id: str
    type: str
    position: Position
    conversation: Conversation
    branch_id: str | None


class History(Protocol):
    """Reads of messages across conversations."""

    async def messages(self, item_ids: Sequence[str]) -> list[Said]:
        """Return those of the items that are messages, in any order."""
        ...

    async def between(self, first: str, before: str, limit: int, max_bytes: int) -> SaidPage:
        """Look at up to `limit` items with ids from `first` to below `before`, newest first.

        Stops early when payloads sum up to `max_bytes`. Ids begin with the time they were made.
        """
        ...

    async def shown(
        self, account_id: str, item_ids: Sequence[str], *, within: str | None = None
    ) -> list[Shown]:
        """Return those of the items that the account sees now, as owner or member, in any order.

        Each in the conversation it was put into or, if the account does not see it there (any more),
        in a living fork that shows it; with `within` in that conversation or not at all.
        """
        ...

    async def origins(self, conversation_ids: Sequence[str], limit: int) -> list[str]:
        """Return the conversations, besides the given ones, whose items stand on their base paths."""
        ...

    async def used(
        self, account_id: str, *, after: tuple[int, str] | None, limit: int
    ) -> list[tuple[Conversation, Position]]:
        """Return an account's own conversations with their active heads, the last used first.

        `after` is the time of use and the id of the last one of the page before.
        """
        ...

    async def oldest_open_run_us(self) -> int | None:
        """Return when the oldest answer began that has not ended, of all owners; None if there is none."""
        ...

    async def has_items(self, conversation_id: str) -> bool:
        """Return whether the store has anything of a conversation's tree, deleted or not."""
        ...


class CommitWatch(Protocol):
    """Hears of messages that are committed, in memory and at once; never raises.

    Messages are named by their ids, each with what is said in it, or with None where that has to be read.
    """

    def begin(self, messages: Mapping[str, Said | None]) -> int:
        """Messages are being committed; returns a number to end it with."""
        ...

    def end(self, number: int, *, committed: bool) -> None:
        """The commit has ended, one way or the other."""
        ...
