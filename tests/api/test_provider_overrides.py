"""No field of a body chooses where a provider's key is sent (T14)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from antiphon.api.v1.chat_requests import FORBIDDEN_FIELDS
from tests.api.client import Api
from tests.services.hand import ECHO

SAID = [{"role": "user", "content": "x"}]


@contextlib.asynccontextmanager
async def canary() -> AsyncIterator[tuple[str, list[str]]]:
    """A server nobody may speak to."""
    seen: list[str] = []

    async def note(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append("connected")
        writer.close()

    server = await asyncio.start_server(note, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", seen
    finally:
        server.close()


@pytest.mark.parametrize("field", sorted(FORBIDDEN_FIELDS))
async def test_an_override_is_refused_by_name_on_every_surface(api: Api, field: str) -> None:
    talk = await api.conversation("u0")
    item = (await api.get(f"/v1/conversations/{talk}/items"))["data"][0]["id"]
    bodies: list[tuple[str, dict[str, Any]]] = [
        ("/v1/chat/completions", {"model": ECHO, "messages": SAID}),
        ("/v1/chat/completions", {"model": ECHO, "messages": SAID, "stream": True, "store": True}),
        ("/v1/responses", {"model": ECHO, "input": "x"}),
        ("/v1/responses", {"model": ECHO, "input": "x", "stream": True, "background": True}),
        ("/v1/responses/input_tokens", {"model": ECHO, "input": "x"}),
        ("/v1/responses/compact", {"model": ECHO, "input": "x"}),
        (f"/v1/conversations/{talk}/items/{item}/edit", {"model": ECHO, "content": "x"}),
        (f"/v1/conversations/{talk}/items/{item}/regenerate", {"model": ECHO}),
        (f"/v1/conversations/{talk}/fan_out", {"models": [ECHO], "input": "x"}),
    ]
    async with canary() as (url, seen):
        for path, body in bodies:
            for value in (url, {"api_base": url}, None):
                error = await api.refused("POST", path, {**body, field: value}, status=400)
                assert (error["code"], error["param"]) == ("unknown_parameter", field), path
        assert seen == [] and not api.world.hand.calls


@pytest.mark.parametrize("model", ["{url}/v1", "openai@{url}", "{url}/hand/echo"])
async def test_a_model_name_is_no_address(api: Api, model: str) -> None:
    async with canary() as (url, seen):
        named = model.replace("{url}", url)
        for path, body in (
            ("/v1/responses", {"input": "x", "model": named}),
            ("/v1/chat/completions", {"messages": SAID, "model": named}),
        ):
            await api.refused("POST", path, body, status=404)
        assert seen == []
