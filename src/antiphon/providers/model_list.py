"""Read the answer to `GET /models`, in the shapes that providers give it."""

from __future__ import annotations

import json
from typing import Any, Final

from antiphon.ports.model_provider import ModelInfo

MAX_MODELS: Final = 5000

_CONTEXT_FIELDS: Final = ("context_window", "context_length", "max_model_len", "max_context_length")
"""Groq; OpenRouter and Hugging Face; vLLM; Mistral."""


def read_models(body: bytes) -> list[ModelInfo]:
    """Return the models with the provider's own names and an empty `provider`; raises ValueError."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError("its list of models is no JSON") from None
    if isinstance(value, dict):
        value = value.get("data", value.get("models"))
    if not isinstance(value, list):
        raise ValueError("its list of models is no list")
    entries = [entry for entry in value if isinstance(entry, dict) and isinstance(entry.get("id"), str)]
    return [_read_model(entry) for entry in entries[:MAX_MODELS]]


def _read_model(entry: dict[str, Any]) -> ModelInfo:
    context = next((entry[field] for field in _CONTEXT_FIELDS if _is_count(entry.get(field))), None)
    created = entry["created"] if _is_count(entry.get("created")) else 0
    return ModelInfo(id=entry["id"], provider="", created=created, context_tokens=context)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 53
