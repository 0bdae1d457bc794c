from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.api.client import Api, in_process, over_sockets
from tests.api.people_fixtures import Town, opened_town
from tests.api.searching import SENTENCE
from tests.harness.identity_provider import IdentityProvider, identity_provider
from tests.harness.library import Library, library
from tests.harness.people import Person
from tests.services.tree_rules import tree_problems
from tests.services.world import World, open_world

__all__ = ["library"]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """What stands behind the application under test."""
    opened = await open_world(tmp_path / "data", list_scripted_models=True)
    try:
        yield opened
    finally:
        await opened.close()
    assert tree_problems(tmp_path / "data") == []


@pytest.fixture
async def api(world: World) -> AsyncIterator[Api]:
    """The application, called without a network."""
    async with in_process(world) as client:
        yield client


@pytest.fixture
async def served(world: World) -> AsyncIterator[tuple[Api, int]]:
    """The application behind a real socket: streams arrive while they are made."""
    async with over_sockets(world) as client:
        yield client


@pytest.fixture
async def docs(library: Library) -> str:
    """A collection with a file that answers a question."""
    made = await library.collection()
    await library.add(made, "bees.txt", f"{SENTENCE} They sting.\n\nWasps hunt.", pages=True, topic="insects")
    return made


@pytest.fixture
async def town(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Town]:
    """A server that wants credentials."""
    async with opened_town(tmp_path / "data", monkeypatch) as opened:
        yield opened


@pytest.fixture
async def operated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Town]:
    """The same with the operator's own key."""
    key = "k" * 20 + "0123456789abcdef"
    async with opened_town(tmp_path / "data", monkeypatch, api_key=key) as opened:
        yield opened


@pytest.fixture(scope="module")
def running_idp() -> Iterator[IdentityProvider]:
    with identity_provider() as provider:
        yield provider


@pytest.fixture
def idp(running_idp: IdentityProvider) -> IdentityProvider:
    running_idp.reset()
    return running_idp


@pytest.fixture
async def root(town: Town) -> Person:
    """An administrator who is logged in."""
    return await town.person("root2", role="admin")
