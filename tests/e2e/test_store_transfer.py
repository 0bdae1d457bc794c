"""A server's data moves to another engine and back: people, answers, documents, and what was under way."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests import postgres
from tests.e2e.library import client_of, folder, indexed, text_of
from tests.e2e.loads import loaded, picture, run, showing
from tests.e2e.sdk.launch import clean_environment
from tests.e2e.server_process import NewServer, ServerProcess
from tests.e2e.wire import begin, call, ended, get, until
from tests.harness.people import PASSWORD, SECRET_KEY
from tests.store import ON_MONGO

pytestmark = pytest.mark.skipif(ON_MONGO, reason="test_mongo_transfer.py has the same with MongoDB")

QUESTION = {"query": "harbour ledger", "max_num_results": 50}
"""All passages have these words, and there are fewer of them: engines may rank them otherwise."""
PACED = "openai/paced-n400-i20-hash"


async def digest(server: ServerProcess, **settings: str) -> Any:
    """The counts and digests of what a server keeps."""
    code, said = await run("export", "--digest", "--data-dir", str(server.data), **settings)
    assert code == 0, said
    return json.loads(said)


async def test_from_sqlite_under_load_to_postgresql_and_back(new_server: NewServer, tmp_path: Path) -> None:
    first = new_server()
    await asyncio.to_thread(first.start)
    body = {"model": "scripted/echo", "input": showing(7)}
    shown = (await call(first.port, "POST", "/v1/responses", body)).json()
    person = {"name": "ada", "password": PASSWORD}
    made = await call(first.port, "POST", "/v1/admin/users", person)
    assert made.status in (200, 201), made.body
    async with client_of(first) as http:
        store, files = await folder(http, (text_of(n, 4_000) for n in range(3)))
        await indexed(http, store)
        wanted = (await http.post(f"/vector_stores/{store}/search", json=QUESTION)).json()
    body = {"model": PACED, "input": "stream=cut", "stream": True, "background": True}
    streams = [await begin(first.port, "POST", "/v1/responses", body) for _ in range(3)]
    archive = tmp_path / "all.tar.gz"
    async with loaded(first) as acknowledged:
        await until(lambda: len(acknowledged) > 20, "answers")
        known = dict(acknowledged)
        code, said = await run("export", str(archive), "--data-dir", str(first.data))
        assert code == 0, said
    for stream in streams:
        stream.close()
    await asyncio.to_thread(first.stop)

    url = postgres.empty(tmp_path)
    settings = {"DATABASE_URL": url, "AUTH_REQUIRED": "true", "SECRET_KEY": SECRET_KEY}
    second = new_server(**settings)
    code, said = await run("import", str(archive), "--data-dir", str(second.data), DATABASE_URL=url)
    assert code == 0 and "as it was exported" in said, said
    await asyncio.to_thread(second.start)
    form = f"username=ada&password={quote(PASSWORD)}".encode()
    headers = {"content-type": "application/x-www-form-urlencoded"}
    login = await call(second.port, "POST", "/token", form, headers)
    assert login.status == 200, login.body
    await asyncio.to_thread(second.stop)

    open_again = new_server(DATABASE_URL=url)
    open_again.data = second.data
    await asyncio.to_thread(open_again.start)
    await holds(open_again, known, shown["id"])
    for run_id in [row[0] for row in postgres_rows(url, "SELECT id FROM runs")]:
        assert (await ended(open_again.port, f"resp_{run_id}"))["status"] in ("completed", "failed")
    async with client_of(open_again) as http:
        found = (await http.post(f"/vector_stores/{store}/search", json=QUESTION)).json()
        assert passages(found) == passages(wanted) and passages(found)
        for file in files:
            assert (await http.get(f"/files/{file}/content")).status_code == 200
    back = tmp_path / "back.tar"
    await asyncio.to_thread(open_again.stop)
    code, said = await run("export", str(back), "--data-dir", str(open_again.data), DATABASE_URL=url)
    assert code == 0, said
    third = new_server()
    code, said = await run("import", "antiphon", str(back), "--data-dir", str(third.data))
    assert code == 0, said
    assert await digest(third) == await digest(open_again, DATABASE_URL=url)
    await asyncio.to_thread(third.start)
    await holds(third, known, shown["id"])


def passages(found: Any) -> set[tuple[str, str]]:
    """The files and texts found; scores hang on all there is in an index, which was growing."""
    return {(one["file_id"], one["content"][0]["text"]) for one in found["data"]}


async def holds(server: ServerProcess, known: dict[str, str], shown: str) -> None:
    """Every acknowledged answer is there, and the picture is what it was."""
    for identifier, text in known.items():
        answer = await get(server.port, f"/v1/responses/{identifier}")
        assert answer["status"] == "completed" and text in str(answer["output"])
    listed = await get(server.port, f"/v1/responses/{shown}/input_items")
    assert listed["data"][0]["content"][1]["image_url"] == picture(7)


def postgres_rows(url: str, statement: str) -> list[Any]:
    """Rows of a database that is named by its address."""
    import asyncpg

    async def look() -> list[Any]:
        connection = await asyncpg.connect(url)
        try:
            return list(await connection.fetch(statement))
        finally:
            await connection.close()

    found: list[Any] = []
    postgres._in_thread(_keep(look, found))
    return found


async def _keep(look: Any, found: list[Any]) -> None:
    found.extend(await look())


async def exported(new_server: NewServer, archive: Path) -> tuple[ServerProcess, dict[str, str]]:
    """A stopped server of the embedded store whose data are in `archive`, and the answers it gave."""
    first = new_server()
    await asyncio.to_thread(first.start)
    async with loaded(first) as acknowledged:
        await until(lambda: len(acknowledged) > 60, "answers")
    await asyncio.to_thread(first.stop)
    code, said = await run("export", str(archive), "--data-dir", str(first.data))
    assert code == 0, said
    return first, dict(acknowledged)


async def killed_and_repeated(
    first: ServerProcess, archive: Path, other: ServerProcess, loading: str, **there: str
) -> None:
    """Kill an import into `other` at its begin, in its midst and at its end, then repeat it and start.

    `loading` is the full name of what puts the parts.
    """
    command = [sys.executable, "-c", DYING, str(archive), str(other.data), *loading.rsplit(".", 1)]
    for table in ("accounts", "items", "ledger"):
        environment = clean_environment() | there
        process = await asyncio.create_subprocess_exec(*command, table, env=environment)
        assert await process.wait() == -signal.SIGKILL
        other.launch()
        assert await asyncio.to_thread(other.wait, 60) != 0
        assert "was not finished" in other.log
    code, said = await run("import", str(archive), "--data-dir", str(other.data), **there)
    assert code == 0, said
    assert await digest(other, **there) == await digest(first)
    code, said = await run("import", str(archive), "--data-dir", str(other.data), **there)
    assert code == 1 and "not empty" in said
    await asyncio.to_thread(other.start)


async def test_a_killed_import_serves_nothing_and_is_repeated(new_server: NewServer, tmp_path: Path) -> None:
    archive = tmp_path / "all.tar"
    first, acknowledged = await exported(new_server, archive)
    other = new_server()
    loading = "antiphon.storage.sql.transfer_sqlite.SqliteLoading"
    await killed_and_repeated(first, archive, other, loading)
    for identifier in acknowledged:
        assert (await call(other.port, "GET", f"/v1/responses/{identifier}")).status == 200
    code, said = await run("import", str(archive), "--data-dir", str(other.data))
    assert code == 1 and "Another process" in said


DYING = """
import importlib, os, signal, sys
loading = getattr(importlib.import_module(sys.argv[3]), sys.argv[4])
put = loading.put
async def dying(self, table, columns, rows):
    await put(self, table, columns, rows)
    if table == sys.argv[5]:
        os.kill(os.getpid(), signal.SIGKILL)
loading.put = dying
from antiphon.cli.main import app
app(args=["import", "antiphon", sys.argv[1], "--data-dir", sys.argv[2]], prog_name="antiphon")
"""
