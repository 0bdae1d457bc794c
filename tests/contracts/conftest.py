from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from antiphon.ports.knowledge import Knowledge
from antiphon.ports.storage import Storage
from tests import mongo
from tests.contracts.adapters import KNOWLEDGES, STORAGES

IN_MONGODB_ALONE = frozenset(
    f"test_{name}"
    for name in (
        "tree_port", "conversations_and_runs_ports", "purge_port", "journal_port", "history_port",
        "branch_forks_port", "chat_sessions_port", "aliases_port", "known_prefixes", "index_filters",
        "index_machine", "passage_index_port", "vectors_port",
    )
)  # fmt: skip
"""Suites of what lies in MongoDB, whichever SQL store has the accounts beside it: one of the two does."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what would be shown a second time, by the slowest server of all."""
    twice = [one for one in items if "mongo+postgres" in one.name and one.path.stem in IN_MONGODB_ALONE]
    if twice:
        config.hook.pytest_deselected(items=twice)
        left_out = set(twice)
        items[:] = [one for one in items if one not in left_out]


Reopen = Callable[[], AbstractAsyncContextManager[Storage]]


@pytest.fixture(params=STORAGES)
def opening(request: pytest.FixtureRequest, tmp_path: Path) -> Reopen:
    """Opens the adapter under test on the test's own store, as often as it is called."""
    if request.param.startswith("mongo") and not mongo.is_there():
        pytest.skip(mongo.ABSENT)
    return lambda: STORAGES[request.param](tmp_path / "data")


@pytest.fixture(params=KNOWLEDGES)
async def knowledge(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Knowledge]:
    """An empty store of knowledge."""
    async with KNOWLEDGES[request.param](tmp_path / "data") as opened:
        yield opened


@pytest.fixture
async def storage(opening: Reopen) -> AsyncIterator[Storage]:
    """An empty store; when it is closed, nothing of it may run on."""
    async with opening() as opened:
        yield opened
    # Those of pymongo are the tests' own: what looks into their MongoDB is no coroutine.
    loops_own = ("MainThread", "asyncio", "uvloop", "upstream", "pymongo")
    left = [thread.name for thread in threading.enumerate() if not thread.name.startswith(loops_own)]
    assert left == []
