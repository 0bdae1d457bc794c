"""Calls are repeated with care, passed on to fallbacks, and never repeated after a token."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from antiphon.domain.errors import NotFound, ProviderError
from antiphon.ports.model_provider import (
    Finish,
    ModelRequest,
    ProviderEvent,
    Started,
    TextDelta,
)
from antiphon.services.model_breaker import Breaker
from tests.services.fake_provider import DOWN, OK, REQUEST, Fake, Time, batches_of, models_of, read


async def test_started_comes_first_and_with_the_first_events() -> None:
    fake = Fake("p", [[TextDelta(0, "a")], [TextDelta(0, "b"), Finish(0, "stop")]])
    models = models_of(fake)
    batches = [batch async for batch in batches_of(models, models.resolve("p/m/1"), REQUEST)]
    assert batches == [[Started("p", "m/1"), TextDelta(0, "a")], [TextDelta(0, "b"), Finish(0, "stop")]]
    assert fake.calls == ["m/1"]


async def test_two_retries_with_full_jitter_and_no_more() -> None:
    time = Time()
    fake = Fake("p", [DOWN])
    events, error = await read(models_of(fake, time=time), "p/m")
    assert events == [] and error is DOWN and len(fake.calls) == 3
    assert time.slept == [0.25, 0.5]
    healed = Fake("p", [DOWN], [DOWN], [OK])
    events, error = await read(models_of(healed), "p/m")
    assert error is None and events == [Started("p", "m"), *OK]


async def test_nothing_is_repeated_after_the_first_event() -> None:
    fake = Fake("p", [[TextDelta(0, "a")], ProviderError("cut", retryable=True)])
    other = Fake("q")
    events, error = await read(models_of(fake, other, fallbacks={"*": ["q/m"]}), "p/m")
    assert events == [Started("p", "m"), TextDelta(0, "a")] and error is not None
    assert len(fake.calls) == 1 and other.calls == []


@pytest.mark.parametrize("status", [400, 401, 404])
async def test_what_another_attempt_cannot_mend_is_not_repeated(status: int) -> None:
    fake = Fake("p", [ProviderError("no", status=status)])
    _, error = await read(models_of(fake), "p/m")
    assert error is not None and len(fake.calls) == 1


async def test_retry_after_is_honoured_up_to_ten_seconds() -> None:
    time = Time()
    soon = ProviderError("wait", code="rate_limit_exceeded", retryable=True, retry_after_seconds=3)
    fake = Fake("p", [soon], [OK])
    assert (await read(models_of(fake, time=time), "p/m"))[1] is None
    assert time.slept == [3.25]
    late = ProviderError("wait", code="rate_limit_exceeded", retryable=True, retry_after_seconds=11)
    fake = Fake("p", [late])
    _, error = await read(models_of(fake, time=time), "p/m")
    assert error is late and len(fake.calls) == 1


async def test_a_caller_who_has_waited_long_waits_for_no_retry() -> None:
    time = Time()

    class Silent(Fake):
        async def stream(self, request: ModelRequest) -> AsyncIterator[Sequence[ProviderEvent]]:
            time.now += 60
            async for batch in super().stream(request):
                yield batch

    fake = Silent("p", [ProviderError("upstream_timeout", retryable=True)])
    _, error = await read(models_of(fake, time=time), "p/m")
    assert error is not None and len(fake.calls) == 1


async def test_fallbacks_come_in_order_before_the_first_event() -> None:
    first, second, third = Fake("a", [DOWN]), Fake("b", [ProviderError("401", status=401)]), Fake("c")
    models = models_of(first, second, third, aliases={"fast": "a/m"}, fallbacks={"fast": ["b/n", "c/o"]})
    route = models.resolve("fast")
    assert [r.id for r in route.fallbacks] == ["b/n", "c/o"]
    events, error = await read(models, "fast")
    assert error is None and events[0] == Started("c", "o")
    assert (len(first.calls), second.calls, third.calls) == (3, ["n"], ["o"])
    assert route.answered_by("c", "o").id == "c/o" and route.answered_by("x", "y") is route
    assert models.health()["c"].counts.fallbacks == 1


async def test_a_request_at_fault_is_not_passed_on() -> None:
    first, second = Fake("a", [ProviderError("too long", code="invalid_prompt")]), Fake("b")
    _, error = await read(models_of(first, second, fallbacks={"*": ["b/n"]}), "a/m")
    assert error is not None and error.code == "invalid_prompt" and second.calls == []


async def test_an_empty_stream_is_a_failure() -> None:
    fake = Fake("p", [[]], [OK])
    assert (await read(models_of(fake), "p/m"))[1] is None
    assert len(fake.calls) == 2


async def test_an_open_breaker_spares_the_provider_and_uses_the_fallback_at_once() -> None:
    time = Time()
    dead, spare = Fake("p", [DOWN]), Fake("q")
    models = models_of(dead, spare, time=time)
    for _ in range(10_000):
        _, error = await read(models, "p/m")
        assert error is not None and error.code == "server_error"
    assert len(dead.calls) == 5 and error is not None
    assert "upstream_unavailable" in error.message and error.status == 503 and error.retry_after_seconds
    assert models.health()["p"].state == "open" and models.health()["q"].state == "closed"
    assert models.health()["p"].counts.refused > 9_000
    slept = len(time.slept)
    routed = models_of(dead, spare, time=time, fallbacks={"*": ["q/n"]})
    routed._providers["p"].breakers = models._providers["p"].breakers
    events, error = await read(routed, "p/m")
    assert error is None and events[0] == Started("q", "n") and len(time.slept) == slept


async def test_many_at_once_are_stopped_by_the_breaker_too() -> None:
    time = Time()
    dead = Fake("p", [DOWN])
    models = models_of(dead, time=time)
    await asyncio.gather(*(read(models, "p/m") for _ in range(50)))
    assert len(dead.calls) <= 55


async def test_the_breaker_probes_once_and_doubles_its_pause() -> None:
    time = Time()
    fake = Fake("p", *[[DOWN]] * 7, [OK])
    models = models_of(fake, time=time)
    for _ in range(3):
        await read(models, "p/m")
    assert len(fake.calls) == 5
    time.now += 10.1
    assert models.health()["p"].state == "half_open"
    await asyncio.gather(*(read(models, "p/m") for _ in range(5)))
    assert len(fake.calls) == 6  # one probe, the other four were refused meanwhile
    time.now += 10.1
    await read(models, "p/m")
    assert len(fake.calls) == 6  # now it pauses for 20 s
    time.now += 10.1
    await read(models, "p/m")
    time.now += 40.1
    _, error = await read(models, "p/m")
    assert error is None and models.health()["p"].state == "closed" and len(fake.calls) == 8


async def test_a_probe_whose_caller_leaves_is_no_verdict() -> None:
    time = Time()
    hang = asyncio.Event()

    class Hanging(Fake):
        async def stream(self, request: ModelRequest) -> AsyncIterator[Sequence[ProviderEvent]]:
            if len(self.calls) == 5:
                self.calls.append(request.model)
                await hang.wait()
            async for batch in super().stream(request):
                yield batch

    fake = Hanging("p", *[[DOWN]] * 6, [OK])
    models = models_of(fake, time=time)
    for _ in range(3):
        await read(models, "p/m")
    time.now += 10.1
    task = asyncio.create_task(read(models, "p/m"))
    for _ in range(5):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    _, error = await read(models, "p/m")
    assert error is None


def test_the_breaker_alone() -> None:
    time = Time()
    breaker = Breaker(time)
    late = breaker.admit()
    assert late is not None
    for _ in range(5):
        permit = breaker.admit()
        assert permit is not None
        permit.failed()
        permit.answered()  # only the first end counts
    assert breaker.state == "open" and breaker.admit() is None
    late.answered()
    assert breaker.admit() is None  # what began before proves nothing
    pauses = []
    for _ in range(5):
        pauses.append(breaker.retry_in_seconds)
        time.now += breaker.retry_in_seconds
        probe = breaker.admit()
        assert probe is not None and breaker.admit() is None
        probe.failed()
    assert [round(p) for p in pauses] == [10, 20, 40, 60, 60]
    time.now += 60
    probe = breaker.admit()
    assert probe is not None
    probe.answered()
    assert breaker.failures == 0 and breaker.admit() is not None


async def test_client_errors_do_not_open_it() -> None:
    fake = Fake("p", [ProviderError("401", status=401)])
    models = models_of(fake)
    for _ in range(20):
        await read(models, "p/m")
    assert models.health()["p"].state == "closed" and len(fake.calls) == 20


async def test_closing_the_stream_closes_the_providers() -> None:
    fake = Fake("p", [[TextDelta(0, "a")]] * 5)
    models = models_of(fake)
    stream = batches_of(models, models.resolve("p/m"), REQUEST)
    async for _ in stream:
        assert fake.open == 1
        break
    await stream.aclose()
    assert fake.open == 0
    await models.close()
    assert fake.closed == 1


async def test_a_probe_is_kept_for_ten_seconds() -> None:
    time = Time()
    fake = Fake("p")
    models = models_of(fake, time=time)
    assert (await models.probe("p")).healthy
    fake.listed = DOWN
    assert (await models.probe("p")).healthy
    time.now += 10
    probe = await models.probe("p")
    assert not probe.healthy and probe.detail == "down"
    with pytest.raises(NotFound):
        await models.probe("none")
