"""The book's collections: every session of a user comes in, each said once, by whom it was said."""

from __future__ import annotations

import base64
from typing import Any
from uuid import UUID

import pytest

from antiphon.domain.chat_exports import book, branching
from antiphon.domain.chat_exports.values import name
from tests.domain.exports import told

UUID_TEXT = "11234567-89ab-4def-8123-456789abcdef"
UUID_BYTES = base64.b64encode(UUID(UUID_TEXT).bytes).decode()


def said(*documents: dict[str, Any]) -> list[str]:
    return [f"{role} {what}" for role, what in told(book.chat_of("s", documents))]


def oid(number: int) -> dict[str, str]:
    return {"$oid": f"{number:024x}"}


def test_of_histories_written_again_and_again_the_longest_wins_and_single_ones_are_in_order() -> None:
    lists = [
        {"session_id": "s", "chat_history": [{"message": f"q{n}"} for n in range(size)]} for size in (1, 3, 2)
    ]
    assert said(*lists) == ["user q0", "user q1", "user q2"]
    singles = [{"session_id": "s", "message": f"m{n}", "_id": oid(n)} for n in (2, 0, 1)]
    assert said(*singles) == ["user m0", "user m1", "user m2"]
    assert book.chat_of("s", lists).notes == ("earlier copy of a history left out (2)",)


@pytest.mark.parametrize(
    "fields",
    [{"chat_history": ["q3", "a3"]}, {"conversation": [{"text": "q3"}]}, {"conversation_history": "q3\\n"}],
)
def test_each_history_of_a_user_is_a_session(fields: dict[str, Any]) -> None:
    groups = {book.document_group({"_id": oid(n), "user_id": "u3", **fields}) for n in (8, 9)}
    assert groups == {f"{8:024x}", f"{9:024x}"}
    assert book.document_group({"_id": oid(8), "user_id": "u3", "session_id": "x", **fields}) == "x"
    assert book.document_group({"_id": oid(8), "user_id": "u3", "message": "hello"}) == "u3"


@pytest.mark.parametrize(
    "value",
    [
        {"$uuid": UUID_TEXT},
        {"$binary": {"base64": UUID_BYTES, "subType": "04"}},
        {"$binary": {"base64": UUID_BYTES, "subType": "03"}},
        {"$binary": UUID_BYTES, "$type": "04"},
    ],
)
def test_uuids_of_mongodb_are_ids(value: dict[str, Any]) -> None:
    assert name(value) == UUID_TEXT
    assert book.document_group({"_id": value, "history": ["q"]}) == UUID_TEXT
    assert book.document_group({"_id": oid(1), "session_id": value, "message": "q"}) == UUID_TEXT
    assert branching.document_key({"chat_id": value, "qa_pairs": []}) == UUID_TEXT


@pytest.mark.parametrize(
    "value",
    [
        {"$binary": {"base64": UUID_BYTES, "subType": "00"}},
        {"$binary": {"base64": "AAAA", "subType": "04"}},
        {"$binary": {"base64": "é", "subType": "04"}},
        {"$binary": 7, "$type": "04"},
        {"$uuid": "no UUID"},
    ],
)
def test_a_history_whose_id_cannot_be_read_is_a_session_of_its_own(value: dict[str, Any]) -> None:
    assert name(value) is None
    group = book.document_group({"_id": value, "user_id": "u3", "history": ["q"]})
    assert group not in {"history", "u3"}
    assert group == book.document_group({"_id": value, "user_id": "u3", "history": ["q", "a"]})
    assert group != book.document_group({"_id": {"$date": 1}, "user_id": "u3", "history": ["q"]})


def test_documents_under_uuids_stay_in_the_order_of_the_file() -> None:
    singles = [{"_id": {"$uuid": UUID_TEXT.replace("1", n)}, "message": n} for n in "312"]
    assert said(*singles) == ["user 3", "user 1", "user 2"]


def test_histories_that_do_not_begin_alike_all_stay() -> None:
    texts = (["q", "a"], ["other", "yes"], ["q"], ["other", "yes", "more"], [])
    lists = [{"_id": oid(n), "session_id": "s", "chat_history": said} for n, said in enumerate(texts)]
    assert said(*lists) == ["user q", "user a", "user other", "user yes", "user more"]
    assert book.chat_of("s", lists).notes == (
        "document without words left out (1)", "earlier copy of a history left out (2)",
    )  # fmt: skip


def test_answers_that_lie_in_documents_of_their_own_come_in_order_as_answers() -> None:
    answers = [{"_id": oid(n), "session_id": "s", "chat_history": f"a{n}"} for n in (3, 1, 2)]
    assert said(*answers, {"_id": oid(4), "session_id": "s", "chat_history": "a3"}) == [
        "assistant a1", "assistant a2", "assistant a3", "assistant a3",
    ]  # fmt: skip
