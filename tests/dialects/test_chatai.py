"""What ChatAI-API's document says of conversations, messages and streams, sentence by sentence."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.client import Api, Reader, in_process, parse_events
from tests.dialects.conftest import world_of
from tests.dialects.going import going_after
from tests.services.hand import ECHO, Call

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


async def started(api: Api) -> str:
    """The path on which a new conversation is chatted on."""
    made = await api.call("POST", "/conversation")
    return f"/conversation/completion/{made['id']}"


async def said(api: Api) -> list[str]:
    """Who said what in the newest conversation."""
    newest = (await api.get("/conversation"))[-1]
    return [f"{one['author']}: {one['content']}" for one in newest["messages"]]


async def test_a_conversation_is_created_without_a_body(api: Api) -> None:
    response = await api.http.post("/conversation")
    made = response.json()
    assert response.status_code == 200 and made.keys() == {"id", "messages", "created_at"}
    assert UUID.fullmatch(made["id"]) and made["messages"] == []
    assert MOMENT.fullmatch(made["created_at"])


async def test_all_messages_are_linked_to_conversations_and_persisted(api: Api) -> None:
    path = await started(api)
    answered = await api.post(path, {"message": "What is the current day?", "stream": "false"})
    assert answered.keys() == {"id", "author", "content", "created_at"}
    assert (answered["author"], answered["content"]) == ("assistant", "re: What is the current day?")
    (shown,) = await api.get("/conversation")
    assert [one.keys() for one in shown["messages"]] == [answered.keys()] * 2
    assert shown["messages"][1] == answered, "the list tells of the answer what the answer told"
    assert shown["messages"][0]["author"] == "user"
    assert path.endswith(shown["id"])


async def test_every_time_is_utc_with_microseconds_and_z(api: Api) -> None:
    path = await started(api)
    await api.post(path, {"message": "hello"})
    (shown,) = await api.get("/conversation")
    times = [shown["created_at"], *(one["created_at"] for one in shown["messages"])]
    assert all(MOMENT.fullmatch(one) for one in times) and times == sorted(times)


async def test_the_history_goes_to_the_model(api: Api) -> None:
    path = await started(api)
    await api.post(path, {"message": "one"})
    await api.post(path, {"message": "two"})
    assert api.world.hand.calls[-1].prompts == ["user:one", "assistant:re: one", "user:two"]


@pytest.mark.parametrize("stream", ["false", False, "no", 0, "off", "0", None])
async def test_stream_may_be_a_word_for_no_or_absent(api: Api, stream: Any) -> None:
    body = {"message": "x"} | ({} if stream is None else {"stream": stream})
    assert (await api.post(await started(api), body))["content"] == "re: x"


@pytest.mark.parametrize("stream", ["true", True, "yes", 1, "on", "1"])
async def test_stream_may_be_a_word_for_yes(api: Api, stream: Any) -> None:
    response = await api.http.post(await started(api), json={"message": "x", "stream": stream})
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.text == "re: x"


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({}, ["body", "message"]),
        ({"message": 5}, ["body", "message"]),
        ({"message": ""}, ["body", "message"]),
        ({"message": None}, ["body", "message"]),
        ({"message": "secret-words", "stream": "perhaps"}, ["body", "stream"]),
        ({"message": "secret-words", "stream": {}}, ["body", "stream"]),
        ([], ["body"]),
        ("secret-words", ["body"]),
    ],
)
async def test_what_is_wrong_with_a_body_is_told_as_fastapi_tells_it(
    api: Api, body: Any, place: list[str]
) -> None:
    response = await api.http.post(await started(api), json=body)
    assert response.status_code == 422
    (fault,) = response.json()["detail"]
    assert fault.keys() == {"type", "loc", "msg"} and fault["loc"] == place
    assert "secret-words" not in response.text
    assert await said(api) == [], "nothing is stored"


@pytest.mark.parametrize("name", ["248f789b-28cd-4cea-8c33-a2621430f81b", "x", "1", "conv_" + "0" * 32])
async def test_an_unknown_conversation_is_404(api: Api, name: str) -> None:
    for stream in ("false", "true"):
        response = await api.http.post(
            f"/conversation/completion/{name}", json={"message": "x", "stream": stream}
        )
        assert response.status_code == 404 and response.json().keys() == {"detail"}


async def test_conversations_of_v1_are_listed_and_can_be_chatted_on(api: Api) -> None:
    made = await api.conversation("first")
    answered = await api.post(f"/conversation/completion/{made}", {"message": "second"})
    assert answered["content"] == "re: second"
    assert await said(api) == ["user: first", "user: second", "assistant: re: second"]
    assert await api.texts(made) == ["first", "second", "re: second"]


async def test_only_messages_of_users_and_the_assistant_are_listed(api: Api) -> None:
    items = [
        {"role": "system", "content": "be brief"},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"role": "assistant", "content": "hello"},
    ]
    await api.post("/v1/conversations", {"items": items})
    assert await said(api) == ["assistant: hello"]


async def test_the_active_branch_is_what_is_listed(api: Api) -> None:
    path = await started(api)
    await api.post(path, {"message": "one"})
    conversation = (await api.get("/v1/conversations"))["data"][0]["id"]
    items = await api.get(f"/v1/conversations/{conversation}/items", order="asc")
    edit = f"/v1/conversations/{conversation}/items/{items['data'][0]['id']}/edit"
    await api.post(edit, {"content": "uno", "model": ECHO})
    assert await said(api) == ["user: uno", "assistant: re: uno"]
    await api.post(path, {"message": "due"})
    assert (await said(api))[2:] == ["user: due", "assistant: re: due"]


# --- streams


@asynccontextmanager
async def streaming(
    held: Api, path: str, *, events: bool = False
) -> AsyncIterator[tuple[httpx.Response, Call]]:
    """A stream whose model has said `one ` and no more: the status comes with the first word."""

    async def begin() -> Call:
        call = await held.world.hand.next()
        call.say("one ")
        return call

    beginning = asyncio.create_task(begin())
    headers = {"accept": "text/event-stream"} if events else {}
    body = {"message": "x", "stream": "true"}
    async with held.http.stream("POST", path, json=body, headers=headers) as response:
        yield response, await beginning


async def test_a_stream_arrives_as_the_answer_is_made(held: Api) -> None:
    async with streaming(held, await started(held)) as (response, call):
        pieces = response.aiter_text()
        assert await anext(pieces) == "one "
        call.say("two")
        assert await anext(pieces) == "two"
        call.end()
        assert [piece async for piece in pieces] == []
    assert await said(held) == ["user: x", "assistant: one two"]


async def test_events_are_one_for_each_delta_and_the_message_at_the_end(held: Api) -> None:
    async with streaming(held, await started(held), events=True) as (response, call):
        assert response.headers["content-type"].startswith("text/event-stream")
        reader = Reader(response)
        assert (await reader.next()).data == {"content": "one "}
        call.say("two")
        assert (await reader.next()).data == {"content": "two"}
        call.end()
        last = await reader.next()
    assert (last.name, last.data["content"]) == ("message", "one two")
    shown = (await held.get("/conversation"))[0]["messages"]
    assert shown[1] == last.data, "the list tells of the answer what its stream told"


async def test_a_client_that_leaves_stops_nothing(held: Api) -> None:
    path = await started(held)
    async with streaming(held, path) as (response, call):
        assert await anext(response.aiter_text()) == "one "
    call.answer("two")
    answering = asyncio.create_task(held.post(path, {"message": "y"}))  # waits for the answer before
    (await held.world.hand.next()).answer("three")
    await answering
    assert await said(held) == ["user: x", "assistant: one two", "user: y", "assistant: three"]


async def test_a_stream_that_breaks_off_has_no_proper_end(held: Api) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        async with streaming(held, await started(held)) as (response, call):
            pieces = response.aiter_text()
            assert await anext(pieces) == "one "
            call.fail()
            assert [piece async for piece in pieces] == []


async def test_events_of_a_stream_that_breaks_off_end_with_an_error(held: Api) -> None:
    async with streaming(held, await started(held), events=True) as (response, call):
        call.fail("the model broke")
        events = parse_events((await response.aread()).decode())
    assert [one.name for one in events] == ["delta", "error"]
    assert events[-1].data == {"detail": "the model broke"}


@pytest.mark.parametrize("stream", ["false", "true"])
async def test_a_model_that_fails_is_502_with_a_sentence_and_the_message_is_stored(
    broken: Api, stream: str
) -> None:
    path = await started(broken)
    response = await broken.http.post(path, json={"message": "keep me", "stream": stream})
    assert (response.status_code, response.json()) == (502, {"detail": "broken"})
    stored = broken.world.rows("SELECT payload FROM items")
    assert len(stored) == 1 and "keep me" in stored[0][0]


@pytest.mark.parametrize("stream", ["false", "true"])
@pytest.mark.parametrize(
    ("said", "wait"),
    [("status=429 retry_after=33", "33"), ("status=503 retry_after=9", "9"), ("status=429", "5")],
)
async def test_a_model_that_is_overloaded_is_503_and_says_when_to_come_back(
    tmp_path: Path, stream: str, said: str, wait: str
) -> None:
    async with (
        world_of(tmp_path / "limited", "scripted/fail-before") as opened,
        in_process(opened) as limited,
    ):
        response = await limited.http.post(await started(limited), json={"message": said, "stream": stream})
    assert (response.status_code, response.headers["retry-after"]) == (503, wait)


# --- several at once, often, and many


async def test_messages_sent_at_once_are_answered_one_after_the_other_and_all_listed(held: Api) -> None:
    path = await started(held)
    sent = [asyncio.create_task(held.post(path, {"message": f"m{n}"})) for n in range(3)]
    for n in range(3):
        (await held.world.hand.next()).answer(f"a{n}")
    answers = [one["content"] for one in await asyncio.gather(*sent)]
    listed = await said(held)
    assert sorted(answers) == ["a0", "a1", "a2"] and len(listed) == 6
    assert [one.split(": ")[0] for one in listed] == ["user", "assistant"] * 3
    assert len(held.world.hand.calls[-1].prompts) == 5, "each is shown all that was said before"


async def test_a_retry_under_the_same_key_acts_once(api: Api) -> None:
    path, key = await started(api), {"idempotency-key": "k"}
    answers = [(await api.http.post(path, json={"message": "once"}, headers=key)).json() for _ in range(2)]
    assert answers[0] == answers[1]
    made = [(await api.http.post("/conversation", headers={"idempotency-key": "c"})).json() for _ in "ab"]
    assert made[0] == made[1] and len(await api.get("/conversation")) == 2


async def test_the_newest_hundred_are_listed_oldest_first_with_a_link_to_the_others(api: Api) -> None:
    made = [(await api.call("POST", "/conversation"))["id"] for _ in range(102)]
    response = await api.http.get("/conversation")
    assert [one["id"] for one in response.json()] == made[2:]
    older = await api.http.get(re.fullmatch(r'<(.+)>; rel="next"', response.headers["link"])[1])  # type: ignore[index]
    assert [one["id"] for one in older.json()] == made[:2] and "link" not in older.headers


async def test_a_conversation_that_goes_while_the_list_is_made_is_left_out(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [(await api.call("POST", "/conversation"))["id"] for _ in range(3)]
    going_after("page", monkeypatch, lambda found: found.data[1])
    assert [one["id"] for one in await api.get("/conversation")] == [made[0], made[2]]


async def test_a_long_conversation_shows_its_newest_hundred_messages(api: Api) -> None:
    made = await api.conversation()
    for start in range(0, 120, 20):
        items = [{"role": "user", "content": str(n)} for n in range(start, start + 20)]
        await api.post(f"/v1/conversations/{made}/items", {"items": items})
    assert await said(api) == [f"user: {n}" for n in range(20, 120)]
