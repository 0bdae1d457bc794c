"""Measures one load: what came back, what it cost the server, and what else the machine was doing."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from bench.load import Outcome, Plan, new_event_loop, run
from bench.machine import busy_seconds, cpu_seconds, family, resident_kib

_SAMPLE_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Reading:
    """An outcome and what it cost. CPU times are in seconds, memory in KiB; all zero without a server.

    ``foreign_cores`` is the CPU that neither the server nor the benchmark used, in cores: above about 0.1 the
    latencies and throughputs of this reading understate the server. ``harness_cores`` near 1 means that the
    load generator and the upstream, which share a core, were the limit.
    """

    outcome: Outcome
    server_cpu_seconds: float
    harness_cores: float
    foreign_cores: float
    resident_before_kib: int
    resident_peak_kib: int


def measure(plan: Plan, server_pid: int | None, upstream_pid: int) -> Reading:
    """Put ``plan`` on and read the clocks around it."""
    server = family(server_pid) if server_pid is not None else []
    harness = [os.getpid(), upstream_pid]
    gc.collect()
    gc.disable()  # a pause of the collector here would look like jitter of the server
    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            before = resident_kib(server)
            server_then, harness_then, busy_then = cpu_seconds(server), cpu_seconds(harness), busy_seconds()
            outcome, peak = runner.run(_watched(plan, server))
            server_used = cpu_seconds(server) - server_then
            harness_used = cpu_seconds(harness) - harness_then
            busy = busy_seconds() - busy_then
    finally:
        gc.enable()
    wall = outcome.wall_seconds
    foreign = max(0.0, busy - server_used - harness_used) / wall
    return Reading(outcome, server_used, harness_used / wall, foreign, before, peak)


async def _watched(plan: Plan, server: Iterable[int]) -> tuple[Outcome, int]:
    """Run the plan, looking at the server's memory now and then."""
    peak = 0

    async def watch() -> None:
        nonlocal peak
        while True:
            peak = max(peak, resident_kib(server))
            await asyncio.sleep(_SAMPLE_SECONDS)

    watching = asyncio.create_task(watch())
    try:
        outcome = await run(plan)
    finally:
        watching.cancel()
    return outcome, max(peak, resident_kib(server))
