"""Alembic's entry: runs the migrations on the connection it is handed."""

import sqlalchemy as sa
from alembic import context
from sqlalchemy.ext.compiler import compiles


@compiles(sa.String, "postgresql")
@compiles(sa.Text, "postgresql")
def _by_code_point(kind, compiler, **options):  # type: ignore[no-untyped-def]
    """Order text by code points, as SQLite does: pages, prefixes and keys must not hang on a locale."""
    plain = compiler.visit_TEXT if isinstance(kind, sa.Text) else compiler.visit_VARCHAR
    return f'{plain(kind, **options)} COLLATE "C"'


connection = context.config.attributes["connection"]
context.configure(
    connection=connection, transactional_ddl=True, transaction_per_migration=True, render_as_batch=True
)
with context.begin_transaction():
    context.run_migrations()
