"""What reading costs on PostgreSQL: an index for everything, and no more in a large tree than in a small."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from antiphon.domain.items import Position
from antiphon.ports import purge_writes as wp
from antiphon.ports.write_sets import Command
from antiphon.storage.sql import commands as sql_commands
from antiphon.storage.sql import context_sqlite, reads, reads_purge
from antiphon.storage.sql.postgres_reading import answering
from antiphon.storage.sql.postgres_text import bound, translated
from antiphon.storage.sql.postgres_writer import run
from tests import postgres
from tests.contracts.builders import OWNER
from tests.contracts.test_sqlite_plans import BUDGET, READS, Made, bush, comb, line

READ_HERE = [
    *READS,
    lambda db, c, head: reads_purge.trims(db, c.id, None, 20),
    lambda db, c, head: reads_purge.keys(db, c.id, 20),
    lambda db, c, head: reads_purge.run_keys(db, c.id, 20),
    lambda db, c, head: reads_purge.expired(db, 1, 1, 20),
    lambda db, c, head: reads_purge.sweeps(db, 1, 20),
    lambda db, c, head: reads.items(db, reads.path(db, head, 0), c.id),
]
LOOKED_AT_WHOLE = (
    "limits",
    "groups",
    "invites",
    "accounts",
    "quota_reservations",
    "audit",
    "runtime_settings",
)
"""Small tables, or lists by id that begin at their first row."""


class Written:
    """A connection that notes what it is told to write."""

    rowcount = 1

    def __init__(self) -> None:
        self.statements: list[tuple[str, Any]] = []

    def execute(self, statement: str, values: Any = ()) -> Written:
        """Note a statement."""
        self.statements.append((statement, values))
        return self


class Watched:
    """A connection that notes what it is asked."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.asked: list[tuple[str, list[Any]]] = []

    async def fetch(self, text: str, *values: Any) -> Any:
        """Ask, and note it."""
        self.asked.append((text, list(values)))
        return await self.connection.fetch(text, *values)


class Shapes:
    """A database with trees of all shapes, and a connection to look at its plans."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._loop = asyncio.new_event_loop()
        self.made: dict[str, Made] = {}
        self.connection: Any = None

    def do(self, work: Any) -> Any:
        """Wait for a coroutine."""
        return self._loop.run_until_complete(work)

    def make(self) -> Shapes:
        """Connect and write the trees."""
        self.connection = self.do(asyncpg.connect(self._url))
        for name, shape in {
            "10 items": lambda db: line(db, 10),
            "10,000 items": lambda db: line(db, 10_000),
            "2,000 branches": lambda db: bush(db, 2_000),
            "5 turns regenerated": lambda db: comb(db, 5),
            "1,000 turns regenerated": lambda db: comb(db, 1_000),
        }.items():
            written = Written()
            self.made[name] = shape(written)
            self.do(self._write(written))
        self.do(self.connection.execute("VACUUM ANALYZE"))
        return self

    async def _write(self, written: Written) -> None:
        for statement, values in written.statements:
            if statement in ("BEGIN", "COMMIT"):
                await self.connection.execute(statement)
            else:
                await run(self.connection, statement, values)

    def asked(self, read: Callable[[Any], object]) -> list[tuple[str, list[Any]]]:
        """The statements of a read."""
        watched = Watched(self.connection)
        self.do(answering(watched, read))  # type: ignore[arg-type]
        return watched.asked

    def plan(self, text: str, values: list[Any], options: str = "") -> dict[str, Any]:
        """How a statement is run."""
        found = self.do(self.connection.fetchval(f"EXPLAIN (FORMAT JSON{options}) {text}", *values))
        plan: dict[str, Any] = json.loads(found)[0]["Plan"]
        return plan

    def close(self) -> None:
        """Disconnect."""
        self.do(self.connection.close())
        self._loop.close()


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shapes]:
    made = Shapes(postgres.prepared(tmp_path_factory.mktemp("plans"))).make()
    yield made
    made.close()


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A plan's nodes, from the top."""
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


def pages(shapes: Shapes, read: Callable[[Any], object]) -> int:
    """How many pages a read looks at, the second time."""
    total = 0
    for text, values in shapes.asked(read):
        plan = shapes.plan(text, values, ", ANALYZE, BUFFERS")
        total += plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    return total


def continuing(made: Made) -> Callable[[Any], object]:
    conversation, head = made

    def work(db: Any) -> None:
        base = reads.turn_base(db, OWNER, conversation.id, None, BUDGET)
        assert base is not None and base.position == head and len(base.context) == 8

    return work


