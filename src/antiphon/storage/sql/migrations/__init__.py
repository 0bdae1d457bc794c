"""Schema migrations (Alembic), the only place where tables are defined."""
