from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.services.specified import C, conversation_c
from tests.services.tree_rules import tree_problems
from tests.services.world import World, open_world


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
