"""Taking over what an older chat service kept: its administrator, and its sessions under their names.

Everything can be done again: what is here already stays, and a session that was taken over in part
goes on where it ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from antiphon.domain import ids
from antiphon.domain.accounts import USER, Account, Principal, account_name
from antiphon.domain.errors import Unprocessable
from antiphon.domain.inputs import parse_input
from antiphon.domain.items import text_of
from antiphon.domain.old_chats import OldAdministrator, OldMessage
from antiphon.ports import account_writes as aw
from antiphon.ports.clock import Clock
from antiphon.ports.storage import Storage
from antiphon.ports.write_sets import Command
from antiphon.services.audit_lines import audit
from antiphon.services.chat_sessions import ChatSessions
from antiphon.services.conversations import MAX_ITEMS_PER_POST, Conversations
from antiphon.services.first_administrator import FirstAdministrator
from antiphon.services.passwords import is_bcrypt

PAGE: Final = 100
ACTION: Final = "user.import"


class TakenOver(msgspec.Struct, frozen=True):
    """A session: how many of its messages were added now, and how many it has. None added: it differs."""

    name: str
    added: int | None
    total: int


class OldChats:
    """Takes over accounts and sessions."""

    def __init__(
        self, storage: Storage, conversations: Conversations, sessions: ChatSessions,
        first: FirstAdministrator, clock: Clock,
    ) -> None:  # fmt: skip
        self._storage = storage
        self._conversations = conversations
        self._sessions = sessions
        self._first = first
        self._clock = clock

    async def administrator(self, old: OldAdministrator) -> tuple[Account, Literal["made", "kept"]]:
        """Make an administrator whose password is the old one; a password that is here is kept.

        Where nobody was made first it is who gets the first credentials again after a reset.
        Raises Unprocessable for what is no name, and for a hash that is not bcrypt's.
        """
        name = account_name(old.username)
        if name is None:
            raise Unprocessable("The administrator's name cannot be one here.", code="invalid_name")
        if not is_bcrypt(old.password_hash):
            raise Unprocessable("The administrator's hash is not one of bcrypt.", code="invalid_hash")
        found = await self._storage.accounts.by_name(name)
        if found is not None and found.password_hash is not None:
            if note := await self._first.taken_over(found):
                await self._storage.unit_of_work.commit(*note)
            return found, "kept"
        now, slot = self._clock.now_us(), ids.new_slot()
        account = found or Account(
            id=ids.new_id(slot), slot=slot, name=name, role="admin", created_us=now, updated_us=now
        )
        change: Command = aw.NewAccount(
            account=msgspec.structs.replace(account, password_hash=old.password_hash)
        )
        if found is not None:
            change = aw.UpdateAccount(
                account_id=found.id, now_us=now, ends_sessions=True, role="admin",
                password_hash=old.password_hash,
            )  # fmt: skip
        account = msgspec.structs.replace(account, role="admin")
        note = await self._first.taken_over(account)
        line = audit(account.principal(), ACTION, now, target=USER + account.id)
        await self._storage.unit_of_work.commit(change, line, *note)
        return account, "made"

    async def account(self, name: str) -> Account | None:
        """Return the account that is to own what is taken over."""
        return await self._storage.accounts.by_name(name.lower())

    async def session(
        self, who: Principal, name: str, messages: Sequence[OldMessage], *, ephemeral: bool
    ) -> TakenOver:
        """Put a history into the caller's session of a name; raises Unprocessable for no such name.

        What is there already must be how it begins, else it is left as it is.
        """
        session = await self._sessions.open(who, name, ephemeral=ephemeral)
        wire_id = ids.CONVERSATION + session.conversation.id
        here = await self._said(who, wire_id)
        common = min(len(here), len(messages))
        if here[:common] != list(messages[:common]):
            return TakenOver(session.name, None, len(here))
        rest = messages[common:]
        for start in range(0, len(rest), MAX_ITEMS_PER_POST):
            some = rest[start : start + MAX_ITEMS_PER_POST]
            items = parse_input([{"role": one.role, "content": one.text} for one in some])
            await self._conversations.add_items(who, wire_id, items)
        return TakenOver(session.name, len(rest), len(here) + len(rest))

    async def _said(self, who: Principal, wire_id: str) -> list[OldMessage]:
        """Return what a session holds, read page by page."""
        said: list[OldMessage] = []
        after = None
        while True:
            page = await self._conversations.items(
                who, wire_id, branch_id=None, after=after, limit=PAGE, descending=False
            )
            said += [OldMessage(item.role or "", text_of(item.body())) for item in page.data]
            if not page.has_more:
                return said
            after = page.data[-1].wire_id
