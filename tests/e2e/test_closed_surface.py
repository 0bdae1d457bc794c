"""A server that wants credentials: what a stranger may see of it, and what injected words do to it."""

from __future__ import annotations

import asyncio
import json
import re
import statistics
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.e2e.server_process import ServerProcess, running
from tests.e2e.test_bad_input import require_no_5xx
from tests.e2e.two_people import PROTECTED, Asker, two_people
from tests.e2e.wire import call, gather_limited, send
from tests.harness.open_routes import OPEN_OPERATIONS

SECRET = "only-hers-3b9f4c17d2"
"""Stands in everything the first person has."""
SLOW_SECONDS = 0.1


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with running(tmp_path_factory.mktemp("closed"), PROTECTED) as server:
        yield server
        assert "Traceback" not in server.log, server.log[server.log.index("Traceback") :][:3000]


@pytest.fixture(scope="module")
def people(node: ServerProcess) -> tuple[Asker, Asker]:
    return asyncio.run(two_people(node.port))


@pytest.fixture(scope="module")
def hers(node: ServerProcess, people: tuple[Asker, Asker]) -> dict[str, str]:
    """Objects of the first person."""

    async def make() -> dict[str, str]:
        ann, _ = people
        about = {"title": SECRET, "metadata": {"topic": SECRET}}
        conversation = (await ann.call("POST", "/v1/conversations", about)).json()
        body = {"model": "scripted/echo", "input": SECRET, "conversation": conversation["id"]}
        response = (await ann.call("POST", "/v1/responses", body)).json()
        chat = {"model": "scripted/echo", "messages": [{"role": "user", "content": SECRET}], "store": True}
        completion = (await ann.call("POST", "/v1/chat/completions", chat)).json()
        assert SECRET in json.dumps([response, completion])
        item = response["output"][0]["id"]
        return {
            "conversation": conversation["id"],
            "response": response["id"],
            "completion": completion["id"],
            "item": item,
        }

    return asyncio.run(make())


# --- strangers

FILES = (
    "/.env",
    "/.git/HEAD",
    "/.git/config",
    "/data.db",
    "/antiphon.db",
    "/data/antiphon.db",
    "/secret_key",
    "/data/secret_key",
    "/server-status",
    "/debug",
    "/debug/pprof/",
    "/admin",
    "/console",
    "/actuator/env",
    "/static/../antiphon.db",
    "/static/%2e%2e/antiphon.db",
    "/..%2f..%2fetc/passwd",
    "/%2e%2e/%2e%2e/etc/passwd",
    "//etc/passwd",
    "/.well-known/../.env",
    "/files/../../../etc/passwd",
    "/v1/../.env",
    "/etc/passwd",
    "/proc/self/environ",
    "/metrics",
    "/docs/oauth2-redirect",
    "/openapi.yaml",
    "/swagger.json",
    "/graphql",
)


@pytest.mark.parametrize("path", FILES)
async def test_a_stranger_finds_nothing(node: ServerProcess, path: str) -> None:
    """Sent as it is written here: clients would tidy such paths up."""
    for method in ("GET", "HEAD", "POST", "OPTIONS", "TRACE"):
        data = f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n".encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
        writer.write(data)
        said = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        status = int(said.split(b" ", 2)[1])
        assert status in (400, 401, 403, 404, 405), (method, status)
        assert (
            b"SQLite format 3" not in said
            and b"root:" not in said
            and b"openapi" not in said.partition(b"\r\n\r\n")[2]
        )


async def test_the_documentation_is_for_everybody(node: ServerProcess) -> None:
    """It tells what the source tells; the older surfaces show it without a token, too."""
    for path in ("/docs", "/openapi.json"):
        shown = await call(node.port, "GET", path)
        assert shown.status == 200 and b"openapi" in shown.body


async def test_no_answer_may_be_kept_on_the_way(node: ServerProcess, people: tuple[Asker, Asker]) -> None:
    """A proxy that kept one would give it to the next who asks."""
    document = (await people[0].call("GET", "/openapi.json")).json()
    for template, operations in document["paths"].items():
        for method in operations:
            path = re.sub(r"\{\w+(?::\w+)?\}", "x", template)
            if path.rstrip("/").endswith("/logout"):
                continue
            answered = await people[1].call(method.upper(), path, {} if method != "get" else None)
            assert answered.headers["cache-control"] == "no-store", (method, path)


