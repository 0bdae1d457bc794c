"""Files with their versions and texts, uploads, collections and their members."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "k0001"
down_revision = None
branch_labels = None
depends_on = None

Column = sa.Column[object]


def _id(name: str, *, key: bool = False, null: bool = False) -> Column:
    return sa.Column(name, sa.String(32), nullable=null, primary_key=key)


def _int(name: str, *, key: bool = False, null: bool = False) -> Column:
    return sa.Column(name, sa.BigInteger, nullable=null, primary_key=key, autoincrement=False)


def _text(name: str, *, null: bool = False) -> Column:
    return sa.Column(name, sa.Text, nullable=null)


def _owner() -> tuple[Column, Column]:
    return _id("owner_id"), sa.Column("slot", sa.SmallInteger, nullable=False)


def _partial(name: str, table: str, columns: list[str], condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)


# fmt: off
def upgrade() -> None:
    """Create everything."""
    _files()
    _uploads()
    _collections()
    _members()
    _kept_answers()


def _files() -> None:
    op.create_table(
        "files", _id("id", key=True), *_owner(), _text("filename"), _text("purpose"), _int("bytes"),
        sa.Column("digest", sa.String(64), nullable=False), _int("version"), _int("created"),
        _int("expires", null=True), _text("origin", null=True), sqlite_with_rowid=False,
    )
    op.create_index("files_owner", "files", ["owner_id", "id"])
    _partial("files_expires", "files", ["expires"], "expires IS NOT NULL")
    op.create_table(
        "versions", _id("file_id", key=True), _int("number", key=True), *_owner(),
        sa.Column("digest", sa.String(64), nullable=False), _int("bytes"), _int("created"),
        _text("text_state"), _text("error", null=True), _text("parser", null=True),
        _text("media_type", null=True), _text("language", null=True), _text("title", null=True),
        _int("characters"), sa.Column("page_starts", sa.LargeBinary, nullable=True), sqlite_with_rowid=False,
    )
    op.create_index("versions_digest", "versions", ["owner_id", "digest", "bytes"])
    op.create_table(  # with row ids: slices are large
        "text_slices", _id("file_id", key=True), _int("number", key=True), _int("start", key=True),
        _int("length"), sa.Column("text", sa.LargeBinary, nullable=False),
    )


def _uploads() -> None:
    op.create_table(
        "uploads", _id("id", key=True), *_owner(), _text("filename"), _text("purpose"), _int("bytes"),
        _text("media_type"), _int("created"), _int("expires"), _int("file_expires_seconds", null=True),
        _text("state"), _id("file_id", null=True), sqlite_with_rowid=False,
    )
    op.create_index("uploads_owner", "uploads", ["owner_id"])
    op.create_index("uploads_expires", "uploads", ["expires"])
    op.create_table(
        "upload_parts", _id("upload_id", key=True), _id("id", key=True), *_owner(),
        sa.Column("digest", sa.String(64), nullable=False), _int("bytes"), _int("created"),
        sqlite_with_rowid=False,
    )
    op.create_index("upload_parts_digest", "upload_parts", ["owner_id", "digest", "bytes"])


def _collections() -> None:
    op.create_table(
        "collections", _id("id", key=True), *_owner(), _text("name"), _text("description", null=True),
        _text("metadata"), _int("created"), _int("active"), _int("expires_after_days", null=True),
        _int("expires", null=True), sqlite_with_rowid=False,
    )
    op.create_index("collections_owner", "collections", ["owner_id", "id"])
    _partial("collections_expires", "collections", ["expires"], "expires IS NOT NULL")


def _members() -> None:
    op.create_table(
        "members", _id("collection_id", key=True), _id("file_id", key=True), _id("id"), *_owner(),
        _text("attributes"), _int("max_tokens"), _int("overlap_tokens"),
        sa.Column("automatic", sa.Boolean, nullable=False), _text("state"), _text("error_code", null=True),
        _text("error", null=True), _int("usage_bytes"), _id("batch_id", null=True), _int("version"),
        _id("source_id", null=True), _id("duplicate_of", null=True), _int("created"), _int("done"),
        _int("total"), _int("attempts"), _int("not_before"), sqlite_with_rowid=False,
    )
    op.create_index("members_order", "members", ["collection_id", "id"])
    op.create_index("members_file", "members", ["file_id"])
    op.create_index("members_counts", "members", ["collection_id", "state", "usage_bytes"])
    _partial("members_batch", "members", ["batch_id", "state", "usage_bytes"], "batch_id IS NOT NULL")
    _partial("members_duplicates", "members", ["collection_id", "duplicate_of"], "duplicate_of IS NOT NULL")
    _partial("members_waiting", "members", ["owner_id", "id"], "state='in_progress'")
    op.create_table(
        "batches", _id("id", key=True), _id("collection_id"), *_owner(), _int("created"),
        sa.Column("cancelled", sa.Boolean, nullable=False), sqlite_with_rowid=False,
    )
    op.create_index("batches_owner", "batches", ["owner_id"])
    op.create_index("batches_collection", "batches", ["collection_id"])
    op.create_table(
        "standing", _id("owner_id", key=True), sa.Column("target", sa.Text, nullable=False, primary_key=True),
        _int("place", key=True), sa.Column("slot", sa.SmallInteger, nullable=False), _id("collection_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("standing_collection", "standing", ["collection_id"])


def _kept_answers() -> None:
    op.create_table(
        "kept_answers", _id("owner_id", key=True),
        sa.Column("name", sa.Text, nullable=False, primary_key=True),
        sa.Column("slot", sa.SmallInteger, nullable=False),
        sa.Column("fingerprint", sa.LargeBinary, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False), _int("expires"), sqlite_with_rowid=False,
    )
    op.create_index("kept_answers_expires", "kept_answers", ["expires"])


# fmt: on
def downgrade() -> None:
    """Drop everything."""
    for table in (
        "kept_answers", "standing", "batches", "members", "collections", "upload_parts", "uploads",
        "text_slices", "versions", "files",
    ):  # fmt: skip
        op.drop_table(table)
