"""WebSocket mode of `/v1/responses`: turns in order, one memory, errors that end nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from antiphon.api.v1.responses_websocket import Inbox
from tests.api.client import Api, over_sockets
from tests.services.hand import BROKEN, ECHO, HAND, PATIENCE_SECONDS
from tests.services.world import with_policy

ENDS = {"response.completed", "response.failed", "response.incomplete", "error"}


class Socket:
    """One connection."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def send(self, **body: Any) -> None:
        await self.connection.send(json.dumps({"type": "response.create", "model": ECHO, **body}))

    async def receive(self) -> dict[str, Any]:
        frame = await asyncio.wait_for(self.connection.recv(), PATIENCE_SECONDS)
        event: dict[str, Any] = json.loads(frame)
        return event

    async def turn(self) -> list[dict[str, Any]]:
        """Everything up to the end of a turn."""
        events = [await self.receive()]
        while events[-1]["type"] not in ENDS:
            events.append(await self.receive())
        return events

    async def ask(self, text: Any, **body: Any) -> dict[str, Any]:
        """A turn; returns the response it ended with."""
        await self.send(input=text, **body)
        response: dict[str, Any] = (await self.turn())[-1]["response"]
        return response


@pytest.fixture
async def socket(served: tuple[Api, int]) -> AsyncIterator[Socket]:
    _, port = served
    async with connect(f"ws://127.0.0.1:{port}/v1/responses", proxy=None) as connection:
        yield Socket(connection)


async def test_a_turn_is_the_same_events_as_its_stream(served: tuple[Api, int], socket: Socket) -> None:
    api, _ = served
    await socket.send(input="hello")
    events = await socket.turn()
    identifier = events[-1]["response"]["id"]
    replay = await api.stream("GET", f"/v1/responses/{identifier}", params={"stream": "true"})
    assert events == [event.data for event in replay]


async def test_requests_are_answered_in_order_one_at_a_time(served: tuple[Api, int], socket: Socket) -> None:
    api, _ = served
    for text in ("one", "two", "three"):
        await socket.send(input=text, model=HAND)
    for text in ("one", "two", "three"):
        call = await api.world.hand.next()
        assert call.prompts == [f"user:{text}"]
        assert len(api.world.application.runs) == 1
        call.answer(f"re: {text}")
        last = (await socket.turn())[-1]["response"]
        assert last["output"][0]["content"][0]["text"] == f"re: {text}"


async def test_the_last_answer_that_is_not_stored_lives_with_its_socket_and_nowhere_else(
    served: tuple[Api, int], socket: Socket
) -> None:
    api, port = served
    first = await socket.ask("one", store=False)
    await socket.send(input="two", store=False, model=HAND, previous_response_id=first["id"])
    call = await api.world.hand.next()
    assert call.prompts == ["user:one", "assistant:re: one", "user:two"]
    call.answer("a2")
    second = (await socket.turn())[-1]["response"]
    async with connect(f"ws://127.0.0.1:{port}/v1/responses", proxy=None) as other:
        elsewhere = Socket(other)
        await elsewhere.send(input="x", store=False, previous_response_id=second["id"])
        assert (await elsewhere.turn())[-1]["error"]["code"] == "previous_response_not_found"
    await socket.send(input="x", store=False, previous_response_id=first["id"])
    assert (await socket.turn())[-1]["error"]["code"] == "previous_response_not_found", (
        "only the last one is kept"
    )


async def test_a_failed_continuation_evicts_what_it_continued(socket: Socket) -> None:
    first = await socket.ask("one", store=False)
    await socket.send(input=[{"type": "nonsense"}, 5], store=False, previous_response_id=first["id"])
    assert (await socket.turn())[-1]["type"] == "error"
    await socket.send(input="two", store=False, previous_response_id=first["id"])
    assert (await socket.turn())[-1]["error"]["code"] == "previous_response_not_found"


async def test_a_continuation_that_failed_at_the_model_is_not_continued(socket: Socket) -> None:
    first = await socket.ask("one", store=False)
    failed = await socket.ask("two", store=False, model=BROKEN, previous_response_id=first["id"])
    assert failed["status"] == "failed"
    await socket.send(input="three", store=False, previous_response_id=failed["id"])
    assert (await socket.turn())[-1]["type"] == "error"


