"""The rows of the benchmark: each puts one load on every target and turns the readings into metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter, sleep
from typing import Final

from bench.load import percentile
from bench.machine import family, resident_kib
from bench.meter import Reading, measure
from bench.processes import Process
from bench.targets import ANTIPHON, ANTIPHON_CHAT, DIRECT, NGINX, TARGETS, Stage, Target
from bench.uploads import result, sending

FIRST_TOKEN_MS: Final = 50.0
INTERVAL_MS: Final = 20.0
PACED_TOKENS: Final = 100
BURST_TOKENS: Final = 256
JSON_TOKENS: Final = 64
RAMP_SECONDS: Final = 1.0
SETTLING_SECONDS: Final = 1.0
"""What an upload leaves to the disk is waited for, and counts as beside it."""
_OF_A_SERVER: Final = {"cpu_us_per_request", "cpu_us_per_token", "kib_per_stream", "server_cores"}


@dataclass(frozen=True, slots=True)
class Scale:
    """How long and how large the rows are."""

    seconds: float = 10.0
    warm_seconds: float = 1.5
    paced_streams: int = 200
    open_streams: int = 5000
    open_tokens: int = 8
    open_interval_ms: int = 2500
    opened_per_second: float = 400.0
    beside_streams: int = 40
    beside_tokens: int = 400
    upload_bytes: int = 500_000_000


QUICK: Final = Scale(
    seconds=1.5, warm_seconds=0.4, open_streams=500, open_tokens=3, open_interval_ms=1500, beside_tokens=200,
    upload_bytes=100_000_000,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Measurement:
    """One row of one target. What each metric means stands in :mod:`bench.metrics`."""

    row: str
    target: str
    metrics: dict[str, float]
    foreign_cores: float = 0.0
    harness_cores: float = 0.0
    errors: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Bench:
    """What every row needs: where servers are started and how much load there is to be."""

    stage: Stage
    directory: Path
    scale: Scale

    @contextmanager
    def standing(self, target: Target) -> Iterator[_Standing]:
        """A fresh upstream, and a fresh server in front of it unless the target is the upstream itself."""
        with self.stage.upstream() as upstream:
            if not target.server:
                yield _Standing(target, upstream, None)
                return
            with self.stage.server(target.server, upstream.port) as server:
                yield _Standing(target, upstream, server)


@dataclass(frozen=True, slots=True)
class _Standing:
    """A target that is up."""

    target: Target
    upstream: Process
    server: Process | None

    @property
    def port(self) -> int:
        """Where it listens."""
        return (self.server or self.upstream).port

    def read(self, model: str, *, tokens: int, streamed: bool = True, **load: float) -> Reading:
        """Measure one load."""
        plan = self.target.plan(self.port, model, tokens=tokens, streamed=streamed, **load)
        return measure(plan, self.server.pid if self.server else None, self.upstream.pid)


def turns(bench: Bench, target: Target) -> Measurement:
    """One-token streamed turns, 32 at a time, as fast as they go."""
    with bench.standing(target) as standing:
        reading = _one_token_turns(bench, standing, bench.scale.seconds)
    return _measurement("turns", target, reading, {**_per_request(reading), **_first_token(reading, 0.0)})


def paced(bench: Bench, target: Target) -> Measurement:
    """Streams of 100 tokens at 50 tokens a second, 200 at a time."""
    scale = bench.scale
    model = f"paced-n{PACED_TOKENS}-i{INTERVAL_MS:g}-d{FIRST_TOKEN_MS:g}"
    with bench.standing(target) as standing:
        single = _one_token_turns(bench, standing, scale.seconds / 2)
        reading = standing.read(
            model,
            tokens=PACED_TOKENS,
            connections=scale.paced_streams,
            seconds=scale.seconds,
            ramp_seconds=2.0,
            interval_ms=INTERVAL_MS,
        )
    marginal = (_cpu_us(reading) - _cpu_us(single)) / (PACED_TOKENS - 1)
    metrics = {
        "cpu_us_per_token": marginal,
        "tokens_per_second": reading.outcome.tokens / reading.outcome.wall_seconds,
        **_first_token(reading, FIRST_TOKEN_MS),
        "jitter_p99_ms": percentile(reading.outcome.jitter, 0.99),
    }
    return _measurement("paced", target, reading, metrics)


def open_streams(bench: Bench, target: Target) -> Measurement:
    """Very many slow streams held open at the same time."""
    scale = bench.scale
    model = f"paced-n{scale.open_tokens}-i{scale.open_interval_ms}-d500"
    with bench.standing(target) as standing:
        standing.read("n1", tokens=1, connections=1, rounds=20)
        reading = standing.read(
            model,
            tokens=scale.open_tokens,
            connections=scale.open_streams,
            rounds=1,
            ramp_seconds=scale.open_streams / scale.opened_per_second,
            interval_ms=float(scale.open_interval_ms),
        )
    grown = reading.resident_peak_kib - reading.resident_before_kib
    metrics = {
        "streams": float(scale.open_streams),
        "kib_per_stream": grown / scale.open_streams,
        "server_cores": reading.server_cpu_seconds / reading.outcome.wall_seconds,
        **_first_token(reading, 500.0),
        "jitter_p99_ms": percentile(reading.outcome.jitter, 0.99),
    }
    return _measurement("open", target, reading, metrics)


def burst(bench: Bench, target: Target) -> Measurement:
    """Answers of 256 tokens that leave the model in one write, 8 at a time, as fast as they go."""
    with bench.standing(target) as standing:
        model = f"burst-n{BURST_TOKENS}"
        standing.read(model, tokens=BURST_TOKENS, connections=8, seconds=bench.scale.warm_seconds)
        reading = standing.read(model, tokens=BURST_TOKENS, connections=8, seconds=bench.scale.seconds)
    tokens = max(reading.outcome.tokens, 1)
    metrics = {
        "burst_tokens_per_second": tokens / reading.outcome.wall_seconds,
        "cpu_us_per_burst_token": reading.server_cpu_seconds * 1e6 / tokens,
    }
    return _measurement("burst", target, reading, metrics)


def nonstream(bench: Bench, target: Target) -> Measurement:
    """JSON answers of 64 tokens, 32 at a time, as fast as they go."""
    model = f"n{JSON_TOKENS}"
    with bench.standing(target) as standing:
        for seconds in (bench.scale.warm_seconds, bench.scale.seconds):
            reading = standing.read(
                model, tokens=JSON_TOKENS, streamed=False, connections=32, seconds=seconds
            )
    return _measurement("nonstream", target, reading, _per_request(reading))


def uploads(bench: Bench, target: Target) -> Measurement:
    """Streams alone, and beside one who sends a large file as fast as it is taken."""
    return _beside("uploads", "file", bench, target)


def parts(bench: Bench, target: Target) -> Measurement:
    """The same beside a file in parts of 64 MiB, which are put together in the end."""
    return _beside("parts", "parts", bench, target)


def _beside(row: str, way: str, bench: Bench, target: Target) -> Measurement:
    scale = bench.scale
    model = f"paced-n{scale.beside_tokens}-i{INTERVAL_MS:g}-d{FIRST_TOKEN_MS:g}"

    def streams(standing: _Standing) -> Reading:
        return standing.read(
            model,
            tokens=scale.beside_tokens,
            connections=scale.beside_streams,
            rounds=1,
            ramp_seconds=RAMP_SECONDS,
            interval_ms=INTERVAL_MS,
        )

    with bench.standing(target) as standing:
        port = standing.port
        standing.read("n1", tokens=1, connections=scale.beside_streams, rounds=20)
        with sending(port, way, scale.upload_bytes, 0.0) as sender:
            alone = result(sender)
        sleep(SETTLING_SECONDS)
        calm = streams(standing)
        begin = perf_counter() + 2 * RAMP_SECONDS
        with sending(port, way, scale.upload_bytes, begin) as sender:
            reading = streams(standing)
            beside = result(sender)
    meanwhile = reading.outcome.jitter_between(beside.begun, beside.ended + SETTLING_SECONDS)
    quiet = calm.outcome.jitter
    metrics = {
        "jitter_alone_p99_ms": percentile(quiet, 0.99),
        "jitter_beside_p99_ms": percentile(meanwhile, 0.99),
        "stall_alone_ms": max(quiet),
        "stall_beside_ms": max(meanwhile),
        "upload_alone_mb_s": alone.mb_per_second,
        "upload_beside_mb_s": beside.mb_per_second,
    }
    return _measurement(row, target, reading, metrics)


def idle(bench: Bench, target: Target) -> Measurement:
    """Start-up with an empty data directory and again with a used one, and memory while nothing happens."""
    data = bench.directory / f"idle-{target.name}"
    data.mkdir(exist_ok=True)
    starts = []
    with bench.stage.upstream() as upstream:
        with bench.stage.server(target.server, upstream.port):
            pass  # so that byte code and page cache are there for both
        for _ in ("cold", "warm"):
            with bench.stage.server(target.server, upstream.port, data) as server:
                starts.append(server.start_seconds)
                sleep(bench.scale.warm_seconds + 1.0)
                resident = resident_kib(family(server.pid))
    metrics = {
        "cold_start_seconds": starts[0],
        "warm_start_seconds": starts[1],
        "idle_mib": resident / 1024,
    }
    return Measurement("idle", target.name, metrics)


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the benchmark, which targets it is for, and for which of them even in a hurry."""

    title: str
    read: Callable[[Bench, Target], Measurement]
    targets: Sequence[Target]
    quick_targets: Sequence[Target] = (NGINX, ANTIPHON)


