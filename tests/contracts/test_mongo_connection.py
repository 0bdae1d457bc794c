"""MONGODB_URL as the driver has it: TLS, logins, many hosts; and what is told where it does not work."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient, ReadPreference
from pymongo.write_concern import WriteConcern

from antiphon.cli.doctor_database import mongodb
from antiphon.cli.findings import Finding, State
from antiphon.domain.errors import Unavailable
from antiphon.storage.mongo import connection
from antiphon.storage.mongo.connection import connect
from antiphon.storage.mongo.store import open_mongo
from tests import mongo
from tests.certificates import Certificate, for_localhost
from tests.contracts.adapters import sqlite
from tests.contracts.builders import OWNER, new_conversation, new_item
from tests.e2e.server_process import ServerProcess, running
from tests.e2e.wire import call
from tests.services.world import settings_for

NAME, PASSWORD = "ann", "hunter2/of@ann:x"
LOGIN = "ann:hunter2%2Fof%40ann%3Ax"
SHOWN = "hunter2"
"""If this stands somewhere, the password does."""


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """What the driver was given."""
    seen: list[tuple[str, dict[str, Any]]] = []

    def recorded(url: str, **options: Any) -> AsyncMongoClient[Any]:
        seen.append((url, options))
        return AsyncMongoClient(url, **options)

    monkeypatch.setattr(connection, "AsyncMongoClient", recorded)
    return seen


@pytest.mark.parametrize(
    ("url", "options", "database"),
    [
        (f"mongodb+srv://{LOGIN}@cluster0.example.org/chat?retryWrites=true&w=majority", {}, "chat"),
        ("mongodb://a:27017,b:27018,[::1]:27019/?replicaSet=rs0", {}, "chat_content"),
        (f"mongodb://{LOGIN}@a,b/chat?authSource=admin&replicaSet=rs0&tls=true", {}, "chat"),
        ("mongodb://a/chat?serverSelectionTimeoutMS=200", {"serverSelectionTimeoutMS": None}, "chat"),
        ("mongodb://a/chat?connecttimeoutms=9&appName=Cluster0", {"connectTimeoutMS": None, "appname": None},
         "chat"),
    ],
)  # fmt: skip
async def test_the_driver_has_the_url_as_it_is_and_what_it_says_goes_first(
    given: list[tuple[str, dict[str, Any]]], url: str, options: dict[str, Any], database: str
) -> None:
    found = connect(url)
    assert given == [(url, {k: v for k, v in connection.USUAL.items() if k not in options})]
    assert found._database.name == database
    await found.close()


async def test_neither_stale_reads_nor_writes_that_may_go_are_asked_for_by_a_url() -> None:
    """Whatever is decided is decided by what the primary has and a majority keeps."""
    database = connect("mongodb://a,b/chat?replicaSet=rs0&readPreference=secondary&w=1&journal=false")
    assert database._database.read_preference == ReadPreference.PRIMARY
    assert database._database.write_concern == WriteConcern(w="majority", j=True)
    await database.close()


@pytest.mark.parametrize(
    "url",
    [
        "mongodb://", "mongodb://ann:hunter2@x@host/db", "mongodb://ann:hun:hunter2@host/db",
        "mongodb://ann:hunter2/x@host/db", "mongodb://ann:hunter2", "mongodb://ann:hunter2@host:99999/db",
        "mongodb://ann:hunter2?x@host/db", "mongodb://ann:hunter2%zz@host/db",
        "mongodb+srv://ann:hunter2@host:99/db", "mongodb://ann:hunter2@[::1/db",
        "mongodb://ann:hunter2@host/db?tls=true&tlsCAFile=/nowhere/ca.pem",
    ],
)  # fmt: skip
def test_a_url_that_is_none_is_refused_in_words_without_its_password(url: str) -> None:
    with pytest.raises(Unavailable, match="MONGODB_URL is no address") as refused:
        connect(url)
    assert SHOWN not in refused.value.message and refused.value.__cause__ is None


# --- a server with TLS and a login


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return for_localhost(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def port(certificate: Certificate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Where it listens."""
    if not mongo.is_ferretdb():
        pytest.skip("TLS and logins are tried on FerretDB")
    with mongo.closed(tmp_path_factory.mktemp("closed"), certificate, NAME, PASSWORD) as found:
        yield found


def address(port: int, certificate: Certificate, login: str = LOGIN, host: str = "localhost") -> str:
    return (
        f"mongodb://{login}@{host}:{port}/chat?authSource=admin&tls=true&tlsCAFile={certificate.own}"
        "&serverSelectionTimeoutMS=300"
    )


async def test_conversations_go_through_tls_and_a_login(
    port: int, certificate: Certificate, tmp_path: Path
) -> None:
    async with sqlite(tmp_path) as accounts:
        store = await open_mongo(address(port, certificate), accounts)
        conversation, head, commands = new_conversation(new_item("a"))
        await store.unit_of_work.commit(*commands)
        base = await store.tree.turn_base(OWNER, conversation.id, None, 1000)
        assert base is not None and base.position == head
        await store.close()


CLOSED = {
    "wrong password": (lambda url: url.replace("hunter2", "hunter2x"), "refuses the name or password"),
    "another database": (lambda url: url.replace("authSource=admin", "authSource=chat"), "authSource"),
    "no login": (lambda url: url.replace(f"{LOGIN}@", ""), "no account is named"),
    "nobody signed it": (lambda url: url.replace("&tlsCAFile", "&appName"), "CERTIFICATE_VERIFY_FAILED"),
    "another name": (lambda url: url.replace("localhost", "127.0.0.1"), "not valid for '127.0.0.1'"),
    "no TLS": (lambda url: url.replace("tls=true&tlsCAFile", "appName"), "does not answer: localhost:"),
}


@pytest.mark.parametrize("how", CLOSED)
async def test_what_is_wrong_is_told_without_the_password(
    port: int, certificate: Certificate, tmp_path: Path, how: str
) -> None:
    """To who starts a server as to who asks the doctor."""
    change, told = CLOSED[how]
    url = change(address(port, certificate))

    def examined() -> list[Finding]:
        return list(mongodb(settings_for(tmp_path, mongodb_url=url)))

    (finding,) = await asyncio.to_thread(examined)
    assert finding.state is State.FAIL and told in finding.detail, finding
    async with sqlite(tmp_path / "data") as accounts:
        with pytest.raises(Unavailable, match="MongoDB") as refused:
            await open_mongo(url, accounts)
    assert told in refused.value.message
    for said in (finding.detail, str(finding.hint), refused.value.message, str(refused.value.__cause__)):
        assert SHOWN not in said


async def test_a_server_never_writes_down_the_password(
    port: int, certificate: Certificate, tmp_path: Path
) -> None:
    """Neither where it works nor where it is refused, and least of all what it says of everything."""
    url = address(port, certificate).replace("/chat", "/served")
    with running(tmp_path, {"MONGODB_URL": url, "LOG_LEVEL": "debug"}) as server:
        body = {"model": "scripted/echo", "input": "hello"}
        assert (await call(server.port, "POST", "/v1/responses", body)).status == 200
    assert SHOWN not in server.log
    refused = ServerProcess(tmp_path, {"MONGODB_URL": url.replace("hunter2", "hunter2x")})
    refused.launch()
    assert await asyncio.to_thread(refused.wait, 30) not in (0, -9)
    assert "refuses the name or password" in refused.log
    assert SHOWN not in refused.log and "Traceback" not in refused.log
