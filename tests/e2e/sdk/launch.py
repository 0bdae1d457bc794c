"""Starts the real server as a process of its own and ends it again."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests import warm
from tests.ports import free_port

START_SECONDS = 60.0
STOP_SECONDS = 15.0
FOREIGN_SETTINGS = ("OPENAI_", "GROQ_", "HF_", "ANTIPHON_", "LANGSMITH_", "LANGCHAIN_", "MONGODB_", "REDIS_")
"""Settings of whoever runs the tests must reach neither the server nor the clients."""
PROXIES = ("http_proxy", "https_proxy", "all_proxy")


@dataclass(frozen=True)
class Server:
    """A running server: where it listens and how to look at it from outside."""

    origin: str
    process: warm.Running
    log_path: Path

    @property
    def base_url(self) -> str:
        """What a client is given as its base URL."""
        return f"{self.origin}/v1"

    @property
    def websocket_url(self) -> str:
        """Where the Responses API's WebSocket mode listens."""
        return f"{self.base_url.replace('http', 'ws', 1)}/responses"

    def log_tail(self, lines: int = 40) -> str:
        """The last lines the server wrote."""
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])


def clean_environment() -> dict[str, str]:
    """The caller's environment without settings of this server, of model services or of proxies."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(FOREIGN_SETTINGS) and name.lower() not in PROXIES
    }


@contextmanager
def running_server(directory: Path, settings: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Run `python -m antiphon serve` with its data under `directory` until the block ends."""
    port = free_port()
    environment = clean_environment() | {
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "DATA_DIR": str(directory / "data"),
        **(settings or {}),
    }
    log_path = directory / "server.log"
    with log_path.open("wb") as log:
        process = warm.popen(["serve"], env=environment, cwd=directory, log=log.fileno())
    server = Server(f"http://127.0.0.1:{port}", process, log_path)
    try:
        _wait_until_healthy(server)
        yield server
    finally:
        _stop(process)


def _wait_until_healthy(server: Server) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            raise AssertionError(f"the server ended at once:\n{server.log_tail()}")
        try:
            if httpx.get(f"{server.origin}/health", timeout=2, trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"no healthy server after {START_SECONDS:.0f} s:\n{server.log_tail()}")


def _stop(process: warm.Running) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(STOP_SECONDS)
        raise AssertionError(f"the server did not stop within {STOP_SECONDS:.0f} s of SIGTERM") from None
