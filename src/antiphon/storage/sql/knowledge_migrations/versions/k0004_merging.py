"""Words are merged by whoever writes them, in small portions: see `knowledge_index_fts`.

FTS5 keeps the setting with the index. PostgreSQL has nothing like it.
"""

from __future__ import annotations

from alembic import op

revision = "k0004"
down_revision = "k0003"
branch_labels = None
depends_on = None

AUTOMATIC = 4
"""What FTS5 begins with."""


def upgrade() -> None:
    """Take the merging over."""
    _set(0)


def downgrade() -> None:
    """Give it back."""
    _set(AUTOMATIC)


def _set(segments: int) -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute(f"INSERT INTO words(words,rank) VALUES('automerge',{segments})")
