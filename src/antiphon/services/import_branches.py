"""Gives the ends of an imported tree their names: every line that somebody could see is a branch."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import count
from typing import Final

import msgspec

from antiphon.domain.accounts import Principal
from antiphon.domain.conversations import MAIN_BRANCH, Branch, Conversation
from antiphon.domain.items import Position
from antiphon.ports import write_sets as ws
from antiphon.ports.storage import Storage
from antiphon.services.import_trees import ROOT, Planting
from antiphon.services.placing import move_head
from antiphon.services.turn_plans import new_branch

PAGE: Final = 200


async def branch_moves(
    storage: Storage, who: Principal, conversation: Conversation, planting: Planting, line: str | None,
    *, is_new: bool,
) -> list[ws.Command]:  # fmt: skip
    """Return what gives every end of a line a name: a branch whose head it continues, else one of its own.

    In a new conversation the first is the active one, and ends where the export had its reader.
    """
    heads = {} if is_new else await _heads(storage, conversation)
    taken = set() if is_new else await storage.conversations.branch_names(conversation.id, MAIN_BRANCH)
    names, active = free_names(MAIN_BRANCH, taken), conversation.active_branch_id if is_new else None
    commands: list[ws.Command] = []
    for key, above in planting.ends(line, heads, in_view=is_new):
        head = planting.positions[key]
        continued = heads.get((above.item_id if above else None) or ROOT)
        if continued is None or not _is_free(continued):
            commands.append(_named(who, conversation, next(names), head, active))
            active = None
        else:
            del heads[continued.head.item_id or ROOT]
            commands.append(move_head(continued, head))
    return commands


async def _heads(storage: Storage, conversation: Conversation) -> dict[str, Branch]:
    """Return the branches by the items they end at; of several the active one, else one that can move on."""
    heads: dict[str, Branch] = {}
    after = None
    while page := await storage.conversations.branches(conversation.id, after=after, limit=PAGE):
        after = page[-1].id
        for one in page:
            item_id = one.head.item_id or ROOT
            known = heads.get(item_id)
            if known is None or one.id == conversation.active_branch_id or not _is_free(known):
                heads[item_id] = one
    return heads


def _is_free(branch: Branch) -> bool:
    return branch.run_id is None and branch.alias_of is None


def _named(
    who: Principal, conversation: Conversation, name: str, head: Position, branch_id: str | None
) -> ws.NewBranch:
    branch = new_branch(who, conversation.id, name, head)
    branch = msgspec.structs.replace(branch, created_us=conversation.updated_us, id=branch_id or branch.id)
    return ws.NewBranch(branch=branch, owner_id=who.account_id, slot=who.slot)


def free_names(wanted: str, taken: Collection[str]) -> Iterator[str]:
    """Yield a name, then it with `-2`, `-3` and so on, whichever are free."""
    if wanted not in taken:
        yield wanted
    for number in count(2):
        if (name := f"{wanted}-{number}") not in taken:
            yield name