ROWS: Final[dict[str, Row]] = {
    "turns": Row("1-token streamed turns, 32 at a time", turns, TARGETS, (NGINX, ANTIPHON, ANTIPHON_CHAT)),
    "paced": Row("200 streams of 100 tokens, 50 a second each", paced, TARGETS, (DIRECT, NGINX, ANTIPHON)),
    "open": Row("slow streams held open", open_streams, (DIRECT, NGINX, ANTIPHON)),
    "burst": Row("256 tokens in one write, 8 streams", burst, (NGINX, ANTIPHON, ANTIPHON_CHAT)),
    "nonstream": Row("JSON answers of 64 tokens, 32 at a time", nonstream, (NGINX, ANTIPHON, ANTIPHON_CHAT)),
    "uploads": Row(
        "40 streams of 400 tokens, 50 a second each, beside 500 MB to /v1/files", uploads, (ANTIPHON,)
    ),
    "parts": Row("the same beside 500 MB in parts to /v1/uploads", parts, (ANTIPHON,)),
    "idle": Row("start and rest", idle, (NGINX, ANTIPHON)),
}


def _one_token_turns(bench: Bench, standing: _Standing, seconds: float) -> Reading:
    standing.read("n1", tokens=1, connections=32, seconds=bench.scale.warm_seconds)
    return standing.read("n1", tokens=1, connections=32, seconds=seconds)


def _cpu_us(reading: Reading) -> float:
    return reading.server_cpu_seconds * 1e6 / max(reading.outcome.requests, 1)


def _per_request(reading: Reading) -> dict[str, float]:
    return {
        "requests_per_second": reading.outcome.requests / reading.outcome.wall_seconds,
        "cpu_us_per_request": _cpu_us(reading),
        "latency_p50_ms": percentile(reading.outcome.whole, 0.5),
        "latency_p99_ms": percentile(reading.outcome.whole, 0.99),
    }


def _first_token(reading: Reading, nominal_ms: float) -> dict[str, float]:
    """Time to the first token beyond the nominal one."""
    return {
        "ttft_p50_ms": percentile(reading.outcome.first_token, 0.5) - nominal_ms,
        "ttft_p99_ms": percentile(reading.outcome.first_token, 0.99) - nominal_ms,
    }


def _measurement(row: str, target: Target, reading: Reading, metrics: dict[str, float]) -> Measurement:
    kept = metrics if target.server else {k: v for k, v in metrics.items() if k not in _OF_A_SERVER}
    return Measurement(
        row,
        target.name,
        kept,
        reading.foreign_cores,
        reading.harness_cores,
        dict(reading.outcome.errors),
    )