async def test_a_stored_answer_can_be_continued_over_http_and_back(
    served: tuple[Api, int], socket: Socket
) -> None:
    api, _ = served
    first = await socket.ask("one")
    second = await api.ask("two", previous_response_id=first["id"])
    third = await socket.ask("three", previous_response_id=second["id"])
    assert third["antiphon"]["conversation_id"] == first["antiphon"]["conversation_id"]
    assert await api.texts(first["antiphon"]["conversation_id"]) == [
        "one", "re: one", "two", "re: two", "three", "re: three",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "no json", "[]", "5", "null", "", '{"type": "response.create", "surprise": 1}', '{"type": "what"}',
        '{"type": "response.create", "input": "x", "background": true}', '{"type": "response.create"}',
        '{"type": "response.create", "input": "x", "model": "nobody/nothing"}', "[" * 10_000,
    ],
)  # fmt: skip
async def test_a_message_that_cannot_be_is_one_error_and_the_socket_stays_open(
    socket: Socket, text: str
) -> None:
    await socket.connection.send(text)
    error = await socket.receive()
    assert (error["type"], error.keys()) == ("error", {"type", "status", "error"})
    assert error["error"].keys() == {"message", "type", "param", "code"} and error["error"]["code"]
    assert (await socket.ask("hello"))["status"] == "completed"


async def test_a_stream_id_is_on_every_event_of_its_turn_and_of_its_error(socket: Socket) -> None:
    await socket.send(input="hello", stream_id="s1")
    assert {event["stream_id"] for event in await socket.turn()} == {"s1"}
    await socket.send(input="hello")
    assert all("stream_id" not in event for event in await socket.turn())
    await socket.send(input="hello", stream_id="s2", model="nobody/nothing")
    assert (await socket.receive()).get("stream_id") == "s2", "a client must know which request failed"


async def test_a_warm_up_stores_the_input_and_asks_no_model(served: tuple[Api, int], socket: Socket) -> None:
    api, _ = served
    warm = await socket.ask("one", generate=False)
    assert (warm["status"], warm["output"]) == ("completed", [])
    assert api.world.hand.calls == []
    await socket.send(input="two", model=HAND, previous_response_id=warm["id"])
    call = await api.world.hand.next()
    assert call.prompts == ["user:one", "user:two"]
    call.answer("ok")
    await socket.turn()


async def test_a_stored_run_outlives_its_socket_and_another_dies_with_it(served: tuple[Api, int]) -> None:
    api, port = served
    for store in (True, False):
        async with connect(f"ws://127.0.0.1:{port}/v1/responses", proxy=None) as connection:
            await Socket(connection).send(input="x", model=HAND, store=store)
            call = await api.world.hand.next()
            call.say("half")
        if store:
            call.end()
            while len(api.world.application.runs):
                for live in api.world.application.runs:
                    await live.wait()
            assert api.world.rows("SELECT state FROM runs") == [("completed",)]
        else:
            await asyncio.wait_for(call.closed.wait(), PATIENCE_SECONDS)


async def test_a_silent_run_that_is_not_stored_dies_with_its_socket_too(served: tuple[Api, int]) -> None:
    api, port = served
    async with connect(f"ws://127.0.0.1:{port}/v1/responses", proxy=None) as connection:
        await Socket(connection).send(input="x", model=HAND, store=False)
        call = await api.world.hand.next()
    await asyncio.wait_for(call.closed.wait(), PATIENCE_SECONDS)


async def test_while_much_waits_nothing_more_is_read() -> None:
    """Of 64 messages that wait each may be as large as a body; what is not read, the client keeps."""
    inbox = Inbox(most_bytes=100)
    for message in (b"x" * 60, b"y" * 40):
        await asyncio.wait_for(inbox.put(message), PATIENCE_SECONDS)
    third = asyncio.create_task(inbox.put(b"z" * 50))
    await asyncio.sleep(0)
    assert not third.done()
    assert await inbox.get() == b"x" * 60
    await asyncio.wait_for(third, PATIENCE_SECONDS)
    assert [await inbox.get(), await inbox.get()] == [b"y" * 40, b"z" * 50]


async def require_bounded(socket: Socket) -> None:
    first = await socket.ask("x" * 1_500, store=False)
    await socket.send(input="y" * 1_500, store=False, previous_response_id=first["id"])
    refused = (await socket.turn())[-1]
    assert (refused["status"], refused["error"]["code"]) == (413, "request_too_large")
    assert (await socket.ask("a new one", store=False))["status"] == "completed"


async def test_a_chain_that_is_not_stored_is_no_larger_than_a_body(served: tuple[Api, int]) -> None:
    api, _ = served
    small = with_policy(api.world.application, max_body_bytes=4_000)
    async with (
        over_sockets(api.world, small) as (_, port),
        connect(f"ws://127.0.0.1:{port}/v1/responses", proxy=None) as connection,
    ):
        await require_bounded(Socket(connection))
