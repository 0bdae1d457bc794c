"""Passages with their words, vectors, and how far things have been indexed.

What is written often is narrow: a passage's place and hash are one table, its texts another, which is
also what the word index takes its content from. Every change that a search must see raises
`sequence`, and the scope it was in takes the number: caches of vectors read on from theirs.
Triggers do it, so that whoever removes a member also removes its passages from sight.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "k0002"
down_revision = "k0001"
branch_labels = None
depends_on = None

Column = sa.Column[object]


def _number() -> Column:
    """Never given twice: caches know rows by it."""
    kind = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return sa.Column("no", kind, primary_key=True, autoincrement=True)


def _id(name: str, *, key: bool = False, null: bool = False) -> Column:
    return sa.Column(name, sa.String(33), nullable=null, primary_key=key)


def _int(name: str, *, null: bool = False, default: str | None = None) -> Column:
    return sa.Column(name, sa.BigInteger, nullable=null, autoincrement=False, server_default=default)


def _text(name: str, *, null: bool = False) -> Column:
    return sa.Column(name, sa.Text, nullable=null)


def _hash() -> Column:
    return sa.Column("text_hash", sa.LargeBinary(32), nullable=False)


def _partial(name: str, table: str, columns: list[str], condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)


# fmt: off
def upgrade() -> None:
    """Create everything."""
    _sources()
    _passages()
    _vectors()
    _marks()
    if op.get_bind().dialect.name == "sqlite":
        for statement in (WORDS, *TRIGGERS):
            op.execute(statement)


def _sources() -> None:
    op.create_table(
        "scopes", _number(), sa.Column("scope", sa.String(33), nullable=False, unique=True), _id("owner_id"),
        _int("seq", default="0"), _int("total", default="0"), sqlite_autoincrement=True,
    )
    op.create_index("scopes_owner", "scopes", ["owner_id"])
    op.create_table(
        "sources", _number(), sa.Column("id", sa.String(33), nullable=False, unique=True), _text("kind"),
        _id("owner_id"), sa.Column("slot", sa.SmallInteger, nullable=False), _int("scope_no"), _id("ref_id"),
        _int("version"), _text("title"), _text("language", null=True), _text("state"),
        _int("passages", default="0"), _int("changed", default="0"), sqlite_autoincrement=True,
    )
    op.create_index("sources_scope", "sources", ["scope_no", "state", "language", "changed"])
    op.create_index("sources_ref", "sources", ["ref_id"])
    op.create_index("sources_owner", "sources", ["owner_id"])
    _partial("sources_unseen", "sources", ["state", "no"], "state<>'live'")


def _passages() -> None:
    op.create_table(
        "passages", _number(), _int("source_no"), _int("ordinal"), _int("first"), _int("last"),
        _int("page", null=True), _hash(), _id("item_id"), _text("role", null=True),
        _text("model", null=True), _id("author_id", null=True), _int("created"), sqlite_autoincrement=True,
    )
    op.create_index("passages_place", "passages", ["source_no", "item_id", "ordinal"], unique=True)
    op.create_index("passages_hash", "passages", ["text_hash"])
    op.create_table(
        "passage_texts", _number(), _text("heading"), _text("text"), _text("place"), _text("title"),
        _text("body"),
    )


def _vectors() -> None:
    op.create_table(
        "vector_models", _number(), sa.Column("model", sa.Text, nullable=True, unique=True),
        _int("dimensions"), sqlite_autoincrement=True,
    )
    op.create_table(
        "vectors", _number(), _id("owner_id"), _int("model_no"), _hash(),
        sa.Column("data", sa.LargeBinary, nullable=False), sqlite_autoincrement=True,
    )
    op.create_index("vectors_text", "vectors", ["owner_id", "text_hash", "model_no"], unique=True)
    op.create_index("vectors_new", "vectors", ["model_no", "owner_id"])


def _marks() -> None:
    op.create_table(
        "marks", sa.Column("name", sa.Text, nullable=False, primary_key=True),
        sa.Column("value", sa.LargeBinary, nullable=False), sqlite_with_rowid=False,
    )
    op.create_table("sequence", sa.Column("value", sa.BigInteger, nullable=False))
    op.execute("INSERT INTO sequence(value) VALUES(0)")


WORDS = """CREATE VIRTUAL TABLE words USING fts5(place, title, body,
    content='passage_texts', content_rowid='no', tokenize="ascii tokenchars '_.+#'")"""
"""The terms come analysed; of ASCII only what they may hold is part of a word. `place` has a token of the
scope and one of the source, so that a search reads the postings of no other."""

_RAISE = "UPDATE sequence SET value=value+1;"
_NOW = "(SELECT value FROM sequence)"

TRIGGERS = (
    f"""CREATE TRIGGER sources_state AFTER UPDATE OF state ON sources WHEN old.state<>new.state BEGIN
    {_RAISE}
    UPDATE sources SET changed={_NOW} WHERE no=new.no;
    UPDATE scopes SET seq={_NOW},
        total=total+new.passages*((new.state='live')-(old.state='live')) WHERE no=new.scope_no;
    END""",
    """CREATE TRIGGER members_removed AFTER DELETE ON members BEGIN
    UPDATE sources SET state='doomed' WHERE ref_id=old.file_id AND state<>'doomed'
        AND scope_no=(SELECT no FROM scopes WHERE scope=old.collection_id);
    END""",
    f"""CREATE TRIGGER members_described AFTER UPDATE OF attributes ON members
    WHEN old.attributes<>new.attributes BEGIN
    {_RAISE}
    UPDATE scopes SET seq={_NOW} WHERE scope=new.collection_id;
    END""",
)


# fmt: on
def downgrade() -> None:
    """Drop everything."""
    if op.get_bind().dialect.name == "sqlite":
        for trigger in ("members_described", "members_removed", "sources_state"):
            op.execute(f"DROP TRIGGER {trigger}")
        op.execute("DROP TABLE words")
    for table in (
        "sequence", "marks", "vectors", "vector_models", "passage_texts", "passages", "sources", "scopes",
    ):  # fmt: skip
        op.drop_table(table)
