"""Servers at work, and commands beside them: answers are given, pictures come and are purged."""

from __future__ import annotations

import asyncio
import base64
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests import warm
from tests.e2e.sdk.launch import clean_environment
from tests.e2e.server_process import ServerProcess
from tests.e2e.wire import call

PICTURE_BYTES = 90_000


def picture(seed: int) -> str:
    """A picture that is kept as a blob."""
    content = bytes((seed + index) % 251 for index in range(PICTURE_BYTES))
    return "data:image/png;base64," + base64.b64encode(content).decode()


def asking(text: str, **fields: Any) -> dict[str, Any]:
    """A request for an answer."""
    return {"model": "scripted/echo", "input": text, **fields}


def showing(number: int) -> list[dict[str, Any]]:
    """An input with a picture."""
    content = [
        {"type": "input_text", "text": f"picture {number}"},
        {"type": "input_image", "image_url": picture(number)},
    ]
    return [{"role": "user", "content": content}]


async def run(*words: str, **settings: str) -> tuple[int, str]:
    """Exit code and words of a command."""
    environment = clean_environment() | settings
    done = await asyncio.to_thread(warm.run, words, env=environment, cwd=Path.cwd(), timeout=180)
    return done.returncode, done.stdout + done.stderr


@asynccontextmanager
async def loaded(server: ServerProcess) -> AsyncIterator[dict[str, str]]:
    """Answers are given, pictures come and are purged; yields ids and texts of what was acknowledged."""
    acknowledged: dict[str, str] = {}

    async def talk(name: str) -> None:
        for number in itertools.count():
            text = f"{name}.{number}"
            answer = await call(server.port, "POST", "/v1/responses", asking(text))
            assert answer.status == 200
            acknowledged[answer.json()["id"]] = text

    async def show_and_purge() -> None:
        for number in itertools.count():
            made = (await call(server.port, "POST", "/v1/conversations", {})).json()["id"]
            body = {"model": "scripted/echo", "input": showing(number), "conversation": made}
            assert (await call(server.port, "POST", "/v1/responses", body)).status == 200
            path = f"/v1/conversations/{made}?purge=true"
            assert (await call(server.port, "DELETE", path)).status == 200

    tasks = [asyncio.create_task(one) for one in (talk("a"), talk("b"), show_and_purge())]
    try:
        yield acknowledged
    finally:
        for task in tasks:
            task.cancel()
        for problem in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(problem, asyncio.CancelledError), problem
