"""A real server for the conformance tests, and a plain HTTP client to it."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.e2e.sdk.launch import Server, running_server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One real server process for all conformance tests."""
    with running_server(tmp_path_factory.mktemp("conformance-server")) as running:
        yield running


@pytest.fixture(scope="session")
def http(server: Server) -> Iterator[httpx.Client]:
    """An HTTP client whose paths are relative to /v1, with a key as every SDK sends one."""
    with httpx.Client(
        base_url=server.base_url, headers={"Authorization": "Bearer sk-any"}, timeout=30, trust_env=False
    ) as client:
        yield client
