"""What is secret, and what people say, stands in no log, no refusal and no listing, whatever goes wrong.

Canaries are put where secrets and words belong; everything is provoked that makes software talk.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from tests.e2e.raw_upstream import (
    AUTHORIZATION,
    DONE,
    RawUpstream,
    finish_chunk,
    raw_upstream,
    sse,
    status,
    text_chunk,
)
from tests.e2e.server_process import ServerProcess, running
from tests.e2e.wire import Exchange, call, gather_limited

PROVIDER_KEY = "sk-provider-0d6f3b9ac4418e57"
API_KEY = "operator-key-55c1e7f09b2a4d83-and-32-bytes-long"
SECRET_KEY = "signing-secret-9e8a71c3d5f04b26-and-32-bytes-long"
PASSWORD = "a-password-71e5c09d3fb84a26"
KEYS = (PROVIDER_KEY, API_KEY, SECRET_KEY, PASSWORD)
SAID = "said-4f1d2c7be0934a58"
"""Part of every question, answer, argument, title and header value here."""
SHOWN = 12
"""So many characters of a canary in a row are the canary."""

ISSUED: set[str] = set()
"""The secret parts of every token and key that the server gave out."""

DEFECTS = """
import asyncio
import antiphon.api.v1.chat_completions as chat
import antiphon.api.v1.conversations as conversations
import antiphon.services.models as models
import antiphon.services.runs.emitter as emitter
from antiphon.storage.sql import commands
import antiphon.ports.write_sets as ws
models.PROBE_SECONDS = 0
text, plain = emitter.Emitter._text, chat.parse_chat

def broken_text(self, event):
    if "crash-in-engine" in event.text:
        raise ValueError(event.text)
    text(self, event)

def broken_parse(raw):
    if b"crash-in-handler" in raw:
        raise KeyError(raw.decode())
    if b"crash-in-task" in raw:
        async def fails():
            raise RuntimeError(raw.decode())
        asyncio.get_running_loop().create_task(fails(), name=raw.decode())
    if b"crash-in-callback" in raw:
        def falls():
            raise RuntimeError(raw.decode())
        asyncio.get_running_loop().call_soon(falls)
    return plain(raw)

def broken_conversation(c):
    if c.conversation.title and "crash-in-storage" in c.conversation.title:
        raise RuntimeError(c.conversation.title)
    yield from whole(c)

emitter.Emitter._text = broken_text
chat.parse_chat = broken_parse
whole = commands._COMPILERS[ws.NewConversation]
commands._COMPILERS[ws.NewConversation] = broken_conversation
"""
"""Defects of our own code whose exceptions quote what they were given."""


@pytest.fixture(scope="module")
def raw() -> Iterator[RawUpstream]:
    with raw_upstream() as server:
        echo = f"Incorrect key {AUTHORIZATION.decode()}, prompt {SAID}"
        body = json.dumps({"error": {"message": echo, "type": "x", "code": echo}}).encode()
        for code in (400, 401, 403, 404, 429, 500, 503):
            server.answers[f"status{code}"] = status(code, body, b"x-echo: " + AUTHORIZATION + b"\r\n")
        server.answers["good"] = sse(text_chunk(f"{SAID} answer") + finish_chunk() + DONE)
        server.answers["crash"] = sse(text_chunk(f"{SAID} crash-in-engine"))
        server.answers["garbage"] = sse(f"data: {{{SAID}\n\n".encode())
        server.answers["page"] = (
            b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n\r\n" + SAID.encode()
        )
        server.answers["cut"] = sse(text_chunk(SAID))
        server.answers["stall"] = [sse(text_chunk(SAID)), *[b""] * 40]
        server.answers["instream"] = sse(b"data: " + body + b"\n\n")
        yield server


@pytest.fixture(scope="module")
def node(raw: RawUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server at its most talkative; in the end its log and its files are searched."""
    settings = {
        "DEFAULT_ADMIN_USERNAME": "root", "DEFAULT_ADMIN_PASSWORD": PASSWORD, "SIGNUP": "open",
        "AUTH_REQUIRED": "true", "API_KEY": API_KEY, "SECRET_KEY": SECRET_KEY, "LOG_LEVEL": "debug",
        "VLLM_BASE_URL": raw.base_url, "VLLM_API_KEY": PROVIDER_KEY, "PROVIDER_IDLE_SECONDS": "0.3",
        "DRAIN_SECONDS": "1", "MAX_BODY_BYTES": "65536",
    }  # fmt: skip
    with running(tmp_path_factory.mktemp("secrets"), settings, patch=DEFECTS) as server:
        yield server
        require_none(Path(f"/proc/{server.pid}/cmdline").read_bytes(), "the command line", *KEYS)
    assert len(ISSUED) > 5
    require_none(server.log_path.read_bytes(), "the log", *KEYS, *ISSUED, SAID)
    for file in server.data.rglob("*"):
        if file.is_file():
            require_none(file.read_bytes(), file.name, *KEYS, *ISSUED)