def first_page(made: Made) -> Callable[[Any], object]:
    _, head = made
    return lambda db: reads.path(db, head, head.depth - 9)


@pytest.mark.parametrize(
    ("large", "small"),
    [
        ("10,000 items", "10 items"),
        ("2,000 branches", "10 items"),
        ("1,000 turns regenerated", "5 turns regenerated"),
    ],
)
@pytest.mark.parametrize("work", [continuing, first_page])
def test_size_and_width_cost_nothing(
    shapes: Shapes, large: str, small: str, work: Callable[[Made], Callable[[Any], object]]
) -> None:
    """An index of 10,000 entries is a level deeper than one of ten, so a look costs a page more."""
    assert pages(shapes, work(shapes.made[large])) <= 1.5 * pages(shapes, work(shapes.made[small])) + 8


@pytest.mark.parametrize("statement", [context_sqlite.CONTEXT, context_sqlite.PATH])
@pytest.mark.parametrize("generic", [False, True])
def test_the_context_and_the_path_are_index_searches(shapes: Shapes, statement: str, generic: bool) -> None:
    """Both when the values are known and, as after some executions, when they are not."""
    _, head = shapes.made["10,000 items"]
    form = translated(statement)
    values = bound(
        form,
        {
            "head_segment": head.segment_id, "floor": head.tokens - BUDGET, "head_tokens": head.tokens,
            "head_depth": head.depth,
        },
    )  # fmt: skip
    if generic:
        shapes.do(shapes.connection.execute("SET plan_cache_mode=force_generic_plan"))
    try:
        plan = shapes.plan(form.text, values)
    finally:
        shapes.do(shapes.connection.execute("RESET plan_cache_mode"))
    used = {node["Index Name"] for node in nodes(plan) if "Index Name" in node}
    assert used == {"segments_pkey"} | ({"items_tokens"} if statement == context_sqlite.CONTEXT else set())
    assert not any(node["Node Type"] in ("Seq Scan", "Hash Join", "Hash") for node in nodes(plan))


def scans(shapes: Shapes, text: str, values: list[Any]) -> list[str]:
    """The tables for which a statement has no index: what is scanned although it costs all there is."""
    shapes.do(shapes.connection.execute("SET enable_seqscan=off"))
    try:
        plan = shapes.plan(text, values)
    finally:
        shapes.do(shapes.connection.execute("RESET enable_seqscan"))
    return [node["Relation Name"] for node in nodes(plan) if node["Node Type"] == "Seq Scan"]


@pytest.mark.parametrize("number", range(len(READ_HERE)))
def test_every_read_has_its_index(shapes: Shapes, number: int) -> None:
    conversation, head = shapes.made["10,000 items"]
    asked = shapes.asked(lambda db: READ_HERE[number](db, conversation, head))
    assert asked
    for text, values in asked:
        assert [one for one in scans(shapes, text, values) if one not in LOOKED_AT_WHOLE] == [], text


def test_no_slice_of_a_purge_looks_through_a_table(shapes: Shapes) -> None:
    place = {"conversation_id": "c", "segment_id": "s", "now_us": 1}
    commands: list[Command] = [
        wp.EraseItems(**place, owner_id=OWNER, first=3, last=5),  # type: ignore[arg-type]
        wp.EraseSegment(**place, grace_us=1),  # type: ignore[arg-type]
        wp.EraseRuns(run_ids=("a", "b")),
        wp.EraseKeys(keys=((OWNER, "a"), (OWNER, "b"))),
        wp.EraseViews(conversation_id="c", limit=10),
        wp.EndPurge(conversation_id="c"),
        wp.RequireItem(position=Position("s", 3, 40)),
    ]
    for command in commands:
        for statement, parameters, _ in sql_commands.steps(command):
            form = translated(statement)
            assert scans(shapes, form.text, bound(form, parameters)) == [], statement


def test_a_database_is_migrated_by_one_of_many(tmp_path: Path) -> None:
    """All open it at once; one migrates, the others wait, and all find the newest schema."""
    from antiphon.storage.sql.postgres import open_postgres

    url = postgres.empty(tmp_path)

    async def opened() -> None:
        stores = await asyncio.gather(*(open_postgres(url, connections=2) for _ in range(4)))
        for store in stores:
            await store.check()
            await store.close()

    asyncio.run(opened())
