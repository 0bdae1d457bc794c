"""The book's collections: every session of a user comes in, each said once, by whom it was said."""

from __future__ import annotations

from typing import Any

import pytest

from antiphon.domain.chat_exports import book
from tests.domain.exports import told


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
