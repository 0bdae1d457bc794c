"""The schema of knowledge on PostgreSQL: down and up again keeps what every revision has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config

from antiphon.storage.sql import migrate
from tests import postgres
from tests.contracts.index_world import postgres as index_world
from tests.contracts.test_passage_index_port import SCOPE


def downgrade(connection: Any) -> None:
    connection.exec_driver_sql(f"SET LOCAL search_path TO {migrate.SCHEMA}")
    config = Config()
    scripts = Path(migrate.__file__).parent / migrate.KNOWLEDGE
    config.set_main_option("script_location", str(scripts))
    config.attributes["connection"] = connection
    command.downgrade(config, "k0002")


async def test_down_and_up_again_keeps_passages(tmp_path: Path) -> None:
    async with index_world(tmp_path) as world:
        await world.file(SCOPE, "red fox", "blue whale")
        before = world.execute("SELECT no,heading,text,title,body FROM passage_texts ORDER BY no")
    url = postgres.prepared(tmp_path)
    await migrate.on_postgres(url, downgrade)
    await migrate.upgrade_postgres(url, schema=migrate.SCHEMA)
    async with index_world(tmp_path) as world:
        assert world.execute("SELECT no,heading,text,title,body FROM passage_texts ORDER BY no") == before
        await world.file(SCOPE, "late fox")
        assert "late fox" in (await world.found([SCOPE], "fox"))[0]


async def test_an_empty_database_gets_its_schema(tmp_path: Path) -> None:
    url = postgres.empty(tmp_path)
    for _ in range(2):
        await migrate.upgrade_postgres(url, schema=migrate.SCHEMA)
