"""The calls of ChatAI-API."""

from __future__ import annotations

from typing import Final

from fastapi import Response

from antiphon.api.dependencies import App, Caller
from antiphon.api.dialects.chatai.wire import conversation_object
from antiphon.api.dialects.dialect import Dialect, detail_only, router_of
from antiphon.api.v1.pages import answer

TAG: Final = "chatai"
router = router_of(TAG)


@router.post("/conversation", summary="Create new conversation")
async def create(application: App, who: Caller) -> Response:
    """Make an empty conversation; takes no body."""
    made = await application.conversations.create(who, [], metadata="{}", title=None, key=None)
    return answer(conversation_object(made, []))


CHATAI: Final = Dialect(
    name="chatai",
    tag=TAG,
    description="ChatAI-API: create a conversation, chat on it, view previous ones.",
    router=router,
    shape=detail_only,
)
