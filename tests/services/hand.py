"""A model whose words the test releases one by one, so that races happen when the test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

from antiphon.domain.errors import ProviderError
from antiphon.ports.model_provider import (
    Finish,
    ModelInfo,
    ModelRequest,
    ProviderEvent,
    TextDelta,
    ToolCallDelta,
)
from antiphon.providers import local_answers as local

NAME = "hand"
HAND = "hand/held"
"""A model that says nothing before the test does."""
ECHO = "hand/echo"
"""A model that answers `re: …` at once."""
SILENT = "hand/silent"
"""A model that ends at once without a word."""
BROKEN = "hand/broken"
"""A model that fails before its first word."""

PATIENCE_SECONDS = 10.0
"""How long a test waits for what must happen; only a failing test ever waits that long."""


async def until(condition: Callable[[], object]) -> None:
    """Let everybody else go on until a condition holds."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110 - nothing announces what is waited for
            await asyncio.sleep(0)


class Call:
    """One call to the model."""

    def __init__(self, request: ModelRequest) -> None:
        self.request = request
        self.closed = asyncio.Event()
        self.read = 0
        self._queue: asyncio.Queue[Sequence[ProviderEvent] | Exception | None] = asyncio.Queue()

    @property
    def prompts(self) -> list[str]:
        """What the model was shown, as `role:text`."""
        return [f"{message['role']}:{local.text_of(message)}" for message in self.request.messages]

    def put(self, *events: ProviderEvent) -> None:
        """Let one batch of events arrive."""
        self._queue.put_nowait(events)

    def say(self, text: str, choice: int = 0) -> None:
        """Let one piece of text arrive."""
        self.put(TextDelta(choice, text))

    def call(self, name: str, arguments: str, call_id: str) -> None:
        """Let a whole tool call arrive."""
        self.put(ToolCallDelta(0, len(name), call_id, name, arguments))

    def end(self, reason: str = "stop") -> None:
        """End choice 0 and the call."""
        self.put(Finish(0, reason))
        self._queue.put_nowait(None)

    def answer(self, text: str) -> None:
        """Say all of it and end."""
        self.say(text)
        self.end()

    def fail(self, message: str = "broken", code: str = "server_error") -> None:
        """End the call with an error that is not worth a retry."""
        self._queue.put_nowait(ProviderError(message, code=code))

    async def batches(self) -> AsyncIterator[Sequence[ProviderEvent]]:
        """What the provider's stream yields."""
        try:
            while (batch := await self._queue.get()) is not None:
                if isinstance(batch, Exception):
                    raise batch
                self.read += 1
                yield batch
        finally:
            self.closed.set()


class Hand:
    """Port `ModelProvider`, played by the test."""

    name = NAME

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._arrivals: asyncio.Queue[Call] = asyncio.Queue()

    async def models(self) -> Sequence[ModelInfo]:
        """The models a test may name."""
        return [ModelInfo(id=name, provider=NAME) for name in (HAND, ECHO, SILENT, BROKEN)]

    def stream(self, request: ModelRequest) -> AsyncIterator[Sequence[ProviderEvent]]:
        """Hand the call to the test, or answer by itself."""
        call = Call(request)
        self.calls.append(call)
        model = f"{NAME}/{request.model}"
        if model == ECHO:
            said = local.user_texts(request)
            call.answer("re: " + (said[-1] if said else ""))
        elif model == SILENT:
            call.end()
        elif model == BROKEN:
            call.fail()
        else:
            self._arrivals.put_nowait(call)
        return call.batches()

    async def next(self) -> Call:
        """The next call to a held model."""
        return await asyncio.wait_for(self._arrivals.get(), PATIENCE_SECONDS)

    async def close(self) -> None:
        """Nothing to release."""
