"""What the FastAPI book requires of names that are somebody else's ids (Q6): 404, and nothing is made."""

from __future__ import annotations

from typing import Any

import httpx

from tests.api.people_fixtures import Town
from tests.harness.people import Person

OPENING: tuple[tuple[str, str, Any], ...] = (
    ("POST", "/chat", {"session_id": "NAME", "message": "x"}), ("POST", "/chat/NAME", {"message": "x"}),
    ("POST", "/chat", {"session_id": "NAME", "user_input": "x"}), ("POST", "/chat/NAME", {"user_input": "x"}),
    ("POST", "/chat", {"session_id": "NAME", "user_input": "x", "response": "y"}),
    ("POST", "/chat", {"session_id": "NAME", "text": "x"}),
    ("POST", "/send_message", {"session_id": "NAME", "message": "x"}),
    ("POST", "/sessions/NAME/messages/", {"text": "x", "user_id": "eve"}),
    ("POST", "/sessions/NAME/messages/", {"message": "x"}),
    ("POST", "/sessions/NAME/responses/", {"prompt": "x"}),
    ("POST", "/rag", {"message": "x", "session_id": "NAME"}),
)  # fmt: skip
"""Calls that make a session of a name that is nobody's."""


async def session_of(one: Person) -> str:
    """A session of somebody's, called by its UUID."""
    made = await one.call("POST", "/chat", {"user_input": "hers"})
    name: str = made.json()["session_id"]
    return name


async def test_q6_no_session_is_made_under_anothers_id(town: Town) -> None:
    ann, eve = await town.person("ann"), await town.person("eve")
    session = await session_of(ann)

    async def call(method: str, path: str, body: dict[str, str], name: str) -> httpx.Response:
        named = {key: value.replace("NAME", name) for key, value in body.items()}
        return await eve.call(method, path.replace("NAME", name), named)

    before = town.world.rows("SELECT COUNT(*) FROM conversations")
    for name in (session, session.upper(), f"conv_{session.replace('-', '')}"):
        for one in OPENING:
            seen = await call(*one, name)
            assert seen.status_code == 404, (one, seen.text)
            assert "Chat session not found" in seen.json()["error"]
    assert town.world.rows("SELECT COUNT(*) FROM conversations") == before
    for number, one in enumerate(OPENING):
        fresh = f"6f1c1f5e-6c53-4d7e-9a55-0f6f3f0c7d{number:02}"
        seen = await call(*one, fresh)
        assert seen.is_success and seen.json()["session_id"] == fresh, "a UUID of the client's own is a name"


async def test_q6_who_is_let_in_later_finds_the_session_itself(town: Town) -> None:
    ann, eve = await town.person("ann"), await town.person("eve")
    session = await session_of(ann)
    own = await eve.call("POST", "/chat/", {"session_id": session, "message": "where any name will do"})
    assert own.json()["session_id"] == session
    added = {"user": "eve", "role": "editor"}
    assert (await ann.call("POST", f"/v1/conversations/{session}/members", added)).status_code == 201
    assert (await eve.call("POST", "/send_message", {"session_id": session, "message": "hello"})).is_success
    for one in (ann, eve):
        history = (await one.call("GET", f"/chat/{session}/history")).json()
        assert [said["message"] for said in history] == ["hers", "hello"]
