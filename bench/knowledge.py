"""``python -m bench knowledge``: how fast passages are indexed and found, in one process, without a server.

Texts are made of words with frequencies as in language (Zipf), vectors lie in clusters. One owner has a tenth
of the passages, another the rest. Shares of a bare numpy product hold where milliseconds drift.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import resource
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from antiphon.domain.analysis import analyse, query_terms
from antiphon.domain.filters import Comparison
from antiphon.domain.ids import new_id
from antiphon.domain.passages import IndexQuery, NewPassage, Source
from antiphon.domain.ranking import fuse, legs
from antiphon.storage.sql.knowledge import FILE_NAME, SqliteKnowledge, open_knowledge
from antiphon.storage.sql.knowledge_ports import KnowledgePorts
from antiphon.storage.sql.postgres_knowledge import open_postgres_knowledge
from antiphon.storage.sql.sqlite_writer import SqliteWriter
from bench.machine import description
from tests import postgres

MODEL: Final = "bench/model"
DIMENSIONS: Final = 384
WORDS: Final = 100
FILE: Final = 50
QUERIES: Final = 200
VOCABULARY: Final = 60_000
FEW_CHANGES: Final = 10
SMALL, LARGE = "a" * 32, "b" * 32


Hands = Callable[..., list[Any]]
"""Runs a statement beside the store."""


class Texts:
    """Words, passages and questions; the same for the same seed."""

    def __init__(self, seed: int = 1) -> None:
        self._rng = np.random.default_rng(seed)
        letters = random.Random(seed)
        self._words = ["".join(letters.choices("bdfgklmnprstvaeiou", k=letters.randrange(3, 11)))
                       for _ in range(VOCABULARY)]  # fmt: skip
        weights = 1 / np.arange(2.7, VOCABULARY + 2.7)
        self._weights = weights / weights.sum()
        self._centres = self._rng.normal(size=(500, DIMENSIONS)).astype(np.float32)

    def passage(self) -> str:
        """Return a text of WORDS words."""
        return " ".join(self._words[one] for one in self._rng.choice(VOCABULARY, WORDS, p=self._weights))

    def question(self) -> str:
        """Return eight words, the commonest left out as stop words are."""
        return " ".join(
            self._words[one] for one in self._rng.choice(np.arange(50, VOCABULARY), 8, p=self._rare())
        )

    def _rare(self) -> NDArray[np.float64]:
        weights = self._weights[50:]
        return np.asarray(weights / weights.sum())

    def vectors(self, count: int) -> NDArray[np.float32]:
        """Return vectors of length one around 500 centres."""
        near = self._centres[self._rng.integers(0, len(self._centres), count)]
        made = near + 0.8 * self._rng.normal(size=(count, DIMENSIONS)).astype(np.float32)
        return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), np.float32)


class Figures:
    """Rows of a table."""

    def __init__(self) -> None:
        self.rows: dict[str, float] = {}

    def times(self, name: str, seconds: Sequence[float]) -> None:
        """Add a median and a 95th percentile."""
        ordered = sorted(seconds)
        self.rows[f"{name}, ms p50"] = ordered[len(ordered) // 2] * 1000
        self.rows[f"{name}, ms p95"] = ordered[int(len(ordered) * 0.95)] * 1000

    def table(self) -> str:
        """Return the rows as Markdown."""
        lines = ["| figure | |", "| --- | ---: |"]
        return "\n".join([*lines, *(f"| {name} | {_rounded(value)} |" for name, value in self.rows.items())])


@contextmanager
def transactions(name: str, figures: Figures) -> Iterator[None]:
    """Note what each transaction of the embedded index costs that changes more than a few rows."""
    spent: list[float] = []
    plain = SqliteWriter._transaction

    def timed(self: SqliteWriter, batch: list[Any], *, careful: bool) -> None:
        changes, began = self._connection.total_changes, time.thread_time()
        plain(self, batch, careful=careful)
        if self._connection.total_changes - changes > FEW_CHANGES:
            spent.append(time.thread_time() - began)

    SqliteWriter._transaction = timed  # type: ignore[method-assign]
    try:
        yield
    finally:
        SqliteWriter._transaction = plain  # type: ignore[method-assign]
    if spent:
        for share, label in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"), (1.0, "max")):
            at = min(int(len(spent) * share), len(spent) - 1)
            figures.rows[f"a transaction of {name}, processor ms {label}"] = sorted(spent)[at] * 1000


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


async def index(store: KnowledgePorts, hands: Hands, texts: Texts, count: int, figures: Figures) -> None:
    """Analyse, add and publish passages, watching who has to wait meanwhile."""
    scopes = [SMALL if number < count // 10 else LARGE for number in range(0, count, FILE)]
    raw = [[texts.passage() for _ in range(FILE)] for _ in scopes]
    began = time.process_time()
    analysed = [[_passage(number, text) for number, text in enumerate(file)] for file in raw]
    analysing = time.process_time() - began
    figures.rows["analysing, passages/s of one core"] = count / analysing
    waits: list[float] = []
    lags: list[float] = []
    watching = asyncio.ensure_future(_watch(store, waits, lags))
    began, cpu = time.perf_counter(), time.process_time()
    for scope, passages in zip(scopes, analysed, strict=True):
        source = Source(
            id=new_id(1), kind="file", owner_id=f"owner {scope[0]}", scope=scope, ref_id=new_id(1)
        )
        _member(hands, source)
        await store.index.add(source, passages)
        assert await store.index.publish(source.id)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    watching.cancel()
    figures.rows["adding and publishing, passages/s"] = count / seconds
    figures.rows["analysing, adding, publishing, passages/s of one core"] = count / (analysing + cpu)
    figures.times("another's write while indexing", waits)
    figures.times("the event loop late by, while indexing", lags)
    if isinstance(store, SqliteKnowledge):
        await asyncio.to_thread(hands, "PRAGMA wal_checkpoint(TRUNCATE)")


def _passage(number: int, text: str) -> NewPassage:
    return NewPassage(
        ordinal=number, start=0, end=len(text), text=text, heading=text[:40],
        title_terms=analyse(text[:40], "en"), body_terms=analyse(text, "en"),
    )  # fmt: skip


async def _watch(store: KnowledgePorts, waits: list[float], lags: list[float]) -> None:
    while True:
        began = time.perf_counter()
        await store.scopes.mark("bench", b"")
        waits.append(time.perf_counter() - began)
        began = time.perf_counter()
        await asyncio.sleep(0.005)
        lags.append(time.perf_counter() - began - 0.005)


def _member(hands: Hands, source: Source) -> None:
    columns: dict[str, Any] = {"collection_id": source.scope, "file_id": source.ref_id, "id": new_id(1),
                               "owner_id": source.owner_id, "state": "in_progress", "automatic": True,
                               "attributes": json.dumps({"file": source.ref_id})}  # fmt: skip
    numbers = ("slot", "max_tokens", "overlap_tokens", "usage_bytes", "version", "created", "done", "total")
    columns |= dict.fromkeys((*numbers, "attempts", "not_before"), 0)
    marks = ",".join("?" * len(columns))
    hands(f"INSERT INTO members({','.join(columns)}) VALUES({marks})", *columns.values())


async def embed(store: KnowledgePorts, texts: Texts, figures: Figures) -> None:
    """Give every passage a vector."""
    count, spent = 0, 0.0
    while missing := await store.vectors.missing_anywhere(MODEL, 4096):
        vectors = texts.vectors(len(missing))
        by_owner: dict[str, list[tuple[bytes, bytes]]] = {}
        for (owner, one), vector in zip(missing, vectors, strict=True):
            by_owner.setdefault(owner, []).append((one.text_hash, vector.tobytes()))
        began = time.perf_counter()
        for owner, rows in by_owner.items():
            await store.vectors.put(owner, MODEL, rows)
        spent += time.perf_counter() - began
        count += len(missing)
    figures.rows["keeping vectors, /s"] = count / spent


async def search(store: KnowledgePorts, texts: Texts, count: int, figures: Figures) -> None:
    """Ask questions of the small collection among the large one, and of the large one."""
    questions = [texts.question() for _ in range(QUERIES)]
    vectors = texts.vectors(QUERIES)
    file = str((await store.index.passages([SMALL], [1]))[0].attributes["file"])

    def asking(
        scope: str, *, words: bool = True, dense: bool = True, **more: Any
    ) -> Callable[[int], Awaitable[Any]]:
        async def ask(number: int) -> Any:
            query = IndexQuery(
                scopes=(scope,), terms=query_terms(questions[number], ["en"]) if words else (),
                vector=vectors[number].tobytes() if dense else None, model=MODEL, **more,
            )  # fmt: skip
            found = await store.index.search(query)
            fuse(legs(found, query.limit))
            return found

        return ask

    began = time.perf_counter()
    await asking(LARGE)(0)
    figures.rows[f"first search of {count * 9 // 10:,} passages, s"] = time.perf_counter() - began
    await asking(SMALL)(0)
    tenth = f"{count // 10:,} of {count:,}"
    await _timed(f"words, {tenth}", asking(SMALL, dense=False), figures)
    await _timed(f"vectors, {tenth}", asking(SMALL, words=False), figures)
    await _timed(f"both, {tenth}", asking(SMALL), figures)
    one = Comparison("eq", "file", file)
    passing = f"both, one file of {count // 10 // FILE:,} passes"
    await _timed(passing, asking(SMALL, filter=one), figures)
    await _timed(f"words, {count * 9 // 10:,}", asking(LARGE, dense=False), figures)
    await _timed(f"both, {count * 9 // 10:,}", asking(LARGE), figures)
    await _bare(asking(LARGE, words=False), texts, vectors, count * 9 // 10, figures)


async def _timed(name: str, ask: Callable[[int], Awaitable[Any]], figures: Figures) -> None:
    times = []
    cpu = time.process_time()
    for number in range(QUERIES):
        began = time.perf_counter()
        await ask(number)
        times.append(time.perf_counter() - began)
    cpu = time.process_time() - cpu
    figures.times(name, times)
    figures.rows[f"{name}, processor ms"] = cpu / QUERIES * 1000


async def _bare(
    ask: Callable[[int], Awaitable[Any]],
    texts: Texts,
    vectors: NDArray[np.float32],
    rows: int,
    figures: Figures,
) -> None:
    """Compare the vector leg with a product of the same size, one after the other."""
    matrix = texts.vectors(rows)
    ratios, legs_seconds, bare = [], [], []
    for number in range(QUERIES):
        found = await ask(number)
        began = time.perf_counter()
        matrix @ vectors[number]
        bare.append(time.perf_counter() - began)
        legs_seconds.append(found.dense_us / 1e6)
        ratios.append(legs_seconds[-1] / bare[-1])
    figures.times(f"vector leg, {rows:,}", legs_seconds)
    figures.times(f"bare numpy product, {rows:,}", bare)
    figures.rows["vector leg ÷ bare product, median"] = sorted(ratios)[len(ratios) // 2]


async def measure(directory: Path, count: int, figures: Figures) -> None:
    """Measure everything on a store under `directory`."""
    store = await open_knowledge(directory, cache_bytes=1 << 30)
    file = sqlite3.connect(directory / FILE_NAME, isolation_level=None, timeout=30, check_same_thread=False)
    try:
        await _all(store, lambda sql, *values: file.execute(sql, values).fetchall(), count, figures)
    finally:
        file.close()
        await store.close()
    figures.rows["knowledge.db, KB a passage"] = (directory / FILE_NAME).stat().st_size / count / 1000


async def measure_postgres(directory: Path, count: int, figures: Figures) -> None:
    """Measure everything on the PostgreSQL that the tests use, waiting for its disk."""
    postgres.TUNED = ("max_connections=300",)
    store = await open_postgres_knowledge(postgres.prepared(directory), cache_bytes=1 << 30)
    hands = postgres.Hands(directory)
    try:
        await _all(store, hands, count, figures)
        (size,) = hands("SELECT pg_database_size(current_database())")[0]
        figures.rows["database, KB a passage"] = size / count / 1000
    finally:
        hands.close()
        await store.close()


async def _all(store: KnowledgePorts, hands: Hands, count: int, figures: Figures) -> None:
    texts = Texts()
    with transactions("passages", figures):
        await index(store, hands, texts, count, figures)
    with transactions("vectors", figures):
        await embed(store, texts, figures)
    if not isinstance(store, SqliteKnowledge):
        hands("VACUUM ANALYZE")  # as PostgreSQL does by itself within a minute
    await search(store, texts, count, figures)
    with transactions("erasing", figures):
        await store.scopes.forget_owner(f"owner {SMALL[0]}")
    figures.rows["memory of the process, MiB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench knowledge", description=__doc__)
    parser.add_argument("--passages", type=int, default=100_000, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    parser.add_argument("--store", choices=("sqlite", "postgres"), default="sqlite")
    options = parser.parse_args(arguments)
    figures = Figures()
    directory = Path(tempfile.mkdtemp(prefix="antiphon-bench-"))
    try:
        measuring = measure_postgres if options.store == "postgres" else measure
        asyncio.run(measuring(directory, options.passages, figures))
    finally:
        shutil.rmtree(directory)
    print("\n".join(f"{name}: {value}" for name, value in description().items()))
    print(figures.table())
    if options.json:
        options.json.write_text(json.dumps(figures.rows, indent=1))
    return 0
