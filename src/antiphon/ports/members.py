"""Ports to who may see a conversation that is not theirs: members and share links.

A conversation is returned here as its reader sees it, with `role` and `owner_name` set. One that is
deleted, or whose owner's account is, has no members and no links.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from antiphon.domain.conversations import Conversation
from antiphon.domain.members import Member
from antiphon.domain.shares import ShareLink


class Members(Protocol):
    """Reads of members."""

    async def role(self, account_id: str, conversation_id: str) -> Conversation | None:
        """Return a conversation the account is a member of (not its owner), or None."""
        ...

    async def of_run(self, account_id: str, run_id: str) -> Conversation | None:
        """Return the conversation of a stored run if the account is a member of it, or None."""
        ...

    async def of_item(self, account_id: str, item_id: str) -> Conversation | None:
        """Return the conversation an item was put into if the account is a member of it, or None."""
        ...

    async def shared_with(
        self, account_id: str, *, after: str | None, limit: int, descending: bool
    ) -> list[Conversation]:
        """Return the conversations of others the account is a member of, by id order."""
        ...

    async def latest(
        self, account_id: str, *, after: tuple[int, str] | None, limit: int
    ) -> list[Conversation]:
        """Return the same, the last used first; `after` is the last one's time and id."""
        ...

    async def page(self, conversation_id: str, *, after: str | None, limit: int) -> list[Member]:
        """Return a conversation's members, its owner included, by account id."""
        ...

    async def get(self, conversation_id: str, account_id: str) -> Member | None:
        """Return one of a conversation's members, its owner included, or None."""
        ...

    async def left(self, pairs: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
        """Return those of the pairs (account, conversation) that are no membership."""
        ...


class Shares(Protocol):
    """Reads of share links."""

    async def by_digest(self, digest: bytes, now_us: int) -> tuple[ShareLink, Conversation] | None:
        """Return a link that holds now and its conversation, or None. Its owner must be active."""
        ...

    async def get(self, conversation_id: str, share_id: str) -> ShareLink | None:
        """Return a conversation's link that is not revoked, or None."""
        ...

    async def page(self, conversation_id: str, *, after: str | None, limit: int) -> list[ShareLink]:
        """Return a conversation's links that are not revoked, by id order."""
        ...
