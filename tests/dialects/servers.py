"""Real servers for the walks: open on loopback, and one that wants credentials, with a token for it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.e2e.server_process import ServerProcess, running

USER = "ann"
PASSWORD = "correct horse battery staple"
OPEN = {
    "LIST_SCRIPTED_MODELS": "true",
    "DEFAULT_MODEL": "scripted/echo",
    "DRAIN_SECONDS": "1",
}
"""Settings of the open server; the model repeats what it is told."""
CLOSED = OPEN | {
    "AUTH_REQUIRED": "true",
    "SECRET_KEY": "0e6d41f8b2c97a5340e1f6b8d2a79c53e4b8016f",
    "SIGNUP": "open",
}


@dataclass(frozen=True)
class Served:
    """A running server; `token` is what its user shows, None where nobody needs one."""

    process: ServerProcess
    token: str | None

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.process.port

    @property
    def http(self) -> httpx.Client:
        """A client with the token."""
        headers = {"authorization": f"Bearer {self.token}"} if self.token else {}
        url = f"http://127.0.0.1:{self.port}"
        return httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=30)


@contextlib.contextmanager
def open_server(directory: Path, **settings: str) -> Iterator[Served]:
    """Run a server that needs no credential."""
    with running(directory, OPEN | settings) as process:
        yield Served(process, None)


@contextlib.contextmanager
def closed_server(directory: Path, **settings: str) -> Iterator[Served]:
    """Run a server that wants credentials, and sign its user up."""
    with running(directory, CLOSED | settings) as process:
        yield Served(process, sign_up(process.port, USER))


def sign_up(port: int, name: str) -> str:
    """Make an account and log in; returns the token."""
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as http:
        made = http.post("/v1/auth/signup", json={"username": name, "password": PASSWORD})
        assert made.status_code == 202, made.text
        login = http.post("/token", json={"username": name, "password": PASSWORD})
        token: str = login.json()["access_token"]
        return token
