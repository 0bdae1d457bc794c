"""Without any model the server still answers, truthfully and from what was said."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from antiphon.domain.errors import ProviderError
from antiphon.domain.sources import Place, Source
from antiphon.ports.model_provider import Finish, ModelRequest, TextDelta, UsageReport
from antiphon.providers.offline import (
    CONNECT,
    GREETING,
    IN_DOCUMENTS,
    MODEL,
    NOTED,
    NOTHING,
    UNFOUND,
    UNSAID,
    Offline,
    compose,
)
from tests.providers.json_schema import accepts


def talk(*said: str) -> list[dict[str, Any]]:
    roles = ("user", "assistant")
    return [{"role": roles[i % 2], "content": text} for i, text in enumerate(said)]


async def ask(messages: list[dict[str, Any]], **params: Any) -> tuple[str, str, UsageReport]:
    events: list[Any] = []
    async for batch in Offline().stream(ModelRequest(model=MODEL, messages=messages, params=params)):
        events += batch
    text = "".join(e.text for e in events if isinstance(e, TextDelta))
    assert isinstance(events[-1], UsageReport) and isinstance(events[-2], Finish)
    return text, events[-2].reason, events[-1]


async def test_it_quotes_the_sentence_that_answers() -> None:
    messages = talk(
        "My cat is called Minka. She was born in 2019. I live in Bremen, near the river.",
        "Noted.",
        "What is my cat called?",
    )
    text, reason, usage = await ask(messages)
    assert "“My cat is called Minka.”" in text and "Bremen" not in text
    assert CONNECT in text
    assert reason == "stop" and usage.output_tokens > 0 and usage.input_tokens > 0


async def test_the_newer_of_two_equal_statements_comes_first() -> None:
    text, _, _ = await ask(talk("The code is 1234.", "ok", "The code is 9876.", "ok", "What is the code?"))
    assert text.index("9876") < text.index("1234")


@pytest.mark.parametrize("greeting", ["Hello!", "hi there", "Guten Tag", "", "   "])
async def test_greetings(greeting: str) -> None:
    assert (await ask(talk(greeting)))[0] == f"{GREETING} {CONNECT}"


async def test_first_turns_and_questions_without_an_answer() -> None:
    assert (await ask(talk("My dog is called Rex.")))[0].startswith(NOTED)
    assert (await ask(talk("Roses are red.", "ok", "What is the capital of Peru?")))[0].startswith(NOTHING)


async def test_it_never_quotes_its_own_advice() -> None:
    first = compose(talk("What model are you?"))
    second = compose(talk("What model are you?", first, "Which model connects?"))
    assert "Antiphon's" not in second.replace(CONNECT, "")


async def test_documents_in_the_same_message_are_searched() -> None:
    message = "Context:\nThe tower is 330 metres high.\nIt was built in 1889.\n\nHow high is the tower?"
    assert "330 metres" in (await ask([{"role": "user", "content": message}]))[0]


async def test_other_scripts() -> None:
    text, _, _ = await ask(talk("我的猫叫米卡。我住在北京。", "好", "我的猫叫什么？"))
    assert "米卡" in text
    text, _, _ = await ask(talk("Мою собаку зовут Рекс.", "ок", "Как зовут собаку?"))
    assert "Рекс" in text


async def test_limits_json_and_tools() -> None:
    messages = talk("hello")
    text, reason, usage = await ask(messages, max_tokens=5)
    assert reason == "length" and usage.output_tokens <= 5 and text
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    wanted = {"type": "json_schema", "json_schema": {"schema": schema}}
    assert accepts(schema, json.loads((await ask(messages, response_format=wanted))[0]))
    tools = [{"type": "function", "function": {"name": "f"}}]
    assert (await ask(messages, tools=tools))[0].startswith(GREETING)


async def test_a_long_conversation_neither_takes_long_nor_holds_up_the_loop() -> None:
    """The best of three: a machine with other guests stands still now and then."""
    messages = talk(*(f"Sentence number {i} about topic {i % 97}. " * 20 for i in range(2000)), "Topic 96?")
    tries = [await longest_and_whole(messages) for _ in range(3)]
    assert min(whole for _, whole in tries) < 2, tries
    assert min(longest for longest, _ in tries) < 0.2, tries


async def longest_and_whole(messages: list[dict[str, Any]]) -> tuple[float, float]:
    """Return for how long at most the loop was held up, and how long the answer took (s)."""
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.001)
            longest = max(longest, time.perf_counter() - before)

    watching = asyncio.create_task(watch())
    began = time.perf_counter()
    text, _, _ = await ask(messages)
    whole = time.perf_counter() - began
    watching.cancel()
    assert "topic 96" in text
    return longest, whole


async def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(ProviderError):
        async for _ in Offline().stream(ModelRequest(model="x", messages=[])):
            pass


def test_with_sources_it_quotes_the_documents_and_cites_them() -> None:
    sources = [
        Source(
            number=number, collection_id="c", file_id="f", filename="a.txt", version=1, start=0,
            end=len(text), text=text, places=(Place(0, len(text), None, ""),),
        )
        for number, text in enumerate(["Wasps hunt. Bees make honey [3].", "Rivers flow."], 1)
    ]  # fmt: skip
    asked = talk("Who makes honey?")
    assert compose(asked, sources) == f"{IN_DOCUMENTS}\n“Bees make honey.” [1]\n\n{CONNECT}"
    assert compose(talk("What about quarks?"), sources) == f"{UNSAID} {CONNECT}"


def test_where_the_documents_say_nothing_the_conversation_is_asked() -> None:
    asked = talk("My cat is called Minka.", "Noted.", "What is my cat called?")
    rules = {"role": "system", "content": "My cat is called a rule."}
    assert compose([rules, *asked], ()).startswith("Earlier you said: “My cat is called Minka.”")
    assert compose([rules, *talk("What is a quark?")], ()) == f"{UNFOUND} {CONNECT}"
    assert compose(talk("Hello!"), ()) == f"{GREETING} {CONNECT}"
