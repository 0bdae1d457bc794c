"""Which store holds passages, their words and their vectors: that of files, or MongoDB.

Their catalogue, and with it whether they are seen, is in SQL wherever they are.
"""

from __future__ import annotations

import secrets
from contextlib import AsyncExitStack
from types import ModuleType
from typing import Any

import structlog

from antiphon.domain.errors import Unavailable
from antiphon.settings import Settings
from antiphon.storage.sql import knowledge_elsewhere as elsewhere
from antiphon.storage.sql.knowledge_ports import KnowledgePorts
from antiphon.storage.sql.knowledge_store import EVERYBODY

log = structlog.get_logger(__name__)


async def place_passages(stack: AsyncExitStack, settings: Settings, ports: KnowledgePorts) -> None:
    """Give a store of knowledge the index that is configured, until `stack` closes; raises Unavailable.

    Where that is another one than before, everything is indexed again.
    """
    cache_bytes = settings.knowledge_cache_mb << 20
    url = settings.mongodb_url.get_secret_value() if settings.mongodb_url is not None else None
    if url is not None and await _chosen(settings, ports) == elsewhere.MONGODB:
        await _put(stack, await _driver().open_passages(url, ports, cache_bytes=cache_bytes), ports)
        return
    if await ports.store.read(elsewhere.kept_in) == elsewhere.HERE:
        return
    if url is not None:
        await _driver().erase_passages(url, ports)
    if await ports.store.write(EVERYBODY, elsewhere.move, ports.engine, elsewhere.HERE):
        log.info("passages are in SQL from now on; documents and conversations are indexed again")


async def _chosen(settings: Settings, ports: KnowledgePorts) -> str:
    """Return where passages are to be: where they are, unless it is said or there are none yet."""
    if settings.knowledge_index != "auto":
        return settings.knowledge_index
    place = await ports.store.read(elsewhere.kept_in)
    if place == elsewhere.HERE:
        return elsewhere.MONGODB if await ports.store.read(elsewhere.is_empty) else place
    return place


async def _put(stack: AsyncExitStack, index: Any, ports: KnowledgePorts) -> None:
    stack.push_async_callback(index.close)
    ports.index, ports.scopes, ports.vectors = index.index, index.scopes, index.vectors


async def place_benchmark(stack: AsyncExitStack, settings: Settings, ports: KnowledgePorts) -> None:
    """Give a store for a measurement an index in a database of its own, if MongoDB is where passages go."""
    if settings.mongodb_url is None or settings.knowledge_index == "sql":
        return
    url, name = settings.mongodb_url.get_secret_value(), f"antiphon_eval_{secrets.token_hex(4)}"
    driver, cache_bytes = _driver(), settings.knowledge_cache_mb << 20
    stack.push_async_callback(driver.erase_database, url, name)
    await _put(stack, await driver.open_passages(url, ports, cache_bytes=cache_bytes, name=name), ports)


def _driver() -> ModuleType:
    """Return the adapter, which is loaded only where it is configured; raises Unavailable."""
    try:
        from antiphon.storage.mongo import passage_store
    except ImportError as missing:
        raise Unavailable(
            f"KNOWLEDGE_INDEX needs the package '{missing.name}': install Antiphon with the extra 'mongo'"
            " (from a checkout: make mongo)."
        ) from None
    return passage_store
