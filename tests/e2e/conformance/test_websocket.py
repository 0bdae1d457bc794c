"""WebSocket mode: the turns, the memory of the socket, and the errors of the Open Responses suite."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.e2e.conformance.events import Completed, check_stream
from tests.e2e.conformance.requests import MODEL, said
from tests.e2e.conformance.shapes import CompactedResponse, Response, SocketError, parse
from tests.e2e.conformance.wire import frames
from tests.e2e.sdk.launch import Server

ECHO = "scripted/echo"
TURN_SECONDS = 30
SILENCE_SECONDS = 0.3
MISSING = "resp_" + "0" * 32
ENDS = ("response.completed", "response.failed", "response.incomplete", "error")


class Socket:
    """One connection; a turn is one message out and everything up to its terminal message in."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    def send(self, **body: Any) -> None:
        self.connection.send(json.dumps({"type": "response.create", "model": MODEL, **body}))

    def receive(self) -> list[str]:
        received = []
        while True:
            frame = self.connection.recv(TURN_SECONDS)
            assert isinstance(frame, str), "events are text frames"
            received.append(frame)
            if json.loads(frame)["type"] in ENDS:
                return received

    def turn(self, **body: Any) -> Response:
        """A turn that succeeds: its whole stream is checked, its response returned."""
        self.send(**body)
        last = check_stream(self.receive())[-1]
        assert type(last) is Completed, last
        return last.response

    def refused(self, **body: Any) -> SocketError:
        """A turn that fails: exactly one message comes, and it is a valid error envelope."""
        self.send(**body)
        (frame,) = self.receive()
        error: SocketError = parse(frame, SocketError)
        return error

    def is_silent(self) -> bool:
        try:
            self.connection.recv(SILENCE_SECONDS)
        except TimeoutError:
            return True
        return False


@pytest.fixture
def open_socket(server: Server) -> Iterator[Any]:
    headers = {"Authorization": "Bearer sk-any"}
    with ExitStack() as opened:

        def one() -> Socket:
            connecting = connect(server.websocket_url, additional_headers=headers, proxy=None)
            return Socket(opened.enter_context(connecting))

        yield one


@pytest.fixture
def socket(open_socket: Any) -> Socket:
    found: Socket = open_socket()
    return found


def text_of(response: Response) -> str:
    text: str = response.output[0].content[0].text
    return text


def test_a_turn_is_the_same_stream_as_over_http(socket: Socket) -> None:
    response = socket.turn(input=[said("user", "Count from 1 to 3.")])

    assert response.output
    assert socket.is_silent(), "nothing follows the terminal event, no [DONE] either"


def test_two_turns_follow_each_other(socket: Socket) -> None:
    first = socket.turn(store=False, input="Reply with exactly: first")
    second = socket.turn(store=False, input="Reply with exactly: second")

    assert first.id != second.id
    assert first.store is False


def test_turns_sent_at_once_are_answered_one_after_the_other(socket: Socket) -> None:
    for number in range(3):
        socket.send(model=ECHO, input=f"number {number}")
    streams = [check_stream(socket.receive()) for _ in range(3)]

    assert [text_of(stream[-1].response) for stream in streams] == ["number 0", "number 1", "number 2"]


def test_a_response_that_is_not_stored_is_continued_on_its_socket(socket: Socket) -> None:
    first = socket.turn(store=False, model=ECHO, input="The code word is cobalt.")
    second = socket.turn(store=False, model=ECHO, input="recall 1", previous_response_id=first.id)
    third = socket.turn(store=False, model=ECHO, input="recall 1", previous_response_id=second.id)

    assert text_of(second) == text_of(third) == "The code word is cobalt."
    assert second.previous_response_id == first.id


def test_a_response_that_is_not_stored_is_unknown_elsewhere(open_socket: Any, http: httpx.Client) -> None:
    before: Socket = open_socket()
    first = before.turn(store=False, input="Remember: copper.")
    before.connection.close()

    after: Socket = open_socket()
    error = after.refused(store=False, previous_response_id=first.id, input="Go on.")
    assert (error.status, error.error.code) == (400, "previous_response_not_found")
    assert http.get(f"/responses/{first.id}").status_code == 404
    assert after.turn(store=False, input=[said("user", "Start again.")]).status == "completed"


