"""Ends of answers in MongoDB as other servers see them, which follow them from their records."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from antiphon.domain.run_events import OPENING_OPS
from antiphon.ports import write_sets as ws
from antiphon.ports.storage import StorageBusy
from antiphon.storage.mongo import database as db
from tests import mongo
from tests.contracts.builders import OWNER, finish, new_conversation, new_item, new_run, put
from tests.contracts.test_mongo_store import WORKER, cut_before, two_servers

pytestmark = pytest.mark.skipif(not mongo.is_there(), reason=mongo.ABSENT)


@pytest.mark.parametrize("collection", [db.ITEMS, db.RUNS])
async def test_who_reads_the_record_that_ends_a_run_finds_it_ended(tmp_path: Path, collection: str) -> None:
    """Another server may read the record before what it decides is done; that server does it, or waits."""
    async with two_servers(tmp_path) as (one, two):
        conversation, head, commands = new_conversation(new_item("a"))
        run = new_run(conversation)
        await one.workers.renew(WORKER, 60)
        await one.unit_of_work.commit(*commands, ws.OpenRun(run=run, worker_id=WORKER))
        cut_before(one, "write", collection)
        record = msgspec.msgpack.encode([[run.id, OPENING_OPS, [["Z", []]]]])
        ends = [(put(head, new_item("answer"), run_id=run.id), finish(run))]
        with pytest.raises(StorageBusy):
            await one.journal.write_tick(WORKER, 1, record, ends)
        if collection == db.RUNS:
            assert await two.workers.running_log(run.id) is None, "it has ended"
        (tick,) = await two.workers.ticks(WORKER, 0, 10)
        assert tick.entries is not None and tick.entries[0][0] == run.id
        found = await two.runs.get(OWNER, run.id)
        assert found is not None and found.state == "completed"
