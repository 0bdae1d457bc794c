"""The load generator: many keep-alive connections, each reading a stream and noting when every token came.

An answer counts as intact only if every token and the dialect's terminal event arrived.
"""

from __future__ import annotations

import asyncio
from array import array
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, cast

import httptools

from bench.dialects import ChatScanner, JsonScanner, ResponsesScanner, Scanner

try:
    import uvloop

    new_event_loop: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
except ImportError:
    new_event_loop = asyncio.new_event_loop


@dataclass(frozen=True, slots=True)
class Plan:
    """One load: ``connections`` ask again and again for ``seconds`` once all have begun, or ``rounds`` times.

    Connection i begins ``ramp_seconds * i / connections`` after the start. What is under way at the end may
    finish within ``grace_seconds`` and counts. ``interval_ms`` is the nominal pace, 0 for none.
    """

    port: int
    request: bytes
    scanner: type[ChatScanner] | type[ResponsesScanner] | type[JsonScanner]
    tokens: int
    connections: int
    seconds: float = 0.0
    rounds: int = 0
    ramp_seconds: float = 0.0
    interval_ms: float = 0.0
    grace_seconds: float = 60.0


@dataclass(slots=True)
class Outcome:
    """What came back. Times are in milliseconds; ``jitter`` is each gap's distance from the nominal one.

    Tokens that arrive together have gaps of zero, so joining tokens shows as jitter. ``moments`` says when
    each jitter was seen, in seconds of ``perf_counter``.
    """

    requests: int = 0
    tokens: int = 0
    wall_seconds: float = 0.0
    errors: Counter[str] = field(default_factory=Counter)
    first_token: array[float] = field(default_factory=lambda: array("d"))
    whole: array[float] = field(default_factory=lambda: array("d"))
    jitter: array[float] = field(default_factory=lambda: array("d"))
    moments: array[float] = field(default_factory=lambda: array("d"))

    def jitter_between(self, begun: float, ended: float) -> array[float]:
        """The jitter that was seen within a time of ``perf_counter``."""
        seen = zip(self.moments, self.jitter, strict=True)
        return array("d", [value for moment, value in seen if begun <= moment <= ended])


class _Connection(asyncio.Protocol):
    """One connection and the answer it is reading."""

    def __init__(self, load: _Load) -> None:
        self._load = load
        self._plan = load.plan
        self._interval = load.plan.interval_ms / 1000
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser
        self._scanner: Scanner
        self._asking = False
        self._rounds = 0
        self._tokens = 0
        self._asked = self._last = self._now = 0.0

    async def begin(self) -> None:
        """Connect and ask the first question."""
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: self, "127.0.0.1", self._plan.port)
        except OSError as error:
            self._load.outcome.errors[f"connect: {type(error).__name__}"] += 1
            self._load.leave()
            return
        self._ask()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._parser = httptools.HttpResponseParser(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._asking:
            self._finish(f"lost: {type(exc).__name__ if exc else 'closed'}")

    def data_received(self, data: bytes) -> None:
        self._now = perf_counter()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.abort("not HTTP")

    def on_body(self, body: bytes) -> None:
        """Part of the answer's body."""
        tokens = self._scanner.feed(body)
        if not tokens:
            return
        if not self._tokens:
            self._load.outcome.first_token.append((self._now - self._asked) * 1000)
        elif self._interval:
            self._load.outcome.jitter.append(abs(self._now - self._last - self._interval) * 1000)
            self._load.outcome.moments.append(self._now)
        if tokens > 1 and self._interval:
            self._load.outcome.jitter.extend([self._plan.interval_ms] * (tokens - 1))
            self._load.outcome.moments.extend([self._now] * (tokens - 1))
        self._tokens += tokens
        self._last = self._now

    def on_message_complete(self) -> None:
        """The end of the answer: judge it, and go on."""
        status = self._parser.get_status_code()
        if status != 200:
            self._finish(f"status {status}")
        elif not self._scanner.complete:
            self._finish("no terminal event")
        elif self._tokens != self._plan.tokens:
            self._finish(f"{self._tokens} of {self._plan.tokens} tokens")
        else:
            self._finish("")

    def abort(self, problem: str) -> None:
        """Give the answer up."""
        if self._asking:
            self._finish(problem, last=True)
        if self._transport is not None:
            self._transport.abort()

    def _ask(self) -> None:
        if self._transport is None:
            self._load.spawn(self.begin())
            return
        self._scanner = self._plan.scanner()
        self._tokens = 0
        self._asking = True
        self._asked = perf_counter()
        self._transport.write(self._plan.request)

    def _finish(self, problem: str, *, last: bool = False) -> None:
        """Book one answer and ask again unless the plan is done."""
        outcome = self._load.outcome
        self._asking = False
        self._rounds += 1
        outcome.requests += 1
        outcome.tokens += self._tokens
        if problem:
            outcome.errors[problem] += 1
        else:
            outcome.whole.append((perf_counter() - self._asked) * 1000)
        rounds = self._plan.rounds
        if last or (self._rounds >= rounds if rounds else perf_counter() >= self._load.deadline):
            self._load.leave()
        else:
            asyncio.get_running_loop().call_soon(self._ask)


class _Load:
    """One run of a plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.outcome = Outcome()
        self.deadline = 0.0
        self._left = plan.connections
        self._over = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Any) -> None:
        """Run a coroutine and keep hold of it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def leave(self) -> None:
        """A connection has done its part."""
        self._left -= 1
        if not self._left:
            self._over.set()

    async def run(self) -> Outcome:
        """Carry the plan out."""
        plan, loop = self.plan, asyncio.get_running_loop()
        begun = perf_counter()
        self.deadline = begun + plan.ramp_seconds + plan.seconds
        connections = [_Connection(self) for _ in range(plan.connections)]
        for index, connection in enumerate(connections):
            loop.call_later(plan.ramp_seconds * index / plan.connections, self._begin, connection)
        limit = plan.ramp_seconds + plan.seconds + plan.grace_seconds
        with suppress(TimeoutError):  # booked below, connection by connection
            await asyncio.wait_for(self._over.wait(), limit)
        self.outcome.wall_seconds = perf_counter() - begun
        for connection in connections:
            connection.abort("unfinished")
        await asyncio.sleep(0.02)
        return self.outcome

    def _begin(self, connection: _Connection) -> None:
        self.spawn(connection.begin())


async def run(plan: Plan) -> Outcome:
    """Put the load on and wait for its end."""
    return await _Load(plan).run()


def percentile(values: array[float], share: float) -> float:
    """The value below which ``share`` (0 to 1) of ``values`` lie; NaN if there are none."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
