"""The surfaces of older chat back ends over the same services, and which of them a server has.

One package for each: `routes.py` are its calls, `wire.py` its shapes, `translate.py` what stands between
those and the services, where there is enough of it. To add one, make its package and enter it here.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from antiphon.api.dialects.book.routes import BOOK
from antiphon.api.dialects.branching.routes import BRANCHING
from antiphon.api.dialects.chatai.routes import CHATAI
from antiphon.api.dialects.chatgroq.routes import CHATGROQ
from antiphon.api.dialects.dialect import Dialect, Operation
from antiphon.api.dialects.mounting import Mounted, mount
from antiphon.api.dialects.redis_chat.routes import REDIS_CHAT

REGISTRY: Final[tuple[Dialect, ...]] = (CHATAI, BRANCHING, REDIS_CHAT, CHATGROQ, BOOK)
"""All dialects; where several claim a path, the earlier is asked first."""

NAMES: Final = frozenset(one.name for one in REGISTRY)

OPEN_OPERATIONS: Final[frozenset[Operation]] = frozenset().union(*(one.open_operations for one in REGISTRY))
"""What asks for no credential even where credentials are needed; the route gate reads it."""


def mounted(names: Collection[str]) -> Mounted:
    """Return what the named dialects add to an application."""
    return mount([one for one in REGISTRY if one.name in names])
