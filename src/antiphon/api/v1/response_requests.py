"""The body of `POST /v1/responses` and how it becomes a turn.

Decoded and validated in one pass by msgspec; the same structs give the OpenAPI schema.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from antiphon.api.errors import decoding_error
from antiphon.api.v1.function_tools import chat_tool, chat_tool_choice, require_offered
from antiphon.api.v1.hosted_tools import Tools, echoed_tool, sort_tools
from antiphon.api.v1.response_objects import LOGPROBS, RESULTS, known_includes
from antiphon.domain.errors import InvalidRequest
from antiphon.domain.file_search import TOOL
from antiphon.domain.inputs import parse_input
from antiphon.services.turn_plans import TurnRequest

MAX_TOOLS: Final = 512

Metadata = Annotated[
    dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]], Meta(max_length=16)
]


class Extension(msgspec.Struct, forbid_unknown_fields=True):
    """Antiphon's own fields: where in the tree the turn attaches.

    `parent_id` is an item of the conversation to follow, `branch_id` the branch to speak to,
    `branch_name` opens a branch for the answer and `activate` makes it the active one. With `continues`
    the answer is the rest of the one at which it attaches, which was cut off; it has no input of its own.
    """

    parent_id: str | None = None
    branch_id: str | None = None
    branch_name: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    activate: bool = False
    continues: bool = False


class ConversationRef(msgspec.Struct, forbid_unknown_fields=True):
    """A conversation by its id."""

    id: str


class Reasoning(msgspec.Struct, forbid_unknown_fields=True):
    """How much a reasoning model should think, which is passed on; the rest as far as it asks for nothing."""

    effort: str | None = None
    summary: str | None = None
    generate_summary: str | None = None
    context: str | None = None
    mode: str | None = None


class ResponseStreamOptions(msgspec.Struct, forbid_unknown_fields=True):
    """How to stream: nothing that could be asked for changes anything here."""

    include_obfuscation: bool | None = None


class TextConfig(msgspec.Struct, forbid_unknown_fields=True):
    """What an answer's text should be like; passed on."""

    format: dict[str, Any] | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class ResponsesBody(msgspec.Struct, kw_only=True):
    """What describes an input, shared by create, input_tokens and compact."""

    model: str | None = None
    input: str | list[Any] | None = None
    instructions: str | None = None
    previous_response_id: str | None = None
    conversation: str | ConversationRef | None = None
    tools: Annotated[list[dict[str, Any]], Meta(max_length=MAX_TOOLS)] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    text: TextConfig | None = None
    reasoning: Reasoning | None = None
    truncation: Literal["auto", "disabled"] | None = None


class CreateResponse(ResponsesBody, kw_only=True, forbid_unknown_fields=True):
    """The body of a create; unknown fields are refused by name."""

    background: bool | None = None
    context_management: list[dict[str, Any]] | None = None
    frequency_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    include: list[str] | None = None
    max_output_tokens: Annotated[int, Meta(ge=1)] | None = None
    max_tool_calls: Annotated[int, Meta(ge=1)] | None = None
    metadata: Metadata | None = None
    moderation: Any = None
    presence_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    prompt: dict[str, Any] | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    prompt_cache_retention: str | None = None
    safety_identifier: str | None = None
    service_tier: str | None = None
    store: bool | None = None
    stream: bool | None = None
    stream_options: ResponseStreamOptions | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    user: str | None = None
    antiphon: Extension | None = None


