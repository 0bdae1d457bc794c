"""The body of `POST /v1/chat/completions` and how it becomes a turn.

What is known is checked; every other field is passed on to the provider as it came, since
compatible providers have fields of their own.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from antiphon.api.errors import decoding_error
from antiphon.api.http import decode_json
from antiphon.api.v1.hosted_tools import Tools, sort_tools, unsupported_tool
from antiphon.api.v1.response_requests import Metadata
from antiphon.domain.accounts import Principal
from antiphon.domain.chat_messages import check_messages, items_of, path_hashes
from antiphon.domain.errors import InvalidRequest
from antiphon.services.turn_plans import TurnRequest

MAX_CHOICES: Final = 16
OWN_FIELDS: Final = frozenset({"model", "messages", "stream", "stream_options", "store", "metadata"})

FORBIDDEN_FIELDS: Final = frozenset(
    {
        "api_base", "api_key", "api_version", "base_url", "custom_llm_provider", "extra_body",
        "extra_headers", "headers", "litellm_params", "organization", "provider_url", "user_config",
    }
)  # fmt: skip
"""Fields by which gateways let a caller choose where a key is sent. We would not read them, but one
of those gateways may be the provider behind us."""


NO_AUDIO: Final = "Spoken answers are not supported."


class StreamOptions(msgspec.Struct):
    """How to stream."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class CreateChatCompletion(msgspec.Struct, kw_only=True):
    """The fields this server itself understands or checks; more are passed on."""

    messages: list[dict[str, Any]]
    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    store: bool | None = None
    metadata: Metadata | None = None
    n: Annotated[int, Meta(ge=1, le=MAX_CHOICES)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1)] | None = None
    frequency_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    presence_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    tools: Annotated[list[dict[str, Any]], Meta(max_length=512)] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = None
    stop: str | list[str] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    seed: int | None = None
    user: str | None = None
    reasoning_effort: str | None = None


_OF_TOOLS: Final = frozenset({"tools", "tool_choice", "parallel_tool_calls"})


def parse_chat(raw: bytes) -> tuple[CreateChatCompletion, dict[str, Any]]:
    """Decode a create; returns the checked fields and the params to pass on. Raises InvalidRequest."""
    everything = decode_json(raw)
    try:
        body = msgspec.convert(everything, CreateChatCompletion)
    except (msgspec.ValidationError, RecursionError) as error:
        raise decoding_error(error) from None
    check_messages(body.messages)
    for name in FORBIDDEN_FIELDS & everything.keys():
        raise InvalidRequest(f"Unknown parameter: '{name}'.", code="unknown_parameter", param=name)
    _require_heard(body, everything)
    params = {
        name: value for name, value in everything.items() if name not in OWN_FIELDS and value is not None
    }
    return body, params


def _require_heard(body: CreateChatCompletion, everything: dict[str, Any]) -> None:
    """Refuse what is answered in a form that is not read from providers: the answer would be lost."""
    for index, tool in enumerate(body.tools or ()):
        if tool.get("type") == "custom":  # what a provider runs itself is answered in words
            raise unsupported_tool("custom", f"tools[{index}]")
    if isinstance(body.tool_choice, dict) and body.tool_choice.get("type") == "custom":
        raise unsupported_tool("custom", "tool_choice")
    modalities = everything.get("modalities")
    if isinstance(modalities, list) and "audio" in modalities:
        raise InvalidRequest(NO_AUDIO, param="modalities", code="unsupported_parameter")
    if everything.get("audio") is not None:
        raise InvalidRequest(NO_AUDIO, param="audio", code="unsupported_parameter")


def stores(body: CreateChatCompletion, policy: Literal["asked", "always", "never"]) -> bool:
    """Return whether a completion is stored: as asked, unless configuration decides."""
    if policy == "always":
        return True
    return policy == "asked" and body.store is True


def turn_request(
    who: Principal, body: CreateChatCompletion, params: dict[str, Any], *, store: bool
) -> TurnRequest:
    """Return the turn that a create asks for."""
    items = items_of(body.messages) if store else []
    tools = sort_tools(body.tools, body.tool_choice)
    include_usage = bool(body.stream_options and body.stream_options.include_usage)
    return TurnRequest(
        surface="chat",
        items=tuple(items),
        model=body.model,
        params=_offered(params, tools),
        echo={"include_usage": include_usage},
        metadata=msgspec.json.encode(body.metadata or {}).decode(),
        store=store,
        messages=body.messages,
        path_hashes=path_hashes(who.actor_id, items),
        search=tools.search,
        retrieves=tools.retrieves,
    )


def _offered(params: dict[str, Any], tools: Tools) -> dict[str, Any]:
    """Return what goes on to the model, without the tools that it may not call or the server runs itself."""
    if len(tools.offered) == len(params.get("tools") or ()) and tools.choice == params.get("tool_choice"):
        return params
    left = {name: value for name, value in params.items() if name not in _OF_TOOLS}
    if tools.offered:
        left["tools"] = tools.offered
        if tools.choice is not None:
            left["tool_choice"] = tools.choice
        if "parallel_tool_calls" in params:
            left["parallel_tool_calls"] = params["parallel_tool_calls"]
    return left
