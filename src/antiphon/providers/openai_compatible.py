"""A provider that speaks OpenAI's chat completions, whoever runs it and wherever it is."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from time import monotonic as system_monotonic
from typing import Any, Final

import msgspec

from antiphon.domain.errors import ProviderError
from antiphon.ports.embedder import Embedded, EmbeddingRequest
from antiphon.ports.model_provider import ModelInfo, ModelRequest
from antiphon.ports.outbound import OutboundError, OutboundHttp, OutboundRequest, OutboundResponse
from antiphon.providers import provider_errors
from antiphon.providers.chat_answer import ChatAnswer
from antiphon.providers.continuing import continuing
from antiphon.providers.embedding_calls import EmbeddingCalls
from antiphon.providers.error_bodies import error_body
from antiphon.providers.keyed import KeyedProvider
from antiphon.providers.model_list import read_models
from antiphon.providers.provider_errors import Blame
from antiphon.providers.specs import ProviderSpec
from antiphon.providers.surrogates import mend

LIST_SECONDS: Final = 60.0
"""How long a fetched list of models is kept."""

LIST_FAILED_SECONDS: Final = 10.0
"""How long a failure to fetch it is, so that a dead provider does not slow every listing."""

LIST_TIMEOUT_SECONDS: Final = 5.0
MAX_LIST_BYTES: Final = 8 * 1024 * 1024

_NOT_SENT_ON: Final = frozenset(
    {"authorization", "connection", "content-length", "content-type", "cookie", "host", "transfer-encoding"}
)


class OpenAICompatible(KeyedProvider):
    """One provider. `http` is shared with others and not closed here."""

    def __init__(
        self, spec: ProviderSpec, http: OutboundHttp, *, monotonic: Callable[[], float] = system_monotonic
    ) -> None:
        super().__init__(spec)
        self._http = http
        self._monotonic = monotonic
        self._base_url = spec.base_url.rstrip("/")
        self._asks_usage = True
        self._embedding = EmbeddingCalls(spec, http)
        self._listing = asyncio.Lock()

    def use_key(self, key: str | None) -> None:
        """See port `Keyed`. What was listed with the key before is forgotten."""
        super().use_key(key)
        self._listed: tuple[float, Sequence[ModelInfo]] | None = None
        self._list_failed: tuple[float, ProviderError] | None = None

    async def models(self) -> Sequence[ModelInfo]:
        """Return the configured models, or else the provider's own list, at most 60 s old.

        Raises ProviderError if the provider cannot be asked and never could.
        """
        if self._spec.models:
            return [self._info(model) for model in self._spec.models]
        async with self._listing:
            now = self._monotonic()
            if self._listed is not None and now - self._listed[0] < LIST_SECONDS:
                return self._listed[1]
            if self._list_failed is None or now - self._list_failed[0] >= LIST_FAILED_SECONDS:
                asked_with = self._headers
                try:
                    found = await self._fetch_models()
                    self._listed = (self._dated(now, asked_with), found)
                    return found
                except ProviderError as error:
                    self._list_failed = (self._dated(now, asked_with), error)
            if self._listed is not None:
                return self._listed[1]  # an old list serves better than none
            failed = self._list_failed[1]
            raise ProviderError(failed.message, code=failed.code, retryable=True, status=failed.status)

    async def check(self) -> None:
        """Ask the provider for its models now; raises ProviderError if it does not give them."""
        await self._fetch_models()

    def stream(self, request: ModelRequest) -> ChatAnswer:
        """Call the model once; see the port."""
        blame = self._blame(request.model)
        return ChatAnswer(lambda: self._post(request, blame), blame)

    async def embeddings(self, request: EmbeddingRequest) -> Embedded:
        """Call an embedding model once; see port `EmbeddingProvider`."""
        return await self._embedding.call(request, self._headers, self._blame(request.model))

    async def close(self) -> None:
        """Do nothing: connections belong to the shared client."""

    async def _post(self, request: ModelRequest, blame: Blame) -> OutboundResponse:
        """Return a response of status 2xx; raises ProviderError or OutboundError."""
        response = await self._send(request, asks_usage=self._asks_usage)
        if 200 <= response.status < 300:
            return response
        body = await error_body(response)
        if self._asks_usage and response.status in (400, 422) and b"stream_options" in body:
            again = await self._send(request, asks_usage=False)
            if 200 <= again.status < 300:
                self._asks_usage = False  # a provider that knows no stream_options; remembered
                return again
            again.close()
        raise provider_errors.from_status(blame, response.status, response.headers, body)

    async def _send(self, request: ModelRequest, *, asks_usage: bool) -> OutboundResponse:
        extra = {k: v for k, v in request.extra_headers.items() if k.lower() not in _NOT_SENT_ON}
        return await self._http.send(
            OutboundRequest(
                method="POST",
                url=f"{self._base_url}/chat/completions",
                trust="operator",
                headers={**extra, **self._headers, "content-type": "application/json"},
                body=encode_request(continuing(request, self._spec.continues), asks_usage=asks_usage),
                connect_seconds=self._spec.connect_seconds,
                idle_seconds=self._spec.idle_seconds,
            )
        )

    async def _fetch_models(self) -> Sequence[ModelInfo]:
        blame = self._blame("")
        request = OutboundRequest(
            method="GET",
            url=f"{self._base_url}/models",
            trust="operator",
            headers=self._headers,
            connect_seconds=LIST_TIMEOUT_SECONDS,
            idle_seconds=LIST_TIMEOUT_SECONDS,
            total_seconds=LIST_TIMEOUT_SECONDS * 2,
            max_bytes=MAX_LIST_BYTES,
        )
        try:
            response = await self._http.send(request)
            if response.status != 200:
                body = await error_body(response)
                raise provider_errors.from_status(blame, response.status, response.headers, body)
            found = read_models(await response.read_all(MAX_LIST_BYTES))
        except OutboundError as error:
            raise provider_errors.from_transport(blame, error, begun=False) from error
        except ValueError as error:
            raise provider_errors.protocol(blame, str(error)) from None
        return [
            msgspec.structs.replace(
                info, id=f"{self.name}/{info.id}", provider=self.name, context_tokens=self._context(info)
            )
            for info in found
        ]

    def _dated(self, now: float, asked_with: dict[str, str]) -> float:
        """Return when something was learnt: never, if the key was replaced while it was asked for."""
        return now if asked_with is self._headers else -math.inf

    def _context(self, info: ModelInfo) -> int | None:
        return self._spec.context_tokens or info.context_tokens

    def _info(self, model: str) -> ModelInfo:
        context_tokens = self._spec.context_tokens
        return ModelInfo(id=f"{self.name}/{model}", provider=self.name, context_tokens=context_tokens)

    def _blame(self, model: str) -> Blame:
        return Blame(self.name, model, secrets=self._secrets, hint=self._spec.model_hint)


def encode_request(request: ModelRequest, *, asks_usage: bool) -> bytes:
    """Return the JSON body of a streamed call; half characters become U+FFFD, as JSON has none."""
    options = request.params.get("stream_options")
    body: dict[str, Any] = {**request.params, "model": request.model, "messages": request.messages}
    body["stream"] = True
    body.pop("stream_options", None)
    if asks_usage:
        body["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}
    try:
        return msgspec.json.encode(body)
    except UnicodeEncodeError:
        return msgspec.json.encode(_mended(body))


def _mended(value: Any) -> Any:
    if isinstance(value, str):
        return mend(value)
    if isinstance(value, dict):
        return {_mended(key): _mended(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_mended(item) for item in value]
    return value
