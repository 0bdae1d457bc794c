"""Port to a language model: a chat request goes in, batches of events come out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import msgspec

from antiphon.domain.sources import Source


class ModelRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One call to a model, in the shape of OpenAI's chat completions.

    `model` is the provider's own name. `messages` are chat messages; `params` holds every
    other field to send on (tools, tool_choice, response_format, temperature, n, …).
    `extra_headers` never holds credentials: the provider adds its own. `sources` are those the
    messages hold already, for providers that read nothing but them; None if nothing was searched.
    With `continues` the last message is an answer that was cut off: what is wanted is its rest, from the
    very next character, which each provider asks for in the way its models know.
    """

    model: str
    messages: list[dict[str, Any]]
    params: dict[str, Any] = {}
    extra_headers: dict[str, str] = {}
    sources: tuple[Source, ...] | None = None
    continues: bool = False


class TextDelta(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="text"):
    """Some text of the answer.

    `logprobs` are its tokens, each with `token`, `logprob`, `bytes` and `top_logprobs`. They may come without
    a text: some tokens are parts of a character. The text of such a delta is empty.
    """

    choice: int
    text: str
    logprobs: list[dict[str, Any]] | None = None


class ReasoningDelta(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="reasoning"):
    """Some of the model's reasoning, as far as the provider shows it."""

    choice: int
    text: str


class RefusalDelta(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="refusal"):
    """Some text of a refusal."""

    choice: int
    text: str


class ToolCallDelta(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="call"):
    """A fragment of a tool call; `index` tells parallel calls of one choice apart.

    `call_id` and `name` come with the first fragment of a call.
    """

    choice: int
    index: int
    call_id: str | None
    name: str | None
    arguments: str


class Finish(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="finish"):
    """A choice has ended: stop, length, tool_calls or content_filter."""

    choice: int
    reason: str


class UsageReport(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="usage"):
    """Tokens as the provider bills them."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0


class Started(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="started"):
    """Which provider and model really answer, after fallbacks; always the first event."""

    provider: str
    model: str


ProviderEvent = TextDelta | ReasoningDelta | RefusalDelta | ToolCallDelta | Finish | UsageReport | Started


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A model one can ask for; `id` is `provider/model`, `created` seconds since 1970."""

    id: str
    provider: str
    created: int = 0
    context_tokens: int | None = None


class Pullable(Protocol):
    """What an iterator of batches may offer besides: taking what has come without waiting."""

    def pull(self) -> Sequence[ProviderEvent]:
        """Return what has come since the last batch, perhaps nothing; what failed the iterator raises."""
        ...

    @property
    def at_end(self) -> bool:
        """Whether the iterator's rest can be had without waiting."""
        ...

    def on_news(self, callback: Callable[[], None] | None) -> None:
        """Have `callback` called, on the event loop, when `pull` or `at_end` has something to tell."""
        ...


class ModelProvider(Protocol):
    """A language model service. Errors leave it as `domain.errors.ProviderError` only."""

    @property
    def name(self) -> str:
        """The provider's name, the part of a model id before the slash."""
        ...

    async def models(self) -> Sequence[ModelInfo]:
        """Return the models this provider offers; raises ProviderError if it cannot be asked."""
        ...

    def stream(self, request: ModelRequest) -> AsyncIterator[Sequence[ProviderEvent]]:
        """Call the model once and yield what arrives, several events at a time.

        A batch holds what one read brought. Ends after the model's end; raises ProviderError
        on any failure, also on an end without a finish. Closing the iterator closes the call.
        A consumer that does not ask for the next batch stops the reading.
        """
        ...

    async def close(self) -> None:
        """Release connections; does nothing if already closed."""
        ...


@runtime_checkable
class Keyed(Protocol):
    """A provider whose key can be replaced while it serves."""

    @property
    def takes_key(self) -> bool:
        """Whether a key would be sent: False where a configured header takes its place."""
        ...

    @property
    def has_key(self) -> bool:
        """Whether calls carry a key now."""
        ...

    def use_key(self, key: str | None) -> None:
        """Have calls that begin from now on carry this key; None is the configured one, if any."""
        ...
