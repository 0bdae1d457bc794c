"""Port `Attempts`: what every adapter promises."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from antiphon.ports.attempts import Attempts
from antiphon.storage.memory.attempts import FAILURES, WINDOW_SECONDS
from tests.contracts.adapters import ATTEMPTS


@pytest.fixture
def now() -> list[float]:
    """The seconds, which go on when the test says so."""
    return [1_000_000.0]


@pytest.fixture(params=ATTEMPTS)
async def attempts(request: pytest.FixtureRequest, now: list[float]) -> AsyncIterator[Attempts]:
    async with ATTEMPTS[request.param](lambda: now[0]) as opened:
        yield opened


async def test_too_many_failures_block_a_name_until_the_oldest_is_over(
    attempts: Attempts, now: list[float]
) -> None:
    for number in range(FAILURES):
        assert await attempts.blocked_seconds("ada") == 0
        now[0] += number
        await attempts.failed("ada")
    passed = sum(range(1, FAILURES))
    assert await attempts.blocked_seconds("ada") == pytest.approx(WINDOW_SECONDS - passed)
    now[0] += WINDOW_SECONDS - passed
    assert await attempts.blocked_seconds("ada") == 0
    await attempts.failed("ada")
    assert await attempts.blocked_seconds("ada") == pytest.approx(1.0)


async def test_names_of_any_length_and_kind_are_told_apart(attempts: Attempts) -> None:
    names = ["", "ada", "ada ", "x" * 100_000, "x" * 100_001, "\ud800", "a\nb", "*"]
    for number, name in enumerate(names):
        if number % 2:
            for _ in range(FAILURES):
                await attempts.failed(name)
    assert [await attempts.blocked_seconds(name) > 0 for name in names] == [False, True] * 4
