"""What the FastAPI book requires of a chat interface, Q14 to Q26: storage, errors, security, performance."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import jwt
import pytest

from antiphon.api.app import create_app
from antiphon.api.dialects.book.routes import BOOK
from antiphon.domain.inputs import parse_input
from antiphon.services.conversations import Conversations
from scripts.project_files import ROOT
from tests import mongo
from tests.api.client import Api
from tests.api.people_fixtures import Town
from tests.dialects.rooms import opened_room
from tests.dialects.servers import open_server
from tests.dialects.test_book_page import PAGE, operations, walked
from tests.dialects.walkthrough import steps_of
from tests.harness.people import PASSWORD
from tests.services.hand import BROKEN


@pytest.mark.skipif(not mongo.is_there(), reason=mongo.ABSENT)
def test_q14_the_same_calls_are_served_from_mongodb(tmp_path: Path) -> None:
    """Every printed command; what RAG finds there `tests/e2e/test_mongo_knowledge.py` looks at."""
    with open_server(tmp_path, SIGNUP="open", MONGODB_URL=mongo.url(tmp_path)) as served:
        walked(served)


async def test_q15_ones_history_can_be_taken_away_and_ends_when_configuration_says_so(town: Town) -> None:
    ann = await town.person("ann", retention_days=1)
    await ann.call("POST", "/chat", {"session_id": "s", "message": "hello"})
    taken = (await ann.call("GET", "/conversations")).json()
    assert [one["text"] for one in taken[0]["messages"]] == ["hello", "re: hello"]
    town.clock.forward(2 * 24 * 3600)
    await town.world.application.administration.retention.sweep()
    ann = await town.again(ann)
    assert (await ann.call("GET", "/conversations")).json() == []
    assert (await ann.call("GET", "/chat/s")).status_code == 404


async def test_q16_every_error_says_what_to_do_and_nothing_inside_gets_out(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for path, status, word in (
        ("/chat/nowhere", 404, "POST /chat"), ("/chat/nowhere/history", 404, "POST /chat"),
        ("/chat/search", 422, "query"), ("/chat/search?query=%20", 422, "word"),
        ("/chat?limit=0", 422, "1 to 100"),
    ):  # fmt: skip
        response = await api.http.get(path)
        assert response.status_code == status, (path, response.text)
        assert word in response.json().get("error", response.text)

    async def break_down(*args: Any, **fields: Any) -> Any:
        raise RuntimeError("a secret of the machine room")

    monkeypatch.setattr(Conversations, "items", break_down)
    await api.post("/send_message", {"session_id": "s", "message": "x"})
    response = await api.http.get("/chat/s")
    assert response.status_code == 500
    assert response.json().keys() == {"detail", "error"}
    assert response.json()["detail"] == "Internal Server Error" and "Try again" in response.json()["error"]
    assert "secret" not in response.text and "Traceback" not in response.text
    logged = [one for one in caplog.records if one.exc_info]
    assert len(logged) == 1, "once"


async def test_q16_a_model_that_fails_is_told_and_the_message_stays(tmp_path: Path) -> None:
    async with opened_room(tmp_path / "data", BROKEN) as room:
        ann = await room.person("ann")
        refused = await ann.call("POST", "/chat", {"session_id": "s", "message": "first"})
        assert refused.status_code == 502 and refused.json()["error"] == refused.json()["detail"]
        taken = await ann.call("POST", "/chat/s/message", {"message": "second"})
        assert taken.status_code == 200 and taken.json()["message"] == "Message sent successfully"
        assert taken.json()["response"] is None and taken.json()["error"]
        history = (await ann.call("GET", "/chat/s/history")).json()
        assert [one["message"] for one in history] == ["first", "second"]


async def test_q16_a_prompt_that_fails_on_the_live_line_stays_and_everybody_hears_why(tmp_path: Path) -> None:
    async with opened_room(tmp_path / "data", BROKEN) as room:
        ann = await room.person("ann")
        session = await room.shared_session(ann)
        async with room.live(session, ann) as line:
            await line.until("joined")
            await line.say(prompt="keep me", user_id="ann")
            ended = await line.until("ended", status="failed")
            refused = await ann.call("POST", "/chat", {"session_id": session, "message": "me too"})
            assert ended["error"] == refused.json()["error"] == "broken"
        history = (await ann.call("GET", f"/chat/{session}/history")).json()
        assert [one["message"] for one in history] == ["keep me", "me too"]


async def test_q17_only_a_token_of_ours_that_has_an_end_is_one(town: Town) -> None:
    ann = await town.person("ann")
    claims = jwt.decode(ann.access, options={"verify_signature": False})
    header = jwt.get_unverified_header(ann.access)
    forged = {
        "no exp": jwt.encode(
            {k: v for k, v in claims.items() if k != "exp"}, "secret_key" * 4, "HS256", header
        ),
        "alg none": jwt.encode(claims, None, "none", {**header, "alg": "none"}),
        "another key": jwt.encode(claims, "secret_key" * 4, "HS256", header),
    }
    for what, token in forged.items():
        seen = await town.http.get("/chat", headers={"authorization": f"Bearer {token}"})
        assert seen.status_code == 401, what
    assert (await ann.call("GET", "/chat")).status_code == 200
    town.clock.forward(24 * 3600)
    assert (await ann.call("GET", "/chat")).status_code == 401, "it has ended"


async def test_q18_a_password_is_stored_as_argon2id_and_never_taken_from_an_address(town: Town) -> None:
    await town.account("john")
    (stored,) = town.world.rows("SELECT password_hash FROM accounts WHERE name='john'")
    assert stored[0].startswith("$argon2id$") and PASSWORD not in stored[0]
    query = {"username": "john", "password": PASSWORD}
    for path in ("/login", "/token", "/admin/login"):
        refused = await town.http.post(path, params=query)
        assert refused.status_code == 400 and "body" in refused.text, path
        both = await town.http.post(path, params=query, json=query)
        assert both.status_code == 400 and PASSWORD not in refused.text + both.text, path


async def test_q19_a_slow_model_delays_nobody_else(tmp_path: Path) -> None:
    async with opened_room(tmp_path / "data") as room:
        ann, bob = await room.person("ann"), await room.person("bob")
        asking = asyncio.create_task(ann.call("POST", "/chat", {"text": "hello"}))
        call = await room.world.hand.next()
        began = time.monotonic()
        for _ in range(10):
            assert (await bob.call("POST", "/send_message", {"session_id": "s", "message": "x"})).is_success
            assert (await bob.call("GET", "/chat/s/history")).is_success
        assert time.monotonic() - began < 5
        assert not asking.done()
        call.answer("at last")
        assert (await asking).json()["response"] == "at last"


async def test_q20_a_repeated_reading_comes_without_the_store_and_is_never_stale(api: Api) -> None:
    readings = api.world.application.readings
    await api.post("/chat", {"session_id": "s", "message": "one"})
    first = await api.http.get("/chat/s/history")
    hits = readings.hits
    again = await api.http.get("/chat/s/history")
    assert (again.content, again.headers["session-id"]) == (first.content, "s") and readings.hits == hits + 1
    for count in range(3, 9, 2):
        await api.post("/chat", {"session_id": "s", "message": "more"})
        assert len(await api.get("/chat/s/history")) == count + 1, "a new message shows at once"
        await api.get("/chat/s/history")
    conversation = (await api.get("/v1/conversations"))["data"][0]["id"]
    await api.post(f"/v1/conversations/{conversation}/items", {"items": [{"role": "user", "content": "x"}]})
    assert len(await api.get("/chat/s/history")) == 9, "also one that comes by another surface"
    await api.delete(f"/v1/conversations/{conversation}")
    assert (await api.http.get("/chat/s/history")).status_code == 404


async def test_q20_readers_and_writers_at_once_never_read_what_is_older_than_they_know(api: Api) -> None:
    await api.post("/send_message", {"session_id": "s", "message": "0"})
    known = 1

    async def write() -> None:
        nonlocal known
        for number in range(20):
            await api.post("/send_message", {"session_id": "s", "message": str(number)})
            known += 1

    async def read() -> None:
        for _ in range(60):
            before = known
            assert len(await api.get("/chat/s/history")) >= before

    await asyncio.gather(write(), read(), read())


async def test_q21_the_newest_hundred_of_many_cost_what_those_of_few_cost(api: Api) -> None:
    """The statements a reading runs are counted, not timed: with ten times the messages they are as many."""
    application, who = api.world.application, api.world.who
    counts = []
    for name, batches in (("few", 10), ("many", 100)):
        session = await application.chat_sessions.open(who, name, ephemeral=False)
        items = parse_input([{"role": "user", "content": "x"}] * 20)
        for _ in range(batches):
            await application.conversations.add_items(who, f"conv_{session.conversation.id}", items)
        tree = application.conversations._storage.tree
        calls = 0

        def counting(inner: Any) -> Any:
            async def count(*args: Any, **fields: Any) -> Any:
                nonlocal calls
                calls += 1
                return await inner(*args, **fields)

            return count

        with pytest.MonkeyPatch.context() as patch:
            for method in ("path", "items", "before", "turn_base", "item"):
                patch.setattr(tree, method, counting(getattr(tree, method)))
            assert len(await api.get(f"/chat/{name}/history")) == 100
        counts.append(calls)
    assert counts[0] == counts[1] <= 6


async def test_q22_the_two_calls_of_chat_llm_run_at_the_same_time(tmp_path: Path) -> None:
    async with opened_room(tmp_path / "data") as room:
        ann = await room.person("ann")
        asking = asyncio.create_task(ann.call("POST", "/chat/llm", {"prompt": "hello"}))
        calls = [await room.world.hand.next(), await room.world.hand.next()]
        assert sorted(call.request.params["temperature"] for call in calls) == [0.5, 1.0]
        for call in reversed(calls):
            call.answer(f"at {call.request.params['temperature']}")
        assert (await asking).json() == [
            {"text": "at 0.5", "temperature": 0.5}, {"text": "at 1.0", "temperature": 1.0},
        ]  # fmt: skip
        assert room.world.rows("SELECT COUNT(*) FROM items") == [(0,)], "nothing is kept"


@pytest.mark.skip(reason="pools come with MongoDB and PostgreSQL; SQLite has none")
def test_q23_the_pools_size_is_that_of_the_url() -> None:
    raise AssertionError


async def test_q24_metrics_count_readings_of_histories_by_route(api: Api) -> None:
    await api.post("/send_message", {"session_id": "s", "message": "x"})
    for _ in range(3):
        await api.get("/chat/s/history")
    text = (await api.http.get("/metrics")).text
    (line,) = [
        one
        for one in text.splitlines()
        if "/chat/{chat_session}/history" in one and "requests_total" in one and 'method="GET"' in one
    ]
    assert line.endswith((" 3", " 3.0"))


def test_q25_the_documentation_describes_every_call_with_an_example() -> None:
    document = create_app(lambda: None, {"book"})._inner.openapi()  # type: ignore[arg-type,return-value,attr-defined]
    for method, path in operations():
        described = document["paths"][path][method.lower()]
        assert described["summary"] and described["description"], path
        if method in ("POST", "PUT") and path not in ("/chat", "/logout"):
            content = described["requestBody"]["content"]["application/json"]
            assert content["examples"], path
    assert len(operations()) == 35 - 2, "POST /token is also /v1's, and POST /messages is /messages/"
    assert {one["name"] for one in document["tags"]} == {BOOK.tag}


def test_q26_every_printed_command_is_run_from_the_page() -> None:
    """`test_book_page` runs them; here it is seen that what the book prints stands on the page."""
    commands = "\n".join(step.command for step in steps_of(PAGE))
    book = ROOT.parent / "shared" / "seeds" / "000_77103be50024736d.txt"
    if not book.exists():
        pytest.skip("the book is not beside the checkout")
    bodies = [
        line.strip().removeprefix("-d '").rstrip("'")
        for line in book.read_text().splitlines()
        if line.strip().startswith("-d '{")
    ]
    replaced = ("What's the weather", "password", '"message_id": "message_id"')
    missing = [one for one in bodies if one not in commands and not any(word in one for word in replaced)]
    assert missing == []
