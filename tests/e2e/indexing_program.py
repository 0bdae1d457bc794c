"""Indexes files, new versions of them and takes them out again, until it is killed.

Each line it prints is a promise: what had been committed when it was written.
"""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

from antiphon.domain.passages import Source
from tests.contracts.index_world import INDEXES, IndexWorld, new_source

SCOPE = "a" * 32


def say(*words: object) -> None:
    print(*words, flush=True)


async def tidy(world: IndexWorld) -> None:
    """What a server does at its start: what was staged when it died goes."""
    while left := await world.scopes.staged(100):
        await world.index.withdraw(left)
    while await world.index.sweep(500):
        pass


async def index(world: IndexWorld, rng: random.Random, known: list[Source]) -> None:
    """Put one file, or the next version of one, or take one out."""
    old = rng.choice(known) if known and rng.random() < 0.5 else None
    if old is not None and rng.random() < 0.3:
        known.remove(old)
        say("removing", old.ref_id)
        world.remove(SCOPE, old.ref_id)
        say("removed", old.ref_id)
        return
    source = new_source(SCOPE, ref_id=old.ref_id if old else None, version=old.version + 1 if old else 1)
    if old is None:
        world.member(SCOPE, source.ref_id)
    else:
        known.remove(old)
    count = rng.randrange(1, 150)
    await world.put(source, *(f"fox {source.ref_id} {number}" for number in range(count)), publish=False)
    say("publishing", source.ref_id, source.version, count)
    assert await world.index.publish(source.id)
    say("published", source.ref_id, source.version, count)
    known.append(source)


async def worker(world: IndexWorld, seed: int) -> None:
    rng = random.Random(seed)
    known: list[Source] = []
    while True:
        await index(world, rng, known)


async def sweeping(world: IndexWorld) -> None:
    while True:
        await world.index.sweep(50)
        await asyncio.sleep(0.01)


async def main(directory: Path, seed: int, name: str) -> None:
    async with INDEXES[name](directory) as world:
        await tidy(world)
        say("ready")
        await asyncio.gather(*(worker(world, seed * 10 + number) for number in range(3)), sweeping(world))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
