"""How much more two servers on one PostgreSQL carry than one.

``python -m bench replicas``. A machine that also holds the load, the model and the database has no core for
each server, so what is measured is what a turn costs a server's processor: alone, with a second server beside
it that is asked as much and shares nothing with it but the core, and with one that has the same database. Two
cores carry twice what one does, less what a turn became dearer by the sharing of the database.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench import stores
from bench.load import Outcome, Plan, new_event_loop, run
from bench.machine import cores, cpu_seconds, family, named, pin
from bench.processes import Process
from bench.rows import Scale
from bench.targets import ANTIPHON, Stage

CONNECTIONS = 32
"""Of the load on each server."""
ARMS = ("one server", "two, a database each", "two on one database")


@dataclass(frozen=True, slots=True)
class Cost:
    """Processor time of a turn in microseconds: of the servers together, and of the database."""

    server: float
    database: float
    broken: int


def main(arguments: Sequence[str]) -> int:
    """Measure and print; 1 if an answer was not intact."""
    parser = argparse.ArgumentParser(prog="python -m bench replicas", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="medians of N rounds in turn")
    parser.add_argument("--store", choices=("postgres", "postgres+redis"), default="postgres")
    options = parser.parse_args(arguments)
    where = cores()
    pin(where.rest)
    costs: dict[str, list[Cost]] = {arm: [] for arm in ARMS}
    with tempfile.TemporaryDirectory(prefix="antiphon-bench-") as name, ExitStack() as stack:
        shared, own = (Stage(Path(name), where, {}, _store(options.store, Path(name))) for _ in range(2))
        upstream = stack.enter_context(shared.upstream())
        first, second, other = (
            stack.enter_context(stage.server("antiphon", upstream.port)) for stage in (shared, shared, own)
        )
        arms = dict(zip(ARMS, ([first], [first, other], [first, second]), strict=True))
        for servers in arms.values():
            _cost(servers, Scale().warm_seconds)
        for _ in range(options.rounds):
            for arm, servers in arms.items():
                costs[arm].append(_cost(servers, Scale().seconds / 2))
    return _told(costs)


def _store(name: str, directory: Path) -> stores.Settings:
    return stores.settings_of(name, Path(tempfile.mkdtemp(dir=directory)))


def _told(costs: dict[str, list[Cost]]) -> int:
    for arm, found in costs.items():
        print(
            f"{arm:30} {median(cost.server for cost in found):5.0f} µs a turn,"
            f" the database {median(cost.database for cost in found):5.0f}"
        )
    _, apart, together = (median(cost.server for cost in costs[arm]) for arm in ARMS)
    print(f"two cores of servers carry {2 * apart / together:.2f} times one")
    broken = sum(cost.broken for found in costs.values() for cost in found)
    if broken:
        print(f"{broken} answers were NOT INTACT")
    return 1 if broken else 0


def _cost(servers: Sequence[Process], seconds: float) -> Cost:
    """Load every server with one-token turns at once."""
    plans = [
        ANTIPHON.plan(server.port, "n1", tokens=1, connections=CONNECTIONS, seconds=seconds)
        for server in servers
    ]
    pids = [pid for server in servers for pid in family(server.pid)]
    database = named("postgres")
    before, before_database = cpu_seconds(pids), cpu_seconds(database)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        outcomes = runner.run(_all(plans))
    requests = max(sum(outcome.requests for outcome in outcomes), 1)
    return Cost(
        server=(cpu_seconds(pids) - before) * 1e6 / requests,
        database=(cpu_seconds(database) - before_database) * 1e6 / requests,
        broken=sum(outcome.errors.total() for outcome in outcomes),
    )


async def _all(plans: Sequence[Plan]) -> list[Outcome]:
    return await asyncio.gather(*(run(plan) for plan in plans))
