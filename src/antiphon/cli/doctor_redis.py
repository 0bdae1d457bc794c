"""What the doctor asks of Redis, where REDIS_URL names one: nothing is written to it."""

import asyncio
from collections.abc import Iterator

from antiphon.bootstrap.beside import look_at_redis
from antiphon.cli.findings import Finding, State
from antiphon.domain.errors import AntiphonError
from antiphon.settings import Settings

HINT = "see docs/stores.md"
SLOW_MILLISECONDS = 20.0


def redis(settings: Settings) -> Iterator[Finding]:
    """Whether Redis answers, how fast, and whether it throws keys away by itself."""
    if settings.redis_url is None:
        yield Finding("redis", State.SKIP, "no REDIS_URL: each server counts and caches for itself", HINT)
        return
    try:
        found = asyncio.run(look_at_redis(settings))
    except AntiphonError as error:
        yield Finding("redis", State.FAIL, error.message, "servers run without it, see docs/stores.md")
        return
    slow = found.milliseconds > SLOW_MILLISECONDS
    told = f"Redis {found.version} ({found.kind}) answers in {found.milliseconds:.1f} ms"
    yield Finding("redis", State.WARN if slow else State.OK, told, "put it nearer to the server")
    if found.policy.startswith("allkeys"):
        detail = (
            f"it throws away keys without an end ({found.policy}): deleting admin:credentials resets nobody"
        )
        yield Finding("redis keys", State.WARN, detail, "use volatile-lru or noeviction")
