"""Who said what: labels of participants stay with what they said, also what is imported or said otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.api.client import Api
from tests.services.importing import take

OID = {"$oid": "65b000000000000000000001"}
HELD = {
    "a document for each message": [
        {"user_id": "john", "message": "Hi Jane", "session_id": "s", "created_at": "2023-02-20T14:30:00"},
        {"user_id": "jane", "message": "Hi John", "session_id": "s", "created_at": "2023-02-20T14:31:00"},
    ],
    "a session of several": [
        {
            "id": "s",
            "users": [{"id": "john", "username": "John"}, {"id": "jane", "username": "Jane"}],
            "messages": [
                {"id": "1", "text": "Hi Jane", "user_id": "john", "timestamp": "2023-02-20T14:30:00"},
                {"id": "2", "text": "Hi John", "user_id": "jane", "timestamp": "2023-02-20T14:31:00"},
            ],
        }
    ],
    "names for labels": [
        {"_id": OID, "username": "john", "message": "Hi Jane", "session_id": "s"},
        {"_id": OID, "username": "jane", "message": "Hi John", "session_id": "s"},
    ],
}


async def said(api: Api, session: str) -> list[tuple[str, str | None]]:
    return [(one["text"], one["user_id"]) for one in await api.get(f"/sessions/{session}/messages/")]


@pytest.mark.parametrize("shape", HELD)
async def test_what_is_imported_was_said_by_who_said_it(api: Api, tmp_path: Path, shape: str) -> None:
    for imported in (2, 0):
        (done,) = await take(api.world, tmp_path, *HELD[shape], kind="book")  # type: ignore[arg-type]
        assert done.added == imported, "a second time nothing comes twice"
        assert await said(api, "s") == [("Hi Jane", "john"), ("Hi John", "jane")]
    chats = (await api.get("/chat/s"))["chats"]
    assert [one["user_id"] for one in chats] == ["john", "jane"]


async def test_a_history_of_one_user_was_said_by_that_user_but_for_its_answers(
    api: Api, tmp_path: Path
) -> None:
    entries: list[dict[str, Any]] = [{"message": "Hello", "response": "Hi"}, {"message": "Bye", "user_id": 7}]
    document = {"_id": OID, "user_id": "john", "chat_history": entries}
    await take(api.world, tmp_path, document, kind="book")  # type: ignore[arg-type]
    assert await said(api, OID["$oid"]) == [("Hello", "john"), ("Hi", None), ("Bye", "7")]


async def test_an_answer_at_the_head_of_a_page_stands_under_the_number_of_who_asked(api: Api) -> None:
    for number in (4, 7):
        await api.post("/messages/", {"text": f"from {number}", "user_id": number})
    whole = await api.get("/messages/")
    assert [one["user_id"] for one in whole] == [4, 4, 7, 7]
    for limit in range(1, 5):
        assert await api.get("/messages/", limit=limit) == whole[-limit:]


async def test_what_is_said_instead_is_said_by_the_same_one(api: Api) -> None:
    await api.post("/chat", {"session_id": "s", "text": "one", "user_id": "john"})
    await api.call("PUT", "/chat/s", {"message": "better"})
    assert await said(api, "s") == [("better", "john"), ("re: better", None)]
    await api.call("PUT", "/chat/s", {"message": "best", "user_id": "jane"})
    assert await said(api, "s") == [("best", "jane"), ("re: best", None)]
    for bad in (7, "x" * 257):
        refused = await api.http.put("/chat/s", json={"message": "worst", "user_id": bad})
        assert refused.status_code == 422, bad
