"""A backup of a server at work holds every answer that was acknowledged before it began, and is whole."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.library import client_of, folder, indexed, text_of
from tests.e2e.loads import asking, loaded, picture, run, showing
from tests.e2e.sdk.launch import clean_environment
from tests.e2e.server_process import NewServer, ServerProcess
from tests.e2e.wire import begin, call, ended, get, until
from tests.services.tree_rules import tree_problems

PACED = "openai/paced-n40-i20-hash"


async def test_a_backup_under_load_is_whole(new_server: NewServer, tmp_path: Path) -> None:
    server = new_server()
    await asyncio.to_thread(server.start)
    shown = [
        (
            await call(server.port, "POST", "/v1/responses", {"model": "scripted/echo", "input": showing(n)})
        ).json()
        for n in range(20)
    ]
    async with client_of(server) as http:
        store, files = await folder(http, (text_of(n, 20_000) for n in range(4)))
        await indexed(http, store)
    streams = [
        await begin(server.port, "POST", "/v1/responses", asking(f"stream=s{n}", model=PACED, background=True,
                    stream=True)) for n in range(10)
    ]  # fmt: skip
    copies = [tmp_path / f"copy{number}" for number in range(2)]
    before: list[dict[str, str]] = []
    async with loaded(server) as acknowledged:
        for copy in copies:
            count = len(acknowledged)
            await until(lambda count=count: len(acknowledged) > count + 20, "more answers")
            before.append(dict(acknowledged))
            code, said = await run("backup", str(copy), "--data-dir", str(server.data))
            assert code == 0, said
    for stream in streams:
        await stream.end()
    assert len(before[1]) > len(before[0]) >= 20
    for copy, known in zip(copies, before, strict=True):
        restored = new_server()
        code, said = await run("restore", str(copy), "--data-dir", str(restored.data))
        assert code == 0, said
        await asyncio.to_thread(restored.start)
        restored.require_integrity()
        assert restored.query("PRAGMA integrity_check", name="knowledge.db") == [("ok",)]
        await until(  # a purge that was under way is finished by the start
            lambda data=restored.data: not tree_problems(data, at_rest=True), "a sound tree"
        )
        for identifier, text in known.items():
            answer = await get(restored.port, f"/v1/responses/{identifier}")
            assert answer["status"] == "completed" and text in str(answer["output"])
        for index, one in enumerate(shown):
            listed = await get(restored.port, f"/v1/responses/{one['id']}/input_items")
            assert listed["data"][0]["content"][1]["image_url"] == picture(index)
        for (run_id,) in restored.query("SELECT id FROM runs"):
            assert (await ended(restored.port, f"resp_{run_id}"))["status"] in ("completed", "failed")
        async with client_of(restored) as http:
            for file in files:
                assert (await http.get(f"/files/{file}/content")).status_code == 200
            found = await http.post(f"/vector_stores/{store}/search", json={"query": "the"})
            assert found.status_code == 200
        await asyncio.to_thread(restored.stop)


@pytest.fixture
async def backed_up(new_server: NewServer, tmp_path: Path) -> tuple[ServerProcess, Path, str]:
    """A killed server, a backup of what it left, and the id of an answer."""
    server = new_server()
    await asyncio.to_thread(server.start)
    answer = await call(server.port, "POST", "/v1/responses", {"model": "scripted/echo", "input": showing(1)})
    await asyncio.to_thread(server.kill)
    assert (server.data / "antiphon.db-wal").stat().st_size > 0
    code, said = await run("backup", str(tmp_path / "copy"), "--data-dir", str(server.data))
    assert code == 0, said
    assert "without" in said and not (tmp_path / "copy" / "secret_key").exists()
    return server, tmp_path / "copy", answer.json()["id"]


Backed = tuple[ServerProcess, Path, str]


async def test_what_a_killed_server_left_is_backed_up_and_replaces_data_only_if_forced(
    backed_up: Backed, new_server: NewServer
) -> None:
    _, copy, identifier = backed_up
    other = new_server()
    await asyncio.to_thread(other.start)
    gone = (await call(other.port, "POST", "/v1/responses", asking("of the old data"))).json()["id"]
    words = ("restore", str(copy), "--data-dir", str(other.data))
    code, said = await run(*words, "--force")
    assert code == 1 and "Another process" in said, "a server has the data"
    await asyncio.to_thread(other.kill)
    code, said = await run(*words)
    assert code == 1 and "not empty" in said
    await asyncio.to_thread(other.start)
    assert (await call(other.port, "GET", f"/v1/responses/{gone}")).status == 200
    await asyncio.to_thread(other.stop)
    code, said = await run(*words, "--force")
    assert code == 0, said
    await asyncio.to_thread(other.start)
    assert (await call(other.port, "GET", f"/v1/responses/{gone}")).status == 404
    listed = await get(other.port, f"/v1/responses/{identifier}/input_items")
    assert listed["data"][0]["content"][1]["image_url"] == picture(1)
    assert not {path.name for path in other.data.iterdir()} & {".restoring", "backup.json"}


async def test_a_backup_that_is_not_whole_changes_nothing(backed_up: Backed, tmp_path: Path) -> None:
    server, copy, _ = backed_up
    blob = next((copy / "blobs").glob("*/*/*"))
    database = copy / "antiphon.db"
    target = tmp_path / "target"

    async def refused(reason: str) -> None:
        code, said = await run("restore", str(copy), "--data-dir", str(target))
        assert code == 1 and reason in said, said
        assert {path.name for path in target.iterdir()} <= {"lock"}

    content = blob.read_bytes()
    blob.write_bytes(content[:-1] + b"?")
    await refused("is damaged")
    blob.unlink()
    await refused("1 contents are missing in blobs")
    blob.write_bytes(content)
    whole = database.read_bytes()
    database.write_bytes(whole[:5000] + b"x" + whole[5001:])
    await refused("antiphon.db is missing or not what was backed up")
    database.write_bytes(whole)
    (copy / "backup.json").rename(copy / "kept.json")
    code, said = await run("restore", str(copy), "--data-dir", str(target))
    assert code == 1 and "was not finished" in said
    (copy / "kept.json").rename(copy / "backup.json")
    code, said = await run("restore", str(copy), "--data-dir", str(target))
    assert code == 0, said
    code, said = await run("backup", str(copy), "--data-dir", str(server.data))
    assert code == 1 and "not empty" in said
    next((server.data / "blobs").glob("*/*/*")).unlink()
    code, said = await run("backup", str(tmp_path / "lame"), "--data-dir", str(server.data))
    assert code == 1 and "1 contents in 'blobs' are gone or damaged" in said
    code, said = await run("restore", str(tmp_path / "lame"), "--data-dir", str(tmp_path / "again"))
    assert code == 0, "what could be saved can be had"


async def test_what_was_purged_is_not_in_the_copy(new_server: NewServer, tmp_path: Path) -> None:
    server = new_server()
    await asyncio.to_thread(server.start)
    made = (await call(server.port, "POST", "/v1/conversations", {})).json()["id"]
    body = asking("xyzzy-canary", conversation=made)
    assert (await call(server.port, "POST", "/v1/responses", body)).status == 200
    assert (await call(server.port, "DELETE", f"/v1/conversations/{made}?purge=true")).status == 200
    code, said = await run("backup", str(tmp_path / "copy"), "--data-dir", str(server.data))
    assert code == 0, said
    assert b"xyzzy-canary" not in (tmp_path / "copy" / "antiphon.db").read_bytes()
    with sqlite3.connect(tmp_path / "copy" / "antiphon.db") as db:
        assert db.execute("PRAGMA freelist_count").fetchone() == (0,)


def test_with_postgresql_it_says_what_to_do(tmp_path: Path) -> None:
    process = subprocess.run(
        [sys.executable, "-m", "antiphon", "backup", str(tmp_path / "copy")], capture_output=True, text=True,
        env=clean_environment() | {"DATABASE_URL": "postgresql://x@localhost/x"}, check=False, timeout=30,
    )  # fmt: skip
    assert process.returncode == 1 and "pg_dump" in process.stderr