async def test_every_operation_wants_a_credential(node: ServerProcess, people: tuple[Asker, Asker]) -> None:
    document = (await people[0].call("GET", "/openapi.json")).json()
    asked = 0
    for template, operations in document["paths"].items():
        for method in operations:
            if (method.upper(), template) in OPEN_OPERATIONS:
                continue
            path = re.sub(r"\{\w+(?::\w+)?\}", "x", template)
            answered = await call(node.port, method.upper(), path, {} if method != "get" else None)
            assert answered.status == 401, (method, template, answered.status)
            assert answered.headers["www-authenticate"] == "Bearer"
            asked += 1
    assert asked > 30


async def test_trace_is_no_method_here(node: ServerProcess, people: tuple[Asker, Asker]) -> None:
    document = (await people[0].call("GET", "/openapi.json")).json()
    for template in document["paths"]:
        path = re.sub(r"\{\w+(?::\w+)?\}", "x", template)
        for who in (people[0].headers, {}):
            head = {**who, "x-echo": SECRET}
            for method in ("TRACE", "TRACK", "CONNECT"):
                lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
                data = f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n{lines}\r\n".encode()
                answered = await (await send(node.port, data)).end(10)
                assert answered.status in ((405,) if method == "TRACE" else (400, 401, 404, 405)), (
                    method,
                    path,
                )
                assert SECRET.encode() not in answered.body


# --- injected words

WORDS = (
    "' OR 1=1--",
    "' OR '1'='1",
    '" OR ""="',
    "1; DROP TABLE accounts--",
    "') UNION SELECT * FROM runs--",
    "%",
    "_",
    "%%%",
    "\0",
    "a\0b",
    '{"$ne":null}',
    '{"$gt":""}',
    '{"$where":"sleep(5000)"}',
    "[$regex]=.*",
    '" OR NEAR(',
    "* AND *",
    "NOT",
    'a" NEAR/2 "b',
    "col:val",
    "^a",
    "((((",
    "'",
    '"',
    "\\",
    "`",
    "$(sleep 5)",
    "|sleep 5",
    "${7*7}",
    "{{7*7}}",
    "%(x)s",
    "{x.__class__}",
    '<!--#exec cmd="id"-->',
    "\u2028",
    "\ud7ff",
    "../../etc/passwd",
    "() { :;}; sleep 5",
)
SLOW = (
    "'; SELECT sleep(5)--",
    "' OR pg_sleep(5)--",
    "1 AND randomblob(500000000)",
    "';WAITFOR DELAY '0:0:5'--",
    "(SELECT 1 FROM (SELECT SLEEP(5))a)",
    '{"$where":"sleep(5000)"}',
    "x' AND 1=LIKE('ABC',UPPER(HEX(RANDOMBLOB(100000000))))--",
)


def targets(word: str, hers: dict[str, str]) -> list[tuple[str, str, Any]]:
    """Every place a caller's words reach: paths, queries, cursors, filters, names, ids in bodies."""
    q = quote(word, safe="")
    gets = [
        f"/v1/conversations?after={q}",
        f"/v1/conversations?order={q}",
        f"/v1/conversations?limit={q}",
        f"/v1/conversations?metadata[topic]={q}",
        f"/v1/conversations/{q}",
        f"/v1/conversations/{q}/items",
        f"/v1/conversations/{hers['conversation']}/items?after={q}",
        f"/v1/conversations/{hers['conversation']}{q}",
        f"/v1/responses/{q}",
        f"/v1/responses/{hers['response']}{q}",
        f"/v1/responses/{q}?stream=true&starting_after={q}",
        f"/v1/chat/completions?metadata[topic]={q}",
        f"/v1/chat/completions?model={q}",
        f"/v1/chat/completions?after={q}",
        f"/v1/chat/completions?metadata[{q}]=x",
        f"/v1/chat/completions/{q}",
        f"/v1/models/{q}",
        f"/v1/auth/sessions?after={q}",
        f"/v1/api_keys?after={q}",
        f"/v1/search?q={q}",
        f"/v1/usage?model={q}",
        f"/v1/admin/users?q={q}",
    ]
    echo = {"model": "scripted/echo", "input": "x"}
    posts = [
        ("/v1/conversations", {"title": word, "metadata": {word[:60] or "k": word}}),
        ("/v1/responses", {**echo, "previous_response_id": word}),
        ("/v1/responses", {**echo, "conversation": word}),
        ("/v1/responses", {**echo, "conversation": {"id": {"$ne": None}}}),
        ("/v1/responses", {**echo, "model": word}),
        ("/v1/responses", {**echo, "input": [{"type": "item_reference", "id": word}]}),
        ("/v1/responses", {**echo, "antiphon": {"parent_id": word}, "conversation": hers["conversation"]}),
        ("/v1/conversations/" + hers["conversation"] + "/fork", {"item_id": word}),
        ("/v1/api_keys", {"name": word, "scopes": [word]}),
    ]
    return [("GET", path, None) for path in gets] + [("POST", path, body) for path, body in posts]


