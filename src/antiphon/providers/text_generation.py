"""A provider that speaks Hugging Face's text generation: one prompt in, one text out.

The wire of text-generation-inference and of the older inference API: a POST of `inputs` and `parameters`
to `…/models/NAME`; the answer is server-sent events of tokens, or one JSON value with `generated_text`.
See https://huggingface.github.io/text-generation-inference. It knows no roles, tools or pictures: a
conversation is written out as one text, and what cannot be is refused.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from antiphon.domain.errors import ProviderError
from antiphon.ports.model_provider import (
    Finish,
    ModelInfo,
    ModelRequest,
    ProviderEvent,
    TextDelta,
    UsageReport,
)
from antiphon.ports.outbound import OutboundError, OutboundHttp, OutboundRequest, OutboundResponse
from antiphon.providers import local_answers, provider_errors
from antiphon.providers.error_bodies import error_body
from antiphon.providers.keyed import KeyedProvider
from antiphon.providers.provider_errors import Blame
from antiphon.providers.specs import ProviderSpec
from antiphon.providers.sse_reader import LineTooLong, SseReader
from antiphon.providers.surrogates import mend

MAX_JSON_BYTES: Final = 16 * 1024 * 1024
MAX_NEW_TOKENS: Final = 1024
"""What is asked for where the caller says nothing: servers' own default is twenty."""
CHECK_SECONDS: Final = 5.0
UNSAYABLE: Final = ("tools", "functions", "response_format", "logprobs")
INSTRUCTED: Final = ("mistral", "mixtral", "llama-2")
"""Models whose instructions stand between [INST] and [/INST]; others are shown a conversation."""
TURNS: Final = {"user": "User", "assistant": "Assistant"}
ENDS: Final = {"length": "length"}
"""Reasons of an end that are none of a whole answer."""


class TextGeneration(KeyedProvider):
    """One model at one address. `http` is shared with others and not closed here."""

    def __init__(self, spec: ProviderSpec, http: OutboundHttp) -> None:
        super().__init__(spec)
        self._http = http
        self._url = spec.base_url.rstrip("/")

    async def models(self) -> Sequence[ModelInfo]:
        """Return the one model."""
        return [
            ModelInfo(id=f"{self.name}/{model}", provider=self.name, context_tokens=self._spec.context_tokens)
            for model in self._spec.models
        ]

    async def check(self) -> None:
        """Ask the address for itself, which generates nothing; raises ProviderError if it does not answer."""
        blame = self._blame()
        request = OutboundRequest(
            method="GET", url=self._url, trust="operator", headers=self._headers,
            connect_seconds=CHECK_SECONDS, idle_seconds=CHECK_SECONDS, total_seconds=CHECK_SECONDS,
        )  # fmt: skip
        try:
            response = await self._http.send(request)
            body = await error_body(response)
        except OutboundError as error:
            raise provider_errors.from_transport(blame, error, begun=False) from error
        if response.status in (401, 403, 404) or response.status >= 500:
            raise provider_errors.from_status(blame, response.status, response.headers, body)

    async def stream(self, request: ModelRequest) -> AsyncIterator[Sequence[ProviderEvent]]:
        """Call the model once; see the port."""
        blame = self._blame()
        reading = _Reading(blame)
        response: OutboundResponse | None = None
        try:
            response = await self._post(request, blame)
            async for batch in _batches(response, reading):
                yield batch
            response.finish()
        except OutboundError as error:
            raise provider_errors.from_transport(blame, error, begun=reading.begun) from error
        finally:
            if response is not None:
                response.close()

    async def close(self) -> None:
        """Do nothing: connections belong to the shared client."""

    async def _post(self, request: ModelRequest, blame: Blame) -> OutboundResponse:
        response = await self._http.send(
            OutboundRequest(
                method="POST", url=self._url, trust="operator",
                headers={**self._headers, "content-type": "application/json"},
                body=encode_request(request, self.name),
                connect_seconds=self._spec.connect_seconds, idle_seconds=self._spec.idle_seconds,
            )
        )  # fmt: skip
        if 200 <= response.status < 300:
            return response
        body = await error_body(response)
        raise provider_errors.from_status(blame, response.status, response.headers, body)

    def _blame(self) -> Blame:
        model = self._spec.models[0] if self._spec.models else ""
        return Blame(self.name, model, secrets=self._secrets, hint=self._spec.model_hint)


async def _batches(response: OutboundResponse, reading: _Reading) -> AsyncIterator[Sequence[ProviderEvent]]:
    """Yield what arrives, of events or of one JSON value; raises ProviderError, OutboundError."""
    received = b""
    while not received:
        if not (piece := await response.read()):
            raise provider_errors.protocol(reading.blame, "it answered nothing")
        received = piece.lstrip()
    if received[:1] in b"[{":
        whole = received + await response.read_all(MAX_JSON_BYTES)
        yield reading.whole(whole)
        return
    if received[:1] == b"<":
        raise provider_errors.web_page(reading.blame)
    while received:
        if batch := reading.feed(received):
            yield batch
        received = await response.read()
    if batch := reading.end():
        yield batch


