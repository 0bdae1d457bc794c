"""`GET /metrics` in Prometheus' text format: everything is collected when it is asked for.

Open on loopback; elsewhere for administrators and for whoever shows METRICS_TOKEN as a bearer token.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Iterable, Iterator

from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from antiphon import __version__
from antiphon.api.authentication import principal_of
from antiphon.api.dependencies import App
from antiphon.api.http import header
from antiphon.application import Application
from antiphon.domain.errors import Forbidden, Unavailable
from antiphon.services.counters import Histogram

PATH = "/metrics"
LOGIN = "/token"
REFUSED = (400, 401)
BREAKER_STATES = ("closed", "half_open", "open")

router = APIRouter(tags=["health"])


@router.get(
    PATH,
    summary="Metrics",
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Metrics."}},
)
async def metrics(application: App, request: Request) -> Response:
    """Return the metrics of this process as Prometheus scrapes them."""
    await _require_reader(application, request)
    redis = application.redis_answers
    state = ApplicationState(
        application,
        store_answers=await _store_answers(application),
        redis_answers=await redis() if redis is not None else None,
    )
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(list(state.families())))  # read here, in the loop's thread
    ProcessCollector(registry=registry)
    text = await asyncio.to_thread(generate_latest, registry)
    return Response(text, headers={"content-type": CONTENT_TYPE_PLAIN_0_0_4, "cache-control": "no-store"})


async def _require_reader(application: Application, request: Request) -> None:
    """Refuse who may not read: raises Unauthenticated or Forbidden."""
    wanted = application.policy.metrics_token_hash
    shown = header(request.scope, b"authorization") or ""
    if wanted is not None and shown[:7].lower() == "bearer ":
        digest = hashlib.sha256(shown[7:].encode()).digest()
        if hmac.compare_digest(digest, wanted):
            return
    if not (await principal_of(application, request.scope)).is_admin:
        raise Forbidden("Metrics are for administrators and for the holder of METRICS_TOKEN.")


async def _store_answers(application: Application) -> bool:
    try:
        await application.ready()
    except Unavailable:
        return False
    return application.journal.healthy and application.store_health.takes_writes


class _Collected(Collector):
    """What has been read of the application for one scrape."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """See the library."""
        return self._families


class ApplicationState:
    """Reads the application's counters as metrics; holds none of its own. Without a Redis none answers."""

    def __init__(self, application: Application, *, store_answers: bool, redis_answers: bool | None) -> None:
        self._application = application
        self._store_answers = store_answers
        self._redis_answers = redis_answers

    def families(self) -> Iterator[Metric]:
        """Yield every family of metrics."""
        yield from self._state()
        yield from self._requests()
        yield from self._runs()
        yield from self._providers()
        yield from self._history()
        yield from self._knowledge()
        counters = self._application.counters
        yield _histogram(
            "antiphon_journal_tick_seconds", "Time to commit one journal record.", counters.ticks
        )
        yield _histogram("antiphon_event_loop_lag_seconds", "How late a timer fires.", counters.lag)

    def _state(self) -> Iterator[Metric]:
        application = self._application
        info = GaugeMetricFamily("antiphon_info", "Always 1; the version is a label.", labels=["version"])
        info.add_metric([__version__], 1)
        yield info
        for name, text, value in (
            ("antiphon_runs_live", "Answers being generated now.", len(application.runs)),
            ("antiphon_followers_open", "Open streams of answers.", len(application.followers)),
            ("antiphon_storage_healthy", "1 while the store is read and written.", self._store_answers),
            ("antiphon_draining", "1 while the server shuts down.", application.draining()),
        ):
            yield GaugeMetricFamily(name, text, value=float(value))
        if self._redis_answers is not None:
            text = "1 while Redis answers."
            yield GaugeMetricFamily("antiphon_redis_healthy", text, value=float(self._redis_answers))

    def _requests(self) -> Iterator[Metric]:
        counted = self._application.counters.requests
        total = CounterMetricFamily(
            "antiphon_http_requests", "Requests that ended.", labels=["method", "route", "status"]
        )
        for (method, route, status), count in counted.items():
            total.add_metric([method, route, str(status)], count)
        yield total
        failed = sum(
            n for (_, route, status), n in counted.items() if route == LOGIN and status in (400, 401)
        )
        yield CounterMetricFamily("antiphon_login_failures", "Logins with wrong credentials.", value=failed)
        limited = sum(n for (_, _, status), n in counted.items() if status == 429)
        yield CounterMetricFamily("antiphon_rate_limited", "Requests answered 429.", value=limited)

    def _runs(self) -> Iterator[Metric]:
        labels = ["state", "provider", "model"]
        runs = CounterMetricFamily("antiphon_runs", "Answers that ended.", labels=labels)
        seconds = CounterMetricFamily("antiphon_run_seconds", "Time from begin to end.", labels=labels)
        cached = CounterMetricFamily("antiphon_cached_runs", "Of these, from the cache.", labels=labels)
        tokens = CounterMetricFamily(
            "antiphon_tokens", "Tokens of answers that ended.", labels=["kind", "provider", "model"]
        )
        by_model: dict[tuple[str, str, str], int] = {}
        for (state, provider, model), totals in self._application.counters.runs.items():
            runs.add_metric([state, provider, model], totals.runs)
            seconds.add_metric([state, provider, model], totals.seconds)
            cached.add_metric([state, provider, model], totals.cached_runs)
            for kind, count in (
                ("input", totals.input_tokens),
                ("cached_input", totals.cached_tokens),
                ("output", totals.output_tokens),
            ):
                by_model[kind, provider, model] = by_model.get((kind, provider, model), 0) + count
        for (kind, provider, model), count in by_model.items():
            tokens.add_metric([kind, provider, model], count)
        yield from (runs, seconds, cached, tokens)

    def _providers(self) -> Iterator[Metric]:
        events = CounterMetricFamily(
            "antiphon_provider_calls", "Calls to a provider and what became of them.",
            labels=["provider", "outcome"],
        )  # fmt: skip
        states = GaugeMetricFamily(
            "antiphon_provider_breaker", "1 for the state of its model that does worst.",
            labels=["provider", "state"],
        )  # fmt: skip
        for name, health in self._application.models.health().items():
            counts = health.counts
            for outcome, count in (
                ("called", counts.calls), ("failed", counts.failures), ("retried", counts.retries),
                ("refused", counts.refused), ("passed_on", counts.fallbacks),
            ):  # fmt: skip
                events.add_metric([name, outcome], count)
            for state in BREAKER_STATES:
                states.add_metric([name, state], float(health.state == state))
        yield from (events, states)

    def _history(self) -> Iterator[Metric]:
        """Yield how the index of conversations keeps up, if there is one."""
        history = self._application.history
        if not history.follows:
            return
        for name, text, value in (
            ("antiphon_history_lag_seconds", "Age of the oldest message not indexed.", history.lag_seconds),
            ("antiphon_history_waiting", "Messages committed and not indexed.", history.waiting),
            ("antiphon_history_catching_up", "1 while older messages are read.", history.catching_up),
        ):
            yield GaugeMetricFamily(name, text, value=float(value))
        for name, text, count in (
            ("antiphon_history_messages", "Messages indexed.", history.messages),
            ("antiphon_history_passages", "Passages indexed.", history.passages),
        ):
            yield CounterMetricFamily(name, text, value=count)

    def _knowledge(self) -> Iterator[Metric]:
        counters = self._application.counters
        searches = CounterMetricFamily(
            "antiphon_searches", "Searches before answers; `unverified` are sources left out.",
            labels=["outcome"],
        )  # fmt: skip
        citations = CounterMetricFamily(
            "antiphon_citations", "Markers in answers from sources, and what became of them.",
            labels=["outcome"],
        )  # fmt: skip
        for family, counted in ((searches, counters.searches), (citations, counters.citations)):
            for outcome, count in counted.items():
                family.add_metric([outcome], count)
            yield family


def _histogram(name: str, text: str, histogram: Histogram) -> Metric:
    """Return a histogram's family; its buckets add up, as the format wants it."""
    buckets: list[tuple[str, float]] = []
    below = 0
    for bound, count in zip(histogram.bounds, histogram.counts, strict=False):
        below += count
        buckets.append((repr(bound), below))
    buckets.append(("+Inf", below + histogram.counts[-1]))
    return HistogramMetricFamily(name, text, buckets=buckets, sum_value=histogram.total)
