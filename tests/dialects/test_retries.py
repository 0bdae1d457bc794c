"""A question whose answer failed stays; sent again under its key it is answered where it stands."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.api.client import Api
from tests.dialects.rooms import opened_room
from tests.services.hand import Call

BASE = "/api/v1"


async def test_in_the_branching_chat(held: Api) -> None:
    identifier = (await held.post(f"{BASE}/chats/create-chat", {}, status=201))["chat_id"]
    body = {"chat_id": identifier, "question": "keep me"}

    async def send(status: int, end: Callable[[Call], None]) -> Any:
        sending = held.post(f"{BASE}/messages/add-message", body, status=status, Idempotency_Key="once")
        sent = asyncio.create_task(sending)
        end(await held.world.hand.next())
        return await sent

    async def pairs() -> Any:
        return (await held.get(f"{BASE}/chats/get-chat", chat_id=identifier))["qa_pairs"]

    await send(502, Call.fail)
    (kept,) = await pairs()
    made = await send(201, lambda call: call.answer("at last"))
    assert (made["response"], made["timestamp"]) == ("at last", kept["timestamp"])
    assert await pairs() == [{key: made[key] for key in made if key != "chat_id"}]


@pytest.mark.parametrize(("path", "failed"), [("/chat", 502), ("/chat/{session}/message", 200)])
async def test_in_a_room(tmp_path: Path, path: str, failed: int) -> None:
    async with opened_room(tmp_path / "data") as room:
        ann = await room.person("ann")
        session = await room.shared_session(ann)
        body = {"session_id": session, "message": "m"}
        headers = {"Idempotency-Key": "once"}

        async def send(status: int, end: Callable[[Call], None]) -> Any:
            sent = asyncio.create_task(ann.call("POST", path.format(session=session), body, headers=headers))
            end(await room.world.hand.next())
            assert (await sent).status_code == status
            return (await sent).json()

        assert "broken" in (await send(failed, Call.fail))["error"]
        assert (await send(200, lambda call: call.answer("at last")))["response"] == "at last"
        history = (await ann.call("GET", f"/chat/{session}/history")).json()
        assert [one["message"] for one in history] == ["m", "at last"]
