"""The corners of the FastAPI book's calls: which session is meant, what waits for what, what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import pytest

from tests.api.client import Api
from tests.api.people_fixtures import Town
from tests.dialects.going import going_after
from tests.dialects.rooms import Room, listening, opened_room


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    async with opened_room(tmp_path / "data") as opened:
        yield opened


async def texts(api: Api, session: str) -> list[str]:
    return [one["message"] for one in await api.get(f"/chat/{session}/history")]


# --- which session is meant


async def test_a_label_leads_to_the_latest_session_opened_under_it(api: Api) -> None:
    for text in ("one", "two"):
        made = await api.post("/chat", {"message": text}, status=201, user_id="7")
        assert made["message"] == f"re: {text}"
    assert (await api.get("/chat/7"))["chat_history"] == ["two", "re: two"]


async def test_of_a_name_and_a_label_the_one_used_last_is_shown(api: Api) -> None:
    await api.post("/send_message", {"session_id": "7", "message": "by name"})
    assert (await api.get("/chat/7"))["chat_history"] == ["by name"]
    await api.post("/chat", {"message": "by label"}, status=201, user_id="7")
    assert (await api.get("/chat/7"))["chat_history"] == ["by label", "re: by label"]
    await api.post("/send_message", {"session_id": "7", "message": "again"})
    assert (await api.get("/chat/7"))["chat_history"] == ["by name", "again"], "also after it was kept"


async def test_a_name_may_be_any_text_and_the_header_carries_it(api: Api) -> None:
    response = await api.http.post("/chat", json={"session_id": " Tee & Brötchen ", "message": "x"})
    assert response.json()["session_id"] == "Tee & Brötchen"
    assert unquote(response.headers["session-id"]) == "Tee & Brötchen"
    refused = await api.http.post("/chat", json={"session_id": "history", "message": "x"})
    assert refused.status_code == 422, "a word of the paths"


async def test_an_id_of_ours_that_is_none_of_theirs_makes_nothing(api: Api) -> None:
    for method, path in (("POST", "/chat/conv_{}"), ("POST", "/sessions/conv_{}/messages/")):
        response = await api.http.request(method, path.format("0" * 32), json={"message": "x"})
        assert response.status_code == 404
    assert api.world.rows("SELECT COUNT(*) FROM conversations") == [(0,)]


async def test_the_cookie_goes_before_the_session_used_last(api: Api) -> None:
    first = await api.http.post("/chat", json={"message": "one"})
    assert "HttpOnly" in first.headers["set-cookie"]
    api.http.cookies.clear()
    await api.post("/chat", {"session_id": "other", "message": "elsewhere"})
    assert (await api.get("/chat/history"))[0]["message"] == "elsewhere"
    cookie = {"cookie": f"session={first.json()['session_id']}"}
    shown = await api.http.get("/chat/history", headers=cookie)
    assert shown.json()[0]["message"] == "one"
    more = await api.http.post("/chat", json={"message": "two"}, headers=cookie)
    assert more.json()["session_id"] == first.json()["session_id"] and "set-cookie" not in more.headers


async def test_an_empty_history_is_shown_where_there_is_no_session_and_nothing_is_made(api: Api) -> None:
    assert await api.get("/chat/history") == []
    assert await api.get("/messages/") == [] and await api.get("/conversations") == []
    assert (await api.get("/get_chat_history", session_id="nowhere")) == {"chat_history": []}
    assert (await api.get("/chat", session_id="nowhere"))["messages"] == []
    assert api.world.rows("SELECT COUNT(*) FROM conversations") == [(0,)]


async def test_with_credentials_a_sessions_id_is_none(town: Town) -> None:
    ann = await town.person("ann")
    session = (await ann.call("POST", "/chat", {})).json()["session_id"]
    refused = await town.http.get("/chat/history", headers={"authorization": f"Bearer {session}"})
    assert refused.status_code == 401
    for path, headers in (
        (f"/chat/history?session_id={session}", {}), ("/chat/history", {"session-id": session}),
    ):  # fmt: skip
        shown = await ann.call("GET", path, headers=headers)
        assert (shown.status_code, shown.json()) == (200, [])


async def test_a_lone_message_is_answered_by_key_and_kept_by_bearer(town: Town) -> None:
    ann = await town.person("ann")
    kept = (await ann.call("POST", "/chat", {"message": "x"})).json()
    assert kept["message"] == "Chat created successfully" and "response" not in kept
    by_key = await town.http.post("/chat", json={"message": "x"}, headers={"x-api-key": await ann.key()})
    assert by_key.json()["response"] == "re: x"


# --- what waits, what stays


async def test_what_is_sent_while_the_model_answers_waits_and_keeps_its_order(room: Room) -> None:
    ann = await room.person("ann")
    asking = [asyncio.create_task(ann.call("POST", "/chat/s", {"message": "one"}))]
    call = await room.world.hand.next()
    for body in ({"text": "two"}, {"text": "three"}):
        asking.append(asyncio.create_task(ann.call("POST", "/sessions/s/messages/", body)))
        await asyncio.sleep(0.05)  # they arrive one after the other
    assert not any(one.done() for one in asking)
    call.answer("first")
    assert [(await one).status_code for one in asking] == [200, 201, 201]
    history = (await ann.call("GET", "/chat/s/history")).json()
    assert [one["message"] for one in history] == ["one", "first", "two", "three"]


async def test_an_edit_leaves_the_earlier_message_beside(api: Api) -> None:
    await api.post("/chat/s", {"message": "one"})
    await api.post("/chat/s", {"message": "two"})
    changed = await api.call("PUT", "/chat/s", {"message": "better"})
    assert changed["message"] == "re: better"
    assert await texts(api, "s") == ["one", "re: one", "better", "re: better"]
    stored = api.world.rows("SELECT payload FROM items")
    assert any('"two"' in row[0] for row in stored)
    empty = await api.http.put(f"/chat/{(await api.post('/chat'))['session_id']}", json={"message": "x"})
    assert empty.status_code == 404 and "POST a message first" in empty.json()["error"]


async def test_an_answer_to_an_earlier_message_leaves_the_history_as_it_is(api: Api) -> None:
    first = await api.post("/sessions/s/messages/", {"text": "first", "user_id": "u"}, status=201)
    await api.post("/sessions/s/messages/", {"text": "second", "user_id": "u"}, status=201)
    reply = await api.post("/sessions/s/responses/", {"message_id": first["id"], "user_id": "u"})
    assert reply["response"] == "re: first" and api.world.hand.calls[-1].prompts == ["user:first"]
    assert await texts(api, "s") == ["first", "second"]
    for wrong in ("message_id", "0" * 32):
        refused = await api.http.post("/sessions/s/responses/", json={"message_id": wrong})
        assert refused.status_code == 404 and "messages/" in refused.json()["error"]


async def test_answers_to_one_message_asked_for_at_once_stand_beside_each_other(held: Api) -> None:
    asked = await held.post("/sessions/s/messages/", {"text": "q", "user_id": "u"}, status=201)
    body = {"message_id": asked["id"], "user_id": "u"}
    asking = [asyncio.create_task(held.post("/sessions/s/responses/", body)) for _ in range(4)]
    for number in range(4):
        call = await held.world.hand.next()
        assert call.prompts == ["user:q"], "none is shown the answer of another"
        call.answer(f"a{number}")
    answers = sorted([one["response"] for one in await asyncio.gather(*asking)])
    assert answers == ["a0", "a1", "a2", "a3"] and await texts(held, "s") == ["q", "a0"]


async def test_a_conversation_that_goes_while_the_list_is_made_is_left_out(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abc":
        await api.post("/send_message", {"session_id": name, "message": "x"})
    going_after("page", monkeypatch, lambda found: found.data[1])
    assert [one["session_id"] for one in await api.get("/conversations")] == ["a", "c"]


async def test_a_long_conversation_is_saved_whole_with_its_times(api: Api) -> None:
    lines = [
        {"text": f"line {number}", "timestamp": f"2023-02-20 14:30:{number:02d}"} for number in range(45)
    ]
    saved = await api.post("/save_conversation", {"conversation": lines})
    (shown,) = await api.get("/conversations")
    assert [(one["text"], one["timestamp"]) for one in shown["messages"]] == [
        (one["text"], one["timestamp"]) for one in lines
    ]
    assert shown["session_id"] == saved["session_id"]


async def test_lists_hold_a_hundred_and_lead_to_what_is_older(api: Api) -> None:
    lines = [{"text": str(number)} for number in range(130)]
    session = (await api.post("/save_conversation", lines))["session_id"]
    first = await api.http.get(f"/chat/{session}/history")
    assert [one["message"] for one in first.json()] == [str(number) for number in range(30, 130)]
    link = first.headers["link"]
    older = await api.http.get(link[1 : link.index(">")])
    assert [one["message"] for one in older.json()] == [str(number) for number in range(30)]
    assert "link" not in older.headers
    assert len((await api.get("/chat", limit=5))["messages"]) == 5


async def walked(api: Api, path: str, key: str | None = None, **headers: str) -> list[list[Any]]:
    """The pages that a list's links lead to, newest first, each as it is told."""
    pages: list[list[Any]] = []
    link = path
    while link:
        found = await api.http.get(link, headers=headers)
        assert found.status_code == 200, found.text
        pages.append(found.json() if key is None else found.json()[key])
        next_page = found.headers.get("link", "")
        link = next_page[1 : next_page.index(">")] if next_page else ""
    return pages


