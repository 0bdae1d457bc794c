"""Commands of members, share links and copies as SQL; see `commands`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from antiphon.ports import sharing_writes as sw
from antiphon.storage.sql.steps import Compiler, Step


def _put_member(c: sw.PutMember) -> Iterator[Step]:
    yield (
        "INSERT INTO conversation_members (conversation_id,account_id,owner_id,slot,role,created)"
        " SELECT id,?,?,?,?,? FROM conversations WHERE id=? AND deleted IS NULL"
        " ON CONFLICT (conversation_id,account_id) DO NOTHING",
        (c.account_id, c.owner_id, c.slot, c.role, c.created_us, c.conversation_id),
        1,
    )


def _set_member_role(c: sw.SetMemberRole) -> Iterator[Step]:
    yield (
        "UPDATE conversation_members SET role=? WHERE conversation_id=? AND account_id=?",
        (c.role, c.conversation_id, c.account_id),
        1,
    )


def _remove_member(c: sw.RemoveMember) -> Iterator[Step]:
    yield (
        "DELETE FROM conversation_members WHERE conversation_id=? AND account_id=?",
        (c.conversation_id, c.account_id),
        1,
    )


def _put_share(c: sw.PutShare) -> Iterator[Step]:
    n = c.link
    yield (
        "INSERT INTO share_links (id,owner_id,slot,digest,conversation_id,branch_id,created,expires)"
        " SELECT ?,?,?,?,id,?,?,? FROM conversations WHERE id=? AND deleted IS NULL",
        (n.id, n.owner_id, n.slot, c.digest, n.branch_id, n.created_us, n.expires_us, n.conversation_id),
        1,
    )


def _revoke_share(c: sw.RevokeShare) -> Iterator[Step]:
    yield (
        "UPDATE share_links SET revoked=? WHERE id=? AND conversation_id=? AND revoked IS NULL",
        (c.now_us, c.share_id, c.conversation_id),
        1,
    )


def _hide_conversation(c: sw.HideConversation) -> Iterator[Step]:
    yield "UPDATE conversations SET deleted=created WHERE id=?", (c.conversation_id,), None


def _reveal_conversation(c: sw.RevealConversation) -> Iterator[Step]:
    yield (
        "UPDATE conversations SET deleted=NULL, created=?, updated=?"
        " WHERE id=? AND deleted IS NOT NULL AND state IS NULL",
        (
            c.now_us if c.created_us is None else c.created_us,
            c.now_us if c.updated_us is None else c.updated_us,
            c.conversation_id,
        ),
        1,
    )


COMPILERS: Final[dict[type, Compiler]] = {
    sw.PutMember: _put_member, sw.SetMemberRole: _set_member_role, sw.RemoveMember: _remove_member,
    sw.PutShare: _put_share, sw.RevokeShare: _revoke_share,
    sw.HideConversation: _hide_conversation, sw.RevealConversation: _reveal_conversation,
}  # fmt: skip