class _Reading:
    """Reads an answer; `begun` tells whether anything was given out."""

    def __init__(self, blame: Blame) -> None:
        self.blame = blame
        self.begun = False
        self._events = SseReader()
        self._ended = False

    def feed(self, received: bytes) -> list[ProviderEvent]:
        """Return the events that a read completes; raises ProviderError."""
        try:
            found = self._events.feed(received)
        except LineTooLong:
            raise provider_errors.protocol(self.blame, "a line of it is too long") from None
        return self._read(found)

    def end(self) -> list[ProviderEvent]:
        """Return the last events; raises ProviderError for an answer that was cut off."""
        events = self._read(self._events.end())
        if not self._ended:
            raise provider_errors.protocol(self.blame, "the answer ended before its end")
        return events

    def whole(self, body: bytes) -> list[ProviderEvent]:
        """Return the events of an answer that came at once; raises ProviderError."""
        found = self._decoded(body)
        found = found[0] if isinstance(found, list) and found else found
        if not isinstance(found, dict) or not isinstance(found.get("generated_text"), str):
            self._require_no_error(found)
            raise provider_errors.protocol(self.blame, "it is no generated text")
        return [TextDelta(0, mend(found["generated_text"])), *_ending(found.get("details"))]

    def _read(self, found: Sequence[bytes]) -> list[ProviderEvent]:
        events: list[ProviderEvent] = []
        for data in found:
            if not data.strip() or data.strip() == b"[DONE]" or self._ended:
                continue
            event = self._decoded(data)
            self._require_no_error(event)
            token = event.get("token") if isinstance(event, dict) else None
            if not isinstance(token, dict) or not isinstance(token.get("text"), str):
                raise provider_errors.protocol(self.blame, "an event of it holds no token")
            if token["text"] and not token.get("special"):
                events.append(TextDelta(0, mend(token["text"])))
            if event.get("generated_text") is not None:
                self._ended = True
                events += _ending(event.get("details"))
        self.begun = self.begun or bool(events)
        return events

    def _decoded(self, body: bytes) -> Any:
        try:
            return msgspec.json.decode(body)
        except (msgspec.DecodeError, RecursionError):
            raise provider_errors.protocol(self.blame, "it is no JSON") from None

    def _require_no_error(self, event: Any) -> None:
        if isinstance(event, Mapping) and "error" in event:
            raise provider_errors.in_stream(self.blame, event["error"])


def _ending(details: Any) -> list[ProviderEvent]:
    """Return the end of an answer, and what it used where that is told."""
    told = details if isinstance(details, dict) else {}
    events: list[ProviderEvent] = [Finish(0, ENDS.get(str(told.get("finish_reason")), "stop"))]
    used, given = told.get("generated_tokens"), told.get("input_length")
    if type(used) is int and type(given) is int and 0 <= used < 1 << 53 and 0 <= given < 1 << 53:
        events.append(UsageReport(given, used))
    return events


def encode_request(request: ModelRequest, provider: str) -> bytes:
    """Return the JSON body of a call; raises ProviderError for what this wire cannot say."""
    params = request.params
    pictures = any(
        isinstance(part, dict) and part.get("type") not in ("text", "input_text", "output_text", "refusal")
        for message in request.messages
        for part in (message["content"] if isinstance(message.get("content"), list) else ())
    )
    if pictures or params.get("n", 1) not in (None, 1) or any(params.get(name) for name in UNSAYABLE):
        told = f"Provider '{provider}' generates one text from text: no tools, pictures, formats or choices."
        raise ProviderError(told, code="invalid_prompt", status=400)
    written, stops = prompt_of(request.messages, request.model, continues=request.continues)
    own = params.get("stop")
    stops += [own] if isinstance(own, str) else list(own or ())
    known = {name: params[name] for name in ("temperature", "top_p", "seed") if params.get(name) is not None}
    if not known.get("temperature", 1):
        known = {"do_sample": False}  # the wire knows no temperature of nothing
    limit = local_answers.token_limit(request)
    parameters = {
        **known, "return_full_text": False, "details": True,
        "max_new_tokens": limit or MAX_NEW_TOKENS, **({"stop": stops[:4]} if stops else {}),
    }  # fmt: skip
    return json.dumps({"inputs": mend(written), "parameters": parameters, "stream": True}).encode()


def prompt_of(
    messages: Sequence[Mapping[str, Any]], model: str, *, continues: bool = False
) -> tuple[str, list[str]]:
    """Return a conversation written out for a model, and what ends its turn.

    With `continues` its last turn stays open, so that what is generated is the rest of it.
    """
    said = [(str(one.get("role")), local_answers.text_of(dict(one))) for one in messages]
    if any(name in model.lower() for name in INSTRUCTED):
        written = _instructed(said)
        return (written.removesuffix("</s>") if continues else written), []
    lines = [f"{TURNS[role]}: {text}" if role in TURNS else text for role, text in said]
    return "\n".join(lines if continues else (*lines, "Assistant:")), ["\nUser:"]


def _instructed(said: Sequence[tuple[str, str]]) -> str:
    """Return a conversation as Mistral's models were taught it: what is no answer goes to the next turn."""
    written, waiting = "<s>", []
    for role, text in said:
        if role != "assistant":
            waiting.append(text)
            continue
        written += f"[INST] {_joined(waiting)} [/INST] {text}</s>" if waiting else f" {text}</s>"
        waiting = []
    return f"{written}[INST] {_joined(waiting)} [/INST]" if waiting else written


def _joined(texts: Sequence[str]) -> str:
    return "\n\n".join(texts)
