"""The body of `POST /v1/embeddings`."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from antiphon.api.errors import decoding_error
from antiphon.domain.errors import InvalidRequest
from antiphon.domain.usage import estimate_tokens

MAX_TEXTS: Final = 2048
MAX_TOKENS: Final = 300_000
"""Of all texts of one request; this and the number of texts are OpenAI's own limits."""

MAX_TEXT_TOKENS: Final = 32_768
"""Of one text, by our estimate; a model may take fewer and says so itself."""


class CreateEmbedding(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What to embed, by which model, and how to answer."""

    input: str | list[Any]
    model: str | None = None
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Meta(ge=1, le=16_384)] | None = None
    user: Annotated[str, Meta(max_length=512)] | None = None


_decode = msgspec.json.Decoder(CreateEmbedding).decode


def parse_embedding(raw: bytes) -> tuple[CreateEmbedding, list[str]]:
    """Decode a body; returns it and its texts. Raises InvalidRequest."""
    try:
        body = _decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise decoding_error(error) from None
    texts = [body.input] if isinstance(body.input, str) else body.input
    if not texts:
        raise _invalid("The input is empty: send a string or a list of strings.")
    if len(texts) > MAX_TEXTS:
        raise _invalid(f"The input has more than {MAX_TEXTS} texts.", code="array_above_max_length")
    for text in texts:
        if isinstance(text, int | list):
            raise _invalid(
                "Token arrays are not accepted, since every model has tokens of its own: send texts.",
                code="unsupported_input",
            )
        if not isinstance(text, str) or not text:
            raise _invalid("Every input is a string that is not empty.")
    _require_short(texts)
    return body, texts


def _require_short(texts: list[str]) -> None:
    sizes = [estimate_tokens(text) for text in texts]
    if max(sizes) > MAX_TEXT_TOKENS:
        raise _invalid(
            f"A text of about {max(sizes)} tokens is longer than {MAX_TEXT_TOKENS}.",
            code="context_length_exceeded",
        )
    if sum(sizes) > MAX_TOKENS:
        raise _invalid(
            f"The texts have about {sum(sizes)} tokens together, more than {MAX_TOKENS}: send fewer.",
            code="max_tokens_per_request",
        )


def _invalid(message: str, *, code: str = "invalid_value") -> InvalidRequest:
    return InvalidRequest(message, code=code, param="input")
