"""SIGKILL while files are indexed: what was published is there and whole, what was not leaves no trace."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import mongo
from tests.contracts.index_world import INDEXES, IndexWorld
from tests.contracts.test_index_machine import check_nothing_is_left_over
from tests.e2e.indexing_program import SCOPE, tidy

ROUNDS = int(os.environ.get("KILL_ROUNDS", "6"))
SEED = int(os.environ.get("KILL_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
ROOT = Path(__file__).parents[2]


def one_life(directory: Path, seed: int, seconds: float, name: str) -> list[str]:
    """Run the program, kill it after a while; returns its promises.

    A line that was being written when the kill came is none: what it announces had not begun, and what it
    reports as done is still under way to whoever reads (with PYTHONUNBUFFERED a line goes out word by word).
    """
    command = [sys.executable, "-m", "tests.e2e.indexing_program", str(directory), str(seed), name]
    there = {"TEST_MONGODB_URL": mongo.base()} if name.startswith("mongo") else {}
    environment = {**os.environ, **there}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
        try:
            program.wait(seconds)
        except subprocess.TimeoutExpired:
            program.send_signal(signal.SIGKILL)
        *lines, _torn = program.stdout.read().split("\n")
        assert program.wait(30) == -signal.SIGKILL
    return lines


class Promised:
    """What must be found, and what may be, since it was under way when the program was killed."""

    def __init__(self) -> None:
        self.there: dict[str, tuple[int, int]] = {}
        self.perhaps: dict[str, tuple[int, int]] = {}

    def read(self, lines: list[str]) -> None:
        self.perhaps.clear()
        for line in lines:
            what, file_id, *numbers = line.split()
            version = (int(numbers[0]), int(numbers[1])) if numbers else (0, 0)
            if what in ("publishing", "removing"):
                self.perhaps[file_id] = version
                continue
            self.perhaps.pop(file_id)
            if what == "published":
                self.there[file_id] = version
            else:
                del self.there[file_id]


async def check(world: IndexWorld, promised: Promised) -> None:
    """Bring the books in line with what came out of what was under way, and compare."""
    rows = world.execute("SELECT ref_id,version,passages FROM sources WHERE state='live'")
    live = {file_id: (version, count) for file_id, version, count in rows}
    assert len(live) == len(rows), "a file has two live versions"
    for file_id, version in promised.perhaps.items():
        if live.get(file_id, (0, 0)) == version:
            promised.there[file_id] = version
            if version == (0, 0):
                del promised.there[file_id]
    assert live == promised.there
    for file_id, (_, count) in random.Random(SEED).sample(sorted(live.items()), min(20, len(live))):
        found = await world.search([SCOPE], file_id, limit=200)
        assert len(found.lexical) == count
        texts = {
            one.text for one in await world.index.passages([SCOPE], [hit.passage_id for hit in found.lexical])
        }
        assert texts == {f"fox {file_id} {number}" for number in range(count)}
    total = sum(count for _, count in live.values())
    found = await world.search([SCOPE], "fox")
    assert (found.total, found.embedded) == (total, total)


async def test_killed_while_indexing_nothing_is_lost_doubled_or_left_over(tmp_path: Path) -> None:
    await lives(tmp_path / "data", "sqlite", 2.0)


@pytest.mark.skipif(not mongo.is_there(), reason=mongo.ABSENT)
async def test_killed_while_indexing_into_mongodb_neither(tmp_path: Path) -> None:
    await lives(tmp_path / "data", "mongo+sqlite", 6.0)


async def lives(directory: Path, name: str, longest: float) -> None:
    """Kill the program again and again, and hold what is there against what it promised.

    Where a busy machine indexed next to nothing it lives on, up to four times as often.
    """
    rng = random.Random(SEED)
    promised = Promised()
    for number in range(4 * ROUNDS):
        if number >= ROUNDS and len(promised.there) > ROUNDS:
            break
        lines = await asyncio.to_thread(one_life, directory, SEED + number, rng.uniform(0.3, longest), name)
        promised.read(lines)
        async with INDEXES[name](directory) as world:
            await check(world, promised)
            await tidy(world)
            check_nothing_is_left_over(world)
            await check(world, promised)
    assert len(promised.there) > ROUNDS, f"seed {SEED}: too little was indexed to prove anything"
