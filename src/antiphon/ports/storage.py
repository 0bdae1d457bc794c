"""Port to the one truth: writing by write sets, the journal, and short reads.

Reads take the account that asks and return only what it may read; a foreign object is None.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from antiphon.domain.conversations import ALL, Branch, Chosen, Conversation, Folder, PathRange, Segment
from antiphon.domain.items import Item, Position
from antiphon.domain.runs import Ratings, Run
from antiphon.ports.accounts import Accounts, Credentials
from antiphon.ports.aliases import Aliases
from antiphon.ports.branch_forks import BranchForks
from antiphon.ports.chat_sessions import ChatSessions
from antiphon.ports.groups import Groups
from antiphon.ports.history import History
from antiphon.ports.members import Members, Shares
from antiphon.ports.operations import Operations
from antiphon.ports.purging import Garbage, Remains
from antiphon.ports.quotas import Ledger, Quotas
from antiphon.ports.retention import Retention
from antiphon.ports.secrets import SecretReads
from antiphon.ports.workers import Workers
from antiphon.ports.write_sets import WriteSet


class Fenced(Exception):
    """Another worker wrote this worker's next tick: nothing of ours is accepted any more."""


class StorageBusy(Exception):
    """The store could not take a write now (disk full, connection lost); trying again may help."""


class KeyRecord(msgspec.Struct, frozen=True):
    """What is known under an idempotency key; `status` is None while in flight."""

    fingerprint: bytes
    run_id: str | None
    status: int | None
    body: bytes | None


class TurnBase(msgspec.Struct, frozen=True):
    """What a turn builds on, read at one moment.

    `context` are the path's items within the budget, root first, hidden ones left out;
    `parent` the item the turn follows (None at the root). `branch` is set when the turn
    speaks to one. `segment_conversation_id` owns the segment of the position.
    """

    conversation: Conversation
    branch: Branch | None
    position: Position
    parent: Item | None
    segment_conversation_id: str
    context: list[Item]


class SegmentSummary(msgspec.Struct, frozen=True):
    """A segment in the view of a tree."""

    segment: Segment
    count: int
    first_item: Item | None
    last_item: Item | None


class Change(msgspec.Struct, frozen=True):
    """One step of a conversation's live feed."""

    revision: int
    kind: str
    body: str
    created_us: int

    def json(self) -> Any:
        """Decode the body."""
        return msgspec.json.decode(self.body)


class Recovered(msgspec.Struct, frozen=True):
    """A run that no living worker owns, with the ops that were committed of it."""

    run: Run
    ops: list[Any]


class UnitOfWork(Protocol):
    """Writes; a set either happens whole or not at all."""

    async def commit(self, *commands: Any) -> None:
        """Write a set. Raises Conflict if a guard is lost, StorageFull if nothing can be written."""
        ...


class Journal(Protocol):
    """The numbered log of one worker's running answers."""

    async def write_tick(self, worker_id: str, tick: int, ops: bytes, sets: Sequence[WriteSet]) -> None:
        """Commit record `(worker_id, tick)` and, with it, `sets`.

        Raises Fenced if the record exists, StorageBusy if it could not be written, Conflict with
        the guard as message and the index of its set as `param`; nothing is written then.
        """
        ...

    async def seal(
        self, worker_id: str, upto_tick: int, chunks: Sequence[tuple[str, int, int, bytes]]
    ) -> None:
        """Store chunks `(run, first_seq, last_seq, ops)` and forget ticks up to `upto_tick`."""
        ...

    async def unfinished(self, limit: int, *, after: str = "") -> Sequence[Recovered]:
        """Return runs that are not terminal, with their committed ops, by id, beginning after `after`.

        Where several processes share the store, those that other living ones own are left out.
        """
        ...

    async def forget_others(self, worker_id: str) -> None:
        """Drop the records of all workers but `worker_id`, once their runs have ended.

        For a store without other workers; see `Workers.forget` for the others.
        """
        ...


class Conversations(Protocol):
    """Reads of conversations and branches."""

    async def get(self, account_id: str, conversation_id: str) -> Conversation | None:
        """Return a conversation, or None."""
        ...

    async def page(
        self, account_id: str, *, after: str | None, limit: int, descending: bool, chosen: Chosen = ALL
    ) -> list[Conversation]:
        """Return an owner's conversations by id order, beginning after `after`."""
        ...

    async def latest(
        self, account_id: str, *, after: tuple[int, str] | None, limit: int, chosen: Chosen = ALL
    ) -> list[Conversation]:
        """Return an owner's conversations, the last used first; `after` is the last one's time and id."""
        ...

    async def folders(self, account_id: str) -> list[Folder]:
        """Return an owner's folders by their names; they are few."""
        ...

    async def branch(self, conversation_id: str, branch_id: str) -> Branch | None:
        """Return a branch, or None."""
        ...

    async def branch_at(self, conversation_id: str, item_id: str) -> Branch | None:
        """Return a branch whose head is the item, or None."""
        ...

    async def branches(self, conversation_id: str, *, after: str | None, limit: int) -> list[Branch]:
        """Return branches by id order, beginning after `after`."""
        ...

    async def branch_names(self, conversation_id: str, prefix: str) -> set[str]:
        """Return the names of branches that begin with `prefix`."""
        ...

    async def slice(self, after: str, limit: int) -> tuple[str, str] | None:
        """Return the first and last id of the next `limit` conversations of all owners after `after`.

        For housekeeping only: it tells ids, nothing else.
        """
        ...

    async def changes(self, conversation_id: str, *, after: int, limit: int) -> list[Change]:
        """Return changes with a revision above `after`."""
        ...

    async def revisions(self, conversation_ids: Sequence[str]) -> dict[str, int]:
        """Return the revisions of those of the conversations that are not erased; for waking readers only."""
        ...


