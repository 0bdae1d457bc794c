"""Documents and searches of several servers on one PostgreSQL: whoever is given them, all have them.

What a server was doing when it was killed another ends; holds are short here, for a test's patience.
"""

from __future__ import annotations

import asyncio
import base64
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from antiphon.storage.sql.migrate import SCHEMA
from tests import postgres
from tests.e2e.library import client_of, counts, folder, indexed, text_of, upload
from tests.e2e.server_process import NewServer, ServerProcess, eventually
from tests.e2e.test_several_servers import HURRIED, start
from tests.e2e.two_people import PROTECTED, Asker, person
from tests.e2e.wire import call, get, until

PATCH = f"""{HURRIED}
from antiphon.services import history, history_marks, ingestion
ingestion.HOLD_SECONDS = 3.0
history.LOOK_AROUND_SECONDS = 0.5
history_marks.DEAD_US = 3_000_000
"""
FILES = 200
CANARY = "canaryoftheothers"


@pytest.fixture
def servers(new_server: NewServer, tmp_path: Path) -> Iterator[list[ServerProcess]]:
    """Two servers on one database, started."""
    yield start(new_server, tmp_path, 2, PATCH)


def rows(directory: Path, statement: str) -> list[tuple[Any, ...]]:
    """Look into the database beside the servers."""
    return postgres.look(directory, lambda db: [tuple(row) for row in db.execute(statement)], schema=SCHEMA)


async def test_what_one_server_is_given_every_server_answers_from(servers: list[ServerProcess]) -> None:
    one, two = servers
    await require_heard(one, two)
    long = text_of(7, 700_000)
    said = "The harbour master keeps the golden key of the lighthouse in the cellar."
    async with client_of(one) as here, client_of(two) as there:
        file = await upload(here, f"{long}\n\n{said}".encode(), "harbour.md")
        assert (await there.get(f"/files/{file}/content")).content == f"{long}\n\n{said}".encode()
        store = (await there.post("/vector_stores", json={"name": "s", "file_ids": [file]})).json()["id"]
        assert (await indexed(there, store))["completed"] == 1
        for http in (here, there):
            found = await http.post(
                f"/vector_stores/{store}/search", json={"query": "who has the golden key"}
            )
            assert said in found.json()["data"][0]["content"][0]["text"]
        asked = {
            "model": "scripted/cites", "input": "Where is the golden key of the lighthouse?",
            "tools": [{"type": "file_search", "vector_store_ids": [store]}],
        }  # fmt: skip
        answer = (await there.post("/responses", json=asked)).json()
        (cited, *_) = answer["output"][-1]["content"][0]["annotations"]
        quote = cited["antiphon"]
        span = {"start": quote["start"], "end": quote["end"]}
        for http in (here, there):
            text = await http.get(f"/files/{file}/versions/{quote['version']}/text", params=span)
            assert text.json()["text"] == quote["quote"]
        assert cited["file_id"] == file
        assert (await here.delete(f"/files/{file}")).json()["deleted"]
        assert (await there.get(f"/files/{file}/content")).status_code == 404
        gone = await there.post(f"/vector_stores/{store}/search", json={"query": "golden key"})
        assert gone.json()["data"] == []


async def require_heard(one: ServerProcess, two: ServerProcess) -> None:
    """What is said to one server is shown by the other, with its picture, and found."""
    picture = "data:image/png;base64," + base64.b64encode(random.Random(1).randbytes(150_000)).decode()
    content = [{"type": "input_text", "text": "a lighthouse"}, {"type": "input_image", "image_url": picture}]
    body = {"model": "scripted/echo", "input": [{"role": "user", "content": content}]}
    answer = (await call(one.port, "POST", "/v1/responses", body)).json()
    items = await get(two.port, f"/v1/responses/{answer['id']}/input_items")
    assert items["data"][0]["content"][1]["image_url"] == picture

    async def found() -> bool:
        return bool((await get(two.port, "/v1/search?query=lighthouse&role=user"))["data"])

    await until(found, "a message said to the other server", seconds=15)