def require_none(said: bytes | bytearray, where: str, *canaries: str) -> None:
    """No run of a canary's characters stands in what was said."""
    for canary in canaries:
        for at in range(len(canary) - SHOWN + 1):
            assert canary[at : at + SHOWN].encode() not in said, f"{where} shows {canary}"


async def asked(node: ServerProcess, method: str, path: str, body: Any = None, **headers: str) -> Exchange:
    """Call with the key; no answer may show one."""
    named = {"authorization": f"Bearer {API_KEY}"} | {k.replace("_", "-"): v for k, v in headers.items()}
    answered = await call(node.port, method, path, body, named)
    shown = json.dumps(answered.headers).encode() + bytes(answered.body)
    require_none(shown, f"{method} {path}", *KEYS)
    return answered


def turn(name: str, **fields: Any) -> dict[str, Any]:
    return {"model": f"vllm/{name}", "input": f"raw={name} {SAID}", **fields}


UPSTREAMS = (
    "good", "crash", "garbage", "page", "cut", "stall", "instream", "status400", "status401", "status403",
    "status404", "status429", "status500", "status503",
)  # fmt: skip


@pytest.mark.parametrize("name", UPSTREAMS)
async def test_whatever_the_provider_does(node: ServerProcess, name: str) -> None:
    tool = {"type": "function", "function": {"name": "f", "description": SAID}}
    messages = [{"role": "user", "content": f"raw={name} {SAID}"}]
    for stream in (True, False):
        answered = await asked(node, "POST", "/v1/responses", turn(name, stream=stream))
        assert answered.status == 200
        chat = {"model": f"vllm/{name}", "messages": messages, "stream": stream, "tools": [tool]}
        answered = await asked(node, "POST", "/v1/chat/completions", chat)
        assert answered.status
    if name != "good":
        assert b'"status":"failed"' in (await asked(node, "POST", "/v1/responses", turn(name))).body


@pytest.mark.parametrize("where", ["handler", "task", "callback"])
async def test_a_defect_that_quotes_its_request(node: ServerProcess, where: str) -> None:
    messages = [{"role": "user", "content": f"raw=good {SAID} crash-in-{where}"}]
    answered = await asked(
        node, "POST", "/v1/chat/completions", {"model": f"vllm/{where}", "messages": messages}
    )
    assert answered.status == (500 if where == "handler" else 200)
    if where == "handler":
        require_none(answered.body, "the error", SAID)
    assert "Traceback: " in node.log


async def test_a_defect_below_the_framework(node: ServerProcess) -> None:
    body = {"title": f"{SAID} crash-in-storage"}
    answered = await asked(node, "POST", "/v1/conversations", body)
    assert answered.status >= 500
    require_none(answered.body, "the error", SAID)


NAMES = {"model", "models", "previous_response_id", "conversation", "item_id", "parent_id"}
"""Fields whose values are names of objects, which a 404 says back."""


async def test_refusals_repeat_no_value(node: ServerProcess) -> None:
    """Validation names the field, never what stood in it; a 404 names the id that was asked for."""
    document = (await asked(node, "GET", "/openapi.json")).json()
    wrong: list[Any] = [
        SAID,
        [SAID],
        {"x": SAID},
        [{"role": "user", "content": SAID, SAID: 1}],
        [{"type": "message", "content": [SAID]}],
    ]

    async def one(path: str, field: str, value: Any) -> None:
        answered = await asked(node, "POST", path.replace("{", "").replace("}", ""), {field: value})
        if answered.status >= 400 and answered.status != 404:
            require_none(answered.body, f"{path} {field}={value}", SAID)

    jobs = []
    for path, operations in document["paths"].items():
        if "post" in operations:
            names = properties(document, operations["post"])
            jobs += [one(path, field, value) for field in names for value in wrong]
    assert len(jobs) > 100
    await gather_limited(jobs, at_once=8)


def properties(document: dict[str, Any], operation: dict[str, Any]) -> set[str]:
    schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    found: set[str] = set()
    for option in [schema, *schema.get("anyOf", [])]:
        if "$ref" in option:
            name = option["$ref"].rpartition("/")[2]
            found |= set(document["components"]["schemas"][name].get("properties", {}))
    return found - NAMES