async def test_every_list_leads_to_what_is_older(api: Api) -> None:
    """Also those over all sessions, those of numbers, and those of texts alone; nothing comes twice."""
    for number in range(7):
        await api.post("/messages", {"text": f"m{number}"})
        await api.post("/send_message", {"session_id": f"s{number % 2}", "message": f"n{number}"})
    said = [f"{letter}{number}" for number in range(7) for letter in "mn"]
    for path, key in (("/chat?limit=4", "messages"), ("/chat_history?limit=4", "chat_history")):
        pages = await walked(api, path, key)
        assert [len(page) for page in pages] == [4, 4, 4, 2]
        told = [one if isinstance(one, str) else one["text"] for page in reversed(pages) for one in page]
        assert told == said
    pages = await walked(api, "/messages/?limit=3")
    assert [[one["text"] for one in page] for page in pages] == [
        ["m4", "m5", "m6"],
        ["m1", "m2", "m3"],
        ["m0"],
    ]
    assert [one["id"] for one in pages[-1]] == [1]
    pages = await walked(api, "/conversations?limit=2")
    assert [len(page) for page in pages] == [2, 1]
    ids = [one["id"] for page in pages for one in page]
    assert len(set(ids)) == 3 and ids == [
        one["id"] for page in await walked(api, "/conversations?limit=2") for one in page
    ]
    for path in ("/chat?after=x", "/chat_history?after=1", "/messages/?after=x", "/conversations?after=x"):
        refused = await api.http.get(path)
        assert refused.status_code == 422 and "'" in refused.json()["error"]


