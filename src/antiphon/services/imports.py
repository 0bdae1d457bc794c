"""Taking over what people have in other chat applications, one conversation at a time.

Everything can be done again: a conversation is known by an alias, its messages by what stands in their
items. A conversation that is written in several commits is seen when it is whole, and never before.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Final, Literal, TypeVar

import msgspec

from antiphon.domain import ids
from antiphon.domain.accounts import Principal
from antiphon.domain.chat_exports.chats import (
    MAX_TITLE,
    Attachment,
    Chat,
    Kind,
    Message,
    StoredFile,
    Unread,
    chat_key,
    named,
)
from antiphon.domain.chat_sessions import is_session_name
from antiphon.domain.conversations import Conversation
from antiphon.domain.errors import AntiphonError, Conflict, InvalidRequest, RateLimited
from antiphon.domain.files import FILE
from antiphon.ports import sharing_writes as sw
from antiphon.ports import write_sets as ws
from antiphon.ports.aliases import PutAlias
from antiphon.ports.chat_exports import BadExport, ChatExport, ChatExports
from antiphon.ports.clock import Clock
from antiphon.ports.storage import Storage
from antiphon.services.files import Files, NewFile
from antiphon.services.import_branches import branch_moves
from antiphon.services.import_lines import (
    Lines,
    alias_of,
    chat_leads,
    imported,
    imported_message,
    items_added,
    metadata_of,
)
from antiphon.services.import_trees import MOST_COMMANDS, Known, Planting, known_items

FILES: Final = "import-file"
MAX_NOTES: Final = 20
ABSENT: Final = "is not in the export"
LATE: Final = (
    "is in this export, and did not come in with its message; to have it delete the conversation here"
    " and import it again"
)
AT_ONCE: Final = 2
"""Files being imported at the same time, one of an account: each may have a long conversation in memory."""
State = Literal["new", "grown", "same", "empty", "failed", "left"]

T = TypeVar("T")
log = logging.getLogger(__name__)


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one conversation of an export.

    `added` of its `messages` came in now; `notes` tell what did not, and `conversation_id` where it is.
    """

    title: str
    state: State
    messages: int = 0
    added: int = 0
    branches: int = 0
    notes: tuple[str, ...] = ()
    conversation_id: str | None = None


