"""Several servers on one PostgreSQL: whoever is asked answers, and what races is decided once.

With TEST_STORE=mongo conversations and answers are in one MongoDB beside it.

Leases are short here, so that a dead server is noticed within a test's patience.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from antiphon.storage.sql.database import Db
from tests import mongo, postgres
from tests.e2e.events import (
    bare,
    events_of,
    require_gapless,
    require_terminal,
    run_id_of,
    stored_text,
    text_of,
    whole,
)
from tests.e2e.server_process import NewServer, ServerProcess, eventually
from tests.e2e.wire import Exchange, begin, call, ended, get, until
from tests.harness.people import PASSWORD, SECRET_KEY
from tests.harness.tokens import check_prefix, expected_text
from tests.harness.upstream import Upstream
from tests.services.tree_rules import problems
from tests.store import ON_MONGO, store_settings

HURRIED = """
from antiphon.services import housekeeping
from antiphon.services.runs import leases
leases.LEASE_SECONDS, leases.RENEW_SECONDS, housekeeping.SWEEP_SECONDS = 5.0, 0.5, 0.5
"""
Found = TypeVar("Found")

TOKENS = 60
MODEL = f"openai/paced-n{TOKENS}-i20-hash"
ROUNDS = 5
STARTS, SIGN_UPS = 3, 7
WRITERS = 20


@pytest.fixture
def servers(new_server: NewServer, tmp_path: Path) -> Iterator[list[ServerProcess]]:
    """Two servers on one database, started."""
    yield start(new_server, tmp_path, 2)


def start(
    new_server: NewServer, directory: Path, count: int, patch: str = HURRIED, **settings: str
) -> list[ServerProcess]:
    """Start servers on the directory's database, all at once."""
    url = postgres.prepared(directory)
    more = {"DATABASE_URL": url, "DRAIN_SECONDS": "0", **store_settings(directory), **settings}
    made = [new_server(patch=patch, **more) for _ in range(count)]
    for server in made:
        server.launch()
    for server in made:
        eventually(lambda server=server: server.health() == 200, "a healthy server", 60)
    return made


