"""What the FastAPI book requires of a chat interface, Q1 to Q13: people, sessions, retrieval, search."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from antiphon.domain.compaction import is_record
from antiphon.services.search import Search
from scripts.project_files import ROOT
from tests.api.client import Api, in_process
from tests.api.people_fixtures import Town
from tests.dialects.going import going_after
from tests.dialects.rooms import Room, opened_room
from tests.e2e.server_process import eventually, running
from tests.harness.library import Library
from tests.harness.local_model import minilm
from tests.harness.people import PASSWORD
from tests.services.hand import until
from tests.services.recall import Recalling, recalling
from tests.services.world import another_person, running_world
from tests.store import passages


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    async with opened_room(tmp_path / "data") as opened:
        yield opened


async def logged_in(town: Town, name: str) -> str:
    response = await town.http.post("/login", json={"username": name, "password": PASSWORD})
    assert response.status_code == 200, response.text
    token: str = response.json()["access_token"]
    return token


PROTECTED = (
    ("GET", "/chat"), ("GET", "/chat_history"), ("GET", "/chat/history"), ("GET", "/conversations"),
    ("GET", "/messages/"), ("GET", "/users/"), ("POST", "/chat"), ("POST", "/llm_response"), ("POST", "/rag"),
    ("GET", "/chat/search?query=x"), ("GET", "/process_query?query=x"), ("POST", "/logout"),
)  # fmt: skip


async def test_q1_one_logs_in_by_name_or_address_and_the_token_holds_until_logout(town: Town) -> None:
    await town.account("john", email="john@example.org")
    for name in ("john", "john@example.org"):
        token = await logged_in(town, name)
        headers = {"authorization": f"Bearer {token}"}
        for method, path in PROTECTED[:-1]:
            body = {"prompt": "x"} if method == "POST" else None
            seen = await town.http.request(method, path, json=body, headers=headers)
            assert seen.status_code in (200, 201, 422), (path, seen.text)
        out = await town.http.post("/logout", headers=headers)
        assert out.json()["message"] == "Logged out successfully"
        for method, path in PROTECTED:
            ended = await town.http.request(method, path, headers=headers)
            assert ended.status_code == 401, path
            assert ended.headers["www-authenticate"] == "Bearer"


async def test_q2_both_see_each_others_and_the_models_messages_before_the_call_returns(room: Room) -> None:
    ann, bob = await room.person("ann"), await room.person("bob")
    session = await room.shared_session(ann, bob)
    async with room.live(session, ann) as at_anns, room.live(session, bob) as at_bobs:
        for one in (at_anns, at_bobs):
            await one.until("joined", session_id=session)
        await bob.call("POST", f"/sessions/{session}/messages/", {"text": "hello Ann", "user_id": "bob"})
        for one in (at_anns, at_bobs):
            said = await one.until("message")
            assert (said["text"], said["user_id"], said["role"]) == ("hello Ann", "bob", "user")
        asking = asyncio.create_task(ann.call("POST", "/chat", {"session_id": session, "message": "hello?"}))
        call = await room.world.hand.next()
        for one in (at_anns, at_bobs):
            assert (await one.until("message"))["text"] == "hello?"
        call.say("Hello, ")
        for one in (at_anns, at_bobs):
            await one.deltas("Hello, ")
        assert not asking.done(), "everybody has seen it, and the sender still waits"
        call.answer("both of you.")
        for one in (at_anns, at_bobs):
            await one.until("message", role="assistant", text="Hello, both of you.")
            await one.until("ended", status="completed")
        assert (await asking).json()["response"] == "Hello, both of you."


async def test_q2_a_member_who_is_removed_hears_no_more(room: Room) -> None:
    ann, bob = await room.person("ann"), await room.person("bob")
    session = await room.shared_session(ann, bob)
    async with room.live(session, bob) as at_bobs:
        await at_bobs.until("joined")
        await ann.call("DELETE", f"/v1/conversations/{session}/members/bob")
        await ann.call("POST", f"/sessions/{session}/messages/", {"text": "a secret", "user_id": "ann"})
        await at_bobs.connection.wait_closed()
        assert at_bobs.connection.close_code == 4404
    assert "a secret" not in str(at_bobs.heard)


async def test_q2_who_comes_back_hears_what_was_missed(room: Room) -> None:
    ann = await room.person("ann")
    session = await room.shared_session(ann)
    async with room.live(session, ann) as first:
        revision = (await first.until("joined"))["revision"]
    await ann.call("POST", f"/sessions/{session}/messages/", {"text": "meanwhile"})
    async with room.live(session, ann, f"?after={revision}") as again:
        assert (await again.until("message"))["text"] == "meanwhile"


async def test_q2_one_speaks_over_the_same_line(room: Room) -> None:
    ann = await room.person("ann")
    session = await room.shared_session(ann)
    async with room.live(session, ann) as line:
        await line.until("joined")
        await line.say(text="hi", user_id="ann")
        assert (await line.until("message"))["user_id"] == "ann"
        await line.say(prompt="and you?")
        (await room.world.hand.next()).answer("fine")
        assert (await line.until("message", role="assistant"))["text"] == "fine"
        await line.say(nothing=1)
        assert "Field required" in (await line.until("error"))["detail"]
        for one in ({"text": "x"}, {"prompt": "x"}):
            await line.say(**one, user_id=7)
            assert "valid string" in (await line.until("error"))["detail"], "as the calls have it"
    history = (await ann.call("GET", f"/chat/{session}/history")).json()
    assert [one["message"] for one in history] == ["hi", "and you?", "fine"]


async def test_q2_both_spellings_of_the_line_lead_to_it(room: Room) -> None:
    ann = await room.person("ann")
    session = await room.shared_session(ann)
    for query in ("", "/", "/?after=1"):
        async with room.live(session, ann, query) as line:
            assert (await line.next())["session_id"] == session


async def test_q3_every_message_is_listed_with_author_and_time_in_order(api: Api) -> None:
    for user in ("user1", "user2"):
        await api.post("/sessions/tea/messages/", {"text": f"I am {user}", "user_id": user}, status=201)
    await api.post("/sessions/tea/responses/", {"prompt": "and you?"})
    listed = await api.get("/sessions/tea/messages/")
    assert [(one["text"], one["user_id"], one["role"]) for one in listed] == [
        ("I am user1", "user1", "user"), ("I am user2", "user2", "user"), ("and you?", None, "user"),
        ("re: and you?", None, "assistant"),
    ]  # fmt: skip
    assert [one["timestamp"] for one in listed] == sorted(one["timestamp"] for one in listed)
    assert all(one["author"] for one in listed[:3]) and listed[3]["author"] is None


def test_q4_a_session_left_in_mid_answer_goes_on_after_a_restart(tmp_path: Path) -> None:
    """The server is killed while it answers; what was said, and what was answered so far, is there."""
    settings = {"LIST_SCRIPTED_MODELS": "true", "DEFAULT_MODEL": "scripted/slow", "DRAIN_SECONDS": "0"}
    with (
        running(tmp_path, settings) as server,
        httpx.Client(base_url=f"http://127.0.0.1:{server.port}", trust_env=False, timeout=60) as http,
    ):
        http.post("/send_message", json={"session_id": "trip", "message": "I go to Rome"})
        (conversation,) = http.get("/v1/conversations").json()["data"]
        body = {"input": "tokens=2000 delay_ms=20", "background": True, "conversation": conversation["id"]}
        running_answer = f"/v1/responses/{http.post('/v1/responses', json=body).json()['id']}"
        eventually(lambda: "word3" in http.get(running_answer).text, "some words of the answer")
        server.kill()
        server.start()
        eventually(lambda: http.get(running_answer).json()["status"] == "failed", "its end", 40)
        before = http.get("/chat/trip/history").json()
        assert [one["role"] for one in before] == ["user", "user", "assistant"]
        assert before[0]["message"] == "I go to Rome" and "word3" in before[2]["message"]
        again = http.post("/chat", json={"session_id": "trip", "message": "tokens=2 delay_ms=0"})
        assert again.json()["response"].split() == ["word0", "word1"]
        assert len(http.get("/chat/trip/history").json()) == 5


def test_q5_figures_of_many_streams_are_made_by_one_command() -> None:
    """`make bench` measures what docs/performance.md shows; two replicas come with PostgreSQL."""
    text = (ROOT / "docs" / "performance.md").read_text()
    assert "slow streams held open" in text and "make bench" in text
    assert "\nbench:" in (ROOT / "Makefile").read_text()


async def test_q6_anothers_session_message_and_label_are_404(town: Town) -> None:
    ann, eve = await town.person("ann"), await town.person("eve")
    mine = await ann.call("POST", "/chat", {"message": "hers"}, headers={"user-id": "label7"})
    session = mine.json()["session_id"]
    message = (await ann.call("GET", f"/chat/{session}/history")).json()[0]["id"]
    assert (await ann.call("GET", "/chat/label7")).status_code == 200
    for name in (session, message, "label7"):
        for method, path, body in (
            ("GET", f"/chat/{name}", None), ("GET", f"/chat/{name}/history", None),
            ("GET", f"/chat/history/{name}", None), ("PUT", f"/chat/{name}", {"message": "x"}),
            ("POST", f"/chat/{name}/message", {"message": "x"}), ("GET", f"/sessions/{name}/messages/", None),
            ("GET", f"/sessions/{name}/history/", None),
            ("POST", f"/sessions/{name}/responses/", {"message_id": message}),
        ):  # fmt: skip
            seen = await eve.call(method, path, body)
            never = await eve.call(method, path.replace(name, "0" * len(name)), body)
            assert seen.status_code == 404, (path, seen.text)
            assert seen.json() == never.json()
    assert (await eve.call("GET", f"/chat?session_id={session}")).json()["messages"] == []
    assert (await eve.call("GET", "/get_chat_history", {"session_id": session})).json() == {
        "chat_history": []
    }
    assert (await eve.call("GET", "/chat")).json() == {"chat_history": [], "messages": []}


def test_q7_the_time_to_the_first_token_that_the_server_adds_is_measured() -> None:
    text = (ROOT / "docs" / "performance.md").read_text()
    assert "first token over nominal, ms p50" in text


def test_q8_routes_reach_stores_and_models_through_services_only() -> None:
    """`make check` runs these contracts of import-linter; the dialect lies in the layer they are about."""
    text = (ROOT / "pyproject.toml").read_text()
    assert "importlinter" in text and "antiphon.api" in text
    book = ROOT / "src" / "antiphon" / "api" / "dialects" / "book"
    for file in book.glob("*.py"):
        assert "antiphon.storage" not in file.read_text() and "antiphon.providers" not in file.read_text()


WRONG: tuple[tuple[str, str, Any], ...] = (
    ("POST", "/chat", {"message": 3}), ("POST", "/chat", {"text": ["x"]}), ("POST", "/chat", {"user_id": 1}),
    ("POST", "/chat", {"session_id": 1, "message": "x"}), ("POST", "/chat", {"surprise": "x"}),
    ("POST", "/chat", {"message": ""}), ("POST", "/chat", []), ("POST", "/chat", {"user_input": {}}),
    ("POST", "/chat/s", {"message": 1}), ("POST", "/chat/s", {}), ("POST", "/chat/s", {"user_input": ""}),
    ("PUT", "/chat/s", {"message": 1}), ("POST", "/chat/s/message", {}), ("POST", "/chat/response", {}),
    ("POST", "/rag", {}), ("POST", "/rag", {"message": "x"}), ("POST", "/rag", {"prompt": 1}),
    ("POST", "/llm_response", {"prompt": None}), ("POST", "/chat/llm", {}),
    ("POST", "/start_session", {"user_id": ["x"]}), ("POST", "/start_session", {}),
    ("POST", "/send_message", {"session_id": "s"}), ("POST", "/send_message", {"message": "x"}),
    ("POST", "/sessions/", {"users": []}), ("POST", "/sessions/", {"users": [{"id": 1, "username": "x"}]}),
    ("POST", "/sessions/", [{"id": "1"}]), ("POST", "/sessions/", {}),
    ("POST", "/sessions/s/messages/", {"text": 1}), ("POST", "/sessions/s/messages/", {}),
    ("POST", "/sessions/s/messages/", {"text": "x", "user_id": 1}),
    ("POST", "/sessions/s/responses/", {"message_id": 1}), ("POST", "/sessions/s/responses/", {}),
    ("POST", "/messages/", {"text": "x", "user_id": "one"}), ("POST", "/messages/", {"user_id": 1}),
    ("POST", "/messages/", {"text": "x", "user_id": True}), ("POST", "/save_conversation", []),
    ("POST", "/save_conversation", [{"text": 1}]), ("POST", "/save_conversation", {"conversation": "x"}),
    ("POST", "/login", {"username": "x"}), ("POST", "/login", {"username": 1, "password": "x"}),
)  # fmt: skip


async def test_q9_wrong_types_are_422_and_store_nothing(api: Api) -> None:
    def held() -> list[Any]:
        return [
            api.world.rows(f"SELECT COUNT(*) FROM {table}") for table in ("conversations", "items", "runs")
        ]

    before = held()
    for method, path, body in WRONG:
        response = await api.http.request(method, path, json=body)
        assert response.status_code == 422, (path, body, response.status_code, response.text)
        assert response.json()["detail"] and isinstance(response.json()["error"], str)
    assert held() == before
    shapes = (await api.http.post("/chat", json={"surprise": 1})).json()["error"]
    assert "session_id and message" in shapes, "the accepted shapes are named"


FACT = "The lighthouse of Grimsby was painted violet in 1931."


async def test_q10_rag_answers_from_the_callers_own_passages_and_no_others(tmp_path: Path) -> None:
    question = "How was the lighthouse of Grimsby painted?"
    async with running_world(tmp_path / "data") as world, in_process(world) as api:
        bob, library = await another_person(world, "bob"), Library(world)
        await library.add(await library.collection(), "grimsby.txt", FACT)
        await library.add(await library.collection(), "bread.txt", "Bread is painted with egg.")
        hoax = "The lighthouse of Grimsby is a hoax."
        await library.add(await library.collection(bob), "hoax.txt", hoax)
        for body in ({"prompt": question}, {"message": question, "session_id": "g"}):
            assert "response" in await api.post("/rag", body)
            prompt = str(world.hand.calls[-1].request.messages)
            assert FACT in prompt and hoax not in prompt
            assert "Bread" not in prompt or prompt.index(FACT) < prompt.index("Bread"), "ranked"
        found = (await api.get("/process_query", query="lighthouse Grimsby"))["result"]
        assert {one["source"] for one in found} >= {"grimsby.txt"} and hoax not in str(found)
        assert all(one.keys() == {"text", "source", "score"} for one in found)
        assert (await world.path(await _named(api, "g")))[-1].role == "assistant", "it is stored"


async def _named(api: Api, session: str) -> str:
    found = await api.world.application.chat_sessions.get(api.world.who, session)
    return f"conv_{found.conversation.id}"


async def test_q11_a_fact_outside_the_models_window_reaches_the_prompt(tmp_path: Path) -> None:
    async with recalling(tmp_path / "data") as world, in_process(world) as api:
        await api.post("/send_message", {"session_id": "long", "message": FACT})
        filler = "Nothing of note happened on this day, and the weather was fair. " * 60
        for number in range(12):
            await api.post("/send_message", {"session_id": "long", "message": f"{number} {filler}"})
        await api.post(
            "/send_message", {"session_id": "other", "message": "Grimsby lighthouse is elsewhere."}
        )
        await world.indexed()
        await api.post("/chat", {"session_id": "long", "message": "When was Grimsby's lighthouse painted?"})
        sent = world.hand.calls[-1].request.messages
        assert FACT not in str(sent[1:]), "the turn itself is out of view"
        assert sent[0]["role"] == "user" and FACT in sent[0]["content"], "with the rank of who said it"
        assert is_record(sent[0]["content"])
        assert "elsewhere" not in str(sent), "other sessions are not reached this way"


async def test_q11_a_session_that_fits_recalls_nothing(api: Api) -> None:
    await api.post("/chat", {"session_id": "short", "message": FACT})
    await api.post("/chat", {"session_id": "short", "message": "lighthouse?"})
    sent = api.world.hand.calls[-1].request.messages
    assert [message["role"] for message in sent] == ["user", "assistant", "user"]


async def test_q12_a_message_is_found_by_its_word(tmp_path: Path) -> None:
    async with recalling(tmp_path / "data") as world, in_process(world) as api:
        await api.post("/chat", {"session_id": "s", "message": "My cat sleeps on the piano"})
        await api.post("/chat", {"session_id": "s", "message": "Something else"})
        await world.indexed()
        for found in (
            await api.get("/chat/search", query="piano"),
            await api.call("GET", "/chat/search", {"query": "piano"}),
        ):
            assert [(one["chat_message"], one["response"]) for one in found] == [
                ("My cat sleeps on the piano", "re: My cat sleeps on the piano")
            ]
            assert found[0]["session_id"] == "s"


async def test_q12_a_conversation_that_goes_meanwhile_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with recalling(tmp_path / "data") as world, in_process(world) as api:
        for name in "ab":
            await api.post("/send_message", {"session_id": name, "message": f"The piano of {name}"})
        await world.indexed()
        going_after(
            "search", monkeypatch, lambda found: found.data[0].shown.conversation, of=Search,
            conversations=world.application.conversations,
        )  # fmt: skip
        assert len(await api.get("/chat/search", query="piano")) == 1


async def test_q12_a_message_is_found_by_a_paraphrase(tmp_path: Path) -> None:
    model = f"local:{minilm()}"
    async with recalling(tmp_path / "data", embedding_model=model) as world, in_process(world) as api:
        await api.post("/send_message", {"session_id": "s", "message": "My cat sleeps on the piano"})
        await api.post("/send_message", {"session_id": "s", "message": "Taxes are due in April"})
        await embedded(world)
        found = await api.get("/chat/search", query="a pet taking a nap on an instrument")
        assert found[0]["chat_message"] == "My cat sleeps on the piano"


async def embedded(world: Recalling) -> None:
    """Index and embed all that was committed."""
    await world.indexed()
    job = asyncio.create_task(world.follower.embed())
    try:
        await until(lambda: [one["vectors"] for one in passages(world.directory)] == [1, 1])
    finally:
        job.cancel()


async def test_q13_a_second_request_of_the_same_name_finds_the_memory_of_the_first(api: Api) -> None:
    started = await api.post("/start_session", {"user_id": "user1"})
    for name in (started["session_id"], "named by the client", " spaced "):
        await api.post("/chat", {"session_id": name, "message": "one"})
        await api.post("/chat", {"session_id": name.strip(), "message": "two"})
        assert api.world.hand.calls[-1].prompts == ["user:one", "assistant:re: one", "user:two"]
    listed = await api.get("/conversations")
    assert len(listed) == 3 and [one["id"] for one in listed] == [1, 2, 3]
    await api.delete(f"/v1/conversations/{started['session_id']}")
    assert (await api.http.get(f"/chat/{started['session_id']}")).status_code == 404
    assert [one["id"] for one in await api.get("/conversations")] == [2, 3], "numbers stay"
