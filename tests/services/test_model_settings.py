"""What configuration says of all surfaces' models: which provider comes first, and what every call has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from antiphon.bootstrap import SystemClock
from antiphon.bootstrap.providers import build_models
from antiphon.domain.errors import InvalidRequest
from antiphon.providers.http_client import HttpClient
from antiphon.services.models import Models
from tests.services.hand import ECHO, Hand
from tests.services.world import open_world, settings_for

GROQ = {"groq_api_key": "gsk-0123456789"}
OPENAI = {"openai_api_key": "sk-0123456789"}


@pytest.fixture(autouse=True)
def no_providers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GROQ", "OPENAI", "HF", "OLLAMA", "VLLM", "LLAMACPP"):
        for end in ("_API_KEY", "_BASE_URL", "_MODEL_NAME", "_TOKEN"):
            monkeypatch.delenv(name + end, raising=False)


def models_of(directory: Path, **settings: Any) -> Models:
    return build_models(settings_for(directory, **settings), HttpClient(), SystemClock())


@pytest.mark.parametrize(
    ("settings", "model"),
    [
        (GROQ, "groq/llama3-8b-8192"),
        (GROQ | {"llm_provider": "chatgroq"}, "groq/llama3-8b-8192"),
        (GROQ | OPENAI | {"llm_provider": "openai"}, "openai/gpt-4o-mini"),
        (GROQ | OPENAI | {"llm_provider": "ChatGroq"}, "groq/llama3-8b-8192"),
        (
            GROQ | OPENAI | {"llm_provider": "openai", "default_model": "groq/llama3-8b-8192"},
            "groq/llama3-8b-8192",
        ),
        (GROQ | {"groq_model_name": "a-new-one"}, "groq/a-new-one"),
        ({"llm_provider": "chatgroq"}, "offline/extractive"),
    ],
)
def test_the_named_providers_model_answers(tmp_path: Path, settings: dict[str, Any], model: str) -> None:
    assert models_of(tmp_path, **settings).resolve(None).id == model


def test_a_provider_that_is_none_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"LLM_PROVIDER.*chatgroq, groq"):
        models_of(tmp_path, **GROQ, llm_provider="chatgqor")


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ({}, {"temperature": 0.3, "max_tokens": 50}),
        ({"temperature": 0}, {"temperature": 0, "max_tokens": 50}),
        ({"max_tokens": 9}, {"temperature": 0.3, "max_tokens": 9}),
        ({"max_completion_tokens": 9}, {"temperature": 0.3, "max_completion_tokens": 9}),
    ],
)
async def test_set_explicitly_temperature_and_tokens_hold_where_a_call_says_nothing(
    tmp_path: Path, asked: dict[str, Any], sent: dict[str, Any]
) -> None:
    hand = Hand()
    models = Models({hand.name: hand}, clock=SystemClock(), default_model=ECHO,
                    defaults={"temperature": 0.3, "max_tokens": 50})  # fmt: skip
    world = await open_world(tmp_path / "data", models=models)
    try:
        await world.turn("hello", params=asked)
        assert hand.calls[-1].request.params == sent
    finally:
        await world.close()
