"""Fixtures of the fault tests: a scripted upstream, and a server in front of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.server_process import NewServer, ServerProcess, running, upstream_settings
from tests.harness.upstream import Upstream, upstream_in_thread


@pytest.fixture(scope="session")
def upstream() -> Iterator[Upstream]:
    """One scripted model server for all fault tests, in a thread of its own."""
    with upstream_in_thread() as running_upstream:
        yield running_upstream


@pytest.fixture(scope="module")
def node(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One healthy server for the tests of a module that do not hurt it."""
    settings = upstream_settings(upstream, MAX_BODY_BYTES="262144", DRAIN_SECONDS="1")
    with running(tmp_path_factory.mktemp("node"), settings) as server:
        yield server


@pytest.fixture
def new_server(upstream: Upstream, tmp_path: Path) -> Iterator[NewServer]:
    """Makes servers in front of the upstream, which are ended with the test."""
    made: list[ServerProcess] = []

    def make(*, patch: str = "", **settings: str) -> ServerProcess:
        directory = tmp_path / f"server{len(made)}"
        directory.mkdir()
        made.append(ServerProcess(directory, upstream_settings(upstream, **settings), patch=patch))
        return made[-1]

    yield make
    for server in made:
        server.stop()
