"""Identity: accounts, credentials, members, limits, audit.

Secrets of people are never stored: passwords as argon2id hashes, keys, invites and share links as
SHA-256 digests (they are random, so a slow hash adds nothing). What the server itself must show
to others (keys of model providers) is encrypted.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

Column = sa.Column[object]


def _id(name: str, *, null: bool = False, key: bool = False) -> Column:
    return sa.Column(name, sa.String(32), nullable=null and not key, primary_key=key)


def _int(name: str, *, null: bool = False, default: str | None = None, key: bool = False) -> Column:
    return sa.Column(
        name, sa.BigInteger, nullable=null, server_default=default, primary_key=key, autoincrement=False
    )


def _text(name: str, *, null: bool = False, key: bool = False, default: str | None = None) -> Column:
    return sa.Column(name, sa.Text, nullable=null, primary_key=key, server_default=default)


def _owner() -> list[Column]:
    return [_id("owner_id"), sa.Column("slot", sa.SmallInteger, nullable=False)]


def _digest() -> Column:
    return sa.Column("digest", sa.LargeBinary, nullable=False)


def upgrade() -> None:
    """Create everything."""
    _extend_accounts()
    _create_credentials()
    _create_sharing()
    _create_limits()
    _create_operations()


# fmt: off
ACCOUNT_COLUMNS = (
    "email", "password_hash", "state", "group_id", "epoch", "retention_days", "updated", "deleted",
)


def _extend_accounts() -> None:
    op.create_table(
        "groups", _id("id", key=True), _text("name"), _int("retention_days", null=True), _int("created"),
        sqlite_with_rowid=False,
    )
    op.create_index("groups_name", "groups", ["name"], unique=True)
    for column in (
        _text("email", null=True), _text("password_hash", null=True), _text("state", default="active"),
        _id("group_id", null=True), _int("epoch", default="0"), _int("retention_days", null=True),
        _int("updated", default="0"), _int("deleted", null=True),
    ):
        op.add_column("accounts", column)
    for name, unique in (("email", True), ("group_id", False), ("deleted", False)):
        given = sa.text(f"{name} IS NOT NULL")
        op.create_index(
            f"accounts_{name}", "accounts", [name], unique=unique, sqlite_where=given,
            postgresql_where=given,
        )


def _create_credentials() -> None:
    op.create_table(
        "login_sessions", _id("id", key=True), *_owner(), _text("method"), _int("generation", default="0"),
        _text("user_agent"), _text("address"), _int("created"), _int("used"), _int("expires"),
        _int("revoked", null=True), sqlite_with_rowid=False,
    )
    op.create_index("login_sessions_owner", "login_sessions", ["owner_id", "id"])
    op.create_table(
        "api_keys", _id("id", key=True), *_owner(), _text("name"), _digest(), _text("prefix"),
        _text("scopes"), _int("created"), _int("expires", null=True), _int("used", null=True),
        _int("revoked", null=True), sqlite_with_rowid=False,
    )
    op.create_index("api_keys_digest", "api_keys", ["digest"], unique=True)
    op.create_index("api_keys_owner", "api_keys", ["owner_id", "id"])
    op.create_table(
        "external_identities", _text("issuer", key=True), _text("subject", key=True), *_owner(),
        _text("provider"), _text("email", null=True), _int("created"), sqlite_with_rowid=False,
    )
    op.create_index("external_identities_owner", "external_identities", ["owner_id"])
    op.create_table(
        "invites", _id("id", key=True), _digest(), _id("created_by"), _text("role"),
        _id("group_id", null=True), _int("created"), _int("expires"), _id("used_by", null=True),
        _int("revoked", null=True), sqlite_with_rowid=False,
    )
    op.create_index("invites_digest", "invites", ["digest"], unique=True)


def _create_sharing() -> None:
    op.create_table(
        "conversation_members", _id("conversation_id", key=True), _id("account_id", key=True), *_owner(),
        _text("role"), _int("created"), sqlite_with_rowid=False,
    )
    op.create_index("conversation_members_account", "conversation_members", ["account_id", "conversation_id"])
    op.create_table(
        "share_links", _id("id", key=True), *_owner(), _digest(), _id("conversation_id"),
        _id("branch_id", null=True), _int("created"), _int("expires", null=True), _int("revoked", null=True),
        sqlite_with_rowid=False,
    )
    op.create_index("share_links_digest", "share_links", ["digest"], unique=True)
    op.create_index("share_links_conversation", "share_links", ["conversation_id", "id"])


def _create_limits() -> None:
    op.create_table(
        "limits", _id("id", key=True), _text("scope"), _text("model", default=""), _text("metric"),
        _text("period"), _int("amount"), _int("created"), sqlite_with_rowid=False,
    )
    op.create_index("limits_scope", "limits", ["scope", "model", "metric", "period"], unique=True)
    op.create_table(
        "quota_counters", _text("counter", key=True), _int("window_start", key=True),
        _int("used", default="0"), _int("reserved", default="0"), sqlite_with_rowid=False,
    )
    op.create_table(
        "quota_reservations", _id("run_id", key=True), _text("counter", key=True), _int("window_start"),
        _text("metric"), _text("model"), _int("amount"), _int("created"), sqlite_with_rowid=False,
    )
    op.add_column("ledger", _int("cached", default="0"))
    op.create_index("ledger_author", "ledger", ["author_id", "created"])


def _create_operations() -> None:
    op.create_table(
        "audit", _id("id", key=True), _int("created"), _id("actor_id", null=True),
        _id("credential_id", null=True), _text("action"), _text("target", null=True), _text("detail"),
        _text("address", null=True), sqlite_with_rowid=False,
    )
    op.create_index("audit_actor", "audit", ["actor_id", "id"])
    op.create_index("audit_target", "audit", ["target", "id"])
    op.create_table(
        "secrets", _text("name", key=True), sa.Column("ciphertext", sa.LargeBinary, nullable=False),
        _int("updated"), sqlite_with_rowid=False,
    )
    op.create_table(
        "runtime_settings", _text("name", key=True), _text("value"), _int("updated"), sqlite_with_rowid=False,
    )


# fmt: on
TABLES = (
    "runtime_settings",
    "secrets",
    "audit",
    "quota_reservations",
    "quota_counters",
    "limits",
    "share_links",
    "conversation_members",
    "invites",
    "external_identities",
    "api_keys",
    "login_sessions",
    "groups",
)


def downgrade() -> None:
    """Drop everything; accounts keep their names and roles."""
    for table in TABLES:
        op.drop_table(table)
    op.drop_index("ledger_author", "ledger")
    op.drop_column("ledger", "cached")
    for name in ("email", "group_id", "deleted"):
        op.drop_index(f"accounts_{name}", "accounts")
    for column in ACCOUNT_COLUMNS:
        op.drop_column("accounts", column)
