"""What older chat services left in a Redis, written out key by key; nothing is changed there.

Keys are found by SCAN, so that a large Redis goes on serving meanwhile. A key that SCAN names twice, as it
may, is written twice.
"""

from __future__ import annotations

import json
from typing import IO, Any, Final

from antiphon.domain.errors import Unavailable
from antiphon.domain.redis_address import RedisAddress
from antiphon.storage.redis.connection import Client, connect
from antiphon.storage.redis.link import LOST

KEYS_AT_ONCE: Final = 200
ELEMENTS_AT_ONCE: Final = 500
MOST_BYTES: Final = 48 * 1024 * 1024
"""A value larger than this is left out."""


async def write_out(
    address: RedisAddress, file: IO[str], *, seconds: float, match: str | None, without: str
) -> tuple[int, list[str]]:
    """Write a line for each string, list and hash: a JSON object of `key` and `value`.

    `match` is a pattern of Redis' own that keys must fit; keys that begin with `without` are ours. Returns
    how many were written, and some names of what was left out. Raises Unavailable.
    """
    client = connect(address, seconds=seconds)
    written, left = 0, []
    try:
        async for key in client.scan_iter(match=match, count=KEYS_AT_ONCE):
            name = key.decode(errors="replace")
            if name.startswith(without):
                continue
            value = await _value(client, key)
            if value is None:
                left.append(name)
                del left[100:]
                continue
            file.write(json.dumps({"key": name, "value": value}) + "\n")
            written += 1
    except LOST as problem:
        raise Unavailable(f"Redis cannot be read ({type(problem).__name__}).") from None
    finally:
        await client.aclose()
    return written, left


async def _value(client: Client, key: bytes) -> Any:
    """Return a key's value as text, None for what is none, is gone meanwhile, or too large."""
    match (await client.execute_command("TYPE", key)).decode():
        case "string":
            if await client.execute_command("STRLEN", key) > MOST_BYTES:
                return None
            found = await client.execute_command("GET", key)
            return None if found is None else found.decode(errors="replace")
        case "list":
            return await _elements(client, key)
        case "hash":
            if await client.execute_command("HLEN", key) > ELEMENTS_AT_ONCE:
                return None
            fields = await client.execute_command("HGETALL", key)
            return {
                name.decode(errors="replace"): text.decode(errors="replace") for name, text in fields.items()
            }
        case _:
            return None


async def _elements(client: Client, key: bytes) -> list[str] | None:
    """Return a list's elements in their order, read page by page; None if they are too large."""
    found: list[str] = []
    size = 0
    while page := await client.execute_command("LRANGE", key, len(found), len(found) + ELEMENTS_AT_ONCE - 1):
        size += sum(map(len, page))
        if size > MOST_BYTES:
            return None
        found += [element.decode(errors="replace") for element in page]
    return found or None
