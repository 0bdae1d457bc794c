"""Each scripted model does what its line of the table says, every time."""

from __future__ import annotations

import hashlib
import json
import time
from typing import Any

import pytest

from antiphon.domain.errors import ProviderError
from antiphon.ports.model_provider import (
    Finish,
    ModelRequest,
    ProviderEvent,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    UsageReport,
)
from antiphon.providers.scripted import ALL_MODELS, MODELS, REASONING, REFUSAL, TEXT, Scripted, numbered_token
from tests.providers.json_schema import accepts

WEATHER = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "unit": {"enum": ["C", "F"]},
        "days": {"type": "integer", "minimum": 1},
    },
    "required": ["city", "unit", "days"],
    "additionalProperties": False,
}
TOOLS = [
    {"type": "function", "function": {"name": "weather", "parameters": WEATHER}},
    {"type": "function", "function": {"name": "clock"}},
]


async def ask(model: str, *said: str, **params: Any) -> list[ProviderEvent]:
    messages: list[dict[str, Any]] = []
    for text in said:
        messages += [{"role": "user", "content": text}, {"role": "assistant", "content": "ok"}]
    return await events_of(model, messages[:-1], params)


async def events_of(
    model: str, messages: list[dict[str, Any]], params: dict[str, Any]
) -> list[ProviderEvent]:
    found: list[ProviderEvent] = []
    async for batch in Scripted().stream(ModelRequest(model=model, messages=messages, params=params)):
        assert batch
        found += batch
    return found


def text_of(events: list[ProviderEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def reason_of(events: list[ProviderEvent]) -> str:
    return next(event.reason for event in events if isinstance(event, Finish))


def usage_of(events: list[ProviderEvent]) -> UsageReport:
    assert isinstance(events[-1], UsageReport)
    return events[-1]


async def test_text_and_its_limit_and_its_choices() -> None:
    assert text_of(await ask("text", "hi")) == TEXT
    short = await ask("text", "hi", max_tokens=3)
    assert TEXT.startswith(text_of(short)) and reason_of(short) == "length"
    assert usage_of(short).output_tokens <= 3
    both = await ask("text", "hi", n=2)
    assert text_of([e for e in both if isinstance(e, TextDelta) and e.choice == 1]) == TEXT
    assert [e.choice for e in both if isinstance(e, Finish)] == [0, 1]


async def test_echo_repeats_and_recalls() -> None:
    assert text_of(await ask("echo", "one", "two\nlines  ")) == "two\nlines  "
    assert text_of(await ask("echo", "my cat is Minka", "two", "Recall 1, please")) == "my cat is Minka"
    assert text_of(await ask("echo", "recall 9")) == "There is no user message 9."


async def test_numbered_tokens_can_be_known_beforehand() -> None:
    events = await ask("numbered", "stream=s7 tokens=12 batch=5")
    assert text_of(events) == "".join(numbered_token("s7", i) for i in range(12))
    digest = hashlib.sha256(b"s7:3").hexdigest()[:8]
    assert numbered_token("s7", 3) == f"t3:{digest} "
    assert usage_of(events).output_tokens == 12
    cut = await ask("numbered", "stream=s7 tokens=12 batch=5", max_completion_tokens=7)
    assert text_of(cut) == "".join(numbered_token("s7", i) for i in range(7)) and reason_of(cut) == "length"


async def test_slow_takes_its_time() -> None:
    began = time.perf_counter()
    events = await ask("slow", "tokens=5 delay_ms=20")
    assert time.perf_counter() - began >= 0.09
    assert text_of(events) == "word0 word1 word2 word3 word4 "


async def test_reasoning_refusal_truncated() -> None:
    events = await ask("reasoning", "hi")
    assert "".join(e.text for e in events if isinstance(e, ReasoningDelta)) == REASONING
    assert text_of(events) == TEXT
    assert 0 < usage_of(events).reasoning_tokens < usage_of(events).output_tokens
    refused = await ask("refusal", "hi")
    assert "".join(e.text for e in refused if isinstance(e, RefusalDelta)) == REFUSAL
    truncated = await ask("truncated", "hi")
    assert TEXT.startswith(text_of(truncated)) and reason_of(truncated) == "length"


async def test_json_fits_the_schema() -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "w", "schema": WEATHER}}
    assert accepts(WEATHER, json.loads(text_of(await ask("json", "hi", response_format=wanted))))
    assert json.loads(text_of(await ask("json", "hi", response_format={"type": "json_object"}))) == {}


