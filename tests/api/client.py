"""A client of the whole application in this process: plain calls, streams and sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import httpx
import uvicorn

from antiphon.api.app import create_app
from antiphon.api.front import Front
from antiphon.api.http_protocol import BoundedHttp
from antiphon.application import Application
from tests.services.hand import ECHO, PATIENCE_SECONDS
from tests.services.world import World

ORIGIN = "http://testserver"
Json = dict[str, Any]


@dataclass(frozen=True)
class Event:
    """One event of a stream, as a client's parser sees it."""

    name: str
    data: Any
    id: str | None = None


def parse_events(body: str) -> list[Event]:
    """Read server-sent events by the letter of the standard."""
    events: list[Event] = []
    for block in body.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if line and not line.startswith(":"))
        if "data" in fields:
            data = fields["data"]
            value = json.loads(data) if data != "[DONE]" else data
            events.append(Event(fields.get("event", "message"), value, fields.get("id")))
    return events


class Api:
    """Calls to one application; `world` is what stands behind it."""

    def __init__(self, world: World, http: httpx.AsyncClient) -> None:
        self.world = world
        self.http = http

    async def call(
        self, method: str, path: str, body: Any = None, *, status: int = 200, **fields: Any
    ) -> Any:
        """Call and return the decoded answer, which must have the status."""
        response = await self.http.request(method, path, json=body, **fields)
        assert response.status_code == status, (
            f"{method} {path}: {response.status_code} {response.text[:500]}"
        )
        return response.json()

    async def get(self, path: str, *, status: int = 200, **query: Any) -> Any:
        return await self.call("GET", path, status=status, params=query)

    async def post(self, path: str, body: Any = None, *, status: int = 200, **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.call("POST", path, body if body is not None else {}, status=status, headers=named)

    async def delete(self, path: str, *, status: int = 200) -> Any:
        return await self.call("DELETE", path, status=status)

    async def refused(self, method: str, path: str, body: Any = None, *, status: int, **fields: Any) -> Json:
        """Call, expect an error in OpenAI's shape and return its inner object."""
        answer = await self.call(method, path, body, status=status, **fields)
        assert answer.keys() == {"error"}
        error: Json = answer["error"]
        assert error.keys() == {"message", "type", "param", "code"}
        assert error["message"] and isinstance(error["message"], str)
        return error

    async def ask(self, text: Any = "hello", *, status: int = 200, **fields: Any) -> Any:
        """`POST /v1/responses`."""
        return await self.post("/v1/responses", {"model": ECHO, "input": text, **fields}, status=status)

    async def chat(self, *messages: Json, status: int = 200, **fields: Any) -> Any:
        """`POST /v1/chat/completions`."""
        body = {"model": ECHO, "messages": list(messages), **fields}
        return await self.post("/v1/chat/completions", body, status=status)

    async def conversation(self, *texts: str) -> str:
        """A conversation with a user's messages in it; returns its id."""
        items = [{"type": "message", "role": "user", "content": text} for text in texts]
        made = await self.post("/v1/conversations", {"items": items})
        identifier: str = made["id"]
        return identifier

    async def stream(self, method: str, path: str, body: Any = None, **fields: Any) -> list[Event]:
        """Call and read the whole stream."""
        response = await self.http.request(method, path, json=body, **fields)
        assert response.status_code == 200, response.text
        assert response.headers["content-type"].startswith("text/event-stream")
        return parse_events(response.text)

    async def texts(self, conversation: str, **query: Any) -> list[str]:
        """The texts that a conversation lists, root first."""
        page = await self.get(f"/v1/conversations/{conversation}/items", order="asc", limit=100, **query)
        return [text_of(item) for item in page["data"]]


def text_of(item: Json) -> str:
    """The text of an item on the wire."""
    return "".join(part.get("text", "") for part in item.get("content", []))


def front_of(world: World, application: Application | None = None) -> Front:
    """The ASGI application over a world."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Application]:
        yield application or world.application

    front = create_app(opened, world.application.policy.dialects)
    front.application = application or world.application
    return front


@asynccontextmanager
async def in_process(world: World, application: Application | None = None) -> AsyncIterator[Api]:
    """Call the ASGI application directly."""
    transport = httpx.ASGITransport(front_of(world, application), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=ORIGIN, timeout=PATIENCE_SECONDS) as http:
        yield Api(world, http)


class Server(uvicorn.Server):
    """uvicorn in this event loop: the test holds the model's words and the client's end of the line."""

    def __init__(self, front: Front) -> None:
        super().__init__(
            uvicorn.Config(
                front, port=0, http=BoundedHttp, ws="websockets-sansio", lifespan="off", log_config=None
            )
        )
        self.ready = asyncio.Event()

    async def startup(self, sockets: Any = None) -> None:
        """Tell when it listens."""
        await super().startup(sockets)
        self.ready.set()

    def capture_signals(self) -> Any:
        """Leave the signals to the tests' runner."""
        return nullcontext()

    @property
    def port(self) -> int:
        port: int = self.servers[0].sockets[0].getsockname()[1]
        return port


@asynccontextmanager
async def over_sockets(
    world: World, application: Application | None = None
) -> AsyncIterator[tuple[Api, int]]:
    """Serve on a port of the loopback; yields the client and the port."""
    server = Server(front_of(world, application))
    serving = asyncio.create_task(server.serve())
    await asyncio.wait_for(server.ready.wait(), PATIENCE_SECONDS)
    url = f"http://127.0.0.1:{server.port}"
    try:
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=PATIENCE_SECONDS) as http:
            yield Api(world, http), server.port
    finally:
        server.should_exit = server.force_exit = True
        await serving


class Reader:
    """A stream that is read event by event while it goes on."""

    def __init__(self, response: httpx.Response) -> None:
        self._lines = response.aiter_lines()

    async def next(self) -> Event:
        """The next event."""
        lines: list[str] = []
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                line = await anext(self._lines)
                if line:
                    lines.append(line)
                elif found := parse_events("\n".join(lines) + "\n\n"):
                    return found[0]
                else:
                    lines = []

    async def until(self, name: str) -> list[Event]:
        """Everything up to an event of that name."""
        events = [await self.next()]
        while events[-1].name != name:
            events.append(await self.next())
        return events


@asynccontextmanager
async def reading(api: Api, method: str, path: str, body: Any = None) -> AsyncIterator[Reader]:
    """Open a stream; leaving the block closes the connection."""
    async with api.http.stream(method, path, json=body) as response:
        assert response.status_code == 200
        yield Reader(response)
