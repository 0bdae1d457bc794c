"""Having a model go on with an answer that was cut off.

OpenAI's wire has no word for it. Many servers render a conversation that ends with an assistant's message
as one in which that message goes on: Groq (<https://console.groq.com/docs/prefilling>), Ollama and llama.cpp
by themselves, vLLM with `continue_final_message`, Mistral and DeepSeek where the message says `prefix`.
Elsewhere the model is asked in words, which are sent and not stored.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from antiphon.ports.model_provider import ModelRequest
from antiphon.providers.specs import Continues

ASKED: Final = (
    "Your last message was cut off. Write what follows it, from the very next character, even in the middle"
    " of a word or of a block of code. Repeat nothing of it, and say nothing about this."
)
_VLLM: Final[dict[str, Any]] = {"continue_final_message": True, "add_generation_prompt": False}


def continuing(request: ModelRequest, way: Continues) -> ModelRequest:
    """Return a request as a provider of that way takes it; one that begins an answer is returned as it is."""
    if not request.continues or way == "assistant":
        return request
    before = request.messages
    if way == "vllm":
        return msgspec.structs.replace(request, params={**request.params, **_VLLM})
    if way == "prefix":
        messages = [*before[:-1], {**before[-1], "prefix": True}]
    else:
        messages = [*before, {"role": "user", "content": ASKED}]
    return msgspec.structs.replace(request, messages=messages)
