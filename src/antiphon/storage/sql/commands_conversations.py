"""What changes of a conversation itself, as SQL; see `commands`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec import UNSET, UnsetType

from antiphon.ports import write_sets as ws
from antiphon.storage.sql.steps import Compiler, Step


def _update_conversation(c: ws.UpdateConversation) -> Iterator[Step]:
    settable = (c.title, c.expires_us, c.pinned_us, c.archived_us, c.folder)
    parts = [part for value in settable for part in _settable(value)]
    yield (
        "UPDATE conversations SET metadata=COALESCE(?,metadata), title=CASE WHEN ?=1 THEN title ELSE ? END,"
        " expires=CASE WHEN ?=1 THEN expires ELSE ? END, pinned=CASE WHEN ?=1 THEN pinned ELSE ? END,"
        " archived=CASE WHEN ?=1 THEN archived ELSE ? END, folder=CASE WHEN ?=1 THEN folder ELSE ? END"
        " WHERE id=? AND deleted IS NULL AND (CAST(? AS BIGINT) IS NULL OR revision=?)",
        (c.metadata, *parts, c.conversation_id, c.revision, c.revision),
        1,
    )


def _settable(value: int | str | UnsetType | None) -> tuple[int, int | str | None]:
    """Return whether a value stays as it is, and what it becomes otherwise."""
    return (1, None) if value is UNSET else (0, value)


def _title_conversation(c: ws.TitleConversation) -> Iterator[Step]:
    yield (
        "UPDATE conversations SET title=? WHERE id=? AND title IS NULL AND deleted IS NULL",
        (c.title, c.conversation_id),
        1,
    )


def _delete_conversation(c: ws.DeleteConversation) -> Iterator[Step]:
    yield (
        "UPDATE conversations SET deleted=?, updated=?, external_key=NULL WHERE id=? AND deleted IS NULL",
        (c.now_us, c.now_us, c.conversation_id),
        1,
    )


def _expire_conversation(c: ws.ExpireConversation) -> Iterator[Step]:
    yield (
        "UPDATE conversations SET deleted=?, expires=?, updated=?, external_key=NULL"
        " WHERE id=? AND updated=? AND deleted IS NULL",
        (c.now_us, c.now_us, c.now_us, c.conversation_id, c.updated_us),
        1,
    )


def _renew_conversation(c: ws.RenewConversation) -> Iterator[Step]:
    yield (
        "UPDATE conversations SET expires=?, updated=? WHERE id=? AND deleted IS NULL AND expires>?",
        (c.expires_us, c.now_us, c.conversation_id, c.now_us),
        1,
    )


TOUCH: Final = "UPDATE conversations SET revision=revision+1, updated=? WHERE id=? AND state IS NULL"
TOUCH_QUIETLY: Final = "UPDATE conversations SET revision=revision+1 WHERE id=? AND state IS NULL"


def _add_change(c: ws.AddChange) -> Iterator[Step]:
    yield TOUCH, (c.now_us, c.conversation_id), 1 if c.GUARD else None
    yield _note(c)


def _add_quiet_change(c: ws.AddQuietChange) -> Iterator[Step]:
    yield TOUCH_QUIETLY, (c.conversation_id,), 1
    yield _note(c)


def _note(c: ws.AddChange) -> Step:
    return (
        "INSERT INTO conversation_changes (conversation_id,revision,owner_id,slot,kind,body,created)"
        " SELECT id,revision,?,?,?,?,? FROM conversations WHERE id=? AND state IS NULL",
        (c.owner_id, c.slot, c.kind, c.body, c.now_us, c.conversation_id),
        None,
    )


def _hide_item(c: ws.HideItem) -> Iterator[Step]:
    yield (
        "INSERT INTO hidden_items (conversation_id,item_id,owner_id,slot) VALUES (?,?,?,?)"
        " ON CONFLICT (conversation_id,item_id) DO NOTHING",
        (c.conversation_id, c.item_id, c.owner_id, c.slot),
        None,
    )


def _hide_as_in(c: ws.HideAsIn) -> Iterator[Step]:
    yield (
        "INSERT INTO hidden_items (conversation_id,item_id,owner_id,slot)"
        " SELECT c.id,h.item_id,c.owner_id,c.slot FROM conversations c"
        " JOIN hidden_items h ON h.conversation_id=? WHERE c.id=?",
        (c.origin_id, c.conversation_id),
        None,
    )


COMPILERS: Final[dict[type, Compiler]] = {
    ws.UpdateConversation: _update_conversation, ws.TitleConversation: _title_conversation,
    ws.DeleteConversation: _delete_conversation, ws.ExpireConversation: _expire_conversation,
    ws.RenewConversation: _renew_conversation, ws.AddChange: _add_change, ws.AddLastChange: _add_change,
    ws.AddQuietChange: _add_quiet_change, ws.HideItem: _hide_item, ws.HideAsIn: _hide_as_in,
}  # fmt: skip
