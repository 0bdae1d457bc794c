"""A name leads to one model, or to a sentence that says which there are."""

from __future__ import annotations

from typing import Any

import pytest

from antiphon.domain.errors import NotFound
from antiphon.domain.usage import Price
from antiphon.services.model_routes import OpenTerms
from antiphon.services.models import Models
from tests.services.fake_provider import DOWN, Fake, models_of

LISTED = OpenTerms(models=("mistralai/Mistral-7B", "gemma"), prices={"gemma": Price(5, 6), "*": Price(1, 2)})


def named(**rest: Any) -> Models:
    terms = {
        "hf": LISTED,
        "groq": OpenTerms(models=("gemma", "llama"), context_tokens=777, default_model="llama"),
        "open": OpenTerms(),
        "scripted": OpenTerms(models=("text",), listed=False),
        "offline": OpenTerms(models=("extractive",)),
    }
    return models_of(*(Fake(name) for name in terms), terms=terms, **rest)


@pytest.mark.parametrize(
    ("name", "identifier"),
    [
        ("hf/gemma", "hf/gemma"),
        ("hf/mistralai/Mistral-7B", "hf/mistralai/Mistral-7B"),
        ("mistralai/Mistral-7B", "hf/mistralai/Mistral-7B"),
        ("llama", "groq/llama"),
        ("open/any/thing:v1", "open/any/thing:v1"),
        ("gpt-4o", "open/gpt-4o"),
        ("openai/gpt-oss", "open/openai/gpt-oss"),
        ("scripted/text", "scripted/text"),
        ("text", "open/text"),
        ("extractive", "offline/extractive"),
        ("fast", "groq/llama"),
        ("faster", "groq/llama"),
        ("groq/old", "groq/llama"),
    ],
)
def test_names(name: str, identifier: str) -> None:
    models = named(aliases={"fast": "groq/llama", "faster": "fast", "groq/old": "llama"})
    route = models.resolve(name)
    assert route.id == identifier and f"{route.provider}/{route.model}" == identifier


def test_price_and_context_come_from_configuration() -> None:
    models = named(context_tokens=4321)
    assert models.resolve("hf/gemma").price == Price(5, 6)
    assert models.resolve("mistralai/Mistral-7B").price == Price(1, 2)
    assert models.resolve("groq/llama").context_tokens == 777
    assert models.resolve("open/x").context_tokens == 4321


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gemma", ["hf/gemma", "groq/gemma"]),
        ("hf/unknown", ["hf/gemma", "groq/llama", "offline/extractive"]),
        ("nobody", ["groq/llama"]),
    ],
)
def test_names_that_lead_nowhere_name_what_there_is(name: str, words: list[str]) -> None:
    groq, offline = OpenTerms(models=("gemma", "llama")), OpenTerms(models=("extractive",))
    terms = {"hf": LISTED, "groq": groq, "offline": offline}
    models = models_of(*(Fake(n) for n in terms), terms=terms)
    with pytest.raises(NotFound) as missing:
        models.resolve(name)
    assert missing.value.code == "model_not_found" and missing.value.param == "model"
    assert all(word in missing.value.message for word in words)


def test_a_name_without_end_is_no_models() -> None:
    """An open provider takes any name, and what counts by model would keep each."""
    models = models_of(Fake("open"), terms={"open": OpenTerms()})
    assert models.resolve("open/" + "n" * 500).model == "n" * 500
    with pytest.raises(NotFound) as refused:
        models.resolve("open/" + "n" * 1_000_000)
    assert refused.value.code == "model_not_found" and len(refused.value.message) < 200


async def test_two_open_providers_are_told_apart_by_what_they_list() -> None:
    models = models_of(Fake("a", listed=["x", "both"]), Fake("b", listed=["y", "both"]))
    with pytest.raises(NotFound, match="a/y, b/y"):
        models.resolve("y")
    await models.prepare()
    assert models.resolve("y").id == "b/y" and models.resolve("y").context_tokens == 99
    with pytest.raises(NotFound):
        models.resolve("both")


async def test_the_default_model() -> None:
    assert named().resolve(None).id == "hf/mistralai/Mistral-7B"
    assert named(default_model="fast", aliases={"fast": "groq/llama"}).resolve("").id == "groq/llama"
    only = models_of(Fake("ollama", listed=["qwen"]), Fake("offline"), Fake("scripted"))
    assert only.resolve(None).id == "offline/extractive"
    await only.prepare()
    assert only.resolve(None).id == "ollama/qwen"


def test_aliases_in_a_circle_end() -> None:
    models = models_of(Fake("p"), aliases={"a": "b", "b": "a", "p/x": "p/x"})
    assert models.resolve("a").provider == "p"
    assert models.resolve("p/x").id == "p/x"


def test_problems_are_told_before_anybody_asks() -> None:
    aliases = {"a": "hf/none", "b": "llama"}
    models = named(default_model="gemma", aliases=aliases, fallbacks={"b": ["c", "groq/none"]})
    told = " ".join(models.problems())
    assert "DEFAULT_MODEL" in told and "alias 'a'" in told and "fallback of 'b'" in told
    assert "alias 'b'" not in told and "'c'" not in told


async def test_listing() -> None:
    terms = {"a": LISTED, "dead": OpenTerms(default_model="d"), "hidden": OpenTerms(listed=False)}
    fakes = [Fake("a"), Fake("b", listed=["x"]), Fake("dead", listed=DOWN), Fake("gone", listed=DOWN)]
    models = models_of(*fakes, Fake("hidden"), terms=terms)
    listed = [info.id for info in await models.list()]
    assert listed == ["a/mistralai/Mistral-7B", "a/gemma", "b/x", "dead/d"]
    assert (await models.get("a/gemma")).id == "a/gemma"
    assert (await models.get("b/x")).context_tokens == 99
    assert (await models.get("dead/whatever")).id == "dead/whatever"
    with pytest.raises(NotFound):
        await models.get("b/unlisted")
    with pytest.raises(NotFound):
        await models.get("a/unlisted/very")
    assert models.provider_names() == ("a", "b", "dead", "gone")
