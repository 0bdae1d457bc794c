from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from antiphon.services.runs import journal as journal_module
from tests.harness.library import library
from tests.services.specified import C, conversation_c
from tests.services.tree_rules import tree_problems
from tests.services.world import World, open_world

__all__ = ["library"]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A running core; after every test its store must still hold nothing but trees."""
    opened = await open_world(tmp_path / "data")
    try:
        yield opened
    finally:
        await opened.close()
    assert tree_problems(tmp_path / "data") == []


@pytest.fixture
async def c(world: World) -> C:
    """The conversation of the specification."""
    return await conversation_c(world)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal that gives up after a quarter of a second."""
    monkeypatch.setattr(journal_module, "GIVE_UP_SECONDS", 0.25)
    monkeypatch.setattr(journal_module, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(journal_module, "MAX_PAUSE_SECONDS", 0.05)
