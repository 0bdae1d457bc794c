"""An answer that was cut off is gone on with in the way each kind of server knows."""

from __future__ import annotations

from typing import Any

import pytest

from antiphon.domain.errors import InvalidRequest
from antiphon.ports.model_provider import ModelRequest
from antiphon.providers.continuing import ASKED, continuing
from antiphon.providers.specs import Continues, from_toml, presets
from antiphon.providers.text_generation import prompt_of

SAID: list[dict[str, Any]] = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "Hel"}]
ASKING = {"role": "user", "content": ASKED}


@pytest.mark.parametrize(
    ("way", "messages", "params"),
    [
        ("assistant", SAID, {"seed": 1}),
        ("vllm", SAID, {"seed": 1, "continue_final_message": True, "add_generation_prompt": False}),
        ("prefix", [SAID[0], {**SAID[1], "prefix": True}], {"seed": 1}),
        ("ask", [*SAID, ASKING], {"seed": 1}),
    ],
)
def test_each_way(way: Continues, messages: list[dict[str, Any]], params: dict[str, Any]) -> None:
    request = ModelRequest(model="m", messages=SAID, params={"seed": 1}, continues=True)
    made = continuing(request, way)
    assert (made.messages, made.params) == (messages, params)
    assert SAID[1] == {"role": "assistant", "content": "Hel"}
    plain = ModelRequest(model="m", messages=SAID)
    assert continuing(plain, way) is plain


def test_what_is_known_of_the_presets_and_said_of_others() -> None:
    env = {
        "GROQ_API_KEY": "k",
        "OPENAI_API_KEY": "k",
        "VLLM_BASE_URL": "http://gpu",
        "OLLAMA_BASE_URL": "http://o",
    }
    assert {spec.name: spec.continues for spec in presets(env)} == {
        "groq": "assistant", "openai": "ask", "ollama": "assistant", "vllm": "vllm",
    }  # fmt: skip
    url = "https://models.example.org/v1"
    (mine,) = from_toml({"mine": {"base_url": url, "continues": "prefix"}}, {})
    assert mine.continues == "prefix"
    with pytest.raises(InvalidRequest, match="continues is one of ask, assistant, prefix, vllm"):
        from_toml({"mine": {"base_url": url, "continues": "somehow"}}, {})


@pytest.mark.parametrize(
    ("model", "written"),
    [("mistralai/Mistral-7B", "<s>[INST] hi [/INST] Hel"), ("gpt2", "User: hi\nAssistant: Hel")],
)
def test_text_generation_leaves_the_turn_open(model: str, written: str) -> None:
    assert prompt_of(SAID, model, continues=True)[0] == written
