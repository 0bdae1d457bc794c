"""`antiphon doctor` looks at PostgreSQL where it is configured, and says who shares it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from antiphon.cli.doctor_database import database
from antiphon.cli.findings import Finding, State
from antiphon.storage.sql.migrate import NEWEST_REVISION
from tests import postgres
from tests.services.world import settings_for

LEASE = "INSERT INTO workers (id,expires) VALUES ('{}',9000000000000000) RETURNING id"


def examined(directory: Path, **settings: Any) -> list[Finding]:
    return list(database(settings_for(directory, **settings)))


def test_without_a_database_nothing_is_asked(tmp_path: Path) -> None:
    (one,) = examined(tmp_path)
    assert one.state is State.SKIP


@pytest.mark.parametrize(("servers", "told"), [(0, "as many"), (1, "as many"), (2, "2 servers")])
def test_how_many_servers_share_it_is_told(tmp_path: Path, servers: int, told: str) -> None:
    url = postgres.prepared(tmp_path)
    for number in range(servers):
        postgres.look(tmp_path, lambda db, number=number: db.execute(LEASE.format(number)).fetchall())
    found, knowledge = examined(tmp_path, database_url=url)
    assert found.state is State.OK and f"schema {NEWEST_REVISION}" in found.detail
    assert knowledge.state is State.OK and told in knowledge.detail


def test_an_account_that_may_not_make_the_schema_is_told_so(tmp_path: Path) -> None:
    url = postgres.empty(tmp_path)
    role = "r" + postgres.database_of(tmp_path)
    make = (
        f"CREATE ROLE {role} LOGIN",
        f"REVOKE CREATE ON DATABASE {postgres.database_of(tmp_path / 'empty')} FROM PUBLIC",
    )
    asyncio.run(postgres._execute(*make))
    _, knowledge = examined(tmp_path, database_url=url.replace("//postgres:", f"//{role}:"))
    assert knowledge.state is State.FAIL and "GRANT CREATE" in str(knowledge.hint)


def test_an_empty_database_is_left_so(tmp_path: Path) -> None:
    url = postgres.empty(tmp_path)
    for _ in range(2):
        found, _ = examined(tmp_path, database_url=url)
        assert found.state is State.OK and "no schema yet" in found.detail


def test_a_database_that_is_away_fails_without_its_password(tmp_path: Path) -> None:
    (one,) = examined(tmp_path, database_url=f"postgresql://me:hunter2hunter2@/none?host={tmp_path}")
    assert one.state is State.FAIL and "hunter2" not in f"{one.detail}{one.hint}"


@pytest.mark.parametrize("url", ["mysql://x", "sqlite:///x", "nonsense"])
def test_another_engine_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(ValueError, match="postgresql://"):
        settings_for(tmp_path, database_url=url)
