"""Callers under limits, and what counters and ledger say of them."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from antiphon.domain.accounts import Principal
from antiphon.domain.errors import RateLimited
from antiphon.domain.limits import EVERYONE, Limit, new_limit
from tests.services.world import World

WINDOW = 8_192
"""The context window of models of which nothing else is said."""


def limited(who: Principal, *limits: Limit) -> Principal:
    """The same person under limits."""
    return msgspec.structs.replace(who, limits=limits)


def day(metric: Any, amount: int, *, scope: str = EVERYONE, model: str = "") -> Limit:
    return new_limit(scope, metric, "day", amount, model)


def counted(world: World) -> dict[str, tuple[int, int]]:
    """Counters by their metric: used and reserved."""
    rows = world.rows("SELECT counter,used,reserved FROM quota_counters")
    return {name.split("|", 1)[1]: (used, reserved) for name, used, reserved in rows}


def ledger(world: World) -> tuple[int, int, int]:
    """Requests, tokens and cost of all lines."""
    return world.rows(
        "SELECT COUNT(*),COALESCE(SUM(tokens_in+tokens_out),0),COALESCE(SUM(cost),0) FROM ledger"
    )[0]  # type: ignore[return-value]


async def settled(world: World) -> None:
    """Wait until nothing is reserved and all that was to be written is."""
    async with asyncio.timeout(10):
        while world.rows("SELECT 1 FROM quota_reservations"):
            await world.storage.unit_of_work.commit()


async def refused(world: World, who: Principal, **fields: Any) -> RateLimited:
    with pytest.raises(RateLimited) as caught:
        await world.begin("hello", who=who, **fields)
    return caught.value
