"""What continuing costs on SQLite: index searches only, as much work in a large tree as in a small one."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from antiphon.domain.conversations import Chosen, Conversation
from antiphon.domain.items import Position
from antiphon.domain.operations import AuditFilter
from antiphon.ports import purge_writes as wp
from antiphon.ports.write_sets import Command
from antiphon.storage.sql import commands as sql_commands
from antiphon.storage.sql import (
    commands_quotas,
    context_sqlite,
    reads,
    reads_accounts,
    reads_administration,
    reads_history,
    reads_quotas,
    reads_runs,
    reads_sharing,
    reads_usage,
)
from antiphon.storage.sql.sqlite import FILE_NAME
from antiphon.storage.sql.sqlite_writer import run_commands
from tests.contracts.builders import (
    OWNER,
    STRANGER,
    end_of,
    new_branch,
    new_conversation,
    new_item,
    put,
    segment,
)
from tests.services.world import prepare

TOKENS = 10
BUDGET = 8 * TOKENS
"""Eight items: the ten-item conversation must have more than a turn looks at."""

Made = tuple[Conversation, Position]


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    directory = tmp_path_factory.mktemp("plans")
    prepare(directory)
    connection = sqlite3.connect(directory / FILE_NAME, isolation_level=None)
    connection.execute("PRAGMA synchronous=OFF")
    yield connection
    connection.close()


def write(db: sqlite3.Connection, commands: list[Command]) -> None:
    db.execute("BEGIN")
    run_commands(db, commands)
    db.execute("COMMIT")


def line(db: sqlite3.Connection, count: int) -> Made:
    """One unbroken line of items."""
    conversation, head, commands = new_conversation(*(new_item(f"i{n}", tokens=TOKENS) for n in range(count)))
    write(db, commands)
    return conversation, head


def bush(db: sqlite3.Connection, branches: int) -> Made:
    """A line of 30 with thousands of named branches that leave it everywhere."""
    conversation, head, commands = new_conversation(*(new_item(f"i{n}", tokens=TOKENS) for n in range(30)))
    for number in range(branches):
        depth = number % 29
        _, opening, start = segment(conversation, Position(head.segment_id, depth, (depth + 1) * TOKENS))
        item = new_item(f"b{number}", tokens=TOKENS)
        commands += [opening, put(start, item), new_branch(conversation, f"b{number}", end_of(start, item))]
    write(db, commands)
    return conversation, head


def comb(db: sqlite3.Connection, turns: int) -> Made:
    """Every answer was made again, and the second one continued: a new segment at every turn."""
    conversation, head, commands = new_conversation()
    for number in range(turns):
        question, answer = (new_item(f"{kind}{number}", tokens=TOKENS) for kind in "qa")
        again = new_item(f"again{number}", tokens=TOKENS)
        asked = end_of(head, question)
        _, opening, start = segment(conversation, asked)
        commands += [put(head, question), put(asked, answer), opening, put(start, again)]
        head = end_of(start, again)
    main = new_branch(conversation, "tip", head)
    write(db, [*commands, main])
    db.execute("UPDATE conversations SET active_branch_id=? WHERE id=?", (main.branch.id, conversation.id))
    return conversation, head


@pytest.fixture(scope="module")
def shapes(db: sqlite3.Connection) -> dict[str, Made]:
    made = {
        "10 items": line(db, 10),
        "10,000 items": line(db, 10_000),
        "2,000 branches": bush(db, 2_000),
        "5 turns regenerated": comb(db, 5),
        "2,000 turns regenerated": comb(db, 2_000),
    }
    db.execute("ANALYZE")
    return made


def steps(db: sqlite3.Connection, work: Callable[[], object]) -> int:
    """How many instructions SQLite's machine takes; the first run prepares statements and is not counted."""
    work()
    count = 0

    def one() -> int:
        nonlocal count
        count += 1
        return 0

    db.set_progress_handler(one, 1)
    try:
        work()
    finally:
        db.set_progress_handler(None, 0)
    return count


