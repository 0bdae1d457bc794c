"""OpenAI's wire shapes of chat completions, stored or not, and of models."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, UnsetType

from tests.e2e.conformance.shapes import Exact, Index, Seconds, identifier

CompletionId = identifier("chatcmpl-")
FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


class CalledFunction(Exact):
    name: str
    arguments: str


class ToolCall(Exact):
    id: str
    type: Literal["function"]
    function: CalledFunction


class ChatMessage(Exact):
    role: Literal["assistant"]
    content: str | None
    refusal: str | None
    tool_calls: list[ToolCall] | UnsetType = UNSET
    annotations: list[dict[str, Any]] | UnsetType = UNSET
    reasoning_content: str | UnsetType | None = UNSET


class Choice(Exact):
    index: Index
    message: ChatMessage
    logprobs: dict[str, Any] | None
    finish_reason: FinishReason


class PromptTokenDetails(Exact):
    cached_tokens: Index
    audio_tokens: Index | UnsetType = UNSET
    cache_write_tokens: Index | UnsetType = UNSET


class CompletionTokenDetails(Exact):
    reasoning_tokens: Index
    audio_tokens: Index | UnsetType = UNSET
    accepted_prediction_tokens: Index | UnsetType = UNSET
    rejected_prediction_tokens: Index | UnsetType = UNSET


class ChatUsage(Exact):
    prompt_tokens: Index
    completion_tokens: Index
    total_tokens: Index
    prompt_tokens_details: PromptTokenDetails | UnsetType = UNSET
    completion_tokens_details: CompletionTokenDetails | UnsetType = UNSET

    def __post_init__(self) -> None:
        if self.total_tokens != self.prompt_tokens + self.completion_tokens:
            raise ValueError("total_tokens is not the sum")


class ChatCompletion(Exact):
    id: CompletionId
    object: Literal["chat.completion"]
    created: Seconds
    model: str
    choices: list[Choice]
    usage: ChatUsage
    service_tier: str | UnsetType | None = UNSET
    system_fingerprint: str | UnsetType | None = UNSET
    metadata: dict[str, str] | UnsetType | None = UNSET


class FunctionFragment(Exact):
    name: str | UnsetType = UNSET
    arguments: str | UnsetType = UNSET


class ToolCallFragment(Exact):
    index: Index
    id: str | UnsetType = UNSET
    type: Literal["function"] | UnsetType = UNSET
    function: FunctionFragment | UnsetType = UNSET


class ChatDelta(Exact):
    role: Literal["assistant"] | UnsetType = UNSET
    content: str | UnsetType | None = UNSET
    refusal: str | UnsetType | None = UNSET
    tool_calls: list[ToolCallFragment] | UnsetType = UNSET
    reasoning_content: str | UnsetType | None = UNSET


class ChunkChoice(Exact):
    index: Index
    delta: ChatDelta
    finish_reason: FinishReason | None
    logprobs: dict[str, Any] | UnsetType | None = UNSET


class ChatChunk(Exact):
    id: CompletionId
    object: Literal["chat.completion.chunk"]
    created: Seconds
    model: str
    choices: list[ChunkChoice]
    usage: ChatUsage | UnsetType | None = UNSET
    service_tier: str | UnsetType | None = UNSET
    system_fingerprint: str | UnsetType | None = UNSET


class StoredMessage(Exact):
    id: str
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | None
    name: str | UnsetType | None = UNSET
    content_parts: list[dict[str, Any]] | UnsetType | None = UNSET
    tool_calls: list[ToolCall] | UnsetType | None = UNSET
    tool_call_id: str | UnsetType | None = UNSET
    refusal: str | UnsetType | None = UNSET


class ListPage(Exact):
    """A list page, whatever it lists."""

    object: Literal["list"]
    data: list[Any]
    first_id: str | None
    last_id: str | None
    has_more: bool

    def __post_init__(self) -> None:
        ends = (self.data[0].id, self.data[-1].id) if self.data else (None, None)
        if (self.first_id, self.last_id) != ends:
            raise ValueError("first_id and last_id are not those of data")


class CompletionList(ListPage):
    data: list[ChatCompletion]


class StoredMessageList(ListPage):
    data: list[StoredMessage]


class DeletedCompletion(Exact):
    id: CompletionId
    object: Literal["chat.completion.deleted"]
    deleted: Literal[True]


class Model(Exact):
    id: str
    object: Literal["model"]
    created: Index
    owned_by: str
    antiphon: dict[str, Any] | UnsetType = UNSET


class ModelList(Exact):
    object: Literal["list"]
    data: list[Model]