async def test_broken_bodies_and_credentials(node: ServerProcess) -> None:
    for body in (
        SAID.encode(),
        f'{{"input": "{SAID}'.encode(),
        f'["{SAID}"]'.encode(),
        b'{"input":"' + SAID.encode() * 5000,
    ):
        for path in ("/v1/responses", "/v1/chat/completions", "/v1/conversations"):
            answered = await asked(node, "POST", path, body)
            assert 400 <= answered.status < 500
            require_none(answered.body, path, SAID)
    for headers in (
        {"authorization": f"Bearer {API_KEY}x"}, {"authorization": f"Basic {API_KEY}"},
        {"authorization": "", "x_api_key": f"{API_KEY}x"}, {"authorization": "", "cookie": f"key={API_KEY}"},
    ):  # fmt: skip
        assert (await asked(node, "GET", "/v1/models", **headers)).status == 401
    answered = await asked(node, "GET", f"/v1/models?api_key={API_KEY}", authorization="")
    assert answered.status == 401, "a key in the URL is none"
    await asked(node, "GET", f"/v1/conversations/{SAID}?after={SAID}&order={SAID}", idempotency_key=SAID)
    await asked(node, "POST", "/v1/responses", turn("good"), content_type=SAID, user_agent=SAID, referer=SAID)


async def test_frames_of_a_socket(node: ServerProcess) -> None:
    url = f"ws://127.0.0.1:{node.port}/v1/responses"
    header = {"Authorization": f"Bearer {API_KEY}"}
    async with connect(url, additional_headers=header, proxy=None) as socket, asyncio.timeout(20):
        for message in (
            SAID,
            json.dumps({"type": SAID}),
            json.dumps({"type": "response.create", **turn("crash")}),
        ):
            await socket.send(message)
            while True:
                frame = await socket.recv()
                assert isinstance(frame, str)
                require_none(frame.encode(), "a frame", *KEYS)
                kind = json.loads(frame)["type"]
                if kind in ("error", "response.failed"):
                    break


async def test_tokens_keys_and_passwords(node: ServerProcess) -> None:
    """Given out once, to whom they belong; nothing else that is said or kept shows them."""
    named = {"username": "root", "password": PASSWORD}
    login = await asked(node, "POST", "/token", {"grant_type": "password", **named}, authorization="")
    assert login.status == 200
    tokens = login.json()
    bearer = {"authorization": f"Bearer {tokens['access_token']}"}
    made = await asked(node, "POST", "/v1/api_keys", {"name": "k"}, **bearer)
    cookie = await asked(node, "POST", "/v1/auth/cookie", **bearer)
    fresh = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    again = await asked(node, "POST", "/token", fresh, authorization="")
    ISSUED.update(tokens[kind].rpartition(".")[2] for kind in ("access_token", "refresh_token"))
    ISSUED.update(again.json()[kind].rpartition(".")[2] for kind in ("access_token", "refresh_token"))
    ISSUED.add(made.json()["key"].removeprefix("antk_"))
    ISSUED.add(cookie.headers["set-cookie"].partition(";")[0].rpartition(".")[2])
    device = tokens["device_token"]
    ISSUED.add(device.rpartition(".")[2])
    change = {"current_password": f"{PASSWORD}x", "new_password": PASSWORD}
    wrong = {"username": "root", "password": f"{PASSWORD}x"}
    for path, body in (
        ("/token", {"grant_type": "password", "username": "root", "password": f"{PASSWORD}x"}),
        ("/token", {"grant_type": "password", "username": PASSWORD, "password": PASSWORD}),
        ("/token", {"grant_type": PASSWORD, "username": ["root"], "password": [PASSWORD]}),
        ("/token", {"grant_type": "password", "username": "root", "password": PASSWORD, PASSWORD[:3]: 1}),
        ("/token", f"grant_type=password&username=root&password={PASSWORD}&password={PASSWORD}".encode()),
        ("/token", fresh),
        ("/token", {**wrong, "device_token": device}),
        ("/token", {**wrong, "device_token": device[:-1]}),
        ("/token", {**wrong, "device_token": [device]}),
        ("/token", {"grant_type": "refresh_token", "refresh_token": device}),
        ("/v1/auth/oidc/nobody/link", {"current_password": PASSWORD, "next": PASSWORD}),
        ("/v1/auth/signup", {"username": "root", "password": PASSWORD}),
        ("/v1/auth/signup", {"username": "x", "password": {"a": PASSWORD}, "email": PASSWORD}),
        ("/v1/auth/password", change),
    ):
        headers = dict(bearer) if path.endswith(("/password", "/link")) else {"authorization": ""}
        answered = await asked(node, "POST", path, body, **headers)
        require_none(answered.body, path, *ISSUED)
    for path in ("/v1/api_keys", "/v1/auth/me", "/v1/auth/sessions"):
        listed = await asked(node, "GET", path, authorization=f"Bearer {made.json()['key']}")
        require_none(listed.body, path, *(part for part in ISSUED))


async def test_what_describes_the_server(node: ServerProcess) -> None:
    for path in (
        "/health",
        "/health/ready",
        "/openapi.json",
        "/docs",
        "/metrics",
        "/v1/models",
        "/v1/admin/providers",
    ):
        answered = await asked(node, "GET", path)
        require_none(answered.body, path, SAID)