def continuing(db: sqlite3.Connection, made: Made) -> Callable[[], object]:
    conversation, head = made

    def work() -> None:
        base = reads.turn_base(db, OWNER, conversation.id, None, BUDGET)
        assert base is not None and base.position == head and len(base.context) == 8

    return work


def first_page(db: sqlite3.Connection, made: Made) -> Callable[[], object]:
    """The newest ten items, as a client opens a conversation."""
    _, head = made

    def work() -> None:
        assert reads.path(db, head, head.depth - 9)

    return work


@pytest.mark.parametrize(
    ("large", "small"),
    [
        ("10,000 items", "10 items"),
        ("2,000 branches", "10 items"),
        ("2,000 turns regenerated", "5 turns regenerated"),
    ],
)
@pytest.mark.parametrize("work", [continuing, first_page])
def test_size_and_width_cost_nothing(
    db: sqlite3.Connection,
    shapes: dict[str, Made],
    large: str,
    small: str,
    work: Callable[..., Callable[[], object]],
) -> None:
    assert steps(db, work(db, shapes[large])) <= 1.5 * steps(db, work(db, shapes[small]))


def test_a_comb_costs_little_more_than_a_line(db: sqlite3.Connection, shapes: dict[str, Made]) -> None:
    """Eight items lie in five segments instead of one: a range scan each (measured: 2.1 times)."""
    comb_steps = steps(db, continuing(db, shapes["2,000 turns regenerated"]))
    assert comb_steps <= 2.1 * steps(db, continuing(db, shapes["10 items"]))


def plan(db: sqlite3.Connection, statement: str, values: object) -> list[str]:
    return [row[3] for row in db.execute("EXPLAIN QUERY PLAN " + statement, values)]  # type: ignore[arg-type]


def test_the_context_and_the_path_are_index_searches(db: sqlite3.Connection, shapes: dict[str, Made]) -> None:
    _, head = shapes["10,000 items"]
    where = {
        "head_segment": head.segment_id,
        "floor": 1,
        "head_tokens": head.tokens,
        "head_depth": head.depth,
    }
    context = plan(db, context_sqlite.CONTEXT, where)
    assert any(
        "SEARCH i USING INDEX items_tokens (segment_id=? AND path_tokens>? AND path_tokens<?)" in one
        for one in context
    )
    ranges = plan(db, context_sqlite.RANGE, (head.segment_id, 0, 9))
    assert ranges == ["SEARCH i USING PRIMARY KEY (segment_id=? AND depth>? AND depth<?)"]
    for steps_taken in (context, plan(db, context_sqlite.PATH, where)):
        only_searches(steps_taken)


def only_searches(found: list[str]) -> None:
    for one in found:
        # What a statement has made itself is no table.
        made = ("w", "m", "json_each", "CONSTANT", "ranked")
        scans = one.startswith("SCAN") and not one.split()[1].startswith((*made, "(subquery-"))
        assert not scans, f"a full scan: {found}"
        assert "AUTOMATIC" not in one and "BLOOM" not in one, f"an index made on the spot: {found}"