async def test_what_a_killed_server_was_indexing_another_ends(
    servers: list[ServerProcess], tmp_path: Path
) -> None:
    one, two = servers
    async with client_of(one) as here:
        store, files = await folder(here, (text_of(n, 2_000 + 100 * (n % 40)) for n in range(FILES)))
        await until(lambda: _completed(tmp_path) > 10, "some files are indexed", seconds=60)
        said = await call(one.port, "POST", "/v1/responses", {"model": "scripted/echo", "input": "lastwords"})
        assert said.status == 200
        await asyncio.to_thread(one.kill)
    left = FILES - _completed(tmp_path)
    async with client_of(two) as there:
        began = asyncio.get_running_loop().time()
        while (found := await counts(there, store))["in_progress"]:
            await asyncio.sleep(0.2)
            assert asyncio.get_running_loop().time() - began < 90
        assert left > 0 and (found["completed"], found["failed"], found["total"]) == (FILES, 0, FILES)
        parts = (await there.get(f"/vector_stores/{store}/files/{files[150]}/content")).json()["data"]
        assert "".join(part["text"] for part in parts).strip() == text_of(150, 2_000 + 100 * 30).strip()

    async def remembered() -> bool:
        return bool((await get(two.port, "/v1/search?query=lastwords"))["data"])

    await until(remembered, "what was said last to a server that is gone", seconds=30)
    swept = "SELECT 1 FROM sources WHERE state<>'live'"
    await asyncio.to_thread(eventually, lambda: not rows(tmp_path, swept), "what was given up is swept", 40)
    require_whole(tmp_path)


def _completed(directory: Path) -> int:
    return int(rows(directory, "SELECT COUNT(*) FROM members WHERE state='completed'")[0][0])


def require_whole(directory: Path) -> None:
    """Every file is indexed once: one live source each, its passages without gap, nothing else left."""
    of_files = "SELECT COUNT(*),COUNT(DISTINCT ref_id) FROM sources WHERE kind='file'"
    assert rows(directory, of_files) == [(FILES, FILES)]
    for nothing in (
        "SELECT s.no FROM sources s JOIN passages p ON p.source_no=s.no WHERE s.kind='file'"
        " GROUP BY s.no HAVING COUNT(*)<>MAX(p.ordinal)+1 OR COUNT(*)<>MAX(s.passages)",
        "SELECT 1 FROM passages WHERE source_no NOT IN (SELECT no FROM sources)",
        "SELECT 1 FROM members m WHERE NOT EXISTS (SELECT 1 FROM sources s WHERE s.id=m.source_id)",
        "SELECT item_id FROM passages WHERE item_id<>'' GROUP BY item_id,ordinal HAVING COUNT(*)>1",
        "SELECT 1 FROM contents WHERE digest IS NULL",
    ):
        assert rows(directory, nothing) == [], nothing
    assert rows(directory, "SELECT COUNT(*) FROM contents") == [(FILES,)]


async def test_nobody_finds_a_strangers_documents_at_any_server(
    new_server: NewServer, tmp_path: Path
) -> None:
    settings = {name: value for name, value in PROTECTED.items() if name != "DRAIN_SECONDS"}
    servers = await asyncio.to_thread(start, new_server, tmp_path, 2, PATCH, **settings)
    ann, bob = await person(servers[0].port, "ann"), await person(servers[1].port, "bob")
    async with client_of(servers[0]) as http:
        http.headers["authorization"] = f"Bearer {ann.token}"
        file = await upload(http, f"the {CANARY} sings".encode(), "secret.txt")
        store = (await http.post("/vector_stores", json={"file_ids": [file]})).json()["id"]
        assert (await indexed(http, store))["completed"] == 1
    for server in servers:
        asker = Asker(server.port, bob.token)
        assert CANARY.encode() not in bytes((await asker.call("GET", f"/v1/search?query={CANARY}")).body)
        for method, path, body in (
            ("GET", "/v1/files/{}", None), ("GET", "/v1/files/{}/content", None),
            ("GET", "/v1/vector_stores/{}", None), ("POST", "/v1/vector_stores/{}/search", {"query": CANARY}),
        ):  # fmt: skip
            theirs = file if "files" in path else store
            never = theirs[:-4] + ("0000" if theirs[-4:] != "0000" else "1111")
            answers = [await asker.call(method, path.format(one), body) for one in (theirs, never)]
            assert [one.status for one in answers] == [404, 404]
            shown = [
                bytes(one.body).replace(of.encode(), b"ID")
                for one, of in zip(answers, (theirs, never), strict=True)
            ]
            assert shown[0] == shown[1]
        listed = [
            (await asker.call("GET", f"/v1/{what}")).json()["data"] for what in ("files", "vector_stores")
        ]
        assert listed == [[], []]