async def test_the_link_to_what_is_older_names_the_session_again(api: Api) -> None:
    for number in range(5):
        await api.post("/send_message", {"session_id": "a b", "message": str(number)})
    await api.post("/send_message", {"session_id": "other", "message": "elsewhere"})
    calls: list[tuple[str, dict[str, Any], str | None]] = [
        ("/chat?session_id=a%20b", {}, "messages"),
        ("/chat_history", {"headers": {"session_id": "a b"}}, "chat_history"),
        ("/get_chat_history", {"json": {"session_id": "a b"}}, "chat_history"),
        ("/chat/history", {"headers": {"cookie": "session=a b"}}, None),
        ("/chat/a%20b/history", {}, None),
    ]  # fmt: skip
    for path, fields, key in calls:
        first = await api.http.request(
            "GET", path, params={**dict(httpx.URL(path).params), "limit": 3}, **fields
        )
        link = first.headers["link"]
        older = await api.http.get(link[1 : link.index(">")])
        told = older.json() if key is None else older.json()[key]
        texts = [one if isinstance(one, str) else one.get("text", one.get("message")) for one in told]
        assert texts == ["0", "1"], (path, link)


async def test_an_administrator_sees_everybody_page_by_page(town: Town) -> None:
    await town.account("ann")
    await town.account("bob")
    root = await town.person("root", role="admin")
    first = await root.call("GET", "/users/?limit=2")
    link = first.headers["link"]
    names = [one["name"] for one in first.json()]
    rest = await root.call("GET", link[1 : link.index(">")])
    names += [one["name"] for one in rest.json()]
    assert len(names) == len(set(names)) and {"ann", "bob", "root"} <= set(names)


