"""Turns measurements into a table for the terminal and the documentation, a JSON file and a plot."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from math import isnan
from pathlib import Path
from statistics import median
from typing import Final

from bench.machine import description
from bench.plot import Bar, Panel, svg
from bench.rows import ROWS, Measurement
from bench.targets import ANTIPHON, ANTIPHON_CHAT, DIRECT, NGINX, TARGETS

BEGIN_MARK: Final = "<!-- bench:begin -->"
END_MARK: Final = "<!-- bench:end -->"
NOISY_CORES: Final = 0.1
NOT_INTACT: Final = "not_intact"
LABELS: Final = {
    "requests_per_second": "requests/s",
    "cpu_us_per_request": "server CPU, µs a request",
    "cpu_us_per_token": "server CPU, µs a token more",
    "latency_p50_ms": "whole answer, ms p50",
    "latency_p99_ms": "whole answer, ms p99",
    "ttft_p50_ms": "first token over nominal, ms p50",
    "ttft_p99_ms": "first token over nominal, ms p99",
    "jitter_p99_ms": "jitter, ms p99",
    "jitter_alone_p99_ms": "jitter without an upload, ms p99",
    "jitter_beside_p99_ms": "jitter beside it, ms p99",
    "stall_alone_ms": "longest stall without an upload, ms",
    "stall_beside_ms": "longest stall beside it, ms",
    "upload_alone_mb_s": "upload without streams, MB/s",
    "upload_beside_mb_s": "upload beside them, MB/s",
    "tokens_per_second": "tokens/s, with ramp up and down",
    "streams": "streams",
    "kib_per_stream": "memory, KiB a stream",
    "server_cores": "server CPU, cores",
    "burst_tokens_per_second": "tokens/s",
    "cpu_us_per_burst_token": "server CPU, µs a token",
    "cold_start_seconds": "start, empty data, s",
    "warm_start_seconds": "start, used data, s",
    "idle_mib": "idle memory, MiB",
    NOT_INTACT: "answers not intact",
    "harness_cores": "load and model, cores",
    "foreign_cores": "others' CPU, cores",
}
HEADINGS: Final = {
    DIRECT.name: "no server",
    NGINX.name: "nginx",
    ANTIPHON.name: "Antiphon",
    ANTIPHON_CHAT.name: "Antiphon, chat",
}
_PLOTTED: Final = (
    ("turns", "cpu_us_per_request", "CPU of a stored 1-token turn, µs"),
    ("paced", "cpu_us_per_token", "CPU of a further token, µs"),
    ("paced", "ttft_p99_ms", "first token over nominal, 200 streams, ms p99"),
    ("paced", "jitter_p99_ms", "jitter, 200 streams, ms p99"),
    ("open", "jitter_p99_ms", "jitter, many open streams, ms p99"),
    ("open", "kib_per_stream", "memory of an open stream, KiB"),
)

_WITHOUT_RATIO: Final = (NOT_INTACT, "streams", "harness_cores", "foreign_cores")

Figures = dict[str, dict[str, dict[str, float]]]
"""Row → metric → target → median."""


def figures(measurements: Iterable[Measurement]) -> Figures:
    """The median of each metric over the repetitions, rows and metrics in their order of appearance."""
    samples: dict[str, dict[str, dict[str, list[float]]]] = {}
    for one in measurements:
        extra = {
            NOT_INTACT: float(sum(one.errors.values())),
            "harness_cores": one.harness_cores,
            "foreign_cores": one.foreign_cores,
        }
        for metric, value in (one.metrics | (extra if one.row != "idle" else {})).items():
            row = samples.setdefault(one.row, {})
            row.setdefault(metric, {}).setdefault(one.target, []).append(value)
    return {
        row: {
            metric: {target: median(values) for target, values in targets.items()}
            for metric, targets in metrics.items()
        }
        for row, metrics in samples.items()
    }


def table(found: Figures) -> str:
    """A Markdown table: a line per metric, a column per target, and Antiphon's ratio to nginx."""
    measured = {name for row in found.values() for targets in row.values() for name in targets}
    names = [target.name for target in TARGETS if target.name in measured]
    lines = [_line(["load", "figure", *(HEADINGS[name] for name in names), "Antiphon ÷ nginx"])]
    lines.append(_line(["---", "---", *("---:" for _ in names), "---:"]))
    for row, metrics in found.items():
        title = ROWS[row].title
        for metric in sorted(metrics, key=list(LABELS).index):
            values = metrics[metric]
            cells = [_number(values[name]) if name in values else "" for name in names]
            lines.append(_line([title, LABELS[metric], *cells, _ratio(metric, values)]))
            title = ""
    return "\n".join(lines)


