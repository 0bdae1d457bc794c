"""A PostgreSQL behind TLS, as hosted ones are: this one speaks none, so a gate in front of it does."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from antiphon.cli.doctor_database import database
from antiphon.cli.findings import State
from antiphon.domain.errors import Unavailable
from antiphon.storage.sql.migrate import upgrade_postgres
from antiphon.storage.sql.postgres import open_postgres
from tests import postgres
from tests.byte_streams import pass_on
from tests.certificates import Certificate, for_localhost
from tests.contracts.builders import OWNER, new_conversation, new_item
from tests.services.world import settings_for

ASKS_FOR_TLS = b"\0\0\0\x08\x04\xd2\x16\x2f"
"""What a client sends first that wants TLS; `S` is yes, `N` no."""
PASSWORD = "hunter2"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return for_localhost(tmp_path_factory.mktemp("tls"))


@asynccontextmanager
async def gate(url: str, certificate: Certificate | None) -> AsyncIterator[tuple[str, list[bool]]]:
    """The same database by a port: its address, and of each connection whether it was in TLS."""
    seen: list[bool] = []
    (directory,) = parse_qs(urlsplit(url).query)["host"]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            if asks := (first := await reader.readexactly(len(ASKS_FOR_TLS))) == ASKS_FOR_TLS:
                writer.write(b"S" if certificate else b"N")
                if certificate:
                    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                    context.load_cert_chain(certificate.both)
                    await writer.start_tls(context)
                first = await reader.readexactly(len(ASKS_FOR_TLS))
            seen.append(asks and certificate is not None)
            inside, out = await asyncio.open_unix_connection(f"{directory}/.s.PGSQL.5432")
            out.write(first)
            await asyncio.gather(pass_on(reader, out), pass_on(inside, writer))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        where = f"localhost:{server.sockets[0].getsockname()[1]}{urlsplit(url).path}"
        yield f"postgresql://postgres:{PASSWORD}@{where}", seen
    finally:
        server.close()


async def test_everything_goes_through_tls_where_the_url_says_so(
    tmp_path: Path, certificate: Certificate
) -> None:
    """The schema, what is written and read, and the bells: not one connection is open to others."""
    async with gate(postgres.empty(tmp_path), certificate) as (address, seen):
        url = f"{address}?sslmode=verify-full&sslrootcert={certificate.own}"
        await upgrade_postgres(url)
        store = await open_postgres(url, connections=2)
        conversation, head, commands = new_conversation(new_item("a"))
        await store.unit_of_work.commit(*commands)
        base = await store.tree.turn_base(OWNER, conversation.id, None, 1000)
        assert base is not None and base.position == head
        await store.close()
    assert len(seen) >= 2 and all(seen)


@pytest.mark.parametrize(
    ("query", "speaks", "told"),
    [
        ("sslmode=verify-full&sslrootcert={other}", True, "CERTIFICATE_VERIFY_FAILED"),
        ("sslmode=require", False, "rejected SSL upgrade"),
    ],
)
async def test_a_connection_that_is_not_as_safe_as_the_url_says_is_not_used(
    tmp_path: Path, certificate: Certificate, query: str, speaks: bool, told: str
) -> None:
    """Who signed it is somebody else, or there is no TLS: refused, and told without the password."""
    other = for_localhost(tmp_path).own
    async with gate(postgres.prepared(tmp_path), certificate if speaks else None) as (address, seen):
        url = f"{address}?{query.format(other=other)}"
        with pytest.raises(Unavailable) as refused:
            await open_postgres(url, connections=2)
        settings = settings_for(tmp_path, database_url=url)
        (finding,) = await asyncio.to_thread(lambda: list(database(settings)))
    assert not seen and told in refused.value.message and told in finding.detail
    assert finding.state is State.FAIL
    assert PASSWORD not in f"{refused.value.message}{finding.detail}{finding.hint}"
