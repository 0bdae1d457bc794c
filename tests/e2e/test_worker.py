"""Workers: documents are read by processes of their own, and what a killed one leaves another ends."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from tests import postgres
from tests.e2e.library import client_of, counts, folder, text_of
from tests.e2e.sdk.launch import clean_environment
from tests.e2e.server_process import NewServer, ServerProcess
from tests.e2e.test_several_servers import start
from tests.e2e.test_shared_knowledge import PATCH
from tests.e2e.wire import call, until

FILES = 60
LOOKS = 3.0
"""Seconds in which a server that did this work itself would have begun: it looks every 2."""


def worker(new_server: NewServer, directory: Path) -> ServerProcess:
    made = new_server(patch=PATCH, DATABASE_URL=postgres.prepared(directory), DRAIN_SECONDS="0")
    made.command = "worker"
    made.launch()
    return made


async def test_what_servers_leave_to_workers_a_second_one_ends_for_a_killed_first(
    new_server: NewServer, tmp_path: Path
) -> None:
    (server,) = start(new_server, tmp_path, 1, PATCH, BACKGROUND_JOBS="workers")
    async with client_of(server) as http:
        store, _ = await folder(http, (text_of(n, 4_000) for n in range(FILES)))
        await asyncio.sleep(LOOKS)
        assert (await counts(http, store))["in_progress"] == FILES, "the server does nothing of it"

        async def completed(most: int) -> bool:
            return (await counts(http, store))["completed"] >= most

        first = worker(new_server, tmp_path)
        await until(lambda: completed(3), "a worker reads", seconds=60)
        await asyncio.to_thread(first.kill)
        left = (await counts(http, store))["in_progress"]
        assert (await call(server.port, "GET", "/health")).status == 200
        second = worker(new_server, tmp_path)
        await until(lambda: completed(FILES), "another worker reads the rest", seconds=90)
        found = await counts(http, store)
        assert left > 0 and (found["failed"], found["total"]) == (0, FILES)
        second.terminate()
        assert await asyncio.to_thread(second.wait, 30) == 0, "a worker that is told to stop ends well"


def test_a_worker_of_an_embedded_store_is_refused_with_a_sentence(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "antiphon", "worker"], cwd=tmp_path, capture_output=True, text=True,
        env=clean_environment() | {"DATA_DIR": str(tmp_path / "data")}, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1 and "needs DATABASE_URL" in done.stderr


def test_a_server_without_a_database_cannot_leave_its_work_to_others(tmp_path: Path) -> None:
    environment = clean_environment() | {"DATA_DIR": str(tmp_path / "data"), "BACKGROUND_JOBS": "workers"}
    done = subprocess.run(
        [sys.executable, "-m", "antiphon", "serve"], cwd=tmp_path, capture_output=True, text=True,
        env=environment, timeout=60,
    )  # fmt: skip
    assert done.returncode != 0 and "needs DATABASE_URL" in done.stderr
