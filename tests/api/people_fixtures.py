"""A server that wants credentials, its people, and a clock that can be set forward."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from antiphon import bootstrap
from antiphon.domain.accounts import Account
from antiphon.ports.external_logins import LoginProvider
from tests.api.client import in_process
from tests.harness.people import SECRET_KEY, Person, log_in, make_account, make_person
from tests.services.world import World, open_world


class FastClock(bootstrap.SystemClock):
    """The system's clocks, set forward by hand."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def forward(self, seconds: float) -> None:
        self.ahead += seconds

    def now_us(self) -> int:
        return super().now_us() + int(self.ahead * 1e6)

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


class Town:
    """A world, a client without credentials, and whoever is made."""

    def __init__(self, world: World, http: httpx.AsyncClient, clock: FastClock) -> None:
        self.world = world
        self.http = http
        self.clock = clock

    async def account(self, name: str, **fields: Any) -> Account:
        return await make_account(self.world.storage, name, **fields)  # type: ignore[arg-type]

    async def person(self, name: str, **fields: Any) -> Person:
        return await make_person(self.world.storage, self.http, name, **fields)  # type: ignore[arg-type]

    async def again(self, person: Person) -> Person:
        """The same person on another device."""
        response = await log_in(self.http, person.account.name)
        assert response.status_code == 200
        return Person(self.http, person.account, response.json())


@asynccontextmanager
async def opened_town(
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    logins: Mapping[str, LoginProvider] | None = None,
    **settings: Any,
) -> AsyncIterator[Town]:
    clock = FastClock()
    monkeypatch.setattr("tests.services.world.SystemClock", lambda: clock)
    # In a town an answer may be held for ever.
    monkeypatch.setattr("antiphon.services.turn_order.PATIENCE_SECONDS", 0.05)
    wanted = {"auth_required": True, "secret_key": SECRET_KEY, **settings}
    world = await open_world(directory, logins=logins, list_scripted_models=True, **wanted)
    try:
        async with in_process(world) as api:
            yield Town(world, api.http, clock)
    finally:
        await world.close()
