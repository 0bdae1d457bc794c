"""The store's read ports: each method is one function of `reads*`."""

from __future__ import annotations

from collections.abc import Sequence

from antiphon.domain.conversations import ALL, Branch, Chosen, Conversation, Folder, PathRange
from antiphon.domain.items import Item, Position
from antiphon.domain.runs import Ratings, Run
from antiphon.ports.purging import Owned, TrimPage
from antiphon.ports.storage import Change, KeyRecord, SegmentSummary, TurnBase
from antiphon.storage.sql import reads, reads_purge, reads_runs
from antiphon.storage.sql.database import Reads


class SqlConversations:
    """Port `Conversations`."""

    def __init__(self, readers: Reads) -> None:
        self._read = readers

    async def get(self, account_id: str, conversation_id: str) -> Conversation | None:
        """See the port."""
        return await self._read(reads.conversation, account_id, conversation_id)

    async def page(
        self, account_id: str, *, after: str | None, limit: int, descending: bool, chosen: Chosen = ALL
    ) -> list[Conversation]:
        """See the port."""
        return await self._read(reads.conversations, account_id, after, limit, descending, chosen)

    async def latest(
        self, account_id: str, *, after: tuple[int, str] | None, limit: int, chosen: Chosen = ALL
    ) -> list[Conversation]:
        """See the port."""
        return await self._read(reads.latest, account_id, after, limit, chosen)

    async def folders(self, account_id: str) -> list[Folder]:
        """See the port."""
        return await self._read(reads.folders, account_id)

    async def branch(self, conversation_id: str, branch_id: str) -> Branch | None:
        """See the port."""
        return await self._read(reads.branch, conversation_id, branch_id)

    async def branch_at(self, conversation_id: str, item_id: str) -> Branch | None:
        """See the port."""
        return await self._read(reads.branch_at, conversation_id, item_id)

    async def branches(self, conversation_id: str, *, after: str | None, limit: int) -> list[Branch]:
        """See the port."""
        return await self._read(reads.branches, conversation_id, after, limit)

    async def branch_names(self, conversation_id: str, prefix: str) -> set[str]:
        """See the port."""
        return await self._read(reads.branch_names, conversation_id, prefix)

    async def slice(self, after: str, limit: int) -> tuple[str, str] | None:
        """See the port."""
        return await self._read(reads.conversation_slice, after, limit)

    async def changes(self, conversation_id: str, *, after: int, limit: int) -> list[Change]:
        """See the port."""
        return await self._read(reads.changes, conversation_id, after, limit)

    async def revisions(self, conversation_ids: Sequence[str]) -> dict[str, int]:
        """See the port."""
        return await self._read(reads.revisions, conversation_ids)


class SqlTree:
    """Port `Tree`."""

    def __init__(self, readers: Reads) -> None:
        self._read = readers

    async def turn_base(
        self, account_id: str, conversation_id: str, branch_id: str | None, budget_tokens: int
    ) -> TurnBase | None:
        """See the port."""
        return await self._read(reads.turn_base, account_id, conversation_id, branch_id, budget_tokens)

    async def position_base(
        self, account_id: str, conversation_id: str, position: Position, budget_tokens: int
    ) -> TurnBase | None:
        """See the port."""
        return await self._read(reads.position_base, account_id, conversation_id, position, budget_tokens)

    async def item(self, account_id: str, item_id: str) -> tuple[Item, str] | None:
        """See the port."""
        return await self._read(reads.item, account_id, item_id)

    async def before(self, item: Item) -> Position:
        """See the port."""
        return await self._read(reads.before, item)

    async def path(self, head: Position, *, floor_depth: int) -> list[PathRange]:
        """See the port."""
        return await self._read(reads.path, head, floor_depth)

    async def items(self, ranges: Sequence[PathRange], conversation_id: str) -> list[Item]:
        """See the port."""
        return await self._read(reads.items, ranges, conversation_id)

    async def at(self, position: Position) -> Item | None:
        """See the port."""
        return await self._read(reads.item_at, position)

    async def is_continued(self, position: Position) -> bool:
        """See the port."""
        return await self._read(reads.is_continued, position)

    async def is_hidden(self, conversation_id: str, item_id: str) -> bool:
        """See the port."""
        return await self._read(reads.is_hidden, conversation_id, item_id)

    async def segments(self, conversation_id: str, *, after: str | None, limit: int) -> list[SegmentSummary]:
        """See the port."""
        return await self._read(reads.segments, conversation_id, after, limit)

    async def siblings(self, account_id: str, conversation_id: str, item: Item, limit: int) -> list[Item]:
        """See the port."""
        return await self._read(reads.siblings, account_id, conversation_id, item, limit)