def rows(directory: Path, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """Look into the database beside the servers."""
    return look(directory, lambda db: [tuple(row) for row in db.execute(statement, values)], statement)


def look(directory: Path, read: Callable[[Db], Found], statement: str = "") -> Found:
    """Run a read on whichever store has what a statement asks for."""
    if ON_MONGO and not any(name in statement for name in ("pg_", "quota_", "accounts")):
        from tests import mongo_rows

        return mongo_rows.look(directory, read)
    return postgres.look(directory, read)


async def create(server: ServerProcess, name: str, **fields: Any) -> Exchange:
    """Begin a streamed answer."""
    body = {"model": MODEL, "input": f"stream={name}", "stream": True, **fields}
    return await begin(server.port, "POST", "/v1/responses", body)


async def follow(server: ServerProcess, run_id: str, after: int = -1) -> Exchange:
    """Follow an answer from any server."""
    path = f"/v1/responses/{run_id}?stream=true" + (f"&starting_after={after}" if after >= 0 else "")
    return await begin(server.port, "GET", path)


async def run_id(exchange: Exchange) -> str:
    """The id of a stream's response, once it told."""
    await until(lambda: run_id_of(exchange.body, exchange.headers), "the answer's id")
    found = run_id_of(exchange.body, exchange.headers)
    assert found is not None
    return found


async def test_an_answer_is_followed_from_another_server_byte_for_byte(servers: list[ServerProcess]) -> None:
    one, two = servers
    made = await create(one, "far", background=True)
    identifier = await run_id(made)
    early = await follow(two, identifier)
    await until(lambda: len(events_of(early.body)) > 20, "some of the answer, elsewhere")
    assert not any(event.name == "response.completed" for event in events_of(early.body)), "it is no replay"
    shown = await get(two.port, f"/v1/responses/{identifier}")
    assert shown["status"] == "in_progress" and shown["output"]
    middle = await follow(two, identifier, after=10)
    for exchange in (made, early, middle):
        await exchange.end()
    late = await follow(two, identifier)
    await late.end()
    assert bare(made.body) == bare(early.body) == bare(late.body)
    assert (
        bare(made.body).endswith(bare(middle.body))
        and events_of(middle.body)[0].data["sequence_number"] == 11
    )
    assert stored_text(require_terminal(early.body).data["response"]) == expected_text("far", TOKENS)


async def test_a_cancel_is_heard_by_the_server_that_generates(servers: list[ServerProcess]) -> None:
    one, two = servers
    made = await create(one, "stopped", background=True)
    identifier = await run_id(made)
    elsewhere = await follow(two, identifier)
    await until(lambda: text_of(events_of(made.body)), "some text")
    answer = await call(two.port, "POST", f"/v1/responses/{identifier}/cancel")
    assert answer.status == 200 and answer.json()["status"] == "cancelled"
    await made.end()
    await elsewhere.end()
    assert bare(made.body) == bare(elsewhere.body)
    assert require_terminal(made.body).data["response"]["status"] == "cancelled"


async def test_what_a_killed_server_had_shown_is_kept_and_ended_by_another(
    servers: list[ServerProcess], upstream: Upstream, tmp_path: Path
) -> None:
    one, two = servers
    chance = random.Random(7)
    for number in range(ROUNDS):
        names = [f"k{number}s{index}" for index in range(12)]
        streams = [await create(one, name, background=index % 2 == 0) for index, name in enumerate(names)]
        waiting = await call(
            one.port, "POST", "/v1/responses",
            {"model": "openai/paced-n20-d4000-i5-hash", "input": f"stream=w{number}", "background": True},
        )  # fmt: skip
        identifiers = [await run_id(stream) for stream in streams]
        far = await follow(two, identifiers[0])
        await asyncio.sleep(chance.uniform(0.1, 0.8))
        one.kill()
        for stream in streams:
            await stream.end()
        for identifier, stream, name in zip(identifiers, streams, names, strict=True):
            path = f"/v1/responses/{identifier}"

            async def over(path: str = path) -> bool:
                return (await get(two.port, path))["status"] not in ("queued", "in_progress")

            await until(over, "the end of a dead server's answer", seconds=20)
            received = events_of(stream.body)
            replay = await follow(two, identifier)
            await replay.end()
            require_gapless(events_of(replay.body))
            whole = bare(stream.body).rpartition(b"\n\n")[0]
            assert bare(replay.body).startswith(whole), "a byte that was shown is lost"
            check_prefix(name, text_of(received))
        await far.end()
        retried = waiting.json()["id"]

        async def answered() -> bool:
            return (await get(two.port, f"/v1/responses/{retried}"))["status"] == "completed"  # noqa: B023

        await until(answered, "the queued answer, begun again elsewhere", seconds=30)
        await asyncio.to_thread(one.start)
    assert rows(tmp_path, "SELECT COUNT(*) FROM runs WHERE state IN ('queued','in_progress')") == [(0,)]
    assert look(tmp_path, lambda db: list(problems(db, at_rest=True))) == []


async def test_streams_need_no_connection_and_outlive_lost_ones(
    new_server: NewServer, upstream: Upstream, tmp_path: Path
) -> None:
    """Many streams over two connections; all connections are cut three times while they run."""
    (server,) = await asyncio.to_thread(start, new_server, tmp_path, 1, DATABASE_CONNECTIONS="2")
    names = [f"many{index}" for index in range(150)]
    streams = [await create(server, name) for name in names]
    for stream in streams:
        await run_id(stream)  # what is being begun while its connection is cut is answered 503
    for _ in range(3):
        await asyncio.sleep(0.2)
        cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'antiphon%'"
        rows(tmp_path, f"{cut} AND datname=current_database()")
    for name, stream in zip(names, streams, strict=True):
        await stream.end()
        events = events_of(stream.body)
        require_gapless(events)
        assert text_of(events) == expected_text(name, TOKENS)
        assert require_terminal(stream.body).name == "response.completed"
    most = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname=current_database() AND application_name='{}'"
    assert rows(tmp_path, most.format("antiphon store"))[0][0] <= 2


async def test_a_purge_reaches_what_another_server_generates(
    servers: list[ServerProcess], tmp_path: Path
) -> None:
    """Nothing of the conversation stays, neither what was said before nor what was about to be said."""
    one, two = servers
    conversation = (await call(one.port, "POST", "/v1/conversations", {})).json()["id"]
    said = {"model": "scripted/echo", "input": "before", "conversation": conversation}
    assert (await call(one.port, "POST", "/v1/responses", said)).status == 200
    stream = await create(one, "purged", conversation=conversation)
    await until(lambda: len(events_of(stream.body)) > 10, "some of the answer")
    gone = await call(two.port, "DELETE", f"/v1/conversations/{conversation}?purge=true")
    assert gone.status == 200, gone.body
    await stream.end()
    assert not any(event.name == "response.completed" for event in events_of(stream.body))
    for table in ("conversations", "items", "segments", "branches", "runs"):
        assert rows(tmp_path, f"SELECT COUNT(*) FROM {table}") == [(0,)], table
    assert (await call(two.port, "GET", f"/v1/conversations/{conversation}")).status == 404
    later = {"model": "scripted/echo", "input": "later"}
    assert (await call(one.port, "POST", "/v1/responses", later)).status == 200


async def test_twenty_writers_on_two_servers_make_one_tree(
    servers: list[ServerProcess], tmp_path: Path
) -> None:
    conversation = (await call(servers[0].port, "POST", "/v1/conversations", {})).json()["id"]
    body = {"model": "scripted/echo", "conversation": conversation}
    for number in range(3):
        turns = [
            call(servers[index % 2].port, "POST", "/v1/responses", {**body, "input": f"{number}.{index}"})
            for index in range(WRITERS)
        ]
        answers = await asyncio.gather(*turns)
        assert Counter((one.status, one.json().get("status")) for one in answers) == {
            (200, "completed"): WRITERS
        }
    branches = await get(servers[1].port, f"/v1/conversations/{conversation}/branches?limit=100")
    assert len({branch["name"] for branch in branches["data"]}) == len(branches["data"])
    assert rows(tmp_path, "SELECT COUNT(*) FROM items") == [(3 * WRITERS * 2,)]
    assert look(tmp_path, lambda db: list(problems(db, at_rest=True))) == []


async def test_equal_requests_to_two_servers_act_once(
    servers: list[ServerProcess], upstream: Upstream
) -> None:
    body = {"model": MODEL, "input": "stream=both", "stream": True}
    headers = {"idempotency-key": "both"}
    sent = [call(servers[index % 2].port, "POST", "/v1/responses", body, headers) for index in range(40)]
    answers = await asyncio.gather(*sent)
    assert {one.status for one in answers} == {200}
    assert len({bare(one.body) for one in answers}) == 1
    assert upstream.stats()["calls_by_stream"]["both"] == 1


async def test_of_two_hundred_at_two_servers_the_ten_that_are_left_pass(
    new_server: NewServer, upstream: Upstream, tmp_path: Path
) -> None:
    servers = await asyncio.to_thread(start, new_server, tmp_path, 2, DEFAULT_LIMITS="requests/day=10")
    upstream.reset()
    body = {"model": "openai/paced-n20-i10", "input": "stream=q"}
    answers = await asyncio.gather(
        *(
            call(servers[n % 2].port, "POST", "/v1/responses", {**body, "store": n % 3 > 0})
            for n in range(200)
        )
    )
    assert Counter(one.status for one in answers) == {200: 10, 429: 190}
    assert upstream.stats()["calls"] == 10
    await until(
        lambda: not rows(tmp_path, "SELECT 1 FROM quota_reservations"), "every reservation is settled"
    )
    assert rows(tmp_path, "SELECT used,reserved FROM quota_counters") == [(10, 0)]


@pytest.mark.slow
async def test_of_four_servers_that_start_at_once_one_makes_the_administrator(
    new_server: NewServer, tmp_path: Path
) -> None:
    """And fifty who sign up under five names, at all of them, are five accounts; twenty times over."""
    settings = {"AUTH_REQUIRED": "true", "SECRET_KEY": SECRET_KEY, "SIGNUP": "open"}
    for number in range(STARTS):
        place = tmp_path / str(number)
        servers = await asyncio.to_thread(start, new_server, place, 4, **settings)
        for turn in range(SIGN_UPS):
            people = [{"username": f"same{turn}-{at % 5}", "password": PASSWORD} for at in range(50)]
            answers = await asyncio.gather(
                *(
                    call(servers[at % 4].port, "POST", "/v1/auth/signup", person)
                    for at, person in enumerate(people)
                )
            )
            assert all(one.status < 500 for one in answers)
        found = rows(place, "SELECT role,name FROM accounts WHERE password_hash IS NOT NULL")
        assert sum(role == "admin" for role, _ in found) == 1
        signed_up = sorted(f"same{turn}-{one}" for turn in range(SIGN_UPS) for one in range(5))
        assert sorted(name for role, name in found if role == "user") == signed_up
        assert sum("password:" in server.log for server in servers) == 1
        for server in servers:
            server.kill()


@pytest.mark.parametrize(
    "store",
    ["postgres", pytest.param("mongo", marks=pytest.mark.skipif(not mongo.is_there(), reason=mongo.ABSENT))],
)
async def test_a_server_that_slept_past_its_lease_produces_nothing_more(
    new_server: NewServer, upstream: Upstream, tmp_path: Path, store: str
) -> None:
    """Another takes over meanwhile; what the sleeper had still to write is refused, and nobody sees it."""
    more = {"MONGODB_URL": mongo.url(tmp_path)} if store == "mongo" else {}
    one, two = await asyncio.to_thread(start, new_server, tmp_path, 2, **more)
    upstream.reset()
    made = await create(one, "slept", background=True, model="openai/paced-n300-i20-hash")
    asked = {"model": "openai/paced-n20-d2500-i5-hash", "input": "stream=unsaid", "background": True}
    unsaid = (await call(one.port, "POST", "/v1/responses", asked)).json()["id"]
    identifier = await run_id(made)
    await until(lambda: len(events_of(made.body)) > 20, "some of the answer")
    os.kill(one.pid, signal.SIGSTOP)
    try:
        await ended(two.port, identifier)
        await ended(two.port, unsaid)
        taken_over = [await get(two.port, f"/v1/responses/{one_of}") for one_of in (identifier, unsaid)]
        replay = await call(two.port, "GET", f"/v1/responses/{identifier}?stream=true")
    finally:
        os.kill(one.pid, signal.SIGCONT)
    assert [response["status"] for response in taken_over] == ["failed", "completed"]
    await made.end()
    assert bare(replay.body).startswith(whole(made.body)), "nothing was shown beside it"
    later = await create(one, "later")
    await later.end()
    assert require_terminal(later.body).name == "response.completed", "it goes on under a new lease"
    for server in (one, two):
        again = await call(server.port, "GET", f"/v1/responses/{identifier}?stream=true")
        assert bare(again.body) == bare(replay.body)
        assert [
            await get(server.port, f"/v1/responses/{name}") for name in (identifier, unsaid)
        ] == taken_over
    require_gapless(events_of(replay.body))
    assert stored_text(taken_over[1]) == expected_text("unsaid", 20)
    assert upstream.stats()["calls_by_stream"]["slept"] == 1, "what was said is not begun again"
