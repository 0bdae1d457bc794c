"""One store of two: conversations and answers in MongoDB, accounts, limits and the ledger in SQL."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Sequence
from typing import Final

from antiphon.domain.errors import AntiphonError, Conflict, Unavailable
from antiphon.ports.aliases import PutAlias
from antiphon.ports.storage import Storage
from antiphon.ports.workers import Workers
from antiphon.ports.write_sets import Command
from antiphon.storage.around import AroundStorage
from antiphon.storage.mongo import conversations as views
from antiphon.storage.mongo import database as db
from antiphon.storage.mongo.connection import connect, explained, opened
from antiphon.storage.mongo.database import Database
from antiphon.storage.mongo.history import MongoHistory
from antiphon.storage.mongo.journal import MongoJournal
from antiphon.storage.mongo.log import Log
from antiphon.storage.mongo.people import MongoRetention, SplitQuotas
from antiphon.storage.mongo.purging import MongoGarbage, MongoRemains
from antiphon.storage.mongo.runs import MongoRuns
from antiphon.storage.mongo.sharing import MongoMembers, MongoShares
from antiphon.storage.mongo.tree import MongoTree
from antiphon.storage.mongo.workers import MongoWorkers
from antiphon.storage.mongo.writer import MongoWriter
from antiphon.storage.pairing import FOREIGN, PAIR

FORM: Final = 1
"""Raised by a release whose documents an older one would not understand."""


class MongoStorage(AroundStorage):
    """Port `Storage` on MongoDB around one on SQL, which keeps what is about people and money."""

    def __init__(self, database: Database, accounts: Storage) -> None:
        super().__init__(accounts)
        self._database = database
        self._accounts = accounts
        is_shared = accounts.workers.is_shared
        self._log = log = Log(database, self._note, shared=is_shared)
        writer = MongoWriter(database, log, accounts)
        self.unit_of_work = writer
        self.journal = MongoJournal(database, log, writer, shared=is_shared)
        workers: Workers = MongoWorkers(database, log, accounts.workers) if is_shared else accounts.workers
        self.workers = workers
        self._reads(database, accounts)
        self.check = self._check
        self.close = self._close

    def _reads(self, database: Database, accounts: Storage) -> None:
        conversations, members = views.MongoConversations(database), MongoMembers(database, accounts.accounts)
        self.conversations = conversations
        self.members = members
        self.tree = MongoTree(database)
        self.runs = MongoRuns(database)
        self.aliases = views.MongoAliases(database)
        self.branch_forks = views.MongoBranchForks(database)
        self.chat_sessions = views.MongoChatSessions(database)
        self.shares = MongoShares(database, accounts.accounts)
        self.history = MongoHistory(database, conversations, members)
        self.garbage = MongoGarbage(database)
        self.remains = MongoRemains(database)
        self.retention = MongoRetention(database, accounts)
        self.quotas = SplitQuotas(database, accounts)

    async def _note(self, tail: Sequence[Command]) -> None:
        await self._accounts.unit_of_work.commit(*tail)

    async def _check(self) -> None:
        await self._accounts.check()
        await self._database.now_us()

    async def _close(self) -> None:
        """Release MongoDB; whoever opened the store in SQL closes that one."""
        with contextlib.suppress(AntiphonError):
            await self._log.close_done()
        await self._database.close()


NOT_EMPTY: Final = (
    "MONGODB_URL cannot be added to a store that has conversations in SQL already: nobody would see them"
    " any more. Begin with an empty DATA_DIR or DATABASE_URL."
)
TOO_NEW: Final = "The database that MONGODB_URL names was written by a newer release."


async def open_mongo(url: str, accounts: Storage) -> MongoStorage:
    """Open the store whose conversations are in the database at `url`, making what it lacks.

    Raises Unavailable, with a sentence that says why, if it cannot be reached or is not that of `accounts`.
    """
    database = connect(url)
    try:
        with explained():
            await database.prepare()
            await _pair(database, accounts)
        return MongoStorage(database, accounts)
    except BaseException:
        await database.close()
        raise


async def look(url: str) -> str:
    """Return the version of the server at `url`; raises Unavailable."""
    async with opened(url) as database:
        await database.get(db.ABOUT, "store")  # whom it refuses this, it tells its version
        return await database.version()


async def _pair(database: Database, accounts: Storage) -> None:
    """Make sure that the two stores belong together; the first time they come to."""
    about = await database.get(db.ABOUT, "store")
    pair = await accounts.aliases.target(*PAIR)  # read second: a server that starts beside writes it first
    if pair is None:
        if about is not None:
            raise Unavailable(FOREIGN)
        if await accounts.conversations.slice("", 1) is not None:
            raise Unavailable(NOT_EMPTY)
        owner_id, alias = PAIR
        with contextlib.suppress(Conflict):
            mine = PutAlias(owner_id=owner_id, slot=0, alias=alias, target_id=secrets.token_hex(16))
            await accounts.unit_of_work.commit(mine)
        pair = await accounts.aliases.target(*PAIR)
    if about is None:
        await database.insert(db.ABOUT, {"_id": "store", "pair": pair, "form": FORM})
        about = await database.get(db.ABOUT, "store")
    if about is None or about["pair"] != pair:
        raise Unavailable(FOREIGN)
    if about["form"] > FORM:
        raise Unavailable(TOO_NEW)
