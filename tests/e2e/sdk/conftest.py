"""Fixtures for tests with the clients people really use: one server process for all of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from openai import OpenAI

from tests.e2e.sdk.launch import Server, running_server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One real server process for the whole session."""
    with running_server(tmp_path_factory.mktemp("sdk-server")) as running:
        yield running


@pytest.fixture(scope="session")
def client(server: Server) -> Iterator[OpenAI]:
    """The official Python SDK; it tries everything once, so that a failure is not repaired by luck."""
    with OpenAI(base_url=server.base_url, api_key="sk-any", max_retries=0, timeout=30) as sdk:
        yield sdk
