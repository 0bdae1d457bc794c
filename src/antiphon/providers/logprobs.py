"""The log probabilities of tokens, as a chat completion's choice brings them."""

from __future__ import annotations

from typing import Any, Final

from antiphon.providers.surrogates import mend

LEAST: Final = -1e9
"""Below it, and above nought's other side, stand infinities, which JSON cannot say."""


def read_logprobs(value: Any) -> list[dict[str, Any]] | None:
    """Return the tokens of `{"content": [...]}` with every field, None if there are none or one is malformed.

    What a provider says of a refusal's tokens is left out: Responses has no place for it.
    """
    content = value.get("content") if isinstance(value, dict) else None
    if not isinstance(content, list) or not content:
        return None
    tokens = []
    for said in content:
        token = _token(said)
        if token is None:
            return None
        others = said.get("top_logprobs")
        read = [_token(other) for other in others] if isinstance(others, list) else []
        tokens.append({**token, "top_logprobs": [other for other in read if other is not None]})
    return tokens


def _token(value: Any) -> dict[str, Any] | None:
    if not isinstance(value, dict):
        return None
    text, logprob, raw = value.get("token"), value.get("logprob"), value.get("bytes")
    if not isinstance(text, str) or isinstance(logprob, bool) or not isinstance(logprob, int | float):
        return None
    if not LEAST <= logprob <= -LEAST:
        return None
    text = mend(text)
    if not isinstance(raw, list) or not all(type(one) is int and 0 <= one < 256 for one in raw):
        raw = list(text.encode())  # Responses wants them always
    return {"token": text, "logprob": float(logprob), "bytes": raw}
