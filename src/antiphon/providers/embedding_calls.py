"""One call to `/embeddings` of a server that speaks OpenAI's API: what is sent, read and refused."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from antiphon.ports.embedder import Embedded, EmbeddingRequest
from antiphon.ports.outbound import OutboundError, OutboundHttp, OutboundRequest, OutboundResponse
from antiphon.providers import provider_errors
from antiphon.providers.embedding_wire import NotVectors, encode_request, read_answer
from antiphon.providers.error_bodies import error_body
from antiphon.providers.provider_errors import Blame
from antiphon.providers.specs import ProviderSpec

TOTAL_SECONDS: Final = 120.0
MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
INLINE_BYTES: Final = 32 * 1024
"""Up to here reading an answer takes well under a millisecond; larger ones are read in a thread."""


class EmbeddingCalls:
    """The embedding models of one provider. `http` is shared with others and not closed here."""

    def __init__(self, spec: ProviderSpec, http: OutboundHttp) -> None:
        self._spec = spec
        self._http = http
        self._url = f"{spec.base_url.rstrip('/')}/embeddings"
        self._takes_base64 = True

    async def call(self, request: EmbeddingRequest, headers: Mapping[str, str], blame: Blame) -> Embedded:
        """Call a model once; raises ProviderError."""
        try:
            response = await self._post(request, headers, blame)
            body = await response.read_all(MAX_ANSWER_BYTES)
        except OutboundError as error:
            raise provider_errors.from_transport(blame, error, begun=False) from error
        try:
            if len(body) <= INLINE_BYTES:
                return read_answer(body, request)
            return await asyncio.to_thread(read_answer, body, request)
        except NotVectors as error:
            if body.lstrip()[:1] == b"<":
                raise provider_errors.web_page(blame) from None
            raise provider_errors.protocol(blame, str(error)) from None

    async def _post(
        self, request: EmbeddingRequest, headers: Mapping[str, str], blame: Blame
    ) -> OutboundResponse:
        """Return a response of status 2xx; floats are asked for where base64 is not taken."""
        response = await self._send(request, headers, base64_vectors=self._takes_base64)
        if 200 <= response.status < 300:
            return response
        body = await error_body(response)
        if self._takes_base64 and response.status in (400, 422) and b"encoding_format" in body:
            again = await self._send(request, headers, base64_vectors=False)
            if 200 <= again.status < 300:
                self._takes_base64 = False  # remembered: it would refuse every first attempt
                return again
            response, body = again, await error_body(again)
        raise provider_errors.from_status(blame, response.status, response.headers, body)

    async def _send(
        self, request: EmbeddingRequest, headers: Mapping[str, str], *, base64_vectors: bool
    ) -> OutboundResponse:
        return await self._http.send(
            OutboundRequest(
                method="POST",
                url=self._url,
                trust="operator",
                headers={**headers, "accept": "application/json", "content-type": "application/json"},
                body=encode_request(request, base64_vectors=base64_vectors),
                connect_seconds=self._spec.connect_seconds,
                idle_seconds=self._spec.idle_seconds,
                total_seconds=TOTAL_SECONDS,
                max_bytes=MAX_ANSWER_BYTES,
            )
        )