class CountInput(ResponsesBody, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /v1/responses/input_tokens`."""


class Compact(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /v1/responses/compact`."""

    model: str
    input: str | list[Any] | None = None
    instructions: str | None = None
    previous_response_id: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    prompt_cache_retention: str | None = None
    service_tier: str | None = None


class WebSocketCreate(CreateResponse, kw_only=True, forbid_unknown_fields=True):
    """A `response.create` message on a WebSocket."""

    type: Literal["response.create"] = "response.create"
    stream_id: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    generate: bool | None = None


decode_create = msgspec.json.Decoder(CreateResponse).decode
decode_count = msgspec.json.Decoder(CountInput).decode
decode_compact = msgspec.json.Decoder(Compact).decode

_SENT_ON: Final = (
    "frequency_penalty", "presence_penalty", "prompt_cache_key", "prompt_cache_options",
    "prompt_cache_retention", "safety_identifier", "service_tier", "temperature", "top_p", "user",
)  # fmt: skip
_ECHOED: Final = (
    "instructions", "max_output_tokens", "max_tool_calls", "parallel_tool_calls", "previous_response_id",
    "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "safety_identifier", "temperature",
    "top_logprobs", "top_p", "presence_penalty", "frequency_penalty", "truncation", "user",
)  # fmt: skip


def parse_create(body: bytes) -> CreateResponse:
    """Decode a create; raises InvalidRequest naming the field."""
    try:
        return decode_create(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise decoding_error(error) from None


def turn_request(body: CreateResponse) -> TurnRequest:
    """Return the turn that a create asks for; raises InvalidRequest."""
    conversation = conversation_of(body)
    extension = body.antiphon or Extension()
    store = body.store is not False
    tools = sort_tools(body.tools, body.tool_choice)
    _require_sense(body, conversation, extension, store=store)
    return TurnRequest(
        surface="responses",
        items=tuple(parse_input(body.input)),
        model=body.model,
        instructions=body.instructions,
        params=chat_params(body, tools),
        echo=_echo(body, conversation),
        metadata=msgspec.json.encode(body.metadata or {}).decode(),
        background=bool(body.background),
        store=store,
        conversation_id=conversation,
        branch_id=extension.branch_id,
        previous_response_id=body.previous_response_id,
        parent_item_id=extension.parent_id,
        new_branch=extension.branch_name,
        activate=extension.activate,
        refuse_truncation=body.truncation == "disabled",
        search=tools.search,
        retrieves=tools.retrieves,
        continues=extension.continues,
    )


def conversation_of(body: ResponsesBody) -> str | None:
    """Return the wire id of the named conversation, in either of its forms."""
    named = body.conversation
    return named.id if isinstance(named, ConversationRef) else named


def _require_sense(
    body: CreateResponse, conversation: str | None, extension: Extension, *, store: bool
) -> None:
    if conversation is not None and body.previous_response_id is not None:
        raise InvalidRequest(
            "'previous_response_id' and 'conversation' exclude each other.",
            code="mutually_exclusive_parameters",
            param="previous_response_id",
        )
    if not store and conversation is not None:
        raise InvalidRequest(
            "An answer in a conversation is always stored.", param="store", code="invalid_value"
        )
    if not store and body.background:
        raise InvalidRequest(
            "A background answer is always stored.", param="background", code="invalid_value"
        )
    _require_place(extension, conversation, follows=body.previous_response_id is not None, store=store)
    if extension.continues and body.input:
        raise InvalidRequest(
            "What goes on with an answer has no 'input'.", param="input", code="mutually_exclusive_parameters"
        )
    _require_supported(body)
    if body.input is None and conversation is None and body.previous_response_id is None:
        raise InvalidRequest(
            "Missing required parameter: 'input'.", param="input", code="missing_required_parameter"
        )
    if body.input == [] and conversation is None and body.previous_response_id is None:
        raise InvalidRequest("The input is empty.", param="input", code="empty_array")


def _require_place(extension: Extension, conversation: str | None, *, follows: bool, store: bool) -> None:
    if (extension.parent_id or extension.branch_id) and conversation is None:
        raise InvalidRequest(
            "'parent_id' and 'branch_id' belong to a conversation.",
            param="conversation",
            code="missing_required_parameter",
        )
    if extension.parent_id and extension.branch_id:
        raise InvalidRequest(
            "'parent_id' and 'branch_id' exclude each other.",
            param="antiphon.branch_id",
            code="mutually_exclusive_parameters",
        )
    if extension.branch_name and not (store and (conversation is not None or follows)):
        raise InvalidRequest(
            "'branch_name' opens a branch of a conversation that is there, for an answer that is stored.",
            param="antiphon.branch_name",
            code="invalid_value",
        )


def _require_supported(body: CreateResponse) -> None:
    """Refuse what would make another answer and cannot be asked for by chat completions."""
    asked: list[tuple[str, Any, str]] = [
        ("prompt", body.prompt is not None, "Stored prompts are not supported."),
        ("moderation", body.moderation is not None, "Moderation is not supported."),
        ("context_management", body.context_management, "What has no room is left out by 'truncation' only."),
    ]
    if (thinking := body.reasoning) is not None:
        asked += [
            (
                "reasoning.context",
                thinking.context not in (None, "auto"),
                "Earlier thoughts are not shown again.",
            ),
            (
                "reasoning.mode",
                thinking.mode not in (None, "standard"),
                "There is no other mode than 'standard'.",
            ),
        ]
    for param, is_asked, message in asked:
        if is_asked:
            raise InvalidRequest(message, param=param, code="unsupported_parameter")


def chat_params(body: CreateResponse, tools: Tools) -> dict[str, Any]:
    """Return what goes on to the model, in the shape of chat completions."""
    params = {name: value for name in _SENT_ON if (value := getattr(body, name)) is not None}
    if body.max_output_tokens is not None:
        params["max_completion_tokens"] = body.max_output_tokens
    if body.top_logprobs or LOGPROBS in (body.include or ()):
        params["logprobs"] = True
        if body.top_logprobs:
            params["top_logprobs"] = body.top_logprobs
    if body.reasoning is not None and body.reasoning.effort is not None:
        params["reasoning_effort"] = body.reasoning.effort
    if body.text is not None:
        if body.text.verbosity is not None:
            params["verbosity"] = body.text.verbosity
        if (response_format := _response_format(body.text.format)) is not None:
            params["response_format"] = response_format
    choice = chat_tool_choice(tools.choice) if tools.choice is not None else None
    functions = {
        id(tool): chat_tool(tool, f"tools[{index}]")
        for index, tool in enumerate(body.tools or ())
        if tool.get("type") != TOOL
    }  # also those that may not be called now are checked
    require_offered(choice, [tool["function"]["name"] for tool in functions.values()])
    if tools.offered:
        params["tools"] = [functions[id(tool)] for tool in tools.offered]
        if choice is not None:
            params["tool_choice"] = choice
        if body.parallel_tool_calls is not None:
            params["parallel_tool_calls"] = body.parallel_tool_calls
    return params


def _response_format(shape: dict[str, Any] | None) -> dict[str, Any] | None:
    if shape is None:
        return None
    if not isinstance(shape.get("type"), str):
        raise InvalidRequest("'text.format' needs a 'type'.", param="text.format", code="invalid_type")
    kind = shape["type"]
    if kind == "text":
        return None
    if kind == "json_object":
        return {"type": "json_object"}
    if kind != "json_schema":
        raise InvalidRequest(f"Unknown text format '{kind}'.", param="text.format.type", code="invalid_value")
    if not isinstance(shape.get("name"), str) or not isinstance(shape.get("schema"), dict):
        raise InvalidRequest(
            "A JSON schema format needs 'name' and 'schema'.",
            param="text.format",
            code="missing_required_parameter",
        )
    known = {
        name: shape[name]
        for name in ("name", "description", "schema", "strict")
        if shape.get(name) is not None
    }
    return {"type": "json_schema", "json_schema": known}


def _echo(body: CreateResponse, conversation: str | None) -> dict[str, Any]:
    echo = {name: value for name in _ECHOED if (value := getattr(body, name)) is not None}
    if conversation is not None:
        echo["conversation"] = True
    if body.tools:
        echo["tools"] = [echoed_tool(tool) for tool in body.tools]
    if RESULTS in known_includes(body.include or ()):
        echo["include"] = [RESULTS]
    if body.tool_choice is not None:
        echo["tool_choice"] = body.tool_choice
    if body.text is not None:
        form, verbosity = body.text.format, body.text.verbosity
        echo["text"] = {"format": form or {"type": "text"}, "verbosity": verbosity or "medium"}
    if body.reasoning is not None:
        given = msgspec.structs.asdict(body.reasoning)
        told = {name: value for name, value in given.items() if value is not None}
        echo["reasoning"] = {"effort": None, "summary": None} | told
    if body.service_tier is not None:
        echo["service_tier"] = "default" if body.service_tier == "auto" else body.service_tier
    return echo
