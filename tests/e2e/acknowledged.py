"""Clients that ask one question after another, and what they were told."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.e2e.wire import call, get, until


class Acknowledged:
    """Which answers a server said it has, by their ids, and the statuses of all."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._going = True
        self.texts: dict[str, str] = {}
        self.told: Counter[int] = Counter()

    @asynccontextmanager
    async def writing(self, writers: int) -> AsyncIterator[None]:
        """So many ask for as long as the context is open; then all of them end."""
        tasks = [asyncio.create_task(self._write(f"w{index}")) for index in range(writers)]
        yield
        self._going = False
        await asyncio.gather(*tasks)

    async def _write(self, name: str) -> None:
        for number in itertools.count():
            if not self._going:
                return
            text = f"{name}.{number}"
            body = {"model": "scripted/echo", "input": text}
            answer = await call(self._port, "POST", "/v1/responses", body, seconds=60)
            self.told[answer.status] += 1
            if answer.status == 200 and answer.json()["status"] == "completed":
                self.texts[answer.json()["id"]] = text
            elif answer.status != 200:
                await asyncio.sleep(0.05)

    async def more(self, count: int) -> None:
        """Wait for more than so many further answers."""
        before = len(self.texts)
        await until(lambda: len(self.texts) > before + count, "answers", seconds=60)

    async def require_all_there(self) -> None:
        """Read every answer that was acknowledged."""
        for identifier, text in self.texts.items():
            answer = await get(self._port, f"/v1/responses/{identifier}")
            assert answer["status"] == "completed" and text in str(answer["output"])
        print(f"{len(self.texts)} answers acknowledged, statuses {dict(self.told)}")
