"""Conversations that go in the middle of a request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from antiphon.domain import ids
from antiphon.domain.accounts import Principal
from antiphon.domain.conversations import Conversation
from antiphon.services.conversations import Conversations
from antiphon.services.search import Search


def going_after(
    name: str, monkeypatch: pytest.MonkeyPatch, chosen: Callable[[Any], Conversation],
    *, of: type[Conversations] | type[Search] = Conversations, conversations: Conversations | None = None,
) -> None:  # fmt: skip
    """Let the conversation that is `chosen` from what a call finds be deleted before anybody looks at it."""
    call = getattr(of, name)

    async def calling(self: Any, who: Principal, *words: Any, **fields: Any) -> Any:
        found = await call(self, who, *words, **fields)
        await (conversations or self).delete(who, ids.CONVERSATION + chosen(found).id, purge=True)
        return found

    monkeypatch.setattr(of, name, calling)
