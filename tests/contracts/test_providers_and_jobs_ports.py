"""Ports `ModelProvider` and `Jobs`: what every adapter promises."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from antiphon.bootstrap import SystemClock
from antiphon.domain.errors import ProviderError
from antiphon.ports.model_provider import Finish, ModelInfo, ModelProvider, ModelRequest, TextDelta
from antiphon.services.models import Models
from tests.contracts.adapters import JOBS, PROVIDERS
from tests.services.fake_provider import batches_of

HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture(params=PROVIDERS)
def kind(request: pytest.FixtureRequest) -> tuple[ModelProvider, str, str]:
    make, good, bad = PROVIDERS[request.param]
    return make(), good, bad


async def heard(provider: ModelProvider, model: str, **fields: Any) -> list[Any]:
    request = ModelRequest(**{"model": model, "messages": HELLO, **fields})
    return [event async for batch in provider.stream(request) for event in batch]


async def test_an_answer_is_text_and_one_end(kind: tuple[ModelProvider, str, str]) -> None:
    provider, good, _ = kind
    events = await heard(provider, good)
    assert "".join(event.text for event in events if isinstance(event, TextDelta))
    assert [event.reason for event in events if isinstance(event, Finish)] == ["stop"]


async def test_an_answer_never_holds_half_a_surrogate_pair(kind: tuple[ModelProvider, str, str]) -> None:
    provider, good, _ = kind
    events = await heard(provider, good, messages=[{"role": "user", "content": "𝔘𝔫𝔦 \u2028 \0"}])
    for event in events:
        if isinstance(event, TextDelta):
            event.text.encode()


async def test_a_failure_leaves_as_a_provider_error_with_a_code_of_the_closed_list(
    kind: tuple[ModelProvider, str, str],
) -> None:
    provider, _, bad = kind
    with pytest.raises(ProviderError) as failed:
        await heard(provider, bad)
    assert failed.value.code in ("server_error", "rate_limit_exceeded", "invalid_prompt")


async def test_a_stream_that_is_closed_early_ends_quietly(kind: tuple[ModelProvider, str, str]) -> None:
    provider, good, _ = kind
    stream = provider.stream(ModelRequest(model=good, messages=HELLO))
    async for _ in stream:
        break
    await stream.aclose()  # type: ignore[attr-defined]
    assert await heard(provider, good)


async def test_it_says_its_models_under_its_name_and_closes_twice(
    kind: tuple[ModelProvider, str, str],
) -> None:
    provider, _, _ = kind
    for info in await provider.models():
        assert isinstance(info, ModelInfo)
        assert (info.provider, info.id.partition("/")[0]) == (provider.name, provider.name)
    await provider.close()
    await provider.close()


async def test_a_request_is_not_changed_by_whom_it_is_given_to(kind: tuple[ModelProvider, str, str]) -> None:
    provider, good, _ = kind
    messages: list[dict[str, Any]] = [{"role": "user", "content": [{"type": "text", "text": "hello"}]}]
    models = Models({provider.name: provider}, clock=SystemClock())
    route = models.resolve(f"{provider.name}/{good}")
    async for _ in batches_of(models, route, ModelRequest(model=good, messages=messages)):
        pass
    assert messages == [{"role": "user", "content": [{"type": "text", "text": "hello"}]}]


# --- jobs


@pytest.mark.parametrize("adapter", JOBS)
async def test_a_job_that_fails_hurts_no_other_and_comes_again(adapter: str) -> None:
    jobs = JOBS[adapter]()
    fine: asyncio.Queue[str] = asyncio.Queue()
    tries: asyncio.Queue[int] = asyncio.Queue()

    async def fails() -> None:
        tries.put_nowait(1)
        raise ZeroDivisionError

    async def works() -> None:
        fine.put_nowait("done")

    jobs.every(0.001, "fails", fails)
    jobs.once("works", works)
    async with asyncio.timeout(10):
        assert await fine.get() == "done"
        for _ in range(3):
            await tries.get()
    await jobs.close()


@pytest.mark.parametrize("adapter", JOBS)
async def test_after_the_close_nothing_runs_and_nothing_is_left(adapter: str) -> None:
    jobs = JOBS[adapter]()
    began, ended = asyncio.Event(), asyncio.Event()

    async def long() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    jobs.once("long", long)
    await began.wait()
    await jobs.close()
    assert ended.is_set()
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


# --- clock


def test_the_clock_tells_microseconds_of_today_and_never_goes_back() -> None:
    clock = SystemClock()
    assert 1_700_000_000_000_000 < clock.now_us() < 5_000_000_000_000_000
    readings = [clock.monotonic() for _ in range(1_000)]
    assert readings == sorted(readings)
