"""Which of the dialects answers `POST /chat/` and `POST /chat`: the fields that they know decide."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.client import Api

CHATGROQ = {"response", "session_id", "llm_provider", "model", "user_id"}
BOTH = {"session_id": "s", "message": "hello"}


@pytest.mark.parametrize(
    ("body", "query"),
    [
        ({"stream": False}, {}), ({"metadata": {"a": 1}, "temperature": 0.5}, {}), ({"user_id": None}, {}),
        ({}, {"utm_source": "x"}), ({"stream": False}, {"session": "other"}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("said", [BOTH, {"message": "hello"}], ids=["named", "unnamed"])
async def test_what_nobody_knows_leaves_a_message_with_the_service_it_is_for(
    api: Api, said: dict[str, Any], body: dict[str, Any], query: dict[str, str]
) -> None:
    answered = await api.http.post("/chat/", json=said | body, params=query)
    assert answered.status_code == 200 and answered.json().keys() == CHATGROQ, answered.text
    assert api.world.rows("SELECT kind FROM conversations") == [("ephemeral",)]


@pytest.mark.parametrize("more", [{"user_id": "john"}, {"text": "hi"}, {"timestamp": "2023-02-20 14:30:00"}])
async def test_what_the_book_knows_leads_to_the_book(api: Api, more: dict[str, str]) -> None:
    answered = await api.http.post("/chat/", json=BOTH | more)
    assert "chat_history" in answered.json()
    assert api.world.rows("SELECT kind FROM conversations") == [("explicit",)]


async def test_an_unknown_parameter_makes_an_empty_call_no_other(api: Api) -> None:
    for path in ("/chat", "/chat/"):
        opened = await api.http.post(path, params={"utm_source": "x"})
        assert opened.status_code == 200 and opened.json()["session_id"]
        refused = await api.http.post(path, json={"surprise": "x"})
        assert refused.status_code == 422 and "session_id and message" in refused.json()["error"]
