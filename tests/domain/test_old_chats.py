"""Histories and administrators are recognised in whatever form an older service stored them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from antiphon.domain.old_chats import (
    OldAdministrator,
    OldHistory,
    OldMessage,
    administrator_of,
    history_of,
    session_name_of,
)

HASH = "$2b$12$" + "a" * 53
SAID = [OldMessage("user", "Hello!"), OldMessage("assistant", "Hi.")]
PLAIN = [{"role": "user", "content": "Hello!"}, {"role": "assistant", "content": "Hi."}]


@pytest.mark.parametrize(
    "value",
    [
        PLAIN,
        json.dumps(PLAIN),
        [json.dumps(one) for one in PLAIN],
        {"messages": PLAIN},
        json.dumps({"history": PLAIN, "created_at": 1}),
        {"memory": json.dumps(PLAIN)},
        [{"type": "human", "data": {"content": "Hello!"}}, {"type": "ai", "data": {"content": "Hi."}}],
        [{"role": "User", "message": "Hello!"}, {"role": "bot", "message": "Hi."}],
    ],
)
def test_a_history_is_one_in_every_form(value: Any) -> None:
    assert history_of(value) == OldHistory(SAID)


LANGCHAINS = [
    {"type": "human", "data": {"type": "human", "content": "Hello!", "additional_kwargs": {}}},
    {"type": "ai", "data": {"type": "ai", "content": "Hi."}},
]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("message_store:s", [json.dumps(one) for one in reversed(LANGCHAINS)]),
        ("message_store:s", LANGCHAINS[::-1]),
        ("my_own:s", [json.dumps(one) for one in reversed(LANGCHAINS)]),
        ("my_own:s", [json.dumps(one) for one in LANGCHAINS]),
        ("message_store:s", json.dumps(LANGCHAINS)),
        ("message_store:s", [json.dumps(one) for one in PLAIN]),
    ],
    ids=["its list", "as objects", "under another key", "the oldest first", "one text", "not its form"],
)
def test_lists_that_langchain_wrote_begin_with_the_newest(key: str, value: Any) -> None:
    assert history_of(value, key) == OldHistory(SAID)


@pytest.mark.parametrize(
    "value",
    ["", "words", 7, None, True, [], {}, "[", "[1]", [7], {"messages": 7}, [{"role": "tool", "content": "x"}],
     [{"role": "user", "content": ""}], [{"role": "user", "content": 7}], ["more"], "[" * 5000],
)  # fmt: skip
def test_what_holds_no_message_is_none(value: Any) -> None:
    assert history_of(value) is None


@pytest.mark.parametrize(
    "odd",
    [
        {"role": "assistant", "content": ""}, {"role": "assistant", "content": None},
        {"role": "tool", "content": "x"}, {"role": "user", "content": [{"type": "image_url"}]}, "more", 7,
    ],
)  # fmt: skip
def test_an_odd_message_is_left_out_and_counted(odd: Any) -> None:
    assert history_of([PLAIN[0], odd, PLAIN[1]]) == OldHistory(SAID, 1)
    assert history_of([odd, *map(json.dumps, LANGCHAINS[::-1])], "message_store:s") == OldHistory(SAID, 1)


def test_the_words_of_parts_are_read() -> None:
    parts = [{"type": "text", "text": "Hello!"}, {"type": "image_url", "image_url": {}}, "You there?"]
    value = [{"role": "user", "content": parts}, {"type": "ai", "data": {"content": parts[:1]}}]
    said = [OldMessage("user", "Hello!\nYou there?"), OldMessage("assistant", "Hello!")]
    assert history_of(value) == OldHistory(said)


@pytest.mark.parametrize(
    "value",
    [
        {"username": "boss", "password_hash": HASH},
        json.dumps({"username": "boss", "hashed_password": HASH}),
        {"username": "boss", "password": HASH, "created_at": "2024"},
    ],
)
def test_an_administrator_is_a_name_and_a_hash(value: Any) -> None:
    assert administrator_of(value) == OldAdministrator("boss", HASH)


@pytest.mark.parametrize("value", ["", "boss", 7, [], {"username": "boss"}, {"password_hash": HASH}, "{"])
def test_half_an_administrator_is_none(value: Any) -> None:
    assert administrator_of(value) is None


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("chat123", "chat123"),
        ("session:chat123", "chat123"),
        ("chat:session:chat123", "chat123"),
        ("chat_history: a b ", "a b"),
        ("mine:chat123", "mine:chat123"),
        ("message_store:chat123", "chat123"),
        ("session:", ""),
    ],
)
def test_a_session_is_called_by_its_key_without_what_all_keys_begin_with(key: str, name: str) -> None:
    assert session_name_of(key) == name