async def test_injected_words_find_nothing_of_anybody_else(
    node: ServerProcess, people: tuple[Asker, Asker], hers: dict[str, str]
) -> None:
    ann, bob = people

    async def one(method: str, path: str, body: Any) -> None:
        answered = await bob.call(method, path, body)
        require_no_5xx(answered, f"{method} {path} {body}")
        assert SECRET.encode() not in answered.body, (method, path, body)

    await gather_limited([one(*target) for word in WORDS for target in targets(word, hers)])
    assert SECRET in json.dumps((await ann.call("GET", f"/v1/responses/{hers['response']}")).json())
    node.require_integrity()


async def test_injected_credentials_are_bad_credentials(
    node: ServerProcess, people: tuple[Asker, Asker]
) -> None:
    token = people[0].token
    parts = token.split(".")
    wrong = [word for word in WORDS if word.isprintable()] + [
        f"{token}'--",
        f"{token}%00",
        token[:-1],
        token.upper(),
        f"{parts[0]}.{parts[1]}.",
        f"{parts[0]}..{parts[2]}",
        f"antk_{'0' * 64}",
        "antk_' OR 1=1--",
        "antk_%",
        "antk_" + "a" * 10_000,
        f"{token}, {token}",
        ".".join(parts * 2),
    ]
    bodies = set()
    for word in wrong:
        for name, value in (
            ("authorization", f"Bearer {word}"),
            ("x-api-key", word),
            ("cookie", f"__Host-antiphon={word}"),
        ):
            answered = await call(node.port, "GET", "/v1/models", headers={name: value})
            assert answered.status == 401, (name, word)
            bodies.add(bytes(answered.body))
    assert len(bodies) == 1, "one answer for every kind"


async def test_words_stay_words(node: ServerProcess, people: tuple[Asker, Asker]) -> None:
    """What looks like a template or a statement is stored and given to the model as it is."""
    _, bob = people
    for word in WORDS:
        asked = {
            "model": "scripted/echo",
            "input": word or "-",
            "instructions": word,
            "metadata": {"w": word},
        }
        response = (await bob.call("POST", "/v1/responses", asked)).json()
        assert response["output"][0]["content"][0]["text"] == (word or "-")
        assert (response["metadata"]["w"], response["instructions"]) == (word, word)


async def test_words_that_ask_to_sleep_take_no_longer(
    node: ServerProcess, people: tuple[Asker, Asker], hers: dict[str, str]
) -> None:
    _, bob = people

    async def median(word: str, target: int) -> float:
        taken = []
        for _ in range(5):
            began = time.perf_counter()
            require_no_5xx(await bob.call(*targets(word, hers)[target]), word)
            taken.append(time.perf_counter() - began)
        return statistics.median(taken)

    for target in range(len(targets("x", hers))):
        harmless = await median("harmless", target)
        for word in SLOW:
            if (
                await median(word, target) - harmless > SLOW_SECONDS
            ):  # the machine may have been busy: once more
                assert await median(word, target) - await median("harmless", target) < SLOW_SECONDS, word
