"""OpenAI's wire shapes of the Responses and Conversations API, written down by hand.

Decoding with one of these types is the check: a missing key, an unknown key, a wrong type and a wrong
constant are all errors. Where Open Responses asks for more than OpenAI does (keys that must be present,
values that must not be null), its rule stands here. `antiphon` is this server's one extension field.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

Index = Annotated[int, Meta(ge=0)]
Seconds = Annotated[int, Meta(ge=1_000_000_000, le=100_000_000_000)]
Status = Literal["completed", "failed", "in_progress", "cancelled", "queued", "incomplete"]
ItemStatus = Literal["in_progress", "completed", "incomplete"]
ErrorCode = Literal[
    "server_error",
    "rate_limit_exceeded",
    "invalid_prompt",
    "data_residency_mismatch",
    "bio_policy",
    "vector_store_timeout",
    "invalid_image",
    "invalid_image_format",
    "invalid_base64_image",
    "invalid_image_url",
    "image_too_large",
    "image_too_small",
    "image_parse_error",
    "image_content_policy_violation",
    "invalid_image_mode",
    "image_file_too_large",
    "unsupported_image_media_type",
    "empty_image_file",
    "failed_to_download_image",
    "image_file_not_found",
]


def identifier(prefix: str) -> Any:
    """The type of an id with this prefix."""
    return Annotated[str, Meta(pattern=rf"^{prefix}[A-Za-z0-9_-]{{8,128}}$")]


ResponseId = identifier("resp_")
ConversationId = identifier("conv_")
MessageId = identifier("msg_")
CallItemId = identifier("fc_")
ReasoningId = identifier("rs_")
CompactionId = identifier("cmp_")
SearchId = identifier("fs_")


class Exact(Struct, forbid_unknown_fields=True, kw_only=True):
    """A shape whose keys are all known."""


# --- parts of items -------------------------------------------------------------------------------


class UrlCitation(Exact, tag="url_citation"):
    url: str
    title: str
    start_index: Index
    end_index: Index


class FileCitation(Exact, tag="file_citation"):
    file_id: str
    filename: str
    index: Index


class LogProb(Exact):
    token: str
    logprob: float
    bytes: list[int]
    top_logprobs: list[dict[str, Any]]


class OutputText(Exact, tag="output_text"):
    text: str
    annotations: list[UrlCitation | FileCitation]
    logprobs: list[LogProb]


class Refusal(Exact, tag="refusal"):
    refusal: str


class InputText(Exact, tag="input_text"):
    text: str


class InputImage(Exact, tag="input_image"):
    detail: Literal["low", "high", "auto", "original"]
    image_url: str | None
    file_id: str | UnsetType | None = UNSET


class InputFile(Exact, tag="input_file"):
    file_id: str | UnsetType | None = UNSET
    filename: str | UnsetType = UNSET
    file_data: str | UnsetType = UNSET
    file_url: str | UnsetType = UNSET


class SummaryText(Exact, tag="summary_text"):
    text: str


class ReasoningText(Exact, tag="reasoning_text"):
    text: str


# --- items ----------------------------------------------------------------------------------------


class Message(Exact, tag="message"):
    id: MessageId
    status: ItemStatus
    role: Literal["user", "assistant", "system", "developer"]
    content: list[OutputText | Refusal | InputText | InputImage | InputFile]
    phase: Literal["commentary", "final_answer"] | UnsetType = UNSET


class FunctionCall(Exact, tag="function_call"):
    id: CallItemId
    status: ItemStatus
    call_id: Annotated[str, Meta(min_length=1, max_length=64)]
    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    arguments: str


class FunctionCallOutput(Exact, tag="function_call_output"):
    id: str
    status: ItemStatus
    call_id: Annotated[str, Meta(min_length=1, max_length=64)]
    output: str | list[InputText | InputImage | InputFile]


class Reasoning(Exact, tag="reasoning"):
    id: ReasoningId
    summary: list[SummaryText]
    content: list[ReasoningText] | UnsetType = UNSET
    encrypted_content: str | UnsetType = UNSET
    status: ItemStatus | UnsetType = UNSET


class Compaction(Exact, tag="compaction"):
    id: CompactionId
    encrypted_content: Annotated[str, Meta(min_length=1, max_length=10_485_760)]
    created_by: str | UnsetType = UNSET


class FileSearchCall(Exact, tag="file_search_call"):
    id: SearchId
    status: Literal["in_progress", "searching", "completed", "incomplete", "failed"]
    queries: list[str]
    results: list[dict[str, Any]] | UnsetType | None = UNSET


Item = Message | FunctionCall | FunctionCallOutput | Reasoning | Compaction | FileSearchCall


# --- the response ---------------------------------------------------------------------------------


class TextFormat(Exact, tag="text"):
    pass


class JsonObjectFormat(Exact, tag="json_object"):
    pass


class JsonSchemaFormat(Exact, tag="json_schema"):
    name: str
    schema: dict[str, Any]
    strict: bool | UnsetType | None = UNSET
    description: str | UnsetType | None = UNSET


class TextSettings(Exact):
    format: TextFormat | JsonObjectFormat | JsonSchemaFormat
    verbosity: Literal["low", "medium", "high"] | UnsetType | None = UNSET


class ReasoningSettings(Exact):
    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None
    summary: Literal["auto", "concise", "detailed"] | None


class FunctionTool(Exact, tag="function"):
    name: str
    description: str | None
    parameters: dict[str, Any] | None
    strict: bool | None


class FileSearchTool(Exact, tag="file_search"):
    vector_store_ids: list[str]
    max_num_results: int | UnsetType = UNSET
    filters: dict[str, Any] | UnsetType | None = UNSET
    ranking_options: dict[str, Any] | UnsetType = UNSET


class ChooseFunction(Exact, tag="function"):
    name: str


class ChooseFileSearch(Exact, tag="file_search"):
    pass


class ChooseAllowed(Exact, tag="allowed_tools"):
    mode: Literal["auto", "required"]
    tools: list[dict[str, Any]]


class InputTokenDetails(Exact):
    cached_tokens: Index
    cache_write_tokens: Index


class OutputTokenDetails(Exact):
    reasoning_tokens: Index


class Usage(Exact):
    input_tokens: Index
    input_tokens_details: InputTokenDetails
    output_tokens: Index
    output_tokens_details: OutputTokenDetails
    total_tokens: Index

    def __post_init__(self) -> None:
        if self.total_tokens != self.input_tokens + self.output_tokens:
            raise ValueError("total_tokens is not the sum")
        if self.output_tokens_details.reasoning_tokens > self.output_tokens:
            raise ValueError("more reasoning tokens than output tokens")


class ResponseError(Exact):
    code: ErrorCode
    message: Annotated[str, Meta(min_length=1)]


class IncompleteDetails(Exact):
    reason: Literal["max_output_tokens", "content_filter"]


class ConversationReference(Exact):
    id: ConversationId


class Response(Exact):
    id: ResponseId
    object: Literal["response"]
    created_at: Seconds
    completed_at: Seconds | None
    status: Status
    background: bool
    error: ResponseError | None
    incomplete_details: IncompleteDetails | None
    instructions: str | list[dict[str, Any]] | None
    max_output_tokens: int | None
    max_tool_calls: int | None
    model: str
    output: list[Item]
    parallel_tool_calls: bool
    previous_response_id: ResponseId | None
    prompt_cache_key: str | None
    reasoning: ReasoningSettings | None
    safety_identifier: str | None
    service_tier: str
    store: bool
    temperature: float
    text: TextSettings
    tool_choice: Literal["none", "auto", "required"] | ChooseFunction | ChooseFileSearch | ChooseAllowed
    tools: list[FunctionTool | FileSearchTool]
    top_logprobs: int
    top_p: float
    presence_penalty: float
    frequency_penalty: float
    truncation: Literal["auto", "disabled"]
    usage: Usage | None
    metadata: dict[str, str]
    user: str | UnsetType | None = UNSET
    conversation: ConversationReference | UnsetType | None = UNSET
    prompt: dict[str, Any] | UnsetType | None = UNSET
    prompt_cache_retention: Literal["in_memory", "24h"] | UnsetType | None = UNSET
    antiphon: dict[str, Any] | UnsetType | None = UNSET

    def __post_init__(self) -> None:
        if (self.status == "failed") != (self.error is not None):
            raise ValueError("error is set exactly when the response failed")
        if (self.status == "incomplete") != (self.incomplete_details is not None):
            raise ValueError("incomplete_details is set exactly when the response is incomplete")
        if (self.status == "completed") != (self.completed_at is not None):
            raise ValueError("completed_at is set exactly when the response is completed")
        if self.status in ("queued", "in_progress") and self.usage is not None:
            raise ValueError("usage before the end")


# --- other objects --------------------------------------------------------------------------------


class CompactedResponse(Exact):
    id: ResponseId
    object: Literal["response.compaction"]
    created_at: Seconds
    output: list[Item]
    usage: Usage


class DeletedResponse(Exact):
    id: ResponseId
    object: Literal["response", "response.deleted"]
    deleted: Literal[True]


class InputTokens(Exact):
    object: Literal["response.input_tokens"]
    input_tokens: Index


class Conversation(Exact):
    id: ConversationId
    object: Literal["conversation"]
    created_at: Seconds
    metadata: dict[str, str]
    # The tree extension; OpenAI's object ends above.
    title: str | UnsetType | None = UNSET
    updated_at: Seconds | UnsetType = UNSET
    active_branch_id: str | UnsetType = UNSET
    revision: Index | UnsetType = UNSET
    kind: Literal["explicit", "implicit"] | UnsetType = UNSET
    pinned: bool | UnsetType = UNSET
    archived: bool | UnsetType = UNSET
    folder: str | UnsetType | None = UNSET
    expires_at: Seconds | UnsetType | None = UNSET
    forked_from_item_id: str | UnsetType | None = UNSET


class DeletedConversation(Exact):
    id: ConversationId
    object: Literal["conversation.deleted"]
    deleted: Literal[True]


class ItemList(Exact):
    object: Literal["list"]
    data: list[Item]
    first_id: str | None
    last_id: str | None
    has_more: bool

    def __post_init__(self) -> None:
        ends = (self.data[0].id, self.data[-1].id) if self.data else (None, None)
        if (self.first_id, self.last_id) != ends:
            raise ValueError("first_id and last_id are not those of data")


class ErrorDetail(Exact):
    message: Annotated[str, Meta(min_length=1)]
    type: Annotated[str, Meta(min_length=1)]
    param: str | None
    code: str | None


class ErrorBody(Exact):
    error: ErrorDetail


class SocketErrorDetail(Exact):
    type: str
    code: Annotated[str, Meta(min_length=1)]
    message: Annotated[str, Meta(min_length=1)]
    param: str | UnsetType | None = UNSET


class SocketError(Exact, tag="error"):
    """An error envelope of the WebSocket mode."""

    status: Annotated[int, Meta(ge=400, le=599)]
    error: SocketErrorDetail


def parse(body: bytes | str, shape: Any) -> Any:
    """Decode JSON as the shape, or fail saying what differs and in which body."""
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.ValidationError as difference:
        text = body if isinstance(body, str) else body.decode()
        raise AssertionError(f"not a {shape}: {difference}\n{text[:4000]}") from None