class Imports:
    """Imports files for their owner."""

    def __init__(self, storage: Storage, files: Files, exports: ChatExports, clock: Clock) -> None:
        self._storage = storage
        self._files = files
        self._exports = exports
        self._clock = clock
        self._importing: set[str] = set()

    async def stored(self, who: Principal, file_id: str, kind: Kind | None) -> AsyncGenerator[Imported, None]:
        """Import a file of the caller's; raises NotFound and RateLimited, else like `run`."""
        who = who.home()
        if who.account_id in self._importing or len(self._importing) >= AT_ONCE:
            raise RateLimited(
                "Another import is under way; try again when it has ended.", code="too_many_imports"
            )
        self._importing.add(who.account_id)
        try:
            async with aclosing(self._stored(who, file_id, kind)) as lines:
                async for one in lines:
                    yield one
        finally:
            self._importing.discard(who.account_id)

    async def leads_to(self, who: Principal, kind: Kind, chat_id: str) -> str:
        """Return the id of the conversation that the caller imported a chat into; any other id as it is."""
        found = await imported(self._storage, who.home(), kind, chat_key(chat_id))
        return chat_id if found is None else ids.CONVERSATION + found.id

    async def message(self, who: Principal, shown: Sequence[Conversation], name: str) -> str:
        """Return the id of a message that the caller imported, by what clients had called it.

        It is looked for in conversations, and in what they were forked from; any other name comes back.
        """
        for one in shown:
            found = await imported_message(self._storage, who.home(), one, name)
            if found is not None:
                return ids.item_wire_id("message", found)
        return name

    async def _stored(
        self, who: Principal, file_id: str, kind: Kind | None
    ) -> AsyncGenerator[Imported, None]:
        known = await self._files.get(who, file_id, "file_id")
        file, version = await self._files.version(who, file_id, known.version)
        async with (
            self._files.local(version) as path,
            aclosing(self.run(who, path, kind, name=file.filename)) as lines,
        ):
            async for one in lines:
                yield one

    async def run(
        self, who: Principal, path: Path, kind: Kind | None, *, name: str | None = None
    ) -> AsyncGenerator[Imported, None]:
        """Import a file of this machine, yielding what becomes of each conversation.

        Raises InvalidRequest if it is no export of that kind (of any, if none is given), and OSError.
        """
        who = who.home()
        async with self._opened(path, kind, name) as export, aclosing(_in_thread(export.chats())) as chats:
            async for one in chats:
                if isinstance(one, Unread):
                    state: State = "failed" if one.fails else "left"
                    yield Imported(title=one.where, state=state, notes=(one.reason,))
                else:
                    yield await self._taken(who, one, export)

    @asynccontextmanager
    async def _opened(self, path: Path, kind: Kind | None, name: str | None) -> AsyncIterator[ChatExport]:
        opening = self._exports.open(path, kind, name)
        try:
            export = await asyncio.to_thread(opening.__enter__)
        except BadExport as error:
            raise InvalidRequest(str(error), code="invalid_export", param="file_id") from error
        try:
            yield export
        finally:
            await asyncio.to_thread(opening.__exit__, None, None, None)

    async def _taken(self, who: Principal, chat: Chat, export: ChatExport) -> Imported:
        """Import one conversation; whatever is wrong with it is told and stops nothing else."""
        if not chat.messages:
            return Imported(title=chat.shown, state="empty", notes=chat.notes)
        try:
            if (origin := await self._origin(who, chat)) is not None:
                return Imported(
                    title=chat.shown, state="same", messages=len(chat.messages),
                    conversation_id=ids.CONVERSATION + origin.id,
                )  # fmt: skip
            return await self._take(who, chat, export)
        except Conflict:
            reason = "it was changed at the same time; import it again"
        except AntiphonError as error:
            reason = error.message
        except Exception:
            log.exception("a conversation could not be imported")
            reason = "it could not be stored"
        return Imported(title=chat.shown, state="failed", messages=len(chat.messages), notes=(reason,))

    async def _take(self, who: Principal, chat: Chat, export: ChatExport) -> Imported:
        here, now, notes = await self._here(who, chat), self._clock.now_us(), list(chat.notes)
        conversation, is_new = here or self._conversation(who, chat, now), here is None
        lines = Lines(self._storage, who, chat, conversation, now)
        known = Known() if is_new else await known_items(self._storage, await lines.find())

        async def file(message: Message) -> Mapping[str, StoredFile]:
            return await self._filed(who, chat, message, export, notes)

        hidden: list[ws.Command] = [] if here is not None else [
            ws.NewConversation(conversation=conversation),
            sw.HideConversation(conversation_id=conversation.id),
        ]  # fmt: skip

        async def write(commands: list[ws.Command]) -> None:
            first, hidden[:] = list(hidden), []
            await self._storage.unit_of_work.commit(*first, *commands)

        planting = Planting(who, chat, lines, known, now, file=file, write=write)
        await planting.plant()
        notes += _still_missing(planting.missing, export)
        moves = await branch_moves(self._storage, who, conversation, planting, None, is_new=is_new)
        moves += await lines.branches(planting, moves)
        commands = [*planting.rest(), *moves, *await lines.names(planting, is_new=is_new)]
        if commands or planting.added:
            for start in range(0, len(commands) - MOST_COMMANDS, MOST_COMMANDS):
                await write(commands[start : start + MOST_COMMANDS])
            last = commands[max(len(commands) - 1, 0) // MOST_COMMANDS * MOST_COMMANDS :]
            count = sum(one.key in planting.added for one in planting.told(None))
            ending = (
                [items_added(who, here, count, now)] if here else self._revealed(who, chat, conversation, now)
            )
            await write([*last, *lines.reveals, *ending])
        state: State = "new" if is_new else "grown" if commands or planting.added else "same"
        return Imported(
            title=chat.shown, state=state, messages=len(chat.messages), added=len(planting.added),
            branches=lines.count(moves), notes=tuple(notes[:MAX_NOTES]),
            conversation_id=ids.CONVERSATION + conversation.id,
        )  # fmt: skip

    async def _origin(self, who: Principal, chat: Chat) -> Conversation | None:
        """Return the very conversation that the caller had exported, if it is still theirs and here."""
        known = ids.parse(chat.key, ids.CONVERSATION) if chat.kind == "antiphon" else None
        return await self._storage.conversations.get(who.account_id, known) if known is not None else None

    async def _here(self, who: Principal, chat: Chat) -> Conversation | None:
        """Return the conversation that a chat was imported into, or the session of its name."""
        found = await imported(self._storage, who, chat.kind, chat.key)
        if found is None and (session := _session(chat)) is not None:
            found = await self._storage.chat_sessions.by_key(who.account_id, session)
        return found

    def _conversation(self, who: Principal, chat: Chat, now_us: int) -> Conversation:
        created = chat.created_us or chat.messages[0].created_us or now_us
        return Conversation(
            id=ids.past_id(who.slot, created), owner_id=who.account_id, slot=who.slot, kind="explicit",
            title=(chat.title or "")[:MAX_TITLE] or None, metadata=metadata_of(chat, chat.key),
            active_branch_id=ids.new_id(who.slot), base=None, revision=1, created_us=now_us,
            updated_us=now_us, external_key=_session(chat),
        )  # fmt: skip

    def _revealed(
        self, who: Principal, chat: Chat, conversation: Conversation, now_us: int
    ) -> list[ws.Command]:
        """Return what shows a conversation that is whole, with its times and where its owner had put it."""
        created = chat.created_us or chat.messages[0].created_us or now_us
        used = max((one.created_us or 0 for one in chat.messages), default=0)
        updated = min(max(created, chat.updated_us or used), now_us)
        commands: list[ws.Command] = [
            sw.RevealConversation(
                conversation_id=conversation.id, now_us=now_us, created_us=created, updated_us=updated
            )
        ]
        if chat.pinned or chat.archived or chat.folder:
            commands.append(
                ws.UpdateConversation(
                    conversation_id=conversation.id, pinned_us=updated if chat.pinned else None,
                    archived_us=updated if chat.archived else None, folder=chat.folder,
                )
            )  # fmt: skip
        return [*commands, chat_leads(who, chat.kind, chat.key, conversation.id)]

    # --- attachments

    async def _filed(
        self, who: Principal, chat: Chat, message: Message, export: ChatExport, notes: list[str]
    ) -> dict[str, StoredFile]:
        """Return the files that the attachments of a message have become; what is missing is noted."""
        found: dict[str, StoredFile] = {}
        for one in message.draft.attachments:
            try:
                stored = await self._file(who, chat.kind, one, export)
            except (AntiphonError, BadExport, OSError) as error:
                notes.append(f"attachment {one.shown}: {error}")
                continue
            if stored is None:
                notes.append(f"attachment {one.shown} {ABSENT}")
            else:
                found[one.ref] = stored
        return found

    async def _file(
        self, who: Principal, kind: Kind, attachment: Attachment, export: ChatExport
    ) -> StoredFile | None:
        alias = alias_of(FILES, kind, chat_key(attachment.ref))
        target = await self._storage.aliases.target(who.actor_id, alias)
        if target is not None:
            try:
                known = await self._files.get(who, FILE + target)
                return StoredFile(FILE + known.id, known.filename, attachment.is_image)
            except AntiphonError:
                pass  # deleted since; it comes again
        pieces = await asyncio.to_thread(_pieces, attachment, export)
        if pieces is None:
            return None
        first = await asyncio.to_thread(next, pieces, b"")
        name, is_image = named(attachment.shown, first)
        async with self._files.receiving(who, _chunks(first, pieces)) as content:
            file = await self._files.create(
                who, content, NewFile(filename=name, purpose="user_data"), key=None
            )
        await self._storage.unit_of_work.commit(
            PutAlias(owner_id=who.actor_id, slot=who.actor_slot, alias=alias, target_id=file.id, moves=True)
        )
        return StoredFile(FILE + file.id, file.filename, is_image)


def _still_missing(attachments: Sequence[Attachment], export: ChatExport) -> list[str]:
    """Return what is told of attachments whose messages came in earlier and without them: items stay."""
    return [
        f"attachment {one.shown} "
        + (LATE if one.content is not None or export.find(one.ref) is not None else ABSENT)
        for one in attachments
    ]


def _pieces(attachment: Attachment, export: ChatExport) -> Iterator[bytes] | None:
    if attachment.content is not None:
        return iter((attachment.content,))
    found = export.find(attachment.ref)
    return export.read(found) if found is not None else None


async def _chunks(first: bytes, pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in _in_thread(pieces):
        yield piece


async def _in_thread(source: Iterator[T]) -> AsyncGenerator[T, None]:
    """Yield what an iterator of blocking steps yields."""
    while (one := await asyncio.to_thread(next, source, None)) is not None:
        yield one


def _session(chat: Chat) -> str | None:
    return chat.session if chat.session is not None and is_session_name(chat.session) else None