class SqlRuns:
    """Port `Runs`."""

    def __init__(self, readers: Reads) -> None:
        self._read = readers

    async def get(self, account_id: str, run_id: str) -> Run | None:
        """See the port."""
        return await self._read(reads_runs.run, account_id, run_id)

    async def outputs(self, run: Run) -> list[Item]:
        """See the port."""
        return await self._read(reads_runs.outputs, run)

    async def inputs(self, run: Run) -> list[Item]:
        """See the port."""
        return await self._read(reads_runs.inputs, run)

    async def log(self, run: Run) -> tuple[bytes, bool]:
        """See the port."""
        return await self._read(reads_runs.log, run.id)

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
        """See the port."""
        return await self._read(
            reads_runs.runs, account_id, surface, after, limit, descending, model, metadata
        )

    async def running(self, conversation_id: str | None, *, after: str | None, limit: int) -> list[Run]:
        """See the port."""
        return await self._read(reads_runs.running, conversation_id, after, limit)

    async def ratings(self, since_us: int, until_us: int) -> list[Ratings]:
        """See the port."""
        return await self._read(reads_runs.ratings, since_us, until_us)

    async def on_input(self, run: Run, limit: int) -> list[str]:
        """See the port."""
        return await self._read(reads_runs.on_input, run, limit)

    async def key(self, owner_id: str, key: str, now_us: int) -> KeyRecord | None:
        """See the port."""
        return await self._read(reads_runs.key, owner_id, key, now_us)

    async def longest_prefix(self, owner_id: str, hashes: Sequence[bytes]) -> tuple[int, Item, str] | None:
        """See the port."""
        return await self._read(reads_runs.longest_prefix, owner_id, hashes)


class SqlGarbage:
    """Port `Garbage`."""

    def __init__(self, readers: Reads) -> None:
        self._read = readers

    async def purging(self, limit: int, *, after: str = "") -> list[Owned]:
        """See the port."""
        return await self._read(reads_purge.purging, limit, after)

    async def expired(self, now_us: int, deleted_before_us: int, limit: int) -> list[Owned]:
        """See the port."""
        return await self._read(reads_purge.expired, now_us, deleted_before_us, limit)

    async def sweeps(self, now_us: int, limit: int) -> list[Owned]:
        """See the port."""
        return await self._read(reads_purge.sweeps, now_us, limit)

    async def leftovers(self, owner_id: str, now_us: int, limit: int) -> list[Owned]:
        """See the port."""
        return await self._read(reads_purge.leftovers, owner_id, now_us, limit)

    async def conversations(self, account_id: str, limit: int) -> list[Owned]:
        """See the port."""
        return await self._read(reads_purge.conversations, account_id, limit)

    async def unheld_blobs(
        self, loose_before_us: int, limit: int, *, owner_id: str | None = None
    ) -> list[tuple[str, str]]:
        """See the port."""
        return await self._read(reads_purge.unheld_blobs, loose_before_us, limit, owner_id)


class SqlRemains:
    """Port `Remains`."""

    def __init__(self, readers: Reads) -> None:
        self._read = readers

    async def runs(
        self, conversation_id: str, limit: int, *, deleted_before_us: int | None = None
    ) -> list[str]:
        """See the port."""
        return await self._read(reads_purge.runs, conversation_id, limit, deleted_before_us)

    async def keys(self, conversation_id: str, limit: int) -> list[tuple[str, str]]:
        """See the port."""
        return await self._read(reads_purge.keys, conversation_id, limit)

    async def run_keys(self, run_id: str, limit: int) -> list[tuple[str, str]]:
        """See the port."""
        return await self._read(reads_purge.run_keys, run_id, limit)

    async def account_keys(self, account_id: str, limit: int) -> list[str]:
        """See the port."""
        return await self._read(reads_purge.account_keys, account_id, limit)

    async def has_views(self, conversation_id: str) -> bool:
        """See the port."""
        return await self._read(reads_purge.has_views, conversation_id)

    async def trims(self, conversation_id: str, *, before: str | None, limit: int) -> TrimPage:
        """See the port."""
        return await self._read(reads_purge.trims, conversation_id, before, limit)

    async def items(self, segment_id: str, first: int, last: int) -> list[str]:
        """See the port."""
        return await self._read(reads_purge.items, segment_id, first, last)

    async def is_purged(self, conversation_id: str) -> bool:
        """See the port."""
        return await self._read(reads_purge.is_purged, conversation_id)

    async def is_abandoned(self, conversation_id: str) -> bool:
        """See the port."""
        return await self._read(reads_purge.is_abandoned, conversation_id)

    async def abandoned_forks(self, conversation_id: str, limit: int) -> list[Owned]:
        """See the port."""
        return await self._read(reads_purge.abandoned_forks, conversation_id, limit)