def calls_of(events: list[ProviderEvent]) -> dict[int, tuple[str, str]]:
    names: dict[int, str] = {}
    arguments: dict[int, str] = {}
    for event in events:
        if isinstance(event, ToolCallDelta):
            if event.name is not None:
                assert event.index not in names and event.call_id
                names[event.index] = event.name
            arguments[event.index] = arguments.get(event.index, "") + event.arguments
    return {index: (names[index], arguments[index]) for index in names}


async def test_tools_are_called_with_fitting_arguments() -> None:
    events = await ask("tools", "hi", tools=TOOLS)
    calls = calls_of(events)
    assert [name for name, _ in calls.values()] == ["weather", "clock"]
    assert accepts(WEATHER, json.loads(calls[0][1])) and json.loads(calls[1][1]) == {}
    assert reason_of(events) == "tool_calls"
    assert sum(isinstance(e, ToolCallDelta) for e in events) > 4
    again = await ask("tools", "hi", tools=TOOLS)
    assert again == events


async def test_tool_choice_is_honoured() -> None:
    forced = {"type": "function", "function": {"name": "clock"}}
    calls = calls_of(await ask("tools", "hi", tools=TOOLS, tool_choice=forced))
    assert [name for name, _ in calls.values()] == ["clock"]
    assert calls_of(await ask("tools", "hi", tools=TOOLS, tool_choice="none")) == {}
    assert len(calls_of(await ask("tools", "hi", tools=TOOLS, parallel_tool_calls=False))) == 1
    assert text_of(await ask("tools", "hi")) == "No tool was offered."


async def test_after_the_outputs_they_are_quoted() -> None:
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "weather?"},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "tool", "tool_call_id": "c", "content": "17 degrees"},
        {"role": "tool", "tool_call_id": "d", "content": "noon"},
    ]
    events = await events_of("tools", messages, {"tools": TOOLS})
    assert text_of(events) == 'The tools answered: "17 degrees"; "noon"'
    assert reason_of(events) == "stop"


async def test_parallel_calls_alternate() -> None:
    events = await ask("parallel", "hi", tools=TOOLS[:1])
    order = [event.index for event in events if isinstance(event, ToolCallDelta)]
    assert order[:4] == [0, 1, 0, 1]
    assert all(accepts(WEATHER, json.loads(arguments)) for _, arguments in calls_of(events).values())


async def test_failures() -> None:
    with pytest.raises(ProviderError) as failed:
        await ask("fail-before", "status=429 retry_after=3")
    assert (failed.value.code, failed.value.retry_after_seconds) == ("rate_limit_exceeded", 3)
    found: list[ProviderEvent] = []
    request = ModelRequest(model="fail-after", messages=[{"role": "user", "content": "tokens=2"}])
    with pytest.raises(ProviderError):
        async for batch in Scripted().stream(request):
            found += batch
    assert text_of(found) == "word0 word1 "
    with pytest.raises(ProviderError):
        await ask("nonesuch", "hi")


async def test_directives_have_bounds() -> None:
    events = await ask("numbered", "tokens=99999999999 batch=0")
    assert usage_of(events).output_tokens == 20  # nonsense is as good as nothing
    assert MODELS and await Scripted().models() == []
    assert len(await Scripted(listed=True).models()) == len(ALL_MODELS)


@pytest.mark.parametrize("model", [m for m in MODELS if not m.startswith("fail")])
async def test_strange_conversations_do_no_harm(model: str) -> None:
    image: dict[str, Any] = {"role": "user", "content": [{"type": "image_url"}]}
    params = {"tools": [{}, 3], "n": "x", "response_format": 7, "max_tokens": 5}
    for messages in ([], [{"role": "system"}], [image]):
        events = await events_of(model, messages, params)
        assert isinstance(events[-1], UsageReport)
