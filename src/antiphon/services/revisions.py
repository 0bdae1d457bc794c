"""What other servers change, noticed for whoever listens here: one look for all that is listened to.

Nothing is told with the commits themselves, which would cost every turn a notification, and all
commits of a database wait in one line to make theirs.
"""

from __future__ import annotations

from typing import Final

from antiphon.ports.jobs import Jobs
from antiphon.ports.storage import Conversations
from antiphon.services.changes import Changes

LOOK_SECONDS: Final = 0.2
SLICE: Final = 500


class Revisions:
    """Wakes the listeners of conversations whose revision is another than at the last look."""

    def __init__(self, conversations: Conversations, changes: Changes) -> None:
        self._conversations = conversations
        self._changes = changes
        self._known: dict[str, int | None] = {}

    def schedule(self, jobs: Jobs) -> None:
        """Hand over the look."""
        jobs.every(LOOK_SECONDS, "notice what other servers change", self.look)

    async def look(self) -> None:
        """Look once; nothing is read while nobody listens."""
        listened = self._changes.listened
        now: dict[str, int | None] = {}
        for start in range(0, len(listened), SLICE):
            some = listened[start : start + SLICE]
            found = await self._conversations.revisions(some)
            now |= {one: found.get(one) for one in some}
        before, self._known = self._known, now
        for conversation_id, revision in now.items():
            if before.get(conversation_id) != revision:
                self._changes.wake(conversation_id)
