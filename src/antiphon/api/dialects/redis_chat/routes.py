"""The call of the Redis chat service; ChatGroq's API has the same, down to the answer."""

from __future__ import annotations

from typing import Final

from antiphon.api.dialects.chatgroq.routes import CHAT
from antiphon.api.dialects.dialect import Dialect, detail_only, router_of

TAG: Final = "redis-chat"

REDIS_CHAT: Final = Dialect(
    name="redis-chat",
    tag=TAG,
    description="The chat service whose sessions lay in Redis: a message and perhaps a session's id.",
    router=router_of(TAG),
    shape=detail_only,
    claims=(CHAT,),
)