def test_a_stored_response_is_continued_on_another_socket_and_over_http(
    open_socket: Any, http: httpx.Client
) -> None:
    first = open_socket().turn(model=ECHO, input="The code word is copper.")
    second = open_socket().turn(model=ECHO, input="recall 1", previous_response_id=first.id)
    assert text_of(second) == "The code word is copper."

    body = {"model": ECHO, "input": "recall 1", "previous_response_id": second.id}
    third = parse(http.post("/responses", json=body).content, Response)
    assert text_of(third) == "The code word is copper."


def test_an_unknown_previous_response(socket: Socket) -> None:
    error = socket.refused(store=False, previous_response_id=MISSING, input="This cannot work.")
    assert (error.status, error.error.code) == (400, "previous_response_not_found")
    assert error.error.param == "previous_response_id"


def test_a_failed_continuation_forgets_what_it_named(socket: Socket) -> None:
    first = socket.turn(store=False, input="Remember: ember.")
    orphan = {"type": "function_call_output", "call_id": "call_missing", "output": "No such call."}
    socket.refused(store=False, previous_response_id=first.id, input=[orphan])

    error = socket.refused(store=False, previous_response_id=first.id, input="Go on.")
    assert error.error.code == "previous_response_not_found"


def test_a_failed_continuation_of_a_stored_response_forgets_nothing(socket: Socket) -> None:
    first = socket.turn(model=ECHO, input="Remember: ember.")
    orphan = {"type": "function_call_output", "call_id": "call_missing", "output": "No such call."}
    socket.refused(previous_response_id=first.id, input=[orphan])

    again = socket.turn(model=ECHO, previous_response_id=first.id, input="recall 1")
    assert text_of(again) == "Remember: ember."


def test_a_compacted_window_begins_a_new_chain(socket: Socket, http: httpx.Client) -> None:
    body = {
        "model": ECHO,
        "input": [
            said("user", [{"type": "input_text", "text": "Remember the code word: slate."}]),
            said("assistant", [{"type": "output_text", "text": "OK."}]),
            said("user", [{"type": "input_text", "text": "Compress this for later."}]),
        ],
    }
    answer = http.post("/responses/compact", json=body)
    parse(answer.content, CompactedResponse)

    window = answer.json()["output"]
    response = socket.turn(model=ECHO, store=False, tools=[], input=[*window, said("user", "recall 1")])
    assert "slate" in text_of(response)


def test_a_warm_up_produces_nothing_and_can_be_continued(socket: Socket) -> None:
    warm = socket.turn(store=False, model=ECHO, generate=False, input="The code word is zinc.")
    assert warm.output == []

    response = socket.turn(store=False, model=ECHO, input="recall 1", previous_response_id=warm.id)
    assert text_of(response) == "The code word is zinc."


@pytest.mark.parametrize(
    "message",
    [
        "no json",
        "[]",
        '"text"',
        "{}",
        '{"type":"response.nothing"}',
        '{"type":"response.create","model":"scripted/text","input":5}',
        '{"type":"response.create","model":"scripted/text","input":"x","background":true}',
        '{"type":"response.create","model":"nobody/nothing","input":"x"}',
    ],
)
def test_nonsense_is_answered_and_the_socket_lives_on(socket: Socket, message: str) -> None:
    socket.connection.send(message)
    (frame,) = socket.receive()
    error = parse(frame, SocketError)

    assert 400 <= error.status < 500
    assert socket.turn(input="Hello").status == "completed"


def test_a_provider_that_fails_ends_the_turn_once(socket: Socket) -> None:
    socket.send(model="scripted/fail-after", input="Hello")
    received = socket.receive()

    assert json.loads(received[-1])["type"] in ("response.failed", "error")
    assert socket.is_silent()
    assert socket.turn(input="Hello").status == "completed"


def test_a_client_that_leaves_loses_nothing_that_is_stored(socket: Socket, http: httpx.Client) -> None:
    socket.send(model="scripted/slow", input="tokens=20 delay_ms=20")
    first = json.loads(socket.connection.recv(TURN_SECONDS))
    socket.connection.close()

    rest = http.get(f"/responses/{first['response']['id']}", params={"stream": "true"})
    assert type(check_stream(frames(rest.content))[-1]) is Completed


def test_another_path_is_no_websocket(server: Server) -> None:
    elsewhere = server.websocket_url.replace("/responses", "/models")
    with pytest.raises((InvalidStatus, ConnectionClosed)), connect(elsewhere, proxy=None) as connection:
        connection.recv(TURN_SECONDS)
