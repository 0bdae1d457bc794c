"""Alembic's entry: runs the migrations on the connection it is handed."""

from alembic import context

from antiphon.storage.sql import by_code_point  # noqa: F401 - registers itself

connection = context.config.attributes["connection"]
context.configure(
    connection=connection, transactional_ddl=True, transaction_per_migration=True, render_as_batch=True
)
with context.begin_transaction():
    context.run_migrations()
