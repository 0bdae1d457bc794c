"""The first administrator's mirror in Redis: `admin:credentials`, the key that ChatGroq's guide has deleted.

Key and mark share a slot, so that a cluster loses both or none. A Redis that throws keys away by
itself could lose one alone: there a key that is gone asks for nothing. What another server put under
the key stays until somebody deletes it.
"""

from __future__ import annotations

import logging
from typing import Final

import msgspec

from antiphon.ports.administrator_mirror import Mirrored
from antiphon.storage.redis.link import Away, RedisLink, Script

USUAL_PREFIX: Final = "antiphon:"
KEY: Final = "admin:credentials"
FOREIGN: Final = ""

WRITE: Final = Script("""
local there = redis.call('TYPE', KEYS[1])['ok']
local ours = there == 'none'
if there == 'string' then
  local known, found = pcall(cjson.decode, redis.call('GET', KEYS[1]))
  ours = known and type(found) == 'table' and found['account_id'] ~= nil
end
redis.call('SET', KEYS[2], ARGV[1])
if ours then redis.call('SET', KEYS[1], ARGV[1]) end
return ours and 1 or 0
""")

log = logging.getLogger(__name__)


class _Named(msgspec.Struct):
    account_id: str
    username: str


class RedisAdministratorMirror:
    """Port `AdministratorMirror`; a Redis that is away has lost nothing and asks for nothing."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link
        place = KEY if link.prefix == USUAL_PREFIX else f"{link.prefix}{KEY}"
        self._key = place
        self._mark = f"{link.prefix}{{{place}}}:mark"

    async def read(self) -> Mirrored:
        """See the port; a value that is not ours counts as one that is there and names nobody."""
        try:
            found = Mirrored(await self._named(self._key), await self._named(self._mark))
            if found.wants_reset and await self._throws_away():
                log.warning(
                    "%s is gone, but this Redis throws keys away by itself (maxmemory-policy):"
                    " no reset. Set a password with: antiphon user passwd NAME", self._key,
                )  # fmt: skip
                return Mirrored(None, None)
        except Away:
            return Mirrored(None, None)
        return found

    async def _named(self, key: str) -> str | None:
        kind = await self._link.call("TYPE", key)
        if kind == b"none":
            return None
        value = await self._link.call("GET", key) if kind == b"string" else b""
        try:
            return msgspec.json.decode(value or b"", type=_Named).account_id
        except msgspec.DecodeError:
            return FOREIGN

    async def _throws_away(self) -> bool:
        """Whether keys without an end may be evicted; true where that is not told."""
        policy = (await self._link.call("INFO", "memory")).get("maxmemory_policy")
        return not isinstance(policy, str) or policy.startswith("allkeys")

    async def write(self, account_id: str, name: str) -> None:
        """See the port; does nothing while Redis is away, which the next start makes good."""
        value = msgspec.json.encode(_Named(account_id, name))
        try:
            written = await self._link.run(WRITE, [self._key, self._mark], value)
        except Away:
            return
        if not written:
            log.warning("%s holds what another server put there and is left as it is", self._key)