@pytest.mark.parametrize(("path", "body", "field"), [
    ("/llm_response", {"prompt": ""}, "prompt"), ("/chat/s", {"user_input": ""}, "user_input"),
    ("/chat/s", {"message": ""}, "message"), ("/messages/", {"text": "", "user_id": 1}, "text"),
    ("/messages", {"text": ""}, "text"), ("/sessions/s/messages/", {"text": ""}, "text"),
    ("/sessions/s/responses/", {"prompt": ""}, "prompt"),
])  # fmt: skip
async def test_an_empty_text_is_refused_by_its_own_name(
    api: Api, path: str, body: dict[str, Any], field: str
) -> None:
    refused = await api.http.post(path, json=body)
    assert refused.status_code == 422
    assert [one["loc"] for one in refused.json()["detail"]] == [["body", field]]
    assert refused.json()["error"].startswith(f"{field}: ")
    assert api.world.rows("SELECT COUNT(*) FROM items") == [(0,)]


async def test_numbers_stay_in_the_default_session(api: Api) -> None:
    made = [await api.post("/messages/", {"text": text, "user_id": 3}) for text in ("a", "b")]
    assert [one["id"] for one in made] == [2, 4] and made[0]["user_id"] == 3
    listed = await api.get("/messages/")
    assert [(one["id"], one["text"], one["user_id"]) for one in listed] == [
        (1, "a", 3), (2, "re: a", 3), (3, "b", 3), (4, "re: b", 3),
    ]  # fmt: skip


async def test_a_kept_text_of_the_caller_stands_under_the_callers_number(api: Api) -> None:
    await api.post("/messages/", {"text": "a"})
    ((number, name),) = [(one["id"], one["name"]) for one in await api.get("/users/")]
    assert name == "local" and (await api.get("/messages/"))[0]["user_id"] == number == 1


# --- what is refused


@pytest.mark.parametrize("path", ["/generate_response?prompt=x", "/process_query?query=x"])
async def test_gets_that_act_are_no_pages_to_send(api: Api, path: str) -> None:
    for mode in ("navigate", "no-cors"):
        headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": mode}
        assert (await api.http.get(path, headers=headers)).status_code == 403
    shown = await api.http.get(path)
    assert shown.status_code == 200 and shown.headers["cache-control"] == "no-store"


async def test_sql_is_looked_for_and_never_run(api: Api) -> None:
    for query in ("SELECT * FROM users", "'; DROP TABLE items; --", "x' OR '1'='1"):
        found = await api.call("GET", "/process_query", {"query": query})
        assert found["result"] == [] and ("note" in found) is query.startswith("SELECT")
    assert (await api.http.get("/chat/x' OR '1'='1")).status_code == 404
    assert api.world.rows("SELECT COUNT(*) FROM items") == [(0,)]


async def test_what_a_participant_is_called_does_not_reach_the_model(api: Api) -> None:
    await api.post("/chat", {"text": "hi", "user_id": "secret-label"}, status=201)
    assert "secret-label" not in str(api.world.hand.calls[-1].request.messages)
    stored = [row[0] for row in api.world.rows("SELECT payload FROM items")]
    assert any("secret-label" in one for one in stored)


async def test_a_live_feed_is_closed_to_who_may_not_read(room: Room) -> None:
    ann, eve = await room.person("ann"), await room.person("eve")
    session = await room.shared_session(ann)
    for name in (session, "0" * 32):
        async with room.live(name, eve) as line:
            assert (await line.next())["type"] == "error"
            await line.connection.wait_closed()
            assert line.connection.close_code == 4404
    async with listening(room.port, session) as line:
        await line.say(text="let me in")
        await line.connection.wait_closed()
        assert line.connection.close_code == 4401