def write_json(path: Path, measurements: Sequence[Measurement], settings: Mapping[str, str]) -> None:
    """Every single measurement, with what the machine was and the settings Antiphon was given."""
    rows = [
        {
            "row": one.row,
            "target": one.target,
            "metrics": {name: None if isnan(value) else value for name, value in one.metrics.items()},
            "foreign_cores": one.foreign_cores,
            "harness_cores": one.harness_cores,
            "errors": one.errors,
        }
        for one in measurements
    ]
    whole = {"machine": description(), "settings": dict(settings), "time": _now(), "rows": rows}
    path.write_text(json.dumps(whole, indent=1) + "\n")


def write_docs(directory: Path, found: Figures) -> None:
    """Put table and plot into ``performance.md`` and ``performance.svg``; text outside the marks stays.

    Raises ValueError if the page exists without the marks.
    """
    directory.mkdir(parents=True, exist_ok=True)
    page = directory / "performance.md"
    text = page.read_text() if page.exists() else f"# Performance\n\n{BEGIN_MARK}\n{END_MARK}\n"
    before, begin, rest = text.partition(BEGIN_MARK)
    _, end, after = rest.partition(END_MARK)
    if not begin or not end:
        raise ValueError(f"{page.name} has no {BEGIN_MARK} … {END_MARK}")
    machine = description()
    note = (
        f"Measured {_now()[:10]} by `make bench` on {machine['cores']} cores of {machine['cpu']}, "
        f"Linux {machine['kernel']}, Python {machine['python']}; one core for the server, one for all else."
    )
    plot = "![Antiphon and nginx under the same load](performance.svg)"
    page.write_text("\n\n".join((before + begin, note, plot, table(found), end + after)))
    (directory / "performance.svg").write_text(svg(_panels(found)))


def noisy(measurements: Iterable[Measurement]) -> list[str]:
    """The rows during which others used so much CPU that latencies and throughputs understate the server."""
    return [
        f"{one.row}/{one.target}: others used {one.foreign_cores:.2f} cores"
        for one in measurements
        if one.foreign_cores > NOISY_CORES
    ]


def _panels(found: Figures) -> list[Panel]:
    panels = []
    for row, metric, title in _PLOTTED:
        values = found.get(row, {}).get(metric, {})
        bars = [
            Bar(HEADINGS[target.name], values[target.name], ours=target in (ANTIPHON, ANTIPHON_CHAT))
            for target in TARGETS
            if target.name in values and values[target.name] > 0
        ]
        if bars:
            panels.append(Panel(title, bars))
    return panels


def _ratio(metric: str, values: dict[str, float]) -> str:
    """Antiphon's figure in terms of nginx's, where that says something."""
    ours, theirs = values.get(ANTIPHON.name), values.get(NGINX.name)
    if ours is None or theirs is None or metric in _WITHOUT_RATIO or not (ours > 0 and theirs > 0):
        return ""
    return f"{ours / theirs:.2f}"


def _number(value: float) -> str:
    """``value`` with three significant digits, thousands set apart."""
    if isnan(value):
        return "–"
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