READS: list[Callable[[sqlite3.Connection, Conversation, Position], object]] = [
    lambda db, c, head: reads.conversation(db, OWNER, c.id),
    lambda db, c, head: reads.conversations(db, OWNER, c.id, 20, True),
    lambda db, c, head: reads.branch(db, c.id, c.active_branch_id),
    lambda db, c, head: reads.branches(db, c.id, c.active_branch_id, 20),
    lambda db, c, head: reads.branch_names(db, c.id, "main"),
    lambda db, c, head: reads.changes(db, c.id, 0, 20),
    lambda db, c, head: reads.latest(db, OWNER, None, 20, Chosen(pinned=True)),
    lambda db, c, head: reads.latest(db, OWNER, (9, c.id), 20, Chosen(archived=False)),
    lambda db, c, head: reads.latest(db, OWNER, (9, c.id), 20, Chosen(folder="Work", archived=False)),
    lambda db, c, head: reads.latest(db, OWNER, None, 20, Chosen(folder="")),
    lambda db, c, head: reads.folders(db, OWNER),
    lambda db, c, head: reads_runs.ratings(db, 5, 50),
    lambda db, c, head: reads_sharing.latest(db, OWNER, (9, c.id), 20),
    lambda db, c, head: reads.revisions(db, [c.id, OWNER]),
    lambda db, c, head: reads_runs.running(db, c.id, None, 20),
    lambda db, c, head: reads_runs.running(db, None, c.id, 20),
    lambda db, c, head: reads.turn_base(db, OWNER, c.id, None, BUDGET),
    lambda db, c, head: reads.position_base(db, OWNER, c.id, head, BUDGET),
    lambda db, c, head: reads.item(db, OWNER, head.item_id or ""),
    lambda db, c, head: reads.before(db, reads.item(db, OWNER, head.item_id or "")[0]),  # type: ignore[index]
    lambda db, c, head: reads.siblings(db, OWNER, c.id, reads.item(db, OWNER, head.item_id or "")[0], 20),  # type: ignore[index]
    lambda db, c, head: reads.segments(db, c.id, None, 5),
    lambda db, c, head: reads.is_hidden(db, c.id, head.item_id or ""),
    lambda db, c, head: reads_sharing.role(db, OWNER, c.id),
    lambda db, c, head: reads_sharing.of_run(db, OWNER, c.id),
    lambda db, c, head: reads_sharing.of_item(db, OWNER, head.item_id or ""),
    lambda db, c, head: reads_sharing.shared_with(db, OWNER, c.id, 20, True),
    lambda db, c, head: reads_sharing.members(db, c.id, OWNER, 20),
    lambda db, c, head: reads_sharing.member(db, c.id, OWNER),
    lambda db, c, head: reads_sharing.left(db, [(OWNER, c.id)]),
    lambda db, c, head: reads_sharing.share_by_digest(db, b"x", 1),
    lambda db, c, head: reads_sharing.share(db, c.id, c.id),
    lambda db, c, head: reads_sharing.shares(db, c.id, None, 20),
    lambda db, c, head: reads_runs.run(db, OWNER, c.id),
    lambda db, c, head: reads_runs.log(db, c.id),
    lambda db, c, head: reads_runs.runs(db, OWNER, "chat", None, 20, True, "m", {"a": "b"}),
    lambda db, c, head: reads_runs.key(db, OWNER, "k", 1),
    lambda db, c, head: reads_runs.longest_prefix(db, OWNER, [b"x" * 16]),
    lambda db, c, head: reads_accounts.account(db, OWNER),
    lambda db, c, head: reads_accounts.account_by_name(db, "local"),
    lambda db, c, head: reads_accounts.account_by_email(db, "a@b.c"),
    lambda db, c, head: reads_accounts.account_by_identity(db, "https://a", "1"),
    lambda db, c, head: reads_accounts.key(db, b"x" * 32),
    lambda db, c, head: reads_accounts.session(db, OWNER),
    lambda db, c, head: reads_accounts.holding(db, [OWNER, c.id]),
    lambda db, c, head: reads_accounts.keys(db, OWNER, c.id, 20, True),
    lambda db, c, head: reads_accounts.sessions(db, OWNER, 1, c.id, 20, True),
    lambda db, c, head: reads_accounts.invite(db, b"x" * 32),
    lambda db, c, head: reads_quotas.limits_for(db, ["everyone:", "user:x"]),
    lambda db, c, head: reads_quotas.limits(db, None, "x", 20),
    lambda db, c, head: reads_quotas.limits(db, "user:x", None, 20),
    lambda db, c, head: reads_quotas.counters(db, [("x", 1)]),
    lambda db, c, head: reads_quotas.abandoned(db, 1, "x", 20),
    lambda db, c, head: reads_quotas.by_day(db, OWNER, 1, 2, None, 20),
    lambda db, c, head: reads_quotas.by_user(db, 1, 2, None, 20),
    lambda db, c, head: reads_usage.line(db, OWNER, c.id),
    lambda db, c, head: reads_usage.series(db, OWNER, 1, 2, 1, "m", None, 20, True),
    lambda db, c, head: reads_usage.series(db, None, 1, 2, 1, None, (0, "m"), 20, False),
    lambda db, c, head: reads_accounts.accounts(db, None, 20, True, "", OWNER),
    lambda db, c, head: reads_administration.audit(db, AuditFilter(since_us=1), c.id, 20, True),
    lambda db, c, head: reads_administration.audit(
        db, AuditFilter(actor_id=OWNER, action="a"), None, 20, True
    ),
    lambda db, c, head: reads_administration.audit(db, AuditFilter(target="t", until_us=9), c.id, 20, True),
    lambda db, c, head: reads_administration.group(db, OWNER),
    lambda db, c, head: reads_administration.group_by_name(db, "readers"),
    lambda db, c, head: reads_administration.group_sizes(db, [OWNER, c.id]),
    lambda db, c, head: reads_administration.deleting(db, 1, 20),
    lambda db, c, head: reads_history.messages(db, [head.item_id or ""]),
    lambda db, c, head: reads_history.between(db, "0", "g", 20, 1 << 20),
    lambda db, c, head: reads_history.shown(db, OWNER, [head.item_id or ""], None),
    lambda db, c, head: reads_history.shown(db, OWNER, [head.item_id or ""], OWNER),
    lambda db, c, head: reads_history.shown(db, STRANGER, [head.item_id or ""], None),
    lambda db, c, head: reads_history.origins(db, [c.id], 20),
    lambda db, c, head: reads_history.has_items(db, c.id),
    lambda db, c, head: reads_history.oldest_open_run_us(db),
]


