"""The core: conversations, their tree, runs, the journal and the ledger.

Ids are 32 hex digits, times integer microseconds UTC, money integer micro-units, JSON text as
it came. Every table of a person's data carries the owner and the owner's slot, the partition
key for stores that are split.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

Column = sa.Column[object]


def _id(name: str, *, null: bool = False, key: bool = False) -> Column:
    return sa.Column(name, sa.String(32), nullable=null and not key, primary_key=key)


def _int(name: str, *, null: bool = False, default: str | None = None, key: bool = False) -> Column:
    return sa.Column(
        name, sa.BigInteger, nullable=null, server_default=default, primary_key=key, autoincrement=False
    )


def _text(name: str, *, null: bool = False, key: bool = False) -> Column:
    return sa.Column(name, sa.Text, nullable=null, primary_key=key)


def _owner() -> list[Column]:
    return [_id("owner_id"), sa.Column("slot", sa.SmallInteger, nullable=False)]


def _create_partial_index(
    name: str, table: str, columns: list[str], condition: str, *, unique: bool = False
) -> None:
    """Index only the rows that are ever looked up that way: every b-tree costs each turn a page."""
    where = sa.text(condition)
    op.create_index(name, table, columns, unique=unique, sqlite_where=where, postgresql_where=where)


def upgrade() -> None:
    """Create everything."""
    _create_conversations()
    _create_tree()
    _create_views()
    _create_runs()
    _create_journal()
    _create_operations()


# fmt: off
def _create_conversations() -> None:
    op.create_table(
        "accounts", _id("id", key=True), sa.Column("slot", sa.SmallInteger, nullable=False),
        _text("name"), _text("role"), _int("created"),
    )
    op.create_index("accounts_name", "accounts", ["name"], unique=True)
    op.create_table(
        "conversations", _id("id", key=True), *_owner(), _text("kind"), _text("external_key", null=True),
        _text("title", null=True), _text("metadata"), _id("active_branch_id"),
        _id("base_segment_id", null=True), _int("base_depth", null=True), _int("base_tokens", null=True),
        _id("base_item_id", null=True), _int("revision", default="1"), _int("created"), _int("updated"),
        _int("expires", null=True), _int("deleted", null=True), sqlite_with_rowid=False,
    )
    op.create_index("conversations_owner", "conversations", ["owner_id", "id"])
    _create_partial_index(
        "conversations_external", "conversations", ["owner_id", "external_key"], "external_key IS NOT NULL",
        unique=True,
    )
    op.create_table(
        "branches", _id("conversation_id", key=True), _id("id", key=True), *_owner(), _text("name"),
        _id("head_segment_id"), _int("head_depth"), _int("head_tokens"), _id("head_item_id", null=True),
        _id("run_id", null=True), _id("alias_of", null=True), _int("created"), sqlite_with_rowid=False,
    )
    op.create_index("branches_name", "branches", ["conversation_id", "name"], unique=True)


def _create_tree() -> None:
    op.create_table(
        "segments", _id("id", key=True), *_owner(), _id("conversation_id"), _id("parent_id", null=True),
        _int("fork_depth", default="-1"), _int("fork_tokens", default="0"), _int("level", default="0"),
        sqlite_with_rowid=False,
    )
    op.create_index("segments_conversation", "segments", ["conversation_id", "id"])
    _create_partial_index("segments_parent", "segments", ["parent_id"], "parent_id IS NOT NULL")
    op.create_table(
        "items", _id("segment_id", key=True), _int("depth", key=True), _id("id"), *_owner(),
        _int("path_tokens"), sa.Column("path_hash", sa.LargeBinary, nullable=True), _int("token_count"),
        _text("type"), _text("role", null=True), _text("status"), _id("author_id", null=True),
        _id("run_id", null=True), _text("payload"), _int("created"), sqlite_with_rowid=False,
    )
    op.create_index("items_id", "items", ["id"], unique=True)
    op.create_index("items_tokens", "items", ["segment_id", "path_tokens"], unique=True)
    _create_partial_index("items_path_hash", "items", ["owner_id", "path_hash"], "path_hash IS NOT NULL")


def _create_views() -> None:
    op.create_table(
        "hidden_items", _id("conversation_id", key=True), _id("item_id", key=True), *_owner(),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "conversation_changes", _id("conversation_id", key=True), _int("revision", key=True), *_owner(),
        _text("kind"), _text("body"), _int("created"), sqlite_with_rowid=False,
    )


def _create_runs() -> None:
    op.create_table(
        "runs", _id("id", key=True), *_owner(), _id("conversation_id", null=True),
        _id("branch_id", null=True), _id("author_id"), _id("credential_id", null=True), _text("surface"),
        _id("parent_segment_id", null=True), _int("parent_depth", null=True),
        _int("parent_tokens", null=True), _id("parent_item_id", null=True),
        _id("input_segment_id", null=True), _int("input_depth", null=True),
        _int("input_tokens", null=True), _id("input_item_id", null=True),
        _id("output_segment_id", null=True), _int("output_depth", null=True),
        _int("output_tokens", null=True), _id("output_item_id", null=True),
        _text("state"), _int("background"), _id("worker_id", null=True), _int("epoch", default="0"),
        _int("attempt", default="1"), _int("cancel_requested", default="0"), _text("request"),
        _text("model"), _text("provider", null=True), _int("wire_version"), _text("error", null=True),
        _text("incomplete_reason", null=True), _text("usage", null=True), _text("metadata"),
        sa.Column("log", sa.LargeBinary, nullable=True), _int("is_script", default="0"),
        _int("created"), _int("ended", null=True), _int("deleted", null=True), sqlite_with_rowid=False,
    )
    _create_partial_index("runs_alive", "runs", ["worker_id"], "state IN ('queued','in_progress')")
    op.create_index("runs_conversation", "runs", ["conversation_id", "id"])
    _create_partial_index("runs_chat", "runs", ["owner_id", "id"], "surface='chat'")


def _create_journal() -> None:
    op.create_table(
        "journal", _id("worker_id", key=True), _int("tick", key=True),
        sa.Column("ops", sa.LargeBinary, nullable=False), sqlite_with_rowid=False,
    )
    op.create_table(
        "run_chunks", _id("run_id", key=True), _int("first_seq", key=True), _int("last_seq"),
        sa.Column("ops", sa.LargeBinary, nullable=False), sqlite_with_rowid=False,
    )


def _create_operations() -> None:
    op.create_table(
        "idempotency", _id("owner_id", key=True), _text("key", key=True),
        sa.Column("slot", sa.SmallInteger, nullable=False),
        sa.Column("fingerprint", sa.LargeBinary, nullable=False), _id("run_id", null=True),
        _int("status", null=True), sa.Column("body", sa.LargeBinary, nullable=True), _int("created"),
        _int("expires"), sqlite_with_rowid=False,
    )
    op.create_index("idempotency_expires", "idempotency", ["expires"])
    op.create_table(
        "ledger", _id("owner_id", key=True), _id("run_id", key=True),
        sa.Column("slot", sa.SmallInteger, nullable=False), _id("author_id"), _id("credential_id", null=True),
        _text("provider", null=True), _text("model"), _text("state"), _int("tokens_in"),
        _int("tokens_out"), _int("tokens_cached"), _int("tokens_reasoning"), _int("estimated"),
        _int("cost"), _int("created"), _int("latency"), sqlite_with_rowid=False,
    )


# fmt: on
TABLES = (
    "ledger",
    "idempotency",
    "run_chunks",
    "journal",
    "runs",
    "conversation_changes",
    "hidden_items",
    "items",
    "segments",
    "branches",
    "conversations",
    "accounts",
)


def downgrade() -> None:
    """Drop everything."""
    for table in TABLES:
        op.drop_table(table)
