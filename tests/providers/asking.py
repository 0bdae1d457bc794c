"""What the tests of the OpenAI-compatible provider share: a key to look for, and a short way to ask."""

from __future__ import annotations

from typing import Any

from antiphon.domain.errors import ProviderError
from antiphon.ports.model_provider import (
    ModelRequest,
    ProviderEvent,
    TextDelta,
)
from antiphon.providers.http_client import HttpClient
from antiphon.providers.openai_compatible import OpenAICompatible
from antiphon.providers.specs import ProviderSpec

KEY = "sk-canary-0123456789abcdef"


OK = b'data: {"choices":[{"index":0,"delta":{"content":"ok"},"finish_reason":"stop"}]}\n\n'


DONE = b"data: [DONE]\n\n"


def provider(http: HttpClient, base_url: str, **fields: Any) -> OpenAICompatible:
    return OpenAICompatible(ProviderSpec(name="up", base_url=base_url, **{"api_key": KEY, **fields}), http)


def ask(model: str = "m", said: str = "hi", **params: Any) -> ModelRequest:
    return ModelRequest(model=model, messages=[{"role": "user", "content": said}], params=params)


Read = tuple[list[ProviderEvent], ProviderError | None]


async def read(made: OpenAICompatible, request: ModelRequest) -> Read:
    events: list[ProviderEvent] = []
    try:
        async for batch in made.stream(request):
            assert batch
            events += batch
    except ProviderError as error:
        assert KEY not in str(error) and "canary" not in repr(error)
        return events, error
    return events, None


def text_of(events: list[ProviderEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))
