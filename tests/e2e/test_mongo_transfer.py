"""What is in MongoDB moves to another engine and back while its server works; a killed import is repeated."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests import mongo
from tests.e2e.loads import loaded, run, showing
from tests.e2e.server_process import NewServer
from tests.e2e.test_store_transfer import PACED, digest, exported, holds, killed_and_repeated
from tests.e2e.wire import begin, call, ended, get, until

pytestmark = pytest.mark.skipif(not mongo.is_there(), reason=mongo.ABSENT)


async def test_from_mongodb_under_load_to_sqlite_and_into_another_mongodb(
    new_server: NewServer, tmp_path: Path
) -> None:
    one, other = {"MONGODB_URL": mongo.url(tmp_path / "one")}, {"MONGODB_URL": mongo.url(tmp_path / "other")}
    first = new_server(**one)
    await asyncio.to_thread(first.start)
    body = {"model": "scripted/echo", "input": showing(7)}
    shown = (await call(first.port, "POST", "/v1/responses", body)).json()
    body = {"model": PACED, "input": "stream=cut", "stream": True, "background": True}
    streams = [await begin(first.port, "POST", "/v1/responses", body) for _ in range(3)]
    archive = tmp_path / "all.tar.gz"
    async with loaded(first) as acknowledged:
        await until(lambda: len(acknowledged) > 20, "answers")
        known = dict(acknowledged)
        code, said = await run("export", str(archive), "--data-dir", str(first.data), **one)
        assert code == 0, said
    for stream in streams:
        stream.close()
    code, said = await run("backup", str(tmp_path / "copy"), "--data-dir", str(first.data), **one)
    assert code == 1 and "mongodump" in said
    await asyncio.to_thread(first.stop)
    code, said = await run("export", str(tmp_path / "half.tar"), "--data-dir", str(first.data))
    assert code == 1 and "are in MongoDB" in said, "the accounts alone are half of it"

    second = new_server()
    code, said = await run("import", str(archive), "--data-dir", str(second.data))
    assert code == 0 and "as it was exported" in said, said
    await asyncio.to_thread(second.start)
    await holds(second, known, shown["id"])
    for (run_id,) in second.query("SELECT id FROM runs"):
        assert (await ended(second.port, f"resp_{run_id}"))["status"] in ("completed", "failed")
    await asyncio.to_thread(second.stop)

    back = tmp_path / "back.tar"
    code, said = await run("export", str(back), "--data-dir", str(second.data))
    assert code == 0, said
    third = new_server(**other)
    code, said = await run("import", "antiphon", str(back), "--data-dir", str(third.data), **other)
    assert code == 0, said
    assert await digest(third, **other) == await digest(second)
    await asyncio.to_thread(third.start)
    await holds(third, known, shown["id"])
    asked = {"model": "scripted/echo", "input": "more", "previous_response_id": shown["id"]}
    more = await call(third.port, "POST", "/v1/responses", asked)
    assert more.status == 200 and more.json()["status"] == "completed", "what came can be written on"


async def test_a_killed_import_into_mongodb_serves_nothing_and_is_repeated(
    new_server: NewServer, tmp_path: Path
) -> None:
    archive = tmp_path / "all.tar"
    first, acknowledged = await exported(new_server, archive)
    there = {"MONGODB_URL": mongo.url(tmp_path)}
    other = new_server(**there)
    loading = "antiphon.storage.mongo.transfer.MongoLoading"
    await killed_and_repeated(first, archive, other, loading, **there)
    for identifier, text in acknowledged.items():
        answer = await get(other.port, f"/v1/responses/{identifier}")
        assert text in str(answer["output"])
