"""The official Python SDK's `responses.connect()`: turns over one WebSocket."""

from __future__ import annotations

from typing import Any

from openai import OpenAI

from tests.e2e.sdk.vocabulary import (
    CODE_WORD,
    ECHO,
    RECALL,
    REMEMBER,
    TEXT,
)


def turn(connection: Any) -> list[Any]:
    """The events of one turn, up to its terminal one."""
    events = []
    for event in connection:
        events.append(event)
        if event.type in ("response.completed", "response.failed", "response.incomplete", "error"):
            return events
    raise AssertionError(f"the socket closed after {[event.type for event in events]}")


def test_turns_over_a_websocket(client: OpenAI) -> None:
    with client.responses.connect() as connection:
        connection.response.create(model=ECHO, input=REMEMBER, store=False)
        first = turn(connection)
        assert first[-1].type == "response.completed"
        assert [event.sequence_number for event in first] == list(range(len(first)))

        connection.response.create(
            model=ECHO, input=RECALL, store=False, previous_response_id=first[-1].response.id
        )
        second = turn(connection)
        assert CODE_WORD in second[-1].response.output[0].content[0].text


def test_a_websocket_survives_an_error(client: OpenAI) -> None:
    with client.responses.connect() as connection:
        connection.response.create(model=TEXT, input="Hello", previous_response_id="resp_" + "0" * 32)
        (error,) = turn(connection)
        assert error.error.code == "previous_response_not_found"

        connection.response.create(model=TEXT, input="Hello")
        assert turn(connection)[-1].type == "response.completed"


def test_a_warm_up_makes_nothing_but_an_id(client: OpenAI) -> None:
    with client.responses.connect() as connection:
        connection.response.create(model=ECHO, input=REMEMBER, store=False, generate=False)
        warm = turn(connection)[-1]
        assert warm.type == "response.completed"
        assert warm.response.output == []

        connection.response.create(
            model=ECHO, input=RECALL, store=False, previous_response_id=warm.response.id
        )
        assert CODE_WORD in turn(connection)[-1].response.output[0].content[0].text
