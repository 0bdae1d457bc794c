"""Alembic migrations of the store of knowledge."""
