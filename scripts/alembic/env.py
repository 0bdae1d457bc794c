"""Alembic's entry for the command line: works on the data that the settings name.

The server's own migrations run, as they do at its start; a schema that is the newest stays as it is.
"""

from __future__ import annotations

import asyncio
import runpy
from pathlib import Path
from typing import Any

from alembic import context

from antiphon.bootstrap.stores import postgres_driver
from antiphon.domain.errors import Unavailable
from antiphon.settings import load_settings
from antiphon.storage.sql import migrate
from antiphon.storage.sql.sqlite import FILE_NAME

ENTRY = Path(migrate.__file__).parent / migrate.CONVERSATIONS / "env.py"


def run(connection: Any) -> None:
    """Run what was asked for on an open connection."""
    context.config.attributes["connection"] = connection
    runpy.run_path(str(ENTRY))


def main() -> None:
    """Open the database that the settings name."""
    settings = load_settings()
    if settings.database_url is not None:
        try:
            postgres_driver()
        except Unavailable as missing:
            raise SystemExit(f"antiphon: {missing.message}") from None
        asyncio.run(migrate.on_postgres(settings.database_url.get_secret_value(), run))
        return
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    migrate.on_sqlite(settings.data_dir / FILE_NAME, run)


main()
