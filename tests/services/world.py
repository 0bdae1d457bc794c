"""The whole core in one process: real services, a real store (`tests.store`), a model played by the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from antiphon.application import Application
from antiphon.bootstrap import Drain, Embedders, SystemClock, assemble, local_owner, open_secrets
from antiphon.bootstrap.knowledge import OpenKnowledge, opened_knowledge
from antiphon.domain import ids
from antiphon.domain.accounts import Principal
from antiphon.domain.inputs import parse_input
from antiphon.domain.items import Item, text_of
from antiphon.ports import write_sets as ws
from antiphon.ports.document_parser import DocumentParser
from antiphon.ports.external_logins import LoginProvider
from antiphon.providers.http_client import HttpClient
from antiphon.providers.scripted import Scripted
from antiphon.services.answers import Answer
from antiphon.services.commit_notes import CommitNotes
from antiphon.services.housekeeping import Housekeeping
from antiphon.services.models import Models, Retrying
from antiphon.services.provider_keys import ProviderKeys
from antiphon.services.runs.engine import Engine
from antiphon.services.runs.leases import Leases
from antiphon.services.runs.recover import Recovery
from antiphon.services.turn_plans import TurnRequest
from antiphon.services.turns import Begun
from antiphon.settings import Settings
from antiphon.storage.sql.knowledge import FILE_NAME as KNOWLEDGE_FILE
from antiphon.storage.sql.migrate import CONVERSATIONS, KNOWLEDGE, bring_up
from antiphon.storage.sql.sqlite import FILE_NAME, connect
from antiphon.storage.watched import WatchedStorage as NotedStorage
from tests.services.hand import ECHO, PATIENCE_SECONDS, Hand
from tests.services.watched_store import WatchedStorage
from tests.store import address, open_store, query, store_settings


def prepare(directory: Path) -> None:
    """Put empty stores of the newest schema into a directory that has none."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, scripts in ((FILE_NAME, CONVERSATIONS), (KNOWLEDGE_FILE, KNOWLEDGE)):
        path = directory / name
        connection = connect(path, synchronous="NORMAL")
        bring_up(connection, path, scripts)
        connection.close()


def settings_for(directory: Path, **changes: Any) -> Settings:
    """Settings that read neither the caller's environment file nor a configuration file."""
    nothing = directory / "nothing.toml"
    directory.mkdir(parents=True, exist_ok=True)
    nothing.touch()
    fields = {
        "data_dir": directory,
        "config_file": nothing,
        "drain_seconds": 0.0,
        "database_url": address(directory),
        "mongodb_url": store_settings(directory).get("MONGODB_URL"),
        **changes,
    }
    return Settings(_env_file=None, **fields)


class World:
    """A running core; `who` is the local owner."""

    def __init__(
        self, directory: Path, storage: WatchedStorage, hand: Hand, application: Application, engine: Engine,
        knowledge: OpenKnowledge, beside: AsyncExitStack,
    ) -> None:  # fmt: skip
        self.directory = directory
        self.storage = storage
        self.hand = hand
        self.application = application
        self.engine = engine
        self.knowledge = knowledge
        self.beside = beside
        self.leases = Leases(storage.workers, application.journal, application.runs, engine)
        self.who = application.owner
        self.open = True

    # --- doing

    async def conversation(self, *texts: str) -> str:
        """A conversation with a user's messages in it; returns its wire id."""
        made = await self.application.conversations.create(
            self.who, parse_input([say(text) for text in texts]), metadata="{}", title=None, key=None
        )
        return ids.CONVERSATION + made.id

    async def begin(self, text: str | None = None, *, who: Principal | None = None, **fields: Any) -> Begun:
        """Begin a turn; `text` is the user's message."""
        items = tuple(parse_input(text)) if text is not None else ()
        echo = {"conversation": True} if fields.get("conversation_id") else {}
        request = TurnRequest(
            **{"surface": "responses", "items": items, "model": ECHO, "echo": echo, **fields}
        )
        return await self.application.turns.begin(who or self.who, request)

    async def regenerate(self, item_id: str, **fields: Any) -> Begun:
        """Begin another answer to an item's question."""
        request = TurnRequest(**{"surface": "responses", "items": (), "model": ECHO, **fields})
        return await self.application.alternatives.regenerate(self.who, item_id, request)

    async def edit(self, item_id: str, text: str, **fields: Any) -> Begun:
        """Put another text beside an item and begin to answer it."""
        items = tuple(parse_input(text))
        request = TurnRequest(**{"surface": "responses", "items": items, "model": ECHO, **fields})
        return await self.application.alternatives.edit(self.who, item_id, request)

    async def fan_out(self, text: str, models: Sequence[str], **fields: Any) -> list[Begun]:
        """Put one question to several models."""
        items = tuple(parse_input(text))
        request = TurnRequest(**{"surface": "responses", "items": items, **fields})
        return await self.application.alternatives.fan_out(self.who, models, request)

    async def ended(self, begun: Begun) -> Answer:
        """Wait for a turn's end and read its answer from the store."""
        await self.wait(begun)
        return await self.answer(begun.run_id)

    async def wait(self, begun: Begun) -> None:
        """Wait until a turn has ended or is lost."""
        live = begun.live or self.application.runs.get(self.who.account_id, begun.run_id)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while live is not None and not (live.closed or live.lost):
                await live.wait()

    async def turn(self, text: str | None = None, **fields: Any) -> Answer:
        """A whole turn."""
        return await self.ended(await self.begin(text, **fields))

    async def answer(self, run_id: str) -> Answer:
        """An answer as it is stored now."""
        return await self.application.answers.get(self.who, ids.RESPONSE + run_id)

    # --- looking

    async def said(self, conversation_id: str, **fields: Any) -> list[str]:
        """The texts on a branch's path (the active one), root first."""
        return [text_of(item.body()) for item in await self.path(conversation_id, **fields)]

    async def path(
        self, conversation_id: str, *, branch_id: str | None = None, limit: int = 100
    ) -> list[Item]:
        """The items on a branch's path, root first, read page by page."""
        found: list[Item] = []
        after = None
        while True:
            page = await self.application.conversations.items(
                self.who, conversation_id, branch_id=branch_id, after=after, limit=limit, descending=False
            )
            found += page.data
            if not page.has_more:
                return found
            after = page.data[-1].wire_id

    async def branches(self, conversation_id: str) -> dict[str, str]:
        """Branch names and their wire ids, oldest first."""
        _, page = await self.application.branches.page(self.who, conversation_id, after=None, limit=1000)
        return {branch.name: ids.BRANCH + branch.id for branch in page.data}

    async def active(self, conversation_id: str) -> str:
        """The active branch's wire id."""
        found = await self.application.conversations.get(self.who, conversation_id)
        return ids.BRANCH + found.active_branch_id

    def rows(self, statement: str, *values: Any, name: str = FILE_NAME) -> list[tuple[Any, ...]]:
        """Look into the store, or a file of it, beside the server."""
        return query(self.directory, statement, *values, name=name)

    async def sweep(self) -> None:
        """Do once what the server does every five seconds: end the runs that nobody owns."""
        application, storage = self.application, self.storage
        keeping = Housekeeping(
            unit_of_work=storage.unit_of_work,
            conversations=storage.conversations,
            recovery=Recovery(storage.journal, storage.unit_of_work, application.models, SystemClock()),
            journal=application.journal,
            runs=application.runs,
            clock=SystemClock(),
            workers=storage.workers,
            leases=self.leases,
        )

        async def restart(run: Any) -> None:
            await application.turns.resume(run)

        await keeping.end_orphans(restart)

    # --- ending

    async def close(self) -> None:
        """Shut down as the server does."""
        if self.open:
            self.open = False
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await self.engine.close()
                    await self.application.followers.close()
                    await self.application.journal.close()
                    await self.application.accounts.close()
            finally:
                await self.beside.aclose()

    async def kill(self) -> None:
        """Go away without a last word: nothing that is not committed yet will be."""
        self.open = False
        journal = self.application.journal
        tasks = [task for task in (journal._task, journal._sealer) if task is not None]
        tasks += [live.task for live in self.application.runs if live.task is not None]
        for live in self.application.runs:
            live.lose()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.application.followers.close()
        await self.application.accounts.close()
        await self.beside.aclose()


