"""What this process has done since its start, counted where it happens and read by `/metrics`.

Plain integers in dictionaries: counting a request or a run costs a fraction of a microsecond, and
nothing is counted per token. All of it runs in the event loop's thread, so nothing is locked.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from antiphon.domain.runs import Run

SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Upper bounds of the histograms' buckets."""

MODELS_COUNTED: Final = 200
"""Callers choose model names, so only so many are told apart."""
OTHER: Final = "other"
LAG_SECONDS: Final = 0.25


class Histogram:
    """How often a duration fell into each bucket, and the sum of all of them. Seconds."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds


class RunTotals(msgspec.Struct):
    """The runs that ended in one way at one model; seconds from begin to end."""

    runs: int = 0
    cached_runs: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0


class Counters:
    """Requests by (method, route, status), runs by (state, provider, model), ticks and lag."""

    def __init__(self) -> None:
        self.requests: dict[tuple[str, str, int], int] = {}
        self.runs: dict[tuple[str, str, str], RunTotals] = {}
        self.ticks = Histogram()
        self.lag = Histogram()
        self.searches = {"completed": 0, "failed": 0, "unverified": 0}
        self.citations = {"cited": 0, "unknown": 0, "unverified": 0, "too_many": 0}
        self._models: set[tuple[str, str]] = set()

    def request_ended(self, method: str, route: str, status: int) -> None:
        """Count a request; `route` is a template, so that there are few."""
        key = (method, route, status)
        self.requests[key] = self.requests.get(key, 0) + 1

    def citations_made(self, outcomes: Mapping[str, int]) -> None:
        """Count what became of the markers of one answer."""
        for outcome, count in outcomes.items():
            self.citations[outcome] += count

    def run_ended(self, run: Run, provider: str, model: str, *, cached: bool = False) -> None:
        """Count a run that has just ended in this process, at the model that was called or stood for."""
        if (provider, model) not in self._models:
            if len(self._models) >= MODELS_COUNTED:
                model = OTHER
            self._models.add((provider, model))
        totals = self.runs.get((run.state, provider, model))
        if totals is None:
            totals = self.runs[run.state, provider, model] = RunTotals()
        totals.runs += 1
        totals.cached_runs += cached
        totals.seconds += ((run.ended_us or run.created_us) - run.created_us) / 1e6
        if run.usage is not None:
            totals.input_tokens += run.usage.input_tokens
            totals.cached_tokens += run.usage.cached_tokens
            totals.output_tokens += run.usage.output_tokens


class LoopLag:
    """Measures how late the event loop is: a timer four times a second that notes its delay."""

    def __init__(self, histogram: Histogram) -> None:
        self._histogram = histogram
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> LoopLag:
        """Begin to measure on the running loop; returns itself."""
        loop = asyncio.get_running_loop()
        self._arm(loop, loop.time() + LAG_SECONDS)
        return self

    def close(self) -> None:
        """Stop; does nothing if it was not started."""
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        self._timer = loop.call_at(due, self._note, loop, due)

    def _note(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        now = loop.time()
        self._histogram.observe(max(0.0, now - due))
        self._arm(loop, now + LAG_SECONDS)
