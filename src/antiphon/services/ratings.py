"""What people think of answers: good or bad, one word for each answer, for all who read it."""

from __future__ import annotations

import msgspec

from antiphon.domain import ids
from antiphon.domain.accounts import Principal
from antiphon.domain.errors import Conflict
from antiphon.domain.members import EDITOR
from antiphon.domain.runs import Ratings, Run, rating_word
from antiphon.ports import write_sets as ws
from antiphon.ports.clock import Clock
from antiphon.ports.storage import Storage
from antiphon.services.access import Access, not_found
from antiphon.services.conversation_updates import quiet

RATED = "response.rated"


class AnswerRatings:
    """Rates stored answers, and counts ratings by model."""

    def __init__(self, storage: Storage, access: Access, clock: Clock) -> None:
        self._storage = storage
        self._access = access
        self._clock = clock

    async def rate(self, who: Principal, wire_id: str, rating: int | None) -> Run:
        """Say of an answer that has ended that it is good or bad; None takes it back. Takes an editor.

        Raises NotFound, Forbidden, and Conflict while the answer is being made.
        """
        found = await self._access.run(who, wire_id, ids.RESPONSE, ids.CHAT_COMPLETION, need=EDITOR)
        run = found.run
        if not run.is_terminal:
            raise Conflict("An answer is rated when it has ended.", code="response_in_progress")
        commands: list[ws.Command] = [ws.RateRun(run_id=run.id, rating=rating)]
        if run.conversation_id is not None:
            body = {"response_id": ids.RESPONSE + run.id, "rating": rating_word(rating)}
            commands.append(quiet(ws.AddChange(
                conversation_id=run.conversation_id, owner_id=run.owner_id, slot=run.slot, kind=RATED,
                body=msgspec.json.encode(body).decode(), now_us=self._clock.now_us(),
            )))  # fmt: skip
        try:
            await self._storage.unit_of_work.commit(*commands)
        except Conflict:
            not_found("Response", wire_id)  # its conversation is being erased
        return msgspec.structs.replace(run, rating=rating)

    async def by_model(self, since_us: int, until_us: int) -> list[Ratings]:
        """Return how often people called the answers of each model good and bad."""
        return await self._storage.runs.ratings(since_us, until_us)
