"""The line to the upstream breaks at any byte, framing included: the answer has a clear end."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.events import ERROR_CODES, events_of, require_gapless, require_terminal, stored_text, text_of
from tests.e2e.server_process import CANARY, ServerProcess, upstream_settings
from tests.e2e.wire import call, gather_limited, get
from tests.harness.faultproxy import Break, FaultProxy, Faults
from tests.harness.tokens import check_prefix, expected_text
from tests.harness.upstream import Upstream

TOKENS = 6
STEP = 37
"""Bytes between two places of a break; prime, so that the places fall everywhere in an event."""
LAST = 2300
"""More than a whole answer of TOKENS tokens has."""

TABLE = """[providers.{name}]
base_url = "{url}"
api_key_env = "OPENAI_API_KEY"
idle_seconds = 5.0
models = ["n{tokens}-hash"]
"""


class Lines:
    """Proxies, each the base URL of a provider of its own."""

    def __init__(self, stack: AsyncExitStack, target: int) -> None:
        self._stack = stack
        self._target = target
        self.by_name: dict[str, FaultProxy] = {}

    async def add(self, name: str, *, up: Faults | None = None, down: Faults | None = None) -> None:
        """Open one more line."""
        proxy = await self._stack.enter_async_context(FaultProxy("127.0.0.1", self._target))
        proxy.up, proxy.down = up or Faults(), down or Faults()
        self.by_name[name] = proxy

    def toml(self) -> str:
        """The providers, as `antiphon.toml` has them."""
        tables = [
            TABLE.format(name=name, url=proxy.base_url, tokens=TOKENS) for name, proxy in self.by_name.items()
        ]
        return "\n".join(tables)


def serve(directory: Path, upstream: Upstream, lines: Lines) -> ServerProcess:
    """A server with a provider for each line."""
    (directory / "antiphon.toml").write_text(lines.toml())
    server = ServerProcess(
        directory, upstream_settings(upstream, CONFIG_FILE=str(directory / "antiphon.toml"))
    )
    server.start()
    return server


async def ask(server: ServerProcess, provider: str, name: str) -> dict[str, Any]:
    """Ask over one line; the answer must have ended, in the stream as in storage."""
    body = {"model": f"{provider}/n{TOKENS}-hash", "input": f"stream={name}", "stream": True}
    answered = await call(server.port, "POST", "/v1/responses", body)
    assert (answered.status, answered.complete) == (200, True)
    assert CANARY.encode() not in answered.body
    require_gapless(events_of(answered.body))
    response: dict[str, Any] = require_terminal(answered.body).data["response"]
    assert await get(server.port, f"/v1/responses/{response['id']}") == response
    assert text_of(events_of(answered.body)) == stored_text(response)
    return response


def require_end(response: dict[str, Any], name: str, calls: int) -> None:
    """Whole and completed, or failed with whatever had come; asked again only for want of a first token."""
    text = stored_text(response)
    if response["status"] == "completed":
        assert text == expected_text(name, TOKENS), f"{name}: completed without its end"
    else:
        assert response["status"] == "failed"
        assert response["error"]["code"] in ERROR_CODES
        assert check_prefix(name, text) is None, check_prefix(name, text)
    cut_short = text and response["status"] == "failed"
    assert calls <= (1 if cut_short else 3), f"{name}: {calls} calls"


@pytest.mark.parametrize(
    "kind", [Break.CUT, Break.HALF_CLOSE, Break.RESET, Break.BLACK_HOLE], ids=lambda k: k.name
)
async def test_breaks_on_the_way_back(upstream: Upstream, tmp_path: Path, kind: Break) -> None:
    places = range(0, LAST, STEP if kind is not Break.BLACK_HOLE else STEP * 5)
    async with AsyncExitStack() as stack:
        lines = Lines(stack, upstream.port)
        for at in places:
            await lines.add(f"p{at}", down=Faults(breaks=kind, after_bytes=at))
        server = await asyncio.to_thread(serve, tmp_path, upstream, lines)
        stack.callback(server.stop)

        async def one(at: int) -> str:
            name = f"{kind.name}-{at}"
            response = await ask(server, f"p{at}", name)
            require_end(response, name, upstream.stats()["calls_by_stream"].get(name, 0))
            if text := stored_text(response):
                assert at > len(text)
            return str(response["status"])

        ends = await gather_limited([one(at) for at in places], at_once=70)
        assert ends[0] == "failed"
        assert ends[-1] == "completed", "the line never broke after the end: LAST is too small"
        assert "Traceback" not in server.log


async def test_breaks_on_the_way_there_and_slow_lines(upstream: Upstream, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        lines = Lines(stack, upstream.port)
        for at in (0, 10, 200):
            await lines.add(f"cut{at}", up=Faults(breaks=Break.CUT, after_bytes=at))
            await lines.add(f"hole{at}", up=Faults(breaks=Break.BLACK_HOLE, after_bytes=at))
        await lines.add("late", down=Faults(latency_seconds=0.2))
        await lines.add("drip", down=Faults(bytes_per_second=4000))
        server = await asyncio.to_thread(serve, tmp_path, upstream, lines)
        stack.callback(server.stop)

        async def one(name: str) -> None:
            response = await ask(server, name, name)
            require_end(response, name, upstream.stats()["calls_by_stream"].get(name, 0))
            assert response["status"] == ("completed" if name in ("late", "drip") else "failed"), name

        await gather_limited([one(name) for name in lines.by_name])


async def test_nobody_listens(upstream: Upstream, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        lines = Lines(stack, upstream.port)
        await lines.add("gone")
        server = await asyncio.to_thread(serve, tmp_path, upstream, lines)
        stack.callback(server.stop)
        await lines.by_name["gone"].__aexit__()
        response = await ask(server, "gone", "gone")
        assert (response["status"], response["error"]["code"]) == ("failed", "server_error")
        assert stored_text(response) == ""
