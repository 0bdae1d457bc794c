"""The book's dialect: its routers in the order in which paths are looked for, words before parameters."""

from __future__ import annotations

from typing import Final

from antiphon.api.dialects.book import chat, group, live, messages, people, retrieval
from antiphon.api.dialects.book.chat_table import CLAIMS
from antiphon.api.dialects.book.forms import TAG, both_keys
from antiphon.api.dialects.dialect import Dialect, router_of

router = router_of(TAG, both_keys)
for one in (people.router, retrieval.router, chat.router, group.router, messages.router):
    router.routes.extend(one.routes)
router.add_api_websocket_route(live.PATH, live.serve)

BOOK: Final = Dialect(
    name="book",
    tag=TAG,
    description="A book on FastAPI: chat, sessions of several people, retrieval, search, login.",
    router=router,
    shape=both_keys,
    claims=CLAIMS,
    open_operations=people.OPEN,
    refusals={("POST", "/token"): {"detail": people.REFUSED}},
)
