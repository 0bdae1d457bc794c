"""A reranker behind HTTP, in the shapes of Cohere (also Jina, vLLM, llama.cpp) and of TEI.

| | sent | answered |
|---|---|---|
| Cohere | `query documents top_n model` | `{results: [{index, relevance_score}]}` |
| TEI | `query texts truncate` | `[{index, score}]` |

See https://docs.cohere.com/reference/rerank and https://huggingface.github.io/text-embeddings-inference.

Which one a server speaks is found by asking, and remembered. A call is not repeated: the order the
candidates have without it is a good answer, and somebody is waiting.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec

from antiphon.domain.errors import ProviderError
from antiphon.ports.outbound import OutboundError, OutboundHttp, OutboundRequest, OutboundResponse
from antiphon.providers import provider_errors
from antiphon.providers.embedding_specs import RerankSpec
from antiphon.providers.error_bodies import error_body
from antiphon.providers.provider_errors import Blame
from antiphon.providers.specs import SECRET_FROM
from antiphon.providers.surrogates import mend

MAX_TEXTS: Final = 50
MAX_QUESTION_CHARACTERS: Final = 2000
MAX_ANSWER_BYTES: Final = 1024 * 1024

Shape = Literal["cohere", "tei"]


class _Ranked(msgspec.Struct):
    index: int
    relevance_score: float | None = None
    score: float | None = None


class _Results(msgspec.Struct):
    results: list[_Ranked]


_decode: Final = msgspec.json.Decoder(_Results | list[_Ranked]).decode


class RemoteReranker:
    """Port `Reranker`. `http` is shared with others and not closed here."""

    def __init__(self, spec: RerankSpec, http: OutboundHttp) -> None:
        self._spec = spec
        self._http = http
        self._shape: Shape = "cohere" if spec.model else "tei"
        key = spec.api_key or ""
        secrets = [key] if len(key) >= SECRET_FROM else []
        self._blame = Blame(
            spec.provider, spec.model, secrets=secrets, hint="Check RERANK_URL and RERANK_MODEL."
        )
        self._headers = {"accept": "application/json", "content-type": "application/json"}
        if key:
            self._headers["authorization"] = f"Bearer {key}"

    def __repr__(self) -> str:
        return f"RemoteReranker({self.model!r})"

    @property
    def model(self) -> str:
        """See the port."""
        return self._spec.shown

    async def rerank(self, question: str, texts: Sequence[str]) -> list[tuple[int, float]]:
        """See the port. Also raises ProviderError for more than 50 texts and after the time allowed."""
        if not texts:
            return []
        if len(texts) > MAX_TEXTS:
            raise ProviderError(f"A reranker is given at most {MAX_TEXTS} texts.", code="invalid_prompt")
        try:
            response = await self._post(question, texts)
            body = await response.read_all(MAX_ANSWER_BYTES)
        except OutboundError as error:
            raise provider_errors.from_transport(self._blame, error, begun=False) from error
        return self._read(body, len(texts))

    async def close(self) -> None:
        """Do nothing: connections belong to the shared client."""

    async def _post(self, question: str, texts: Sequence[str]) -> OutboundResponse:
        response = await self._send(self._shape, question, texts)
        if 200 <= response.status < 300:
            return response
        body = await error_body(response)
        other: Shape = "tei" if self._shape == "cohere" else "cohere"
        if response.status in (400, 422) and (b"texts" if other == "tei" else b"documents") in body:
            again = await self._send(other, question, texts)
            if 200 <= again.status < 300:
                self._shape = other
                return again
            response, body = again, await error_body(again)
        raise provider_errors.from_status(self._blame, response.status, response.headers, body)

    async def _send(self, shape: Shape, question: str, texts: Sequence[str]) -> OutboundResponse:
        cut = [mend(text[: self._spec.max_characters]) for text in texts]
        body: dict[str, Any] = {"query": mend(question[:MAX_QUESTION_CHARACTERS])}
        if shape == "cohere":
            body |= {"documents": cut, "top_n": len(cut)}
        else:
            body |= {"texts": cut, "truncate": True}
        if self._spec.model:
            body["model"] = self._spec.model
        return await self._http.send(
            OutboundRequest(
                method="POST",
                url=self._spec.url,
                trust="operator",
                headers=self._headers,
                body=msgspec.json.encode(body),
                connect_seconds=self._spec.seconds,
                idle_seconds=self._spec.seconds,
                total_seconds=self._spec.seconds,
                max_bytes=MAX_ANSWER_BYTES,
            )
        )

    def _read(self, body: bytes, count: int) -> list[tuple[int, float]]:
        try:
            answer = _decode(body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            if body.lstrip()[:1] == b"<":
                raise provider_errors.web_page(self._blame) from None
            raise provider_errors.protocol(self._blame, "the answer is no list of scores") from None
        ranked = answer.results if isinstance(answer, _Results) else answer
        scores = {one.index: _score(one) for one in ranked}
        if len(ranked) != count or scores.keys() != set(range(count)):
            raise provider_errors.protocol(self._blame, "the scores are not those of the texts")
        if not all(math.isfinite(score) for score in scores.values()):
            raise provider_errors.protocol(self._blame, "a score is missing or not finite")
        return sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))


def _score(one: _Ranked) -> float:
    return next((s for s in (one.relevance_score, one.score) if s is not None), math.nan)
