"""A container's health check says whether the server lives, also where it is closed to strangers."""

from __future__ import annotations

import subprocess
import sys

from tests.e2e.sdk.launch import clean_environment
from tests.e2e.server_process import NewServer
from tests.harness.people import SECRET_KEY
from tests.ports import free_port


def alive(port: int) -> int:
    return subprocess.run(
        [sys.executable, "-m", "antiphon.cli.alive"], env=clean_environment() | {"PORT": str(port)},
        check=False, timeout=20,
    ).returncode  # fmt: skip


def test_the_health_check_of_a_closed_server(new_server: NewServer) -> None:
    server = new_server(AUTH_REQUIRED="true", SECRET_KEY=SECRET_KEY, ALLOWED_HOSTS="chat.example.org")
    server.start()
    assert alive(server.port) == 0
    server.kill()
    assert alive(server.port) == 1
    assert alive(free_port()) == 1