class Tree(Protocol):
    """Reads of items along paths; cost is O(items returned)."""

    async def turn_base(
        self, account_id: str, conversation_id: str, branch_id: str | None, budget_tokens: int
    ) -> TurnBase | None:
        """Return the base of a turn at a branch's head (the active one by default)."""
        ...

    async def position_base(
        self, account_id: str, conversation_id: str, position: Position, budget_tokens: int
    ) -> TurnBase | None:
        """Return the base of a turn at any position of a conversation's tree.

        Also of a deleted one: its items stay reachable through responses.
        """
        ...

    async def item(self, account_id: str, item_id: str) -> tuple[Item, str] | None:
        """Return an item and the conversation its segment belongs to, or None."""
        ...

    async def before(self, item: Item) -> Position:
        """Return the place that `item` follows; depth -1 for the first item of a path."""
        ...

    async def path(self, head: Position, *, floor_depth: int) -> list[PathRange]:
        """Return the ranges of the path that ends at `head`, head first, down to `floor_depth`."""
        ...

    async def items(self, ranges: Sequence[PathRange], conversation_id: str) -> list[Item]:
        """Return the visible items of ranges, in the order of the ranges, each range ascending."""
        ...

    async def at(self, position: Position) -> Item | None:
        """Return the item at a position, or None."""
        ...

    async def is_continued(self, position: Position) -> bool:
        """Return whether anything follows a position, be it an item, a branch's segment or a fork."""
        ...

    async def is_hidden(self, conversation_id: str, item_id: str) -> bool:
        """Return whether an item is left out of a conversation."""
        ...

    async def segments(self, conversation_id: str, *, after: str | None, limit: int) -> list[SegmentSummary]:
        """Return a conversation's segments by id order, beginning after `after`."""
        ...

    async def siblings(self, account_id: str, conversation_id: str, item: Item, limit: int) -> list[Item]:
        """Return a conversation's items that follow the same place as `item`, itself included, by id."""
        ...


class Runs(Protocol):
    """Reads of runs."""

    async def get(self, account_id: str, run_id: str) -> Run | None:
        """Return a stored run, or None."""
        ...

    async def outputs(self, run: Run) -> list[Item]:
        """Return a run's output items, all choices."""
        ...

    async def inputs(self, run: Run) -> list[Item]:
        """Return a run's own input items, root first."""
        ...

    async def log(self, run: Run) -> tuple[bytes, bool]:
        """Return a finished run's compacted log and whether it is a script."""
        ...

    async def page(
        self,
        account_id: str,
        *,
        surface: str,
        after: str | None,
        limit: int,
        descending: bool,
        model: str | None,
        metadata: dict[str, str],
    ) -> list[Run]:
        """Return a surface's stored runs that ended with an answer, by id order, filtered."""
        ...

    async def running(self, conversation_id: str | None, *, after: str | None, limit: int) -> list[Run]:
        """Return the runs that have not ended by id order, of one conversation or of all owners."""
        ...

    async def ratings(self, since_us: int, until_us: int) -> list[Ratings]:
        """Return what people thought of the answers begun in a time, by model, ordered by its name."""
        ...

    async def on_input(self, run: Run, limit: int) -> list[str]:
        """Return the ids of the runs of a fan-out: those that answer the same input as `run`."""
        ...

    async def key(self, owner_id: str, key: str, now_us: int) -> KeyRecord | None:
        """Return what is known under an idempotency key that has not expired."""
        ...

    async def longest_prefix(self, owner_id: str, hashes: Sequence[bytes]) -> tuple[int, Item, str] | None:
        """Return index, item and conversation of the last of `hashes` that is stored, or None.

        Of several items with that hash (equal answers to one question) the newest. Conversations that
        leave something out are passed over: what was sent would be read there without it.
        """
        ...


class Storage(Protocol):
    """One store, all its ports."""

    @property
    def accounts(self) -> Accounts: ...

    @property
    def credentials(self) -> Credentials: ...

    @property
    def groups(self) -> Groups: ...

    @property
    def operations(self) -> Operations: ...

    @property
    def retention(self) -> Retention: ...

    @property
    def unit_of_work(self) -> UnitOfWork: ...

    @property
    def journal(self) -> Journal: ...

    @property
    def workers(self) -> Workers: ...

    @property
    def conversations(self) -> Conversations: ...

    @property
    def aliases(self) -> Aliases: ...

    @property
    def branch_forks(self) -> BranchForks: ...

    @property
    def chat_sessions(self) -> ChatSessions: ...

    @property
    def tree(self) -> Tree: ...

    @property
    def runs(self) -> Runs: ...

    @property
    def history(self) -> History: ...

    @property
    def garbage(self) -> Garbage: ...

    @property
    def remains(self) -> Remains: ...

    @property
    def members(self) -> Members: ...

    @property
    def shares(self) -> Shares: ...

    @property
    def secrets(self) -> SecretReads: ...

    @property
    def quotas(self) -> Quotas: ...

    @property
    def ledger(self) -> Ledger: ...

    async def check(self) -> None:
        """Answer a trivial read; raises Unavailable if the store does not."""
        ...

    async def close(self) -> None:
        """Write what is waiting and release the store."""
        ...
