"""A warm start is a start: what it is given, how it ends, and nothing of another one's."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests import warm
from tests.e2e.sdk.launch import clean_environment, running_server
from tests.e2e.server_process import eventually

pytestmark = pytest.mark.skipif(not warm.POSSIBLE, reason="needs Linux")


@contextmanager
def started(directory: Path, *words: str) -> Iterator[warm.Process]:
    with (directory / "log").open("wb") as log:
        process = warm.start(
            words, env=clean_environment() | {"DATA_DIR": str(directory / "data")}, cwd=directory,
            stdout=log.fileno(), stderr=log.fileno(),
        )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


def test_it_has_the_directory_and_the_environment_it_is_given_and_ends_with_its_code(tmp_path: Path) -> None:
    (tmp_path / "config.ini").write_text("[redis]\nhots=x")
    environment = clean_environment() | {"DATA_DIR": str(tmp_path / "data")}
    done = warm.run(["serve", "--config", "config.ini"], env=environment, cwd=tmp_path, timeout=60)
    assert done.returncode == 2 and "hots" in done.stderr and done.stdout == ""
    done = warm.run(["--version"], env=environment, cwd=tmp_path, timeout=60)
    assert done.returncode == 0 and done.stdout.startswith("antiphon ") and done.stderr == ""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_signals_reach_it_and_its_end_is_seen(tmp_path: Path, number: int) -> None:
    with started(tmp_path, "serve", "--port", "0") as process:
        log = tmp_path / "log"
        eventually(lambda: process.poll() is not None or "http://" in log.read_text(), "a greeting", 30)
        assert process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.01)
        process.send_signal(number)
        assert process.wait(30) in {0, -number}
        assert not Path(f"/proc/{process.pid}").exists()
        process.send_signal(number)  # of which nothing comes


def test_two_of_them_make_ids_and_secrets_of_their_own(tmp_path: Path) -> None:
    made = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        with running_server(tmp_path / name) as server:
            talk = httpx.post(f"{server.base_url}/conversations", json={}, trust_env=False).json()
            key = httpx.post(f"{server.base_url}/api_keys", json={"name": "x"}, trust_env=False)
            made.append((talk["id"], json.dumps(key.json())))
    assert made[0][0] != made[1][0] and made[0][1] != made[1][1]
