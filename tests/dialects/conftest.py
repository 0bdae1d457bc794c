"""The fixtures of the API's tests serve the dialects too; besides, worlds with another default model."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from antiphon.bootstrap import SystemClock
from antiphon.providers.scripted import Scripted
from antiphon.services.models import Models, Retrying
from tests.api.client import Api, in_process, over_sockets
from tests.api.conftest import api, served, town, world
from tests.services.hand import BROKEN, HAND, Hand
from tests.services.tree_rules import tree_problems
from tests.services.world import World, open_world

__all__ = ["api", "broken", "held", "served", "town", "world"]


@asynccontextmanager
async def world_of(directory: Path, default_model: str) -> AsyncIterator[World]:
    """A world in which who names no model gets this one."""
    hand = Hand()
    models = Models(
        {hand.name: hand, Scripted.name: Scripted()}, clock=SystemClock(), retrying=Retrying(retries=0),
        default_model=default_model,
    )  # fmt: skip
    opened = await open_world(directory, models=models, list_scripted_models=True)
    opened.hand = hand
    try:
        yield opened
    finally:
        await opened.close()
    assert tree_problems(directory) == []


@pytest.fixture
async def held(tmp_path: Path) -> AsyncIterator[Api]:
    """A server on a socket whose model says nothing before the test does."""
    async with world_of(tmp_path / "held", HAND) as opened, over_sockets(opened) as (client, _):
        yield client


@pytest.fixture
async def broken(tmp_path: Path) -> AsyncIterator[Api]:
    """A server whose model fails before its first word."""
    async with world_of(tmp_path / "broken", BROKEN) as opened, in_process(opened) as client:
        yield client