@pytest.mark.parametrize("number", range(len(READS)))
def test_every_read_is_made_of_index_searches(
    db: sqlite3.Connection, shapes: dict[str, Made], number: int
) -> None:
    conversation, head = shapes["10,000 items"]
    said: list[str] = []
    db.set_trace_callback(said.append)
    try:
        READS[number](db, conversation, head)
    finally:
        db.set_trace_callback(None)
    assert said
    for statement in said:
        only_searches(plan(db, statement, ()))


@pytest.mark.parametrize(
    ("statement", "values"),
    [
        (commands_quotas.SETTLE, ("m", 1, 1, "x")),
        (commands_quotas.RELEASE, ("x",)),
        (commands_quotas.FORGET_WINDOWS, ("x", 1)),
    ],
)
def test_counters_are_found_by_their_keys(
    db: sqlite3.Connection, statement: str, values: tuple[object, ...]
) -> None:
    only_searches(plan(db, statement, values))


def test_the_schema_file_is_where_the_tests_think(tmp_path: Path) -> None:
    prepare(tmp_path / "data")
    assert (tmp_path / "data" / FILE_NAME).stat().st_size > 0


def test_no_slice_of_a_purge_looks_through_a_table(tmp_path: Path) -> None:
    prepare(tmp_path)  # as it is served: without statistics of a table of a few rows
    db = sqlite3.connect(tmp_path / FILE_NAME)
    place = {"conversation_id": "c", "segment_id": "s", "now_us": 1}
    commands: list[Command] = [
        wp.EraseItems(**place, owner_id=OWNER, first=3, last=5),
        wp.EraseSegment(**place, grace_us=1),
        wp.EraseRuns(run_ids=("a", "b")),
        wp.EraseKeys(keys=((OWNER, "a"), (OWNER, "b"))),
        wp.EraseViews(conversation_id="c", limit=10),
        wp.EndPurge(conversation_id="c"),
        wp.RequireItem(position=Position("s", 3, 40)),
    ]
    for command in commands:
        for statement, values, _ in sql_commands.steps(command):
            scans = [one for one in plan(db, statement, values) if one.startswith("SCAN")]
            assert not [one for one in scans if "CONSTANT" not in one], statement
    db.close()
