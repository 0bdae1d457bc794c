from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping

import pytest
import uvloop

from antiphon.providers.http_client import HttpClient
from tests.harness.identity_provider import IdentityProvider, identity_provider
from tests.harness.upstream import Upstream

ON_BOTH_LOOPS = {"test_http_client", "test_http_streams", "test_http_limits", "test_openai_compatible"}


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """What touches sockets runs on asyncio's own loop and on uvloop, since they differ in the small print."""
    loops: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    if item.path.stem in ON_BOTH_LOOPS:
        loops["uvloop"] = uvloop.new_event_loop
    return loops


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    made = HttpClient()
    yield made
    await made.close()


@pytest.fixture
async def client(http: HttpClient) -> HttpClient:
    return http


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as running:
        yield running


@pytest.fixture(scope="module")
def running_idp() -> Iterator[IdentityProvider]:
    with identity_provider() as provider:
        yield provider


@pytest.fixture
def idp(running_idp: IdentityProvider) -> IdentityProvider:
    running_idp.reset()
    return running_idp
