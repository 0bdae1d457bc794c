"""Two servers on one MongoDB at the same moment: of two that want one thing one gets it; nothing is lost."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from antiphon.domain.errors import Conflict
from antiphon.ports import write_sets as ws
from antiphon.storage.mongo import database as db
from tests import mongo
from tests.contracts.builders import (
    OWNER,
    change,
    finish,
    new_branch,
    new_conversation,
    new_item,
    new_run,
    put,
)
from tests.contracts.test_mongo_store import OTHER, WORKER, two_servers

pytestmark = pytest.mark.skipif(not mongo.is_there(), reason=mongo.ABSENT)


async def test_two_servers_that_write_one_conversation_lose_nothing(tmp_path: Path) -> None:
    """Forty branches and changes from two servers at once: each is there, revisions have no gap."""
    async with two_servers(tmp_path) as (one, two):
        conversation, head, commands = new_conversation(new_item("a"))
        await one.unit_of_work.commit(*commands)
        writing = [
            (one, two)[n % 2].unit_of_work.commit(
                new_branch(conversation, f"b{n}", head), change(conversation)
            )
            for n in range(40)
        ]
        await asyncio.gather(*writing)
        for store in (one, two):
            changes = await store.conversations.changes(conversation.id, after=0, limit=100)
            assert [one.revision for one in changes] == list(range(2, 42))
            assert len(await store.conversations.branches(conversation.id, after=None, limit=100)) == 41


@pytest.mark.parametrize("looks", [1, 2])
async def test_what_is_written_while_a_server_looks_where_the_log_ends_is_not_taken_for_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looks: int
) -> None:
    """A server that is new to an owner's log looks twice; between, or just after, another one writes."""
    async with two_servers(tmp_path) as (one, two):
        run = new_run(state="queued", background=True)
        await one.unit_of_work.commit(ws.OpenRun(run=run, worker_id=WORKER))
        document = await one._database.get(db.RUNS, run.id)
        real, left = two._database.first, looks

        async def first(*args: Any, **named: Any) -> Any:
            nonlocal left
            found = await real(*args, **named)
            left -= 1
            if left == 0:
                started = {**(document or {}), "attempt": 2, "state": "in_progress"}
                operations = {OWNER: [["set", db.RUNS, started]]}
                await one._log.propose(operations, (), {OWNER: await one._log.head(OWNER)}, "t" * 32, None)
            return found

        monkeypatch.setattr(two._database, "first", first)
        with pytest.raises(Conflict, match="StartRun"):
            await two.unit_of_work.commit(ws.StartRun(run_id=run.id, worker_id=OTHER, attempt=2))
        assert left <= 0


@pytest.mark.parametrize("rounds", range(5))
async def test_of_two_servers_that_want_one_thing_one_gets_it(tmp_path: Path, rounds: int) -> None:
    """A branch's claim, a place in a segment, a name, a key, an end of a run."""
    async with two_servers(tmp_path) as (one, two):
        conversation, head, commands = new_conversation(new_item("a"))
        run = new_run(conversation)
        await one.unit_of_work.commit(*commands, ws.OpenRun(run=run, worker_id=WORKER))
        wanted: list[Any] = [
            [
                ws.ClaimBranch(
                    conversation_id=conversation.id, branch_id=conversation.active_branch_id,
                    run_id=who * 32, head=head,
                )
                for who in "ab"
            ],
            [put(head, new_item(who)) for who in "ab"],
            [new_branch(conversation, "side", head) for _ in "ab"],
            [finish(run) for _ in "ab"],
        ]  # fmt: skip
        for first, second in wanted:
            done = await asyncio.gather(
                one.unit_of_work.commit(first), two.unit_of_work.commit(second), return_exceptions=True
            )
            assert sorted(type(each) for each in done if each is not None) == [Conflict], (first, done)
