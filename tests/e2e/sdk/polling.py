"""Waiting for something that another process does, never longer than a bound."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

Found = TypeVar("Found")

PATIENCE_SECONDS = 30.0
INTERVAL_SECONDS = 0.05


def eventually(probe: Callable[[], Found | None], seconds: float = PATIENCE_SECONDS) -> Found:
    """The first thing `probe` returns that is not None; fails when the time is up."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if (found := probe()) is not None:
            return found
        time.sleep(INTERVAL_SECONDS)
    raise AssertionError(f"nothing within {seconds:.0f} s")


async def eventually_async(
    probe: Callable[[], Awaitable[Found | None]], seconds: float = PATIENCE_SECONDS
) -> Found:
    """`eventually` for a probe that has to be awaited."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if (found := await probe()) is not None:
            return found
        await asyncio.sleep(INTERVAL_SECONDS)
    raise AssertionError(f"nothing within {seconds:.0f} s")
