"""A Redis behind TLS and a login, as hosted ones are: this one speaks none, so a gate in front of it does."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from antiphon.storage.redis.limits import RedisRateLimiter
from tests.byte_streams import pass_on
from tests.certificates import for_localhost
from tests.contracts.adapters import redis_link
from tests.contracts.test_redis import opened, passed
from tests.redis_server import running_redis


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost with its key, in one file."""
    return for_localhost(tmp_path_factory.mktemp("tls")).both


@asynccontextmanager
async def gate(port: int, certificate: Path) -> AsyncIterator[int]:
    """A port with TLS that leads to a Redis."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inside, out = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pass_on(reader, out), pass_on(inside, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def test_tls_and_a_login_as_hosted_ones_want_them(tmp_path: Path, certificate: Path) -> None:
    with running_redis(tmp_path, "--requirepass", "Ab_9=") as server:
        async with gate(server.port, certificate) as port:
            url = f"rediss://default:Ab_9%3D@localhost:{port}"
            assert "CERTIFICATE_VERIFY_FAILED" in (await opened(url) or ""), "nobody signed it"
            assert await opened(f"{url}?ssl_cert_reqs=none") is None
            url += f"?ssl_ca_certs={certificate}"
            async with redis_link(url=url) as link:
                assert await link.open() is None
                assert await passed(RedisRateLimiter(link, time.monotonic), 30) == 10
            wrong_name = url.replace("localhost", "127.0.0.1")
            assert "CERTIFICATE_VERIFY_FAILED" in (await opened(wrong_name) or "")
            assert await opened(f"redis://:Ab_9%3D@localhost:{port}") is not None, (
                "without TLS nobody answers"
            )
