"""Titles of conversations that have none: made in the background, after the first answer.

Without a model for it the first question gives the title, and nobody is asked. What a person calls a
conversation stands: a title is written only where there is none at that moment.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from typing import Final

import msgspec

from antiphon.domain import ids
from antiphon.domain.accounts import Principal
from antiphon.domain.conversations import Conversation
from antiphon.domain.errors import AntiphonError, Conflict
from antiphon.domain.inputs import parse_input
from antiphon.domain.items import text_of
from antiphon.domain.runs import Run
from antiphon.domain.titles import INSTRUCTIONS, READ, shortened, title_of
from antiphon.ports import write_sets as ws
from antiphon.ports.clock import Clock
from antiphon.ports.jobs import Jobs
from antiphon.ports.storage import Storage
from antiphon.services.answers import Answers
from antiphon.services.conversation_updates import quiet
from antiphon.services.paging import item_page
from antiphon.services.quotas import Quotas
from antiphon.services.runs.live import LiveRun
from antiphon.services.turn_plans import TurnRequest
from antiphon.services.turns import Turns

EARLY: Final = 6
"""Answers that begin deeper in their conversation are not looked at: it had its chance."""
MOST: Final = 1_000
"""Conversations that wait; further ones wait for their next answer."""
GATHER_SECONDS: Final = 0.25
"""Between an answer's end and the look: it is being committed."""
MODEL_SECONDS: Final = 30.0
MODEL_TOKENS: Final = 200
"""Room for models that think first."""
FIRST_ITEMS: Final = 8
EXPLICIT: Final = "explicit"

log = logging.getLogger(__name__)


class Titles:
    """Makes titles. Hears of answers that end, which costs them a comparison or two."""

    def __init__(
        self,
        storage: Storage,
        turns: Turns,
        answers: Answers,
        quotas: Quotas,
        clock: Clock,
        *,
        is_on: bool = True,
        model: str | None = None,
    ) -> None:
        self._storage = storage
        self._turns = turns
        self._answers = answers
        self._quotas = quotas
        self._clock = clock
        self._is_on = is_on
        self._model = model
        self._waiting: OrderedDict[str, Run] = OrderedDict()
        self._some = asyncio.Event()

    def ended(self, run: Run) -> None:
        """Hear that an answer ends; never raises."""
        if run.conversation_id is None or not (self._is_on and run.stored) or run.state != "completed":
            return
        # Without a parent it began a conversation that nobody made; a look would cost more than its answer.
        if run.parent is None or run.parent.depth >= EARLY:
            return
        if len(self._waiting) < MOST:
            self._waiting.setdefault(run.conversation_id, run)
            self._some.set()

    def schedule(self, jobs: Jobs) -> None:
        """Hand over the work."""
        if self._is_on:
            jobs.once("give conversations titles", self.run)

    async def run(self) -> None:
        """Make titles for ever."""
        while True:
            await self._some.wait()
            self._some.clear()
            await asyncio.sleep(GATHER_SECONDS)
            await self.step()

    async def step(self) -> None:
        """Make the titles that are due; one that cannot be made is left."""
        while self._waiting:
            _, run = self._waiting.popitem(last=False)
            try:
                await self._give(run)
            except Exception as error:
                log.warning("a conversation is left without a title: %s", type(error).__name__)

    async def _give(self, run: Run) -> None:
        found = await self._storage.conversations.get(run.owner_id, run.conversation_id or "")
        if found is None or found.title is not None or found.kind != EXPLICIT:
            return
        question = await self._question(found, run)
        title = await self._by_model(run, question) if self._model and question else None
        title = title or title_of(question)
        if title is None:
            return
        change = ws.AddChange(
            conversation_id=found.id, owner_id=found.owner_id, slot=found.slot, kind="conversation.updated",
            body=msgspec.json.encode({"title": title, "automatic": True}).decode(),
            now_us=self._clock.now_us(),
        )  # fmt: skip
        try:
            await self._storage.unit_of_work.commit(
                ws.TitleConversation(conversation_id=found.id, title=title), quiet(change)
            )
        except Conflict:
            return  # somebody has named it meanwhile, or it is gone

    async def _question(self, conversation: Conversation, run: Run) -> str:
        """Return what was asked first on the way to an answer."""
        if run.input_end is None:
            return ""
        page = await item_page(
            self._storage.tree, conversation, run.input_end, after=None, limit=FIRST_ITEMS, descending=False
        )
        asked = (text_of(item.body()) for item in page.data if (item.type, item.role) == ("message", "user"))
        return next((text for text in asked if text.strip()), "")

    async def _by_model(self, run: Run, question: str) -> str | None:
        """Return the model's title, for which whoever asked pays; None if it may not, or does not, answer."""
        try:
            who = Principal(run.author_id, ids.slot_of(run.author_id), "", credential_id=run.credential_id)
            request = TurnRequest(
                surface="responses", items=tuple(parse_input(question[:READ])), model=self._model,
                instructions=INSTRUCTIONS, params={"max_completion_tokens": MODEL_TOKENS}, store=False,
                retrieves=False, cache="off",
            )  # fmt: skip
            begun = await self._turns.begin(await self._quotas.limited(who), request)
            if begun.live is None:
                return None
            async with asyncio.timeout(MODEL_SECONDS):
                await self._over(begun.live)
        except (AntiphonError, TimeoutError) as error:
            log.info("a title is made without the model: %s", type(error).__name__)
            return None
        answer = self._answers.of_live(begun.live)
        if answer.run.state != "completed":
            return None
        said = (text_of(one.payload) for one in answer.outputs if one.type == "message")
        return shortened(next(said, "").strip().partition("\n")[0])

    async def _over(self, live: LiveRun) -> None:
        try:
            while not (live.closed or live.lost):
                await live.wait()
        finally:
            if not live.closed:
                self._answers.abandon(live)
