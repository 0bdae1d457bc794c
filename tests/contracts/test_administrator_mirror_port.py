"""Port `AdministratorMirror`: what every adapter promises."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from antiphon.ports.administrator_mirror import Mirrored
from tests.contracts.adapters import MIRRORS, KeptMirror


@pytest.fixture(params=MIRRORS)
async def kept(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[KeptMirror]:
    async with MIRRORS[request.param](tmp_path) as opened:
        yield opened


async def test_a_new_place_asks_for_nothing(kept: KeptMirror) -> None:
    assert await kept.mirror.read() == Mirrored(None, None)
    assert not (await kept.mirror.read()).wants_reset


async def test_what_is_written_last_is_there(kept: KeptMirror) -> None:
    for account in ("a" * 32, "b" * 32):
        await kept.mirror.write(account, "admin")
        assert await kept.mirror.read() == Mirrored(account, account)


async def test_a_deleted_key_asks_for_a_reset_and_an_emptied_place_does_not(
    kept: KeptMirror,
) -> None:
    await kept.mirror.write("a" * 32, "admin")
    await kept.delete_key()
    found = await kept.mirror.read()
    assert found == Mirrored(None, "a" * 32) and found.wants_reset
    await kept.mirror.write("a" * 32, "admin")
    assert not (await kept.mirror.read()).wants_reset
    await kept.empty()
    assert not (await kept.mirror.read()).wants_reset