async def open_world(
    directory: Path,
    *,
    models: Models | None = None,
    logins: Mapping[str, LoginProvider] | None = None,
    http: HttpClient | None = None,
    parser: DocumentParser | None = None,
    **settings: Any,
) -> World:
    """Open a core on a directory, ending first what an earlier one left, as the server does."""
    prepare(directory)
    clock = SystemClock()
    notes = CommitNotes(clock)
    storage = WatchedStorage(await open_store(directory))
    noted = NotedStorage(storage, notes)
    try:
        hand = Hand()
        models = models or Models(
            {hand.name: hand, Scripted.name: Scripted()}, clock=clock, retrying=Retrying(retries=0),
            default_model=ECHO,
        )  # fmt: skip
        owner = await local_owner(storage, clock)
        chosen = settings_for(directory, **settings)
        vault, stored = await open_secrets(chosen, storage, clock)
        keys = ProviderKeys(models, vault, storage.unit_of_work, clock, stored)
        http = http or HttpClient()
        beside, embedders = AsyncExitStack(), Embedders(chosen, models, (), http)
        beside.push_async_callback(storage.close)
        knowledge = await opened_knowledge(beside, chosen, http, embedders, parser=parser)
        application, engine = assemble(
            chosen, noted, models, owner, clock, Drain(0.0), keys, logins or {}, knowledge, notes
        )

        async def restart(run: Any) -> None:
            await application.turns.resume(run)

        await Recovery(noted.journal, noted.unit_of_work, models, clock).recover(restart)
        await application.quotas.sweep(older_than_us=0)
        await application.local.refresh()
        await storage.journal.forget_others(application.journal.worker_id)
    except BaseException:
        await storage.close()
        raise
    application.journal.start()
    application.followers.start()
    beside.push_async_callback(application.embeddings.close)
    return World(directory, storage, hand, application, engine, knowledge, beside)


@asynccontextmanager
async def running_world(directory: Path, **settings: Any) -> AsyncIterator[World]:
    """A core that is shut down at the end of the block."""
    world = await open_world(directory, **settings)
    try:
        yield world
    finally:
        await world.close()


async def another_person(world: World, name: str = "somebody") -> Principal:
    """A second account in the same store."""
    slot = ids.new_slot()
    account = Principal(ids.new_id(slot), slot, name)
    await world.storage.unit_of_work.commit(ws.PutAccount(account=account, created_us=1))
    found = await world.storage.accounts.by_name(name)
    assert found is not None
    return found.principal()


def say(text: str, role: str = "user") -> dict[str, Any]:
    """A message as a caller writes it."""
    return {"role": role, "content": text}


def with_policy(application: Application, **changes: Any) -> Application:
    """The same application under another policy."""
    return replace(application, policy=replace(application.policy, **changes))


def decoded(text: str) -> Any:
    """Any JSON."""
    return msgspec.json.decode(text)
