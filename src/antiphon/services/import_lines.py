"""Gives the chats that branch off an imported one conversations of their own: forks, each a branch of it.

That is what branching off makes here, so who knew them as chats finds them as such.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from antiphon.domain import ids
from antiphon.domain.accounts import Principal
from antiphon.domain.chat_exports.chats import MAX_TITLE, Chat, Kind, Line, chat_key
from antiphon.domain.conversations import (
    MAIN_BRANCH,
    MAX_METADATA,
    Conversation,
    open_segment,
    segment_start,
)
from antiphon.domain.items import Position
from antiphon.ports import sharing_writes as sw
from antiphon.ports import write_sets as ws
from antiphon.ports.aliases import PutAlias
from antiphon.ports.storage import Storage
from antiphon.services.branches import MAX_NAME
from antiphon.services.followed import MAX_STEPS
from antiphon.services.import_branches import branch_moves, free_names
from antiphon.services.import_trees import Planting
from antiphon.services.paging import is_on_path
from antiphon.services.turn_plans import new_branch

CHATS: Final = "import"
MESSAGES: Final = "import-message"
PAGE: Final = 200


class Lines:
    """The conversations of an imported chat: its own (`trunk`), and a fork for each line that leaves it."""

    def __init__(
        self, storage: Storage, who: Principal, chat: Chat, trunk: Conversation, now_us: int
    ) -> None:
        self._storage = storage
        self._who = who
        self._chat = chat
        self._now_us = now_us
        self._earlier: dict[str, Conversation] = {}
        self._homes: dict[str | None, Conversation] = {None: trunk}
        self._begins = {one.line: one.created_us for one in reversed(chat.messages) if one.created_us}
        self._leaves: dict[str, Position] = {}
        self._made: set[str | None] = set()
        self._names: dict[str, set[str]] = {}
        self.reveals: list[ws.Command] = []
        self._free: dict[tuple[str, str], Iterator[str]] = {}

    async def find(self) -> list[str]:
        """Look for the forks that lines were imported into; returns the ids of all conversations here."""
        for line in self._chat.lines:
            found = await imported(self._storage, self._who, self._chat.kind, line.key)
            if found is not None:
                self._earlier[line.key] = found
        return [one.id for one in (self._homes[None], *self._earlier.values())]

    def of(self, line: str | None) -> str:
        """Return the id of a line's conversation; None is the chat's own."""
        return self._homes[line].id

    def open(self, line: Line, after: Position) -> list[ws.Command]:
        """Let a line leave after a place; returns what makes its conversation, nothing if it is here.

        A fork that leaves elsewhere, of what was changed or deleted since, stays as it is beside the new one.
        """
        self._leaves[line.key] = after
        earlier = self._earlier.get(line.key)
        if earlier is not None and earlier.base is not None and earlier.base.item_id == after.item_id:
            self._homes[line.key] = earlier
            return []
        who, now = self._who, self._now_us
        began = self._begins.get(line.key) or self._begins.get(None) or now
        fork = Conversation(
            id=ids.past_id(who.slot, began), owner_id=who.account_id, slot=who.slot, kind="explicit",
            title=(line.title or "")[:MAX_TITLE] or None, metadata=metadata_of(self._chat, line.key),
            active_branch_id=ids.new_id(who.slot), base=after, revision=1, created_us=now,
            updated_us=now,
        )  # fmt: skip
        self._homes[line.key] = fork
        self._made.add(line.key)
        return [ws.NewConversation(conversation=fork), sw.HideConversation(conversation_id=fork.id)]

    # --- what ends an import

    async def branches(self, planting: Planting, trunk: list[ws.Command]) -> list[ws.Command]:
        """Return what makes every line whole, and a branch of the one it leaves; `trunk` is the chat's own.

        What shows them is in `reveals`: it belongs into the last commit, when everything else is written.
        """
        self._names[self.of(None)] = {one.branch.name for one in trunk if isinstance(one, ws.NewBranch)}
        commands: list[ws.Command] = []
        for line in self._chat.lines:
            fork, is_new = self._homes[line.key], line.key in self._made
            moves = await branch_moves(self._storage, self._who, fork, planting, line.key, is_new=is_new)
            commands += moves
            names = self._names.setdefault(fork.id, {MAIN_BRANCH})
            names |= {one.branch.name for one in moves if isinstance(one, ws.NewBranch)}
            if is_new and not moves:
                commands += self._without_messages(fork)
            commands += await self._branch(line, fork)
            if is_new:
                self.reveals += self._revealed(line, fork, planting)
            elif moves:
                count = sum(one.key in planting.added for one in planting.told(line.key))
                commands.append(items_added(self._who, fork, count, self._now_us))
        return commands

    def count(self, moves: list[ws.Command]) -> int:
        """Return how many branches are made; the first of a fork is none, it stands for itself."""
        forks = {self.of(line) for line in self._made}
        made = [one.branch for one in moves if isinstance(one, ws.NewBranch)]
        return sum(one.conversation_id not in forks or one.name != MAIN_BRANCH for one in made)

    def _without_messages(self, fork: Conversation) -> list[ws.Command]:
        """Return the branch of a fork that shows what it shares and nothing else."""
        who, segment = self._who, open_segment(ids.new_id(self._who.slot), fork.id, fork.base)
        start = msgspec.structs.replace(segment_start(segment), item_id=fork.base and fork.base.item_id)
        main = new_branch(who, fork.id, MAIN_BRANCH, start)
        main = msgspec.structs.replace(main, id=fork.active_branch_id, created_us=fork.created_us)
        return [
            ws.NewSegment(segment=segment, owner_id=who.account_id, slot=who.slot),
            ws.NewBranch(branch=main, owner_id=who.account_id, slot=who.slot),
        ]

    async def _branch(self, line: Line, fork: Conversation) -> list[ws.Command]:
        """Return the branch that stands for a fork in the conversation it leaves, nothing if it is there."""
        origin = self._homes[line.above]
        is_old = line.key not in self._made and line.above not in self._made
        if is_old and await self._storage.branch_forks.named(origin.id, fork.id) is not None:
            return []
        name = await self._free_name(origin.id, (line.title or "").strip()[:MAX_NAME] or MAIN_BRANCH)
        branch = new_branch(self._who, origin.id, name, self._leaves[line.key])
        branch = msgspec.structs.replace(branch, created_us=fork.created_us, alias_of=fork.id)
        return [ws.NewBranch(branch=branch, owner_id=self._who.account_id, slot=self._who.slot)]

    async def _free_name(self, origin_id: str, wanted: str) -> str:
        names = self._names[origin_id]
        if (origin_id, wanted) not in self._free:
            names |= await self._storage.conversations.branch_names(origin_id, wanted)
            self._free[origin_id, wanted] = free_names(wanted, names)
        name = next(self._free[origin_id, wanted])
        names.add(name)
        return name

    def _revealed(self, line: Line, fork: Conversation, planting: Planting) -> list[ws.Command]:
        times = [planting.times[one.key] for one in planting.told(line.key)]
        created = min(times, default=planting.times[line.after])
        updated = min(max(times, default=created), self._now_us)
        return [
            sw.RevealConversation(
                conversation_id=fork.id, now_us=self._now_us, created_us=created, updated_us=updated
            ),
            chat_leads(self._who, self._chat.kind, line.key, fork.id),
        ]

    async def names(self, planting: Planting, *, is_new: bool) -> list[ws.Command]:
        """Return what lets the names that clients had for messages lead to them, within their lines."""
        by_line: dict[str | None, dict[str, str]] = {}
        for one in self._chat.names:
            target = planting.positions[one.message].item_id
            if target is not None:
                by_line.setdefault(one.line, {})[target] = _message_alias(self.of(one.line), one.name)
        commands: list[ws.Command] = []
        for line, wanted in by_line.items():
            is_made = is_new if line is None else line in self._made
            known = {} if is_made else await self._known_names(self.of(line), list(wanted))
            commands += [
                _lead(self._who, alias, target)
                for target, alias in wanted.items()
                if known.get(target) != alias
            ]
        return commands

    async def _known_names(self, conversation_id: str, targets: list[str]) -> dict[str, str]:
        prefix, known = _message_alias(conversation_id, None), dict[str, str]()
        for first in range(0, len(targets), PAGE):
            part = targets[first : first + PAGE]
            known |= await self._storage.aliases.of(self._who.account_id, prefix, part)
        return known


def chat_leads(who: Principal, kind: Kind, key: str, conversation_id: str) -> PutAlias:
    """Return what lets a chat, or a line, be found by its key."""
    return _lead(who, alias_of(CHATS, kind, key), conversation_id)


def _lead(who: Principal, alias: str, target_id: str) -> PutAlias:
    return PutAlias(owner_id=who.account_id, slot=who.slot, alias=alias, target_id=target_id, moves=True)


def alias_of(what: str, kind: Kind, key: str) -> str:
    """Return the alias of something of an export."""
    return f"{what}:{kind}:{key}"


def _message_alias(conversation_id: str, name: str | None) -> str:
    return f"{MESSAGES}:{conversation_id}:{chat_key(name) if name is not None else ''}"


def metadata_of(chat: Chat, key: str) -> str:
    """Return what is known of a chat, or a line of it, and has no place of its own here.

    What its owner had noted of it stands beside that, as far as there is room.
    """
    known = {"imported_from": chat.kind, "imported_id": key, "model": chat.model}
    found = {name: value for name, value in known.items() if value is not None}
    for name, value in chat.metadata.items():
        if len(found) < MAX_METADATA:
            found.setdefault(name, value)
    return msgspec.json.encode(found).decode()


def items_added(who: Principal, here: Conversation, count: int, now_us: int) -> ws.AddChange:
    """Return the change by which a live feed hears of what came into a conversation."""
    body: dict[str, Any] = {"count": count, "item_ids": []}
    return ws.AddChange(
        conversation_id=here.id, owner_id=who.account_id, slot=who.slot, kind="items.added",
        body=msgspec.json.encode(body).decode(), now_us=now_us,
    )  # fmt: skip


# --- what was imported earlier


async def imported(storage: Storage, who: Principal, kind: Kind, key: str) -> Conversation | None:
    """Return the caller's conversation that a chat was imported into, None if there is none (any more)."""
    target = await storage.aliases.target(who.account_id, alias_of(CHATS, kind, key))
    return await storage.conversations.get(who.account_id, target) if target else None


async def imported_message(
    storage: Storage, who: Principal, conversation: Conversation, name: str
) -> str | None:
    """Return the id of a message that a conversation, or what it was forked from, was imported with.

    `name` is what clients of its server called it by. Only what the conversation shows is found.
    """
    home, base = conversation.id, None
    for _ in range(MAX_STEPS):
        target = await storage.aliases.target(who.account_id, _message_alias(home, name))
        found = await storage.tree.item(who.account_id, target) if target else None
        if found is not None and (base is None or await is_on_path(storage.tree, base, found[0])):
            return target
        here = await storage.conversations.get(who.account_id, home)
        base = here.base if here is not None else None
        left = await storage.tree.item(who.account_id, base.item_id) if base and base.item_id else None
        if left is None:
            return None
        home = left[1]
    return None
